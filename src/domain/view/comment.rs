//! The comments of a release: the sticky one, and the few that deserve one of their own (COMMANDS §2, §5).

use std::fmt::Write as _;

use crate::domain::approval::{approvers, needed, rule_for};
use crate::domain::event::{Detail, RunKind};
use crate::domain::markdown::{escape, inline_code, truncate_balanced};
use crate::domain::name::StageName;
use crate::domain::pipeline::{ApprovalRule, Bind, Duty, Exclusion, Stage};
use crate::domain::release::{BuildState, Release, StageRun, StageState};
use crate::domain::state::State;
use crate::domain::time::{Span, Timestamp};
use crate::domain::view::{failure_block, overriding, run_status};

/// Most commits a comment lists.
pub const LISTED_CHANGES: usize = 20;
/// Longest comment; hosts refuse more than 65 536 characters.
const LONGEST: usize = 60_000;

/// The name that the manifest asked for, commit, artifact and number of commits.
pub fn facts(release: &Release) -> String {
    let digest =
        release.shown_digest().map_or_else(|| "not sealed yet".to_owned(), |d| inline_code(d.short()));
    let created = &release.created;
    let called = created.pipeline.release.name.is_some().then(|| {
        let names = &created.names;
        format!("- {}, build {}\n", escape(&names.name), names.build_number)
    });
    let commits = created.changes.len();
    let plural = if commits == 1 { "" } else { "s" };
    format!(
        "{}- commit {}, artifact {digest}, {commits} commit{plural}\n",
        called.unwrap_or_default(),
        inline_code(release.created.commit.short())
    )
}

/// The one comment per release that is edited in place.
pub fn sticky(state: &State, release: &Release, now: Timestamp) -> String {
    let mut out = format!("### {}: {}\n\n", release.created.version, release.state().word());
    out.push_str(&facts(release));
    if let BuildState::Failed(detail) = &release.build {
        writeln!(out, "\n❌ **The build failed.** {}", detail_text(detail)).unwrap_or_default();
    }
    if !release.stages.is_empty() {
        out.push_str("\n| stage | state | why |\n|---|---|---|\n");
    }
    for stage in &release.rules.stages {
        let Some(run) = release.run(&stage.name) else { continue };
        let (_, text) = run_status(state, release, (stage, run), now);
        writeln!(out, "| {} | {} | {} |", stage.name, run.word(stage), escape(&text).replace('|', "\\|"))
            .unwrap_or_default();
    }
    out.push_str(&crate::domain::view::check::table(state, release));
    for (stage, text) in overrides(release) {
        writeln!(out, "\n⚠️ {stage}: {}", escape(&text)).unwrap_or_default();
    }
    truncate_balanced(&out, LONGEST)
}

fn overrides(release: &Release) -> impl Iterator<Item = (&StageName, String)> {
    release.stages.iter().flat_map(|(stage, runs)| {
        runs.iter()
            .flat_map(overriding::of_run)
            .map(move |(before, said)| (stage, overriding::kept(said, before)))
    })
}

fn detail_text(detail: &Detail) -> String {
    match detail {
        Detail::Failed(failure) => {
            format!("{} ({})\n\n{}", escape(&failure.step), escape(&failure.how), failure_block(failure))
        }
        Detail::Reason(reason) => escape(reason),
        Detail::None | Detail::Fence(_) | Detail::By { .. } | Detail::Newer(_) | Detail::Took(_) => {
            String::new()
        }
    }
}

/// The comment that asks for approval; it is also the offer a bare `/approve` answers. It says nothing that changes
/// with each approval, because it is written once; the sticky comment counts.
pub fn approval_needed(release: &Release, stage: &Stage, run: &StageRun, ends: Option<Timestamp>) -> String {
    let version = &release.created.version;
    let name = &stage.name;
    let rule = rule_for(stage, run.kind);
    let need = rule.as_ref().map_or(0, needed);
    let plural = if need == 1 { "" } else { "s" };
    let what = match run.kind {
        RunKind::Deploy | RunKind::Redeploy | RunKind::Verify => format!("{version} is ready for {name}"),
        RunKind::Rollback => format!("{name} is to go back to {version}"),
    };
    let mut out = format!("⏳ **{what}** — {need} approval{plural} needed\n");
    out.push_str(&facts(release));
    out.push_str("- passed: build");
    for passed in stage.needs.iter().filter(|s| release.state_in(s) == Some(StageState::Succeeded)) {
        write!(out, ", {passed}").unwrap_or_default();
    }
    out.push('\n');
    if let Some(rule) = &rule {
        let groups = rule.require.iter().map(|r| format!("{} of {}", r.min, r.who));
        let anyone: Vec<String> = rule.from.iter().map(ToString::to_string).collect();
        let anyone = (!anyone.is_empty()).then(|| format!("{} of {}", rule.min, anyone.join(" or ")));
        let who: Vec<String> = anyone.into_iter().chain(groups).collect();
        let not: Vec<String> = rule.exclude.iter().map(Exclusion::to_string).collect();
        let not = if not.is_empty() { String::new() } else { format!(" (not {})", not.join(", ")) };
        writeln!(out, "- needs: {}{not}", escape(&who.join(" and "))).unwrap_or_default();
        if rule.bind == Bind::Version {
            let digest = release.shown_digest().map_or("", |d| d.as_str());
            let (version, digest) = (inline_code(&version.to_string()), inline_code(digest));
            writeln!(out, "- you approve version {version}, which is {digest}").unwrap_or_default();
        }
        for line in rule.instructions.iter().flat_map(|text| text.lines()) {
            write!(out, "\n> {}", escape(line)).unwrap_or_default();
        }
        if rule.instructions.is_some() {
            out.push('\n');
        }
    }
    let expires = ends.map_or_else(String::new, |ends| format!(" Expires {}.", ends.minute()));
    write!(
        out,
        "\nComment {} (or {}), {}, {}.{expires}",
        inline_code(&format!("/approve {name}")),
        inline_code(&format!("/approve {name} {version}")),
        inline_code(&format!("/reject {name} -- reason")),
        inline_code(&format!("/preview {name}"))
    )
    .unwrap_or_default();
    out
}

/// The comment that reminds people of a wait that will end; what is missing just now, the sticky comment says.
pub fn reminder(release: &Release, stage: &Stage, rule: &ApprovalRule, ends: Timestamp) -> String {
    let (version, name) = (&release.created.version, &stage.name);
    let who: Vec<String> = approvers(rule).iter().map(ToString::to_string).collect();
    format!(
        "⏳ **{version} still waits for {name}**, for {} of {}. It is rejected {}.\n\nComment {} or {}.",
        needed(rule),
        escape(&who.join(" or ")),
        ends.minute(),
        inline_code(&format!("/approve {name} {version}")),
        inline_code(&format!("/reject {name} {version} -- reason"))
    )
}

/// The comment about a stage that ended badly.
pub fn stage_failed(state: &State, release: &Release, stage: &Stage, run: &StageRun) -> String {
    let (version, name) = (&release.created.version, &stage.name);
    let mut out = match &run.detail {
        Detail::Failed(failure) => format!(
            "❌ **{version} {} in {name} at \"{}\"** ({}, attempt {})\n\n{}\n",
            run.state.word(),
            escape(&failure.step),
            escape(&failure.how),
            run.attempt,
            failure_block(failure)
        ),
        Detail::Reason(reason) => {
            format!("❌ **{version} {} in {name}**: {}\n\n", run.state.word(), escape(reason))
        }
        Detail::By { person, reason } => {
            let reason = reason.as_ref().map_or_else(String::new, |r| format!(": {}", escape(r)));
            format!(
                "❌ **{version} {} in {name}** by {}{reason}\n\n",
                run.state.word(),
                escape(person.login.as_str())
            )
        }
        Detail::None | Detail::Fence(_) | Detail::Newer(_) | Detail::Took(_) => {
            format!("❌ **{version} {} in {name}**\n\n", run.state.word())
        }
    };
    // This attempt found it, that is: another one that failed before stays as it was told.
    let found = matches!(&run.detail, Detail::Reason(why) if state.alarms.values().any(|a| a.text == *why));
    if found && state.tampered(release.no()) {
        out.push_str("These bytes never start again. Push a new release.");
        return truncate_balanced(&out, LONGEST);
    }
    write!(out, "Comment {}", inline_code(&format!("/retry {name}"))).unwrap_or_default();
    // To which release is better said when it is asked for: vetoes come and go, and this is written once.
    let before = |done: &Release| {
        let runs = done.stages.get(name).map(Vec::as_slice).unwrap_or_default();
        runs.iter().any(|r| r.state == StageState::Succeeded && r.moved_at <= run.moved_at)
    };
    if state.done(name).any(|done| release.is_newer_than(done) && before(done)) {
        write!(out, " or {}", inline_code(&format!("/rollback {name} -- reason"))).unwrap_or_default();
    }
    out.push('.');
    truncate_balanced(&out, LONGEST)
}

/// The comment that asks a person to decide what a check could not tell.
pub fn verification_paused(release: &Release, stage: &Stage, run: &StageRun) -> String {
    let (version, name) = (&release.created.version, &stage.name);
    format!(
        "⏸ **{version} is paused in {name}**: {}\n\nComment {}, {} or {}.",
        detail_text(&run.detail),
        inline_code(&format!("/why {name}")),
        inline_code(&format!("/override {name} <check> -- reason")),
        inline_code(&format!("/cancel {name}"))
    )
}

/// The comment about a release that is live everywhere; of what came later (a rollback to it) it says nothing.
pub fn released(release: &Release) -> String {
    let mandatory = release.rules.stages.iter().filter(|s| s.duty == Duty::Mandatory);
    let successes = mandatory.filter_map(|stage| {
        let runs = release.stages.get(&stage.name)?;
        runs.iter().find(|run| run.state == StageState::Succeeded).map(|run| (run.moved_at, &stage.name))
    });
    let last = successes.max_by_key(|(at, _)| *at);
    let (at, stage) = last.map_or((release.at, "every stage"), |(at, stage)| (at, stage.as_str()));
    let digest = release.shown_digest().map_or("", |d| d.short());
    format!(
        "✅ **{} is live in {stage}** ({} after the push). The same artifact in every stage: {}",
        release.created.version,
        Span::seconds(at.since(release.at).as_millis().div_ceil(1_000)),
        inline_code(digest)
    )
}

/// The comment about something that a person should look at.
pub fn alarm(text: &str) -> String {
    format!("🛑 **{}**", escape(text))
}

//! The comments of a release: the sticky one, and the few that deserve one of their own (COMMANDS §2, §5).

use std::fmt::Write as _;

use crate::domain::event::Detail;
use crate::domain::markdown::{escape, inline_code, sentence, truncate_balanced};
use crate::domain::name::StageName;
use crate::domain::pipeline::{Duty, Stage};
use crate::domain::publication;
use crate::domain::release::{BuildState, Release, StageRun, StageState};
use crate::domain::rollback;
use crate::domain::rollout;
use crate::domain::source;
use crate::domain::state::State;
use crate::domain::time::{Span, Timestamp};
use crate::domain::view::{failure_block, overriding, request, run_status};

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
    let commits = created.commits();
    let plural = if commits == 1 { "" } else { "s" };
    let mut out = format!(
        "{}- commit {}, artifact {digest}, {commits} commit{plural}\n",
        called.unwrap_or_default(),
        inline_code(release.created.commit.short())
    );
    if let Some(track) = release.track() {
        writeln!(out, "- {}", inline_code(&track.to_string())).unwrap_or_default();
    }
    for (alias, image) in release.artifacts.iter().filter_map(|a| Some((&a.alias, a.image.as_ref()?))) {
        let digest = inline_code(image.manifest.as_str());
        writeln!(out, "- image {alias}: {}, {digest}", inline_code(&image.name.to_string()))
            .unwrap_or_default();
    }
    if let Some(over) = &release.reused {
        writeln!(out, "- {}", over.not_built()).unwrap_or_default();
    }
    for found in &release.sources {
        let (place, commit) = (inline_code(&found.source.to_string()), inline_code(found.commit.short()));
        writeln!(out, "- source {}: {place}, commit {commit}", found.source.alias).unwrap_or_default();
    }
    out
}

/// The one comment per release that is edited in place.
pub fn sticky(state: &State, release: &Release, now: Timestamp) -> String {
    let mut out = format!("### {}: {}\n\n", release.created.version, release.state().word());
    out.push_str(&facts(release));
    if let BuildState::Failed(Detail::By { person, .. }) = &release.build {
        let by = escape(person.login.as_str());
        writeln!(out, "\n⛔ **The build was cancelled** by {by}.").unwrap_or_default();
    } else if let BuildState::Failed(detail) = &release.build {
        writeln!(out, "\n❌ **The build failed.** {}", detail_text(detail)).unwrap_or_default();
    }
    if !release.stages.is_empty() {
        out.push_str("\n| stage | state | why |\n|---|---|---|\n");
    }
    for stage in &release.rules.stages {
        let Some(run) = release.run(&stage.name) else { continue };
        let (_, text) = run_status(state, release, (stage, run), now);
        let (name, text) = (linked(stage), escape(&text).replace('|', "\\|"));
        writeln!(out, "| {name} | {} | {text} |", run.word(stage)).unwrap_or_default();
    }
    out.push_str(&request::tables(release, now));
    out.push_str(&crate::domain::view::check::table(state, release));
    for stage in &release.rules.stages {
        let lines = rollout::lines(state, release.no(), &stage.name);
        let rollout = release.run(&stage.name).map(|run| &run.rollout);
        if let Some(rollout) = rollout.filter(|_| !lines.is_empty()) {
            let what = match (rollout.targets.is_empty(), &rollout.slot) {
                (false, _) => "targets",
                (true, Some(_)) => "slots",
                (true, None) => "how far",
            };
            writeln!(out, "\n**{}: {what}**\n", stage.name).unwrap_or_default();
        }
        for line in lines {
            out.push_str(&target(&line));
        }
    }
    out.push_str(&published(release));
    for (stage, text) in overrides(release) {
        writeln!(out, "\n⚠️ {stage}: {}", escape(&text)).unwrap_or_default();
    }
    truncate_balanced(&out, LONGEST)
}

/// What is published where, by stage.
fn published(release: &Release) -> String {
    let mut out = String::new();
    for stage in &release.rules.stages {
        let lines: Vec<_> = publication::lines(release, &stage.name).collect();
        if !lines.is_empty() {
            writeln!(out, "\n**{}: published**\n", stage.name).unwrap_or_default();
        }
        for (line, address) in lines {
            let at = address.map_or_else(String::new, |address| format!(" ([look at it](<{address}>))"));
            writeln!(out, "- {}{at}", escape(&line)).unwrap_or_default();
        }
    }
    out
}

/// What there is to say of a target; its page was checked to be a link when the job was launched.
fn target(line: &rollout::Line) -> String {
    let page = line.page.as_ref().map_or_else(String::new, |page| format!(" ([look at it](<{page}>))"));
    format!("- {}{page}\n", escape(&line.text))
}

/// A stage's name, and where people find what runs there.
fn linked(stage: &Stage) -> String {
    match &stage.around.url {
        Some(url) => format!("[{}](<{url}>)", stage.name),
        None => stage.name.to_string(),
    }
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
    let fates = rollout::fates(run);
    for line in &fates {
        out.push_str(&target(line));
    }
    if !fates.is_empty() {
        out.push('\n');
    }
    // This attempt found it, that is: another one that failed before stays as it was told.
    let found = matches!(&run.detail, Detail::Reason(why) if state.alarms.values().any(|a| a.text == *why));
    if found && state.tampered(release.no()) {
        out.push_str("These bytes never start again. Push a new release.");
        return truncate_balanced(&out, LONGEST);
    }
    if let Some((back, _)) =
        rollback::put_back(state, release, (name, run)).filter(|(_, at)| *at == run.moved_at)
    {
        let version = &back.created.version;
        write!(out, "↩️ {version} is put back by itself, and {name} is held then.").unwrap_or_default();
        return truncate_balanced(&out, LONGEST);
    }
    if matches!((&run.state, &run.detail), (StageState::RejectedAfterDeploy, Detail::By { .. })) {
        writeln!(out, "{version} stays in {name} until something else is put there.").unwrap_or_default();
        let lift = inline_code(&format!("/unhold {name}"));
        write!(out, "Comment {lift} to let it start there again").unwrap_or_default();
    } else {
        write!(out, "Comment {}", inline_code(&format!("/retry {name}"))).unwrap_or_default();
    }
    // To which release is better said when it is asked for: vetoes come and go, and this is written once.
    let before = |done: &Release| {
        let runs = done.stages.get(name).map(Vec::as_slice).unwrap_or_default();
        runs.iter().any(|r| r.state == StageState::Succeeded && r.moved_at <= run.moved_at)
    };
    let other = |done: &Release| {
        done.no() != release.no() && done.track() == release.track() && !done.is_newer_than(release)
    };
    if state.done(name).any(|done| other(done) && before(done)) {
        write!(out, " or {}", inline_code(&format!("/rollback {name} -- reason"))).unwrap_or_default();
    }
    out.push('.');
    truncate_balanced(&out, LONGEST)
}

/// The comment about a release that is put back by itself some time after it was told that it is bad.
pub fn put_back(state: &State, release: &Release, (stage, run): (&StageName, &StageRun)) -> Option<String> {
    let (back, at) = rollback::put_back(state, release, (stage, run))?;
    let told_at = run.fault.as_ref().map_or(run.moved_at, |fault| fault.at);
    (at != told_at).then(|| {
        format!(
            "↩️ **{stage} goes back to {} by itself**, because {} was bad there.",
            back.created.version, release.created.version
        )
    })
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
    let since = release.revisions.last().map(|revision| format!("every stage since {}", revision.stage));
    let since = since.as_deref().unwrap_or("every stage");
    format!(
        "✅ **{} is live in {stage}** ({} after the push). The same artifact in {since}: {}",
        release.created.version,
        Span::seconds(at.since(release.at).as_millis().div_ceil(1_000)),
        inline_code(digest)
    )
}

/// The comment about something that a person should look at.
pub fn alarm(code: &str, text: &str) -> String {
    if code == source::MOVED_ON {
        return format!("ℹ️ {}", sentence(text));
    }
    format!("🛑 **{}**", sentence(text))
}

//! The comments of a release: the sticky one, and the few that deserve one of their own (COMMANDS §2, §5).

use std::fmt::Write as _;

use crate::domain::approval::{approvers, rule_for};
use crate::domain::event::Detail;
use crate::domain::gate::verdict;
use crate::domain::markdown::{escape, inline_code, truncate_balanced};
use crate::domain::name::StageName;
use crate::domain::pipeline::{Exclusion, Stage};
use crate::domain::release::{BuildState, Release, StageRun, StageState};
use crate::domain::state::State;
use crate::domain::time::{Span, Timestamp};
use crate::domain::view::{failure_block, run_status, sign};

/// Most commits a comment lists.
pub const LISTED_CHANGES: usize = 20;
/// Longest comment; hosts refuse more than 65 536 characters.
const LONGEST: usize = 60_000;

/// Commit, artifact and number of commits, one line each.
pub fn facts(release: &Release) -> String {
    let digest =
        release.shown_digest().map_or_else(|| "not sealed yet".to_owned(), |d| inline_code(d.short()));
    let commits = release.created.changes.len();
    format!(
        "- commit {}, artifact {digest}, {commits} commits\n",
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
        writeln!(out, "| {} | {} | {} |", stage.name, run.state.word(), escape(&text).replace('|', "\\|"))
            .unwrap_or_default();
    }
    for (stage, text) in overrides(release) {
        writeln!(out, "\n⚠️ {stage}: {}", escape(&text)).unwrap_or_default();
    }
    truncate_balanced(&out, LONGEST)
}

fn overrides(release: &Release) -> impl Iterator<Item = (&StageName, String)> {
    release.stages.iter().flat_map(|(stage, runs)| {
        runs.iter().flat_map(move |run| {
            run.overrides.iter().map(move |o| {
                (stage, format!("{} overridden by {}: {}", o.check.word(), o.by.login, o.reason))
            })
        })
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

/// The comment that asks for approval; it is also the offer a bare `/approve` answers.
pub fn approval_needed(state: &State, release: &Release, stage: &Stage, now: Timestamp) -> String {
    let version = &release.created.version;
    let name = &stage.name;
    let rule = release.run(name).and_then(|run| rule_for(stage, run.kind));
    let need = rule.as_ref().map_or(1, |r| r.min);
    let mut out = format!("⏳ **{version} is ready for {name}** — 0 of {need} approvals\n");
    out.push_str(&facts(release));
    let passed: Vec<String> = release
        .stages
        .keys()
        .filter(|s| release.state_in(s) == Some(StageState::Succeeded))
        .map(ToString::to_string)
        .collect();
    writeln!(out, "- passed: build{}", passed.iter().map(|p| format!(", {p}")).collect::<String>())
        .unwrap_or_default();
    if let Some(rule) = &rule {
        let who: Vec<String> = approvers(rule).iter().map(ToString::to_string).collect();
        let not = match rule.exclude.iter().map(Exclusion::to_string).collect::<Vec<_>>() {
            none if none.is_empty() => String::new(),
            some => format!(" (not {})", some.join(", ")),
        };
        writeln!(out, "- needs: {} of {}{not}", rule.min, escape(&who.join(" or "))).unwrap_or_default();
    }
    for line in verdict(state, release, stage, now).blockers() {
        writeln!(out, "- {} {}", sign(line.mark), escape(&line.text)).unwrap_or_default();
    }
    let expires = rule.map_or_else(String::new, |r| format!(" Expires {}.", now.plus(r.timeout).minute()));
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
        Detail::None | Detail::Fence(_) | Detail::By { .. } | Detail::Newer(_) | Detail::Took(_) => {
            format!("❌ **{version} {} in {name}**\n\n", run.state.word())
        }
    };
    write!(out, "Comment {}", inline_code(&format!("/retry {name}"))).unwrap_or_default();
    let earlier = state.history.get(name).and_then(|h| h.iter().rev().find(|no| **no != release.no()));
    match earlier {
        Some(no) => {
            let line = format!("/rollback {name} {} -- reason", state.version_of(*no));
            write!(out, " or {}.", inline_code(&line)).unwrap_or_default();
        }
        None => out.push('.'),
    }
    truncate_balanced(&out, LONGEST)
}

/// The comment about a release that is live everywhere.
pub fn released(release: &Release) -> String {
    let last = release.rules.stages.last().map_or("its last stage", |s| s.name.as_str());
    let took = release
        .rules
        .stages
        .last()
        .and_then(|s| release.run(&s.name))
        .map(|run| run.moved_at.since(release.at))
        .unwrap_or(Span::ZERO);
    let digest = release.shown_digest().map_or("", |d| d.short());
    format!(
        "✅ **{} is live in {last}** ({} after the push). The same artifact in every stage: {}",
        release.created.version,
        Span::seconds(took.as_millis().div_ceil(1_000)),
        inline_code(digest)
    )
}

/// The comment about something that a person should look at.
pub fn alarm(text: &str) -> String {
    format!("🛑 **{}**", escape(text))
}

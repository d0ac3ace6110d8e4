//! What people are asked, and the table of who has answered and who is missing (COMMANDS §5).

use std::fmt::Write as _;

use crate::domain::approval::{approvers, asked, needed as how_many, tally};
use crate::domain::event::{ApprovalSide, RunKind};
use crate::domain::markdown::{escape, inline_code};
use crate::domain::pipeline::{ApprovalRule, Bind, Exclusion, Stage};
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::rollback;
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::view::check;
use crate::domain::view::comment::facts;

/// The comment that asks for approval or sign-off; it is also the offer a bare `/approve` answers. It says nothing
/// that changes with each answer, because it is written once; the sticky comment counts.
pub fn needed(
    state: &State,
    release: &Release,
    (stage, run): (&Stage, &StageRun),
    ends: Option<Timestamp>,
) -> String {
    let (version, name) = (&release.created.version, &stage.name);
    let rule = asked(stage, run);
    let need = rule.as_ref().map_or(0, how_many);
    let plural = if need == 1 { "" } else { "s" };
    let (what, of) = match (run.side(), run.kind) {
        (ApprovalSide::After, _) => (format!("{version} is deployed to {name}"), "sign-off"),
        (ApprovalSide::Before, RunKind::Rollback) => {
            (format!("{name} is to go back to {version}"), "approval")
        }
        (ApprovalSide::Before, RunKind::Deploy | RunKind::Redeploy | RunKind::Verify) => {
            (format!("{version} is ready for {name}"), "approval")
        }
    };
    let mut out = format!("⏳ **{what}** — {need} {of}{plural} needed\n");
    out.push_str(&facts(release));
    out.push_str(&passed(state, release, stage, run));
    if run.kind != RunKind::Rollback {
        writeln!(out, "- if it goes wrong: {}", rollback::plan(state, release, stage)).unwrap_or_default();
    }
    if let Some(rule) = &rule {
        out.push_str(&terms(release, rule));
    }
    let expires = ends.map_or_else(String::new, |ends| format!(" Expires {}.", ends.minute()));
    let team = rule.iter().flat_map(approvers).find_map(|who| who.word().map(str::to_owned));
    let team = team.filter(|_| run.side() == ApprovalSide::After);
    let one_team = team.map_or_else(String::new, |team| {
        format!(", {} for one team", inline_code(&format!("/signoff {team} {name}")))
    });
    write!(
        out,
        "\nComment {} (or {}){one_team}, {}, {}.{expires}",
        inline_code(&format!("/approve {name}")),
        inline_code(&format!("/approve {name} {version}")),
        inline_code(&format!("/reject {name} -- reason")),
        inline_code(&format!("/preview {name}"))
    )
    .unwrap_or_default();
    out
}

/// What the release has behind it.
fn passed(state: &State, release: &Release, stage: &Stage, run: &StageRun) -> String {
    let mut out = "- passed: build".to_owned();
    for passed in stage.comes_from().filter(|s| release.state_in(s) == Some(StageState::Succeeded)) {
        write!(out, ", {passed}").unwrap_or_default();
    }
    if run.side() == ApprovalSide::After {
        let asks = !stage.verify.is_empty() || !stage.gates.post.is_empty();
        let checks = if asks { " and its checks" } else { "" };
        let issues = escape(&check::issues(state, release, stage, run));
        write!(out, ", the commands of {}{checks}{issues}", stage.name).unwrap_or_default();
    }
    out.push('\n');
    out
}

/// Who is needed, what a yes means, and what to do before.
fn terms(release: &Release, rule: &ApprovalRule) -> String {
    let not: Vec<String> = rule.exclude.iter().map(Exclusion::to_string).collect();
    let not = if not.is_empty() { String::new() } else { format!(" (not {})", not.join(", ")) };
    let mut out = format!("- needs: {}{not}\n", escape(&in_words(rule)));
    if rule.bind == Bind::Version {
        let digest = release.shown_digest().map_or("", |d| d.as_str());
        let (version, digest) = (inline_code(&release.created.version.to_string()), inline_code(digest));
        writeln!(out, "- you approve version {version}, which is {digest}").unwrap_or_default();
    }
    for line in rule.instructions.iter().flat_map(|text| text.lines()) {
        write!(out, "\n> {}", escape(line)).unwrap_or_default();
    }
    if rule.instructions.is_some() {
        out.push('\n');
    }
    out
}

/// Everybody the rule asks for: `1 of acme/qa and 2 of role maintain or higher`.
pub fn in_words(rule: &ApprovalRule) -> String {
    let seats = crate::domain::approval::asked_of(rule);
    let all: Vec<String> = seats.iter().map(|seat| format!("{} of {}", seat.need, seat.who)).collect();
    all.join(" and ")
}

/// The comment that reminds people of a wait that will end; what is missing just now, the sticky comment says.
pub fn reminder(
    release: &Release,
    (stage, run): (&Stage, &StageRun),
    rule: &ApprovalRule,
    ends: Timestamp,
) -> String {
    let (version, name) = (&release.created.version, &stage.name);
    let who: Vec<String> = approvers(rule).iter().map(ToString::to_string).collect();
    let what = match run.side() {
        ApprovalSide::Before => format!("{version} still waits for {name}"),
        ApprovalSide::After => format!("{version} in {name} still waits for sign-off"),
    };
    format!(
        "⏳ **{what}**, for {} of {}. It is rejected {}.\n\nComment {} or {}.",
        how_many(rule),
        escape(&who.join(" or ")),
        ends.minute(),
        inline_code(&format!("/approve {name} {version}")),
        inline_code(&format!("/reject {name} {version} -- reason"))
    )
}

/// Who has answered and who is missing, for each stage that asks more than one thing of people.
pub fn tables(release: &Release, now: Timestamp) -> String {
    let mut out = String::new();
    for stage in &release.rules.stages {
        let Some(run) = release.run(&stage.name).filter(|run| run.state.asks()) else { continue };
        let Some(rule) = asked(stage, run) else { continue };
        let tally = tally(&rule, release, run, now);
        if tally.seats.len() < 2 {
            continue;
        }
        let what = match run.side() {
            ApprovalSide::Before => "approvals",
            ApprovalSide::After => "sign-offs",
        };
        writeln!(out, "\n**{}: {what}**\n\n| needed | given by | missing |\n|---|---|---|", stage.name)
            .unwrap_or_default();
        for seat in &tally.seats {
            let by = if seat.by.is_empty() { "–".to_owned() } else { seat.by.join(", ") };
            let missing = if seat.lacks() == 0 { "✔".to_owned() } else { format!("{} ⏳", seat.lacks()) };
            let line = format!("{} of {}", seat.need, seat.who);
            writeln!(out, "| {} | {} | {missing} |", escape(&line), escape(&by)).unwrap_or_default();
        }
    }
    out
}

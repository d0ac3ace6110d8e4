//! What `/help` answers: what somebody may say, and what holds here.

use std::fmt::Write as _;

use crate::domain::approval::{approvers, stage_approvers};
use crate::domain::command::{VERBS, Verb};
use crate::domain::markdown::{escape, inline_code};
use crate::domain::name::StageName;
use crate::domain::person::{Standing, Visibility};
use crate::domain::pipeline::{Role, Stage};
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::view::{freeze, request};

/// `/help`: the verbs that this person may use, the stages and their rules, and the version of the policy.
pub fn help(state: &State, (standing, visibility): (&Standing, Visibility), now: Timestamp) -> String {
    let may = |verb| may(verb, state, (standing, visibility));
    let mut out =
        format!("ℹ️ **What {} ({}) can say here**\n\n", standing.person.login, standing.role.word());
    out.push_str("| command | who | what |\n|---|---|---|\n");
    for row in VERBS.iter().filter(|row| may(row.verb)) {
        let usage = row.usage.replace('|', "\\|");
        writeln!(out, "| {} | {} | {} |", inline_code(&usage), row.who, row.meaning).unwrap_or_default();
    }
    let others = VERBS.iter().filter(|row| !may(row.verb));
    let others: Vec<String> = others.map(|row| inline_code(&format!("/{}", row.word))).collect();
    if !others.is_empty() {
        writeln!(out, "\nFor others here: {}.", others.join(", ")).unwrap_or_default();
    }
    let Some(pipeline) = state.pipeline() else { return out };
    out.push_str("\nStages: ");
    let stages: Vec<String> = pipeline.stages.iter().map(stage_rule).collect();
    out.push_str(&stages.join("; "));
    out.push_str(".\n");
    if !pipeline.runbooks.is_empty() {
        let books: Vec<&str> = pipeline.runbooks.iter().map(|r| r.name.as_str()).collect();
        writeln!(out, "\nRunbooks: {}.", books.join(", ")).unwrap_or_default();
    }
    for text in freeze::all(state, now) {
        writeln!(out, "\n⛔ {}", escape(&text)).unwrap_or_default();
    }
    for ((stage, track), hold) in &state.holds {
        let stage = stage.as_ref().map_or("everything", StageName::as_str);
        let of = track.as_ref().map_or_else(String::new, |track| format!(", {track},"));
        let what = format!("{stage}{of} is on hold: {}", hold.reason);
        writeln!(out, "\n⛔ {}", escape(&what)).unwrap_or_default();
    }
    if let Some((commit, _)) = &state.head {
        writeln!(out, "\nRules as of {}.", inline_code(commit.short())).unwrap_or_default();
    }
    out
}

fn stage_rule(stage: &Stage) -> String {
    let before = stage.approval.as_ref().map_or_else(
        || "no approval".to_owned(),
        |rule| {
            let who: Vec<String> = approvers(rule).iter().map(ToString::to_string).collect();
            format!("{} of {}", rule.min, who.join(", "))
        },
    );
    let after = stage.signoff.as_ref();
    let after = after.map_or_else(String::new, |rule| format!("; sign-off: {}", request::in_words(rule)));
    format!("{} ({before}{}{after})", stage.name, freeze::hours(stage))
}

/// Whether somebody may use a verb in any stage, as far as the rules alone say: whether there is anything to approve, or
/// who wrote the commits, is not looked at.
fn may(verb: Verb, state: &State, (standing, visibility): (&Standing, Visibility)) -> bool {
    let role = |least| standing.role >= least;
    let pipeline = state.pipeline();
    let stages = || pipeline.iter().flat_map(|pipeline| pipeline.stages.iter());
    match verb {
        Verb::Approve | Verb::Signoff | Verb::Revoke | Verb::Reject | Verb::Resume | Verb::Rollback => {
            let asked = |stage: &Stage| {
                let after = stage.signoff.iter().flat_map(approvers);
                stage_approvers(stage).into_iter().chain(after).any(|who| standing.is(&who))
            };
            stages().any(asked)
        }
        Verb::Hold | Verb::Unhold | Verb::Promote | Verb::Retry | Verb::Cancel | Verb::Start => {
            role(Role::Write)
        }
        Verb::Freeze | Verb::Unfreeze => role(Role::Maintain),
        Verb::Override => stages().any(|stage| stage.overriding.allows(standing)),
        Verb::Run => {
            let books = pipeline.iter().flat_map(|pipeline| pipeline.runbooks.iter());
            books.flat_map(|book| &book.from).any(|who| standing.is(who))
        }
        Verb::Preview | Verb::Recheck => role(visibility.to_make_work()),
        Verb::Why | Verb::Status | Verb::Help => role(Role::Read),
    }
}

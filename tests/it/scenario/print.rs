//! How events and effects read in a transcript: short, and only what a release manager wants to know.

use liftlock::domain::effect::{Effect, Reaction};
use liftlock::domain::event::{
    Approval, ApprovalSide, BuildOutcome, Detail, Event, GroupWritten, Heard, OfRun,
};
use liftlock::domain::inbox::{Wait, waits};
use liftlock::domain::name::{CommitSha, PipelineName, ReleaseNo, StageName, UserId, VariableName};
use liftlock::domain::pause::Said;
use liftlock::domain::person::Standing;
use liftlock::domain::release::StageState;
use liftlock::domain::runbook::fact::Fact;
use liftlock::domain::state::State;
use liftlock::domain::time::Timestamp;
use liftlock::domain::track::Track;
use liftlock::domain::view::event::{revised, sentence};
use liftlock::domain::view::runbook::line;

/// A commit as the transcript calls it: `c12`.
pub(crate) fn commit(sha: &CommitSha) -> &str {
    sha.as_str().trim_end_matches('f')
}

/// Whose approval it was.
fn withdrawn_login(state: &State, (release, stage): (ReleaseNo, &StageName), person: UserId) -> String {
    state
        .release(release)
        .and_then(|r| r.run(stage))
        .and_then(|run| run.withdrawn.iter().rev().find(|(a, _)| a.standing.person.id == person))
        .map_or_else(|| person.to_string(), |(a, _)| a.standing.person.login.to_string())
}

/// One line, or nothing when the event only repeats what the transcript shows anyway.
pub(crate) fn event(state: &State, event: &Event) -> Option<String> {
    let name = |no: &ReleaseNo| state.version_of(*no);
    Some(match event {
        Event::PolicySeen { commit: at, .. } => format!("rules of {} are in force", commit(at)),
        Event::PolicyProposed(p) => format!("#{} would change {} rules", p.thread, p.changes.len()),
        Event::ReleaseCreated(_)
        | Event::BuildsExpected(_)
        | Event::BuildHeard(_)
        | Event::ListenersSeen { .. }
        | Event::ServerPolicySeen { .. } => about_making(state, event),
        Event::SourcesFound { .. }
        | Event::BuildStarted { .. }
        | Event::BuildFinished { .. }
        | Event::BuildRetried { .. } => about_build(state, event),
        Event::TagSeen { commit: Some(at), tag, .. } => format!("tag {tag} is at {}", commit(at)),
        Event::TagSeen { commit: None, tag, .. } => format!("tag {tag} is gone"),
        Event::PlaceFound { .. } | Event::OfferShown { .. } => return None,
        Event::StageOpened { release, stage, attempt, kind, not_before, .. } => {
            if *attempt == 1 {
                return None;
            }
            let after = not_before.map_or_else(String::new, |at| format!(", not before {}", at.minute()));
            format!("{} {stage} attempt {attempt}: {kind:?}{after}", name(release))
        }
        Event::StageMoved { release, stage, transition, to, detail, .. } => {
            let why = why(state, detail, &format!("{transition:?}"));
            format!("{} {stage}: {}{why}", name(release), word(*to))
        }
        Event::GroupWritten(_) | Event::PhaseDone { .. } => about_steps(state, event),
        Event::Pause(fact) => pause(state, fact),
        Event::Revised(fact) => of_run(state, fact, &revised(&fact.said)),
        Event::Target(fact) => of_run(state, fact, &fact.said.sentence()),
        Event::Publication(fact) => of_run(state, fact, &fact.said.sentence()),
        Event::Attested(said) => format!("{} {}", name(&said.release), sentence(event)),
        Event::Retired { release, .. } => format!("{} retired", name(release)),
        Event::Noted { release, frozen, .. } => {
            format!("{} notes {}", name(release), if *frozen { "published" } else { "written" })
        }
        Event::Approved { release, stage, approval, .. } => {
            format!("{} {stage}: {}", name(release), approved(approval))
        }
        Event::ApprovalWithdrawn { release, stage, person, why, .. } => {
            let login = withdrawn_login(state, (*release, stage), *person);
            format!("{} {stage}: approval of {login} withdrawn, {why:?}", name(release))
        }
        Event::Overridden { release, stage, check, by, reason, .. } => {
            format!("{} {stage}: {} overridden by {}: {reason}", name(release), check.word(), by.login)
        }
        Event::CheckAsked { .. }
        | Event::CheckStarted { .. }
        | Event::CheckFinished { .. }
        | Event::CheckRetired { .. }
        | Event::LegAnswered(_)
        | Event::GatesOpened { .. }
        | Event::GatesClosed { .. }
        | Event::GatesSampled { .. }
        | Event::FoundFaulty { .. } => about_checks(state, event),
        Event::Promoted { release, stage, by, .. } => {
            format!("{} {stage}: promoted by {}", name(release), by.login)
        }
        Event::Held { .. } | Event::Unheld { .. } | Event::Frozen { .. } | Event::Unfrozen { .. } => {
            return stopped(event);
        }
        Event::Vetoed { release, stage, reason } => format!("{} {stage}: vetoed, {reason}", name(release)),
        Event::VetoLifted { release, stage } => format!("{} {stage}: veto lifted", name(release)),
        Event::Heard(heard) => answer(heard),
        Event::Demand(fact) => liftlock::domain::view::demand::sentence(fact),
        Event::Runbook(fact) => runbook(state, fact),
        Event::Alarm { code, text, .. } => format!("alarm {code}: {text}"),
    })
}

/// What a release is made of.
fn about_making(state: &State, event: &Event) -> String {
    match event {
        Event::ReleaseCreated(c) => {
            let late = c
                .included_in
                .map_or_else(String::new, |no| format!(", included in {}", state.version_of(no)));
            let of: Vec<String> = c.builds.iter().map(|build| format!(", {build}")).collect();
            format!("{} made from {}{}{late}", c.version, commit(&c.commit), of.concat())
        }
        Event::BuildsExpected(push) => {
            let started: Vec<&str> = push.started.iter().map(PipelineName::as_str).collect();
            let here = push
                .abroad
                .as_ref()
                .map_or_else(String::new, |at| format!(" while {} is here", commit(&at.head)));
            format!("{} starts {}{here}", commit(&push.commit), started.join(" and "))
        }
        Event::BuildHeard(built) => {
            let how =
                built.outcome.as_ref().map_or_else(|why| format!("failed, {why}"), |_| "built".to_owned());
            let there = built.abroad.as_ref().map_or_else(String::new, |at| format!(" in {}", at.repository));
            format!("{} {} of {}{there}: {how}", built.pipeline, built.version, commit(&built.commit))
        }
        Event::ListenersSeen { listeners } => format!("{} others are told of builds", listeners.len()),
        Event::ServerPolicySeen { policies } => {
            format!("the server asks {} things of stages", policies.len())
        }
        other => panic!("nothing is made by {other:?}"),
    }
}

fn about_build(state: &State, event: &Event) -> String {
    let name = |no: &ReleaseNo| state.version_of(*no);
    match event {
        Event::SourcesFound { release, found } => {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            format!("{} source {}", name(release), found.join(", "))
        }
        Event::BuildStarted { release, attempt, .. } => {
            format!("{} build {attempt}: started", name(release))
        }
        Event::BuildFinished { release, attempt, outcome, reused, .. } => {
            let over =
                reused.as_ref().map_or_else(String::new, |over| format!(", not built: the artifact {over}"));
            format!("{} build {attempt}: {}{over}", name(release), ended(outcome))
        }
        Event::BuildRetried { release, attempt, .. } => {
            format!("{} build {attempt}: waits for a worker", name(release))
        }
        other => panic!("not about a build: {other:?}"),
    }
}

/// A fact about one run of a release in a stage.
fn of_run<S>(state: &State, fact: &OfRun<S>, said: &str) -> String {
    format!("{} {}: {said}", state.version_of(fact.release), fact.stage)
}

/// What a stage asks, what was answered, and who takes it up.
fn pause(state: &State, fact: &OfRun<Said>) -> String {
    let name = format!("{} {}", state.version_of(fact.release), fact.stage);
    match &fact.said {
        Said::Asked(question) if question.hold.is_some() => format!("{name}: {}", question.instructions),
        Said::Asked(question) => format!("{name}: \"{}\" asks", question.step),
        Said::Answered(answer) => {
            let by = answer.by.as_ref().map_or("nobody", |by| by.login.as_str());
            let note = answer.note.as_ref().filter(|_| answer.by.is_none());
            let note = note.map_or_else(String::new, |note| format!(", {note}"));
            format!("{name}: answered {:?} by {by}{note}", answer.then)
        }
        Said::Taken { fence } => format!("{name}: taken up to be stopped (fence {fence})"),
    }
}

/// What the steps of a stage left.
fn about_steps(state: &State, event: &Event) -> String {
    let name = |no: &ReleaseNo| state.version_of(*no);
    match event {
        Event::GroupWritten(GroupWritten { release, stage, group, version, values, .. }) => {
            let names: Vec<&str> = values.keys().map(VariableName::as_str).collect();
            format!("{} {stage}: wrote {} into {group}, version {version}", name(release), names.join(", "))
        }
        Event::PhaseDone { release, stage, progress, .. } => {
            let outputs: Vec<String> = progress.outputs.iter().map(|(k, v)| format!(" {k}={v}")).collect();
            format!("{} {stage}: {:?} {}{}", name(release), progress.phase, progress.steps, outputs.concat())
        }
        other => panic!("not about steps: {other:?}"),
    }
}

fn about_checks(state: &State, event: &Event) -> String {
    let name = |no: &ReleaseNo| state.version_of(*no);
    match event {
        Event::LegAnswered(a) => {
            let from = a.reused.as_ref().map(|from| (from.release == a.release, from.release));
            let reused = match from {
                None => String::new(),
                Some((true, _)) => ", cached".to_owned(),
                Some((false, from)) => format!(", taken over from {}", name(&from)),
            };
            let to = serde_json::to_value(a.to).unwrap().as_str().unwrap().to_owned();
            format!("{} {} {}: {to}{reused}, {}", name(&a.release), a.stage, a.leg, a.reading.detail)
        }
        Event::GatesOpened { release, stage, side, .. } => {
            format!("{} {stage}: gates {} asked from now on", name(release), side.word())
        }
        Event::GatesClosed { release, stage, side, .. } => {
            format!("{} {stage}: gates {} not asked for now", name(release), side.word())
        }
        Event::GatesSampled { release, stage, side, readings, streak, .. } => {
            let said: Vec<String> = readings
                .iter()
                .map(|(gate, r)| format!("{gate} {:?} ({})", r.answer, r.detail).to_lowercase())
                .collect();
            format!("{} {stage}: {} {}, green {streak} in a row", name(release), side.word(), said.join(", "))
        }
        Event::FoundFaulty { release, stage, gate, detail, .. } => {
            format!("{} {stage}: faulty, {gate} says {detail}", name(release))
        }
        Event::CheckAsked { commit: at, attempt, refused, .. } => {
            let refused = refused.as_ref().map_or_else(String::new, |r| format!(", refused: {r}"));
            format!("check {attempt} of {} asked for{refused}", commit(at))
        }
        Event::CheckStarted { commit: at, attempt, .. } => {
            format!("check {attempt} of {}: started", commit(at))
        }
        Event::CheckFinished { commit: at, attempt, outcome, .. } => {
            format!("check {attempt} of {}: {}", commit(at), ended(outcome))
        }
        Event::CheckRetired { commit: at } => format!("check of {}: what it left is deleted", commit(at)),
        _ => String::new(),
    }
}

/// Who said yes, to what, and where first.
fn approved(approval: &Approval) -> String {
    let what = match approval.side {
        ApprovalSide::Before => "approved",
        ApprovalSide::After => "signed off",
    };
    let team = approval.team.as_ref().map_or_else(String::new, |team| format!(" for {team}"));
    let from = approval.reused_from.as_ref();
    let from = from.map_or_else(String::new, |from| format!(", as in {from}"));
    format!("{what}{team} by {}{from}", approval.standing.person.login)
}

/// A hold or a freeze, and how it went.
fn stopped(event: &Event) -> Option<String> {
    let place =
        |stage: &Option<StageName>| stage.as_ref().map_or("everything".to_owned(), ToString::to_string);
    let of = |track: &Option<Track>| track.as_ref().map_or(String::new(), |track| format!(" ({track})"));
    Some(match event {
        Event::Held { stage, track, by, reason } => {
            let by = by.as_ref().map_or("a rollback", |p| p.login.as_str());
            format!("{}{} held by {by}: {reason}", place(stage), of(track))
        }
        Event::Unheld { stage, track, by } => {
            let by = by.as_ref().map_or("the deploy that succeeded", |p| p.login.as_str());
            format!("{}{} released by {by}", place(stage), of(track))
        }
        Event::Frozen { stage, by, reason, until } => {
            let until = until.map_or_else(String::new, |at| format!(" until {}", at.minute()));
            format!("{} frozen by {}{until}: {reason}", place(stage), by.login)
        }
        Event::Unfrozen { stage, by } => {
            let by = by.as_ref().map_or("the calendar", |p| p.login.as_str());
            format!("{} unfrozen by {by}", place(stage))
        }
        _ => return None,
    })
}

/// What happened to a runbook, by the name of the run.
fn runbook(state: &State, fact: &Fact) -> String {
    let name = |no: &u32| state.runbooks.all[no].title();
    match fact {
        Fact::Asked(asked) => {
            let inputs: Vec<String> = asked.inputs.iter().map(|(k, v)| format!(" {k}={v}")).collect();
            let by = asked.by.as_ref().map_or("its time", |by| by.login.as_str());
            format!(
                "{}:{} asked for by {by}, at {}",
                name(&asked.run),
                inputs.concat(),
                commit(&asked.commit)
            )
        }
        Fact::Approved { run, approval } => {
            format!("{}: approved by {}", name(run), approval.standing.person.login)
        }
        Fact::Withdrawn { run, why, .. } => format!("{}: an approval withdrawn, {why:?}", name(run)),
        Fact::PutBack { run, why } => format!("{}: put back, {why}", name(run)),
        Fact::Started { run, fence } => format!("{}: running (fence {fence})", name(run)),
        Fact::Stopping { run, by } => format!("{}: to be stopped, by {}", name(run), by.login),
        Fact::Ended { run, .. } => {
            let run = &state.runbooks.all[run];
            format!("{}: {}", run.title(), line(state, run, run.moved_at))
        }
        Fact::Missed { runbook, due, why, .. } => format!("{runbook}: missed {}: {why}", due.minute()),
        Fact::Counted { runbook, from } => format!("{runbook}: its times count from {}", from.minute()),
    }
}

fn ended(outcome: &BuildOutcome) -> String {
    match outcome {
        BuildOutcome::Sealed(all) => {
            let all: Vec<&str> = all.iter().map(|a| a.digest.short()).collect();
            format!("sealed {}", all.join(", "))
        }
        BuildOutcome::Passed => "passed".to_owned(),
        BuildOutcome::Failed(f) => format!("failed at \"{}\": {}", f.step, f.how),
        BuildOutcome::Errored(why) => format!("errored: {why}"),
        BuildOutcome::Cancelled(person) => format!("cancelled by {}", person.login),
    }
}

fn word(state: StageState) -> String {
    serde_json::to_value(state).unwrap().as_str().unwrap().to_owned()
}

fn why(state: &State, detail: &Detail, transition: &str) -> String {
    match detail {
        Detail::None if transition == "BlockersReturned" => " again".to_owned(),
        Detail::None => String::new(),
        Detail::Fence(fence) => format!(" (fence {fence})"),
        Detail::Failed(f) => format!(" at \"{}\": {}", f.step, f.how),
        Detail::Reason(reason) => format!(": {reason}"),
        Detail::By { person, reason: Some(reason) } => format!(" by {}: {reason}", person.login),
        Detail::By { person, reason: None } => format!(" by {}", person.login),
        Detail::Newer(no) => format!(" by {}", state.version_of(*no)),
        Detail::Took(ms) => format!(" in {}s", ms / 1_000),
    }
}

/// A reaction and the reply, if there is one.
pub(crate) fn answer(heard: &Heard) -> String {
    let sign = match heard.reaction {
        Reaction::Eyes => "👀",
        Reaction::Rocket => "🚀",
        Reaction::ThumbsUp => "👍",
        Reaction::ThumbsDown => "👎",
        Reaction::Confused => "😕",
    };
    let reply =
        heard.reply.as_ref().map_or_else(String::new, |r| format!("\n{}", indent(r.trim_end(), "  | ")));
    format!("{sign} {}{reply}", heard.code)
}

/// A comment of ours: where, and its first line.
pub(crate) fn note(effect: &Effect) -> Option<String> {
    let Effect::Note { place, body, .. } = effect else { return None };
    Some(format!("{} <- {}", place_word(place), body.lines().next().unwrap_or_default()))
}

/// `#7`, or the commit.
pub(crate) fn place_word(place: &liftlock::domain::effect::Place) -> String {
    match place {
        liftlock::domain::effect::Place::Thread(thread) => format!("#{thread}"),
        liftlock::domain::effect::Place::Commit(sha) => commit(sha).to_owned(),
    }
}

/// Every line moved to the right.
pub(crate) fn indent(text: &str, by: &str) -> String {
    text.lines().map(|l| format!("{by}{l}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// What waits for people, or for one of them.
pub(super) fn inbox(state: &State, of: Option<&Standing>, now: Timestamp) -> Vec<String> {
    let one = |wait: &Wait| {
        let (what, since) = (wait.matter.word(), wait.since.minute());
        let about = format!("{what}: {} in {} since {since}; wanted: {}", wait.about, wait.stage, wait.who);
        [about, format!("  {}", wait.why), format!("  {}", wait.line)]
    };
    let all: Vec<String> = waits(state, of, now).iter().flat_map(one).collect();
    if all.is_empty() { vec!["nothing".to_owned()] } else { all }
}

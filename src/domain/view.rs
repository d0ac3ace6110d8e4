//! All text people read about a release: status line, comments, `why`; one verdict renders them all.

use std::fmt::Write as _;

use crate::domain::approval::stage_approvers;
use crate::domain::check::course::Course;
use crate::domain::derivation::FIRST;
use crate::domain::effect::{self, Button, Offering, Status, StatusState};
use crate::domain::event::{BuildOutcome, Detail, Failure, RunKind};
use crate::domain::gate::{Blocker, Line, Mark, Verdict, verdict};
use crate::domain::markdown::{escape, fence, inline_code, status_line};
use crate::domain::name::{PipelineId, ReleaseNo, StageName};
use crate::domain::pipeline::{Agent, Duty, Stage};
use crate::domain::publication;
use crate::domain::release::{BuildState, Release, StageRun, StageState};
use crate::domain::rollback;
use crate::domain::rollout;
use crate::domain::runbook::run::Run;
use crate::domain::state::{Check, CheckProgress, Live, State};
use crate::domain::time::{Span, Timestamp};

pub mod check;
pub mod comment;
pub mod demand;
pub mod event;
pub mod freeze;
pub mod help;
pub mod hold;
pub mod join;
pub mod misread;
pub mod notes;
pub mod notice;
pub mod overriding;
pub mod pause;
pub mod proposal;
pub mod request;
pub mod runbook;
pub mod trigger;
pub mod variables;

/// The page of a release, relative to the server's public address.
pub fn release_path(id: &PipelineId, no: ReleaseNo) -> String {
    format!("/releases/{}/{}/{no}", id.repo, id.name)
}

/// The log of a release's build or of one attempt in a stage; also the log's name in the store.
pub fn log_id(id: &PipelineId, no: ReleaseNo, what: &str, attempt: u32) -> String {
    format!("{id}/{no}/{what}/{attempt}")
}

/// The log of a quality build.
pub fn check_log_id(id: &PipelineId, commit: &crate::domain::name::CommitSha, attempt: u32) -> String {
    format!("{id}/check-{}/{attempt}", commit.short())
}

/// What the stage says on the commit (SEMANTICS §2): the blocker first, then the next time.
pub fn stage_status(state: &State, release: &Release, stage: &Stage, now: Timestamp) -> Status {
    let (light, text) = match release.standing(&stage.name) {
        None => unopened(release),
        Some(run) => run_status(state, release, (stage, run), now),
    };
    Status {
        context: release.created.pipeline.context(stage.name.as_str()),
        state: light,
        description: status_line(&text),
        path: release_path(&state.id, release.no()),
        detail: status_detail(state, release, stage, now),
    }
}

/// What a check run shows besides: that it is neutral, or a button.
fn status_detail(state: &State, release: &Release, stage: &Stage, now: Timestamp) -> Option<effect::Detail> {
    let run = release.run(&stage.name)?;
    if run.state == StageState::Superseded {
        return Some(effect::Detail::Superseded);
    }
    let asks = matches!(run.state, StageState::Pending | StageState::AwaitingSignoff)
        && verdict(state, release, stage, now).blocked_only_by(&[
            Blocker::Approval,
            Blocker::Window,
            Blocker::Freeze,
            Blocker::Signoff,
            Blocker::Gate,
        ]);
    asks.then(|| {
        let (release, stage) = (release.no(), stage.name.clone());
        let gate = Offering { release, stage, attempt: run.attempt, side: run.side() };
        effect::Detail::Offer(Button { pipeline: Some(state.id.name.clone()), gate })
    })
}

fn unopened(release: &Release) -> (StatusState, String) {
    match &release.build {
        BuildState::Failed(Detail::By { .. }) => {
            (StatusState::Pending, "Not reached: the build was cancelled".to_owned())
        }
        BuildState::Failed(_) => (StatusState::Pending, "Not reached: the build failed".to_owned()),
        BuildState::Waiting | BuildState::Running { .. } | BuildState::Sealed | BuildState::NotNeeded => {
            (StatusState::Pending, format!("{} is being built", release.created.version))
        }
    }
}

fn run_status(
    state: &State,
    release: &Release,
    (stage, run): (&Stage, &StageRun),
    now: Timestamp,
) -> (StatusState, String) {
    let version = &release.created.version;
    match run.state {
        StageState::Pending => {
            (StatusState::Pending, short_wait(&verdict(state, release, stage, now), version))
        }
        StageState::Queued => {
            (StatusState::Pending, format!("{version} is queued for {}", stage.environment))
        }
        StageState::Running => {
            let far = run.rollout.count().map_or_else(String::new, |count| format!(", {count}"));
            let deploying = || format!("{version} is being deployed, attempt {}{far}", run.attempt);
            let text = check::verifying(state, release, stage, run).unwrap_or_else(deploying);
            (StatusState::Pending, text)
        }
        StageState::Cancelling => (StatusState::Pending, format!("{version} is being stopped")),
        StageState::Paused => {
            let held = run.holding().map(|held| format!("{version} {}", hold::status(held)));
            let paused = || sentence(&format!("{version} is paused"), &run.detail);
            (StatusState::Pending, held.unwrap_or_else(paused))
        }
        StageState::AwaitingSignoff => {
            let verdict = verdict(state, release, stage, now);
            (StatusState::Pending, short_wait(&verdict, &format!("{version} is deployed and")))
        }
        StageState::RollingBack => (StatusState::Pending, format!("{version} is {}", run.state.word())),
        StageState::Succeeded => succeeded(state, release, (stage, run)),
        StageState::Skipped if stage.duty == Duty::Optional => {
            (StatusState::Success, "Skipped: optional".to_owned())
        }
        StageState::Skipped => (StatusState::Pending, "Skipped".to_owned()),
        StageState::Superseded => superseded(state, release, (stage, run)),
        StageState::SkippedUpstream => (StatusState::Pending, sentence("Not reached", &run.detail)),
        StageState::Failed
        | StageState::TimedOut
        | StageState::Rejected
        | StageState::RejectedAfterDeploy
        | StageState::RolledBack => {
            (StatusState::Failure, sentence(capital(run.state.word()).as_str(), &run.detail))
        }
        StageState::Errored | StageState::Cancelled => {
            (StatusState::Error, sentence(capital(run.state.word()).as_str(), &run.detail))
        }
    }
}

/// Green only as long as the commit is live: a release that was rolled away from is not (SEMANTICS §2).
fn succeeded(state: &State, release: &Release, (stage, run): (&Stage, &StageRun)) -> (StatusState, String) {
    if !state.carries(&stage.name, release) {
        let version = &release.created.version;
        let text = match state.live_in(&stage.name, release.track()) {
            Some(live) if !live.is_beside(release) => {
                let (other, branch) = (&live.created.version, &live.created.branch);
                format!("{version} was live until {other} of {branch} took its place")
            }
            Some(live) => format!("{version} was live, then rolled back to {}", live.created.version),
            None => format!("{version} was live, then rolled back"),
        };
        return (StatusState::Failure, text);
    }
    if let Some(fault) = &run.fault {
        let version = &release.created.version;
        return (
            StatusState::Failure,
            format!("{version} is live and faulty: {} says {}", fault.gate, fault.detail),
        );
    }
    let took = match run.detail {
        Detail::Took(_) if stage.agent == Agent::None => ", no commands to run".to_owned(),
        Detail::Took(ms) => format!(" in {}", Span::seconds(ms.div_ceil(1_000))),
        Detail::None
        | Detail::Fence(_)
        | Detail::Failed(_)
        | Detail::Reason(_)
        | Detail::By { .. }
        | Detail::Newer(_) => String::new(),
    };
    let counted = run.overrides.iter().filter(|o| run.overridden(&o.check, stage).is_some());
    let overridden = counted.map(|o| format!(", {} overridden by {}", o.check.word(), o.by.login));
    // Not "is live": the words stay true, and need not be sent again, when a newer release takes its place.
    let issues: Vec<&str> = run.walked.issues.iter().map(|failure| failure.step.as_str()).collect();
    let issues =
        if issues.is_empty() { String::new() } else { format!(", with issues: {}", issues.join(", ")) };
    let back = if run.kind == RunKind::Rollback { " again, by a rollback," } else { "" };
    let issues = format!("{issues}{}", check::issues(state, release, stage, run));
    let overridden = overridden.collect::<String>();
    let text = format!("{} went live{back}{took}{overridden}{issues}", release.created.version);
    (StatusState::Success, text)
}

/// A superseded stage follows its commit: green once a release that contains it is live there (SEMANTICS §2).
fn superseded(state: &State, release: &Release, (stage, run): (&Stage, &StageRun)) -> (StatusState, String) {
    if let Some(newer) = state.shipped_in(&stage.name, release) {
        return (StatusState::Success, format!("Shipped in {}", newer.created.version));
    }
    let newer = match run.detail {
        Detail::Newer(no) => state.version_of(no),
        Detail::None
        | Detail::Fence(_)
        | Detail::Failed(_)
        | Detail::Reason(_)
        | Detail::By { .. }
        | Detail::Took(_) => "a newer release".to_owned(),
    };
    (StatusState::Pending, format!("Superseded by {newer}, which includes this commit"))
}

/// The blockers on one short line: what a person can change first, then what time changes.
pub fn short_wait(verdict: &Verdict, version: &impl std::fmt::Display) -> String {
    let mut blockers: Vec<&Line> = verdict.blockers().collect();
    blockers.sort_by_key(|l| std::cmp::Reverse(l.mark));
    let parts: Vec<&str> = blockers.iter().map(|l| l.text.as_str()).collect();
    if parts.is_empty() {
        format!("{version} is ready")
    } else {
        format!("{version} waits: {}", parts.join("; "))
    }
}

fn sentence(start: &str, detail: &Detail) -> String {
    match detail {
        Detail::None | Detail::Fence(_) | Detail::Took(_) | Detail::Newer(_) => start.to_owned(),
        Detail::Failed(failure) => format!("{start} at \"{}\": {}", failure.step, failure.how),
        Detail::Reason(reason) => format!("{start}: {reason}"),
        Detail::By { person, reason: Some(reason) } => format!("{start} by {}: {reason}", person.login),
        Detail::By { person, reason: None } => format!("{start} by {}", person.login),
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// What the build says on the commit.
pub fn build_status(state: &State, release: &Release) -> Status {
    let version = &release.created.version;
    let (light, text) = match &release.build {
        BuildState::Waiting if release.lacks_sources() => {
            (StatusState::Pending, format!("{version} waits for its sources to be read"))
        }
        BuildState::Waiting => (StatusState::Pending, format!("{version} waits for a worker")),
        BuildState::Running { .. } => (StatusState::Pending, format!("{version} is being built")),
        BuildState::Sealed => {
            let built = release.at_revision(FIRST);
            let digest = built.shown_digest().map_or("", |d| d.short());
            let over = release.reused.as_ref();
            let over = over.map_or_else(String::new, |over| format!(", {}", over.not_built()));
            (StatusState::Success, format!("{version} sealed, {digest}{over}"))
        }
        BuildState::Failed(detail @ Detail::By { .. }) => {
            (StatusState::Error, sentence("Build cancelled", detail))
        }
        BuildState::Failed(detail) => (StatusState::Failure, sentence("Build failed", detail)),
        BuildState::NotNeeded => {
            let newer = release.created.included_in.map_or_else(String::new, |no| state.version_of(no));
            (StatusState::Success, format!("Not built: included in {newer}"))
        }
    };
    Status {
        context: release.created.pipeline.context("build"),
        state: light,
        description: status_line(&text),
        path: release_path(&state.id, release.no()),
        detail: None,
    }
}

/// What a quality build says on the head of a pull request.
pub fn check_status(state: &State, commit: &crate::domain::name::CommitSha, check: &Check) -> Status {
    let (light, text) = match &check.progress {
        CheckProgress::Waiting => (StatusState::Pending, "Waits for a worker".to_owned()),
        CheckProgress::Running(_) => (StatusState::Pending, "Being built".to_owned()),
        CheckProgress::Refused(why) => (StatusState::Pending, format!("Not built: {why}")),
        CheckProgress::Over(BuildOutcome::Passed) => {
            (StatusState::Success, "Quality build passed".to_owned())
        }
        CheckProgress::Over(BuildOutcome::Sealed(_)) => (
            StatusState::Success,
            "Quality build passed; a release with this tree takes what it built".to_owned(),
        ),
        CheckProgress::Over(BuildOutcome::Failed(f)) => {
            (StatusState::Failure, format!("Quality build failed at \"{}\": {}", f.step, f.how))
        }
        CheckProgress::Over(BuildOutcome::Errored(why)) => (StatusState::Error, format!("Not built: {why}")),
        CheckProgress::Over(BuildOutcome::Cancelled(person)) => {
            (StatusState::Error, format!("Build cancelled by {}", person.login))
        }
    };
    Status {
        context: check.pipeline.context("build"),
        state: light,
        description: status_line(&text),
        path: format!("/logs/{}", check_log_id(&state.id, commit, check.attempt)),
        detail: None,
    }
}

fn sign(mark: Mark) -> &'static str {
    match mark {
        Mark::Pass => "✔",
        Mark::Wait => "⏳",
        Mark::Stop => "✖",
    }
}

/// `why` for a terminal.
pub fn why_text(state: &State, release: &Release, stage: &StageName, now: Timestamp) -> String {
    let mut out =
        format!("{} {} -> {stage}: {}\n", state.id.name, release.created.version, headline(release, stage));
    for (line, mark) in why_lines(state, release, stage, now) {
        writeln!(out, "  {mark} {line}").unwrap_or_default();
    }
    for next in next_lines(state, release, stage, now) {
        writeln!(out, "next: {}", next.replace('`', "")).unwrap_or_default();
    }
    out
}

/// `why` for a comment.
pub fn why_markdown(state: &State, release: &Release, stage: &StageName, now: Timestamp) -> String {
    let sign = if release.state_in(stage).is_some_and(StageState::is_terminal) { "ℹ️" } else { "⏳" };
    let version = &release.created.version;
    let mut out = format!("{sign} **{version} in {stage}: {}**\n", headline(release, stage));
    for (line, mark) in why_lines(state, release, stage, now) {
        writeln!(out, "- {mark} {}", escape(&line)).unwrap_or_default();
    }
    for next in next_lines(state, release, stage, now) {
        writeln!(out, "\nNext: {next}.").unwrap_or_default();
    }
    out
}

fn headline(release: &Release, stage: &StageName) -> String {
    match release.run(stage) {
        None => "waiting for its artifact".to_owned(),
        Some(run) if run.state.is_terminal() => sentence(run.state.word(), &run.detail),
        Some(run) => run.state.word().to_owned(),
    }
}

/// What there is to say about a stage, with signs.
fn why_lines(
    state: &State,
    release: &Release,
    stage: &StageName,
    now: Timestamp,
) -> Vec<(String, &'static str)> {
    let mut lines = state_lines(state, release, stage, now);
    let targets = rollout::lines(state, release.no(), stage).into_iter();
    lines.extend(targets.map(|line| (line.to_string(), "▪")));
    let published = publication::lines(release, stage);
    lines.extend(published.map(|(line, address)| {
        let at = address.map_or_else(String::new, |address| format!(" ({address})"));
        (format!("{line}{at}"), "▪")
    }));
    lines.extend(rollback::line(state, release, stage, now).map(|text| (text, "↩")));
    lines.extend(release.reused.as_ref().map(|over| (over.not_built(), "♻")));
    lines
}

/// Lines and signs of the verdict, when the stage still waits; of what it is at or left, when not.
fn state_lines(
    state: &State,
    release: &Release,
    stage: &StageName,
    now: Timestamp,
) -> Vec<(String, &'static str)> {
    if let Some((rule, run)) = asked_after(release, stage) {
        let mut lines = check::why(state, (release, rule, run), now).0;
        if run.state == StageState::AwaitingSignoff {
            let people = verdict(state, release, rule, now).lines.into_iter();
            lines.extend(people.map(|l| (l.text, sign(l.mark))));
        }
        return lines;
    }
    let waits = release
        .run(stage)
        .is_none_or(|run| matches!(run.state, StageState::Pending | StageState::AwaitingSignoff));
    let Some(rule) = release.rule(stage).filter(|_| waits) else {
        let mut lines = queued_line(state, release, stage);
        lines.extend(asking(state, release, stage, now).into_iter().flat_map(|(lines, _)| lines));
        lines.extend(release.run(stage).into_iter().flat_map(step_lines));
        return lines;
    };
    let lines = verdict(state, release, rule, now).soonest_first().lines.into_iter();
    let lines = lines.map(|l| (format!("{}{}", l.text, freeze::in_time(&l, now)), sign(l.mark)));
    let again = check::asked_again(state, (release, rule), now).map(|text| (text, sign(Mark::Wait)));
    lines.chain(again).collect()
}

/// A run whose commands have passed and that is not live.
fn asked_after<'a>(release: &'a Release, stage: &StageName) -> Option<(&'a Stage, &'a StageRun)> {
    let (rule, run) = release.rule(stage).zip(release.run(stage))?;
    (run.worked_at.is_some() && run.state != StageState::Succeeded).then_some((rule, run))
}

/// Lines with their signs, and who can do what about them.
type Why = (Vec<(String, &'static str)>, Vec<String>);

/// What a run stopped for, and who may say what about it.
fn asking(state: &State, release: &Release, stage: &StageName, now: Timestamp) -> Option<Why> {
    let (rule, run) = release.rule(stage).zip(release.run(stage))?;
    let who: Vec<String> = stage_approvers(rule).iter().map(ToString::to_string).collect();
    let who = who.join(" or ");
    let answered = run.state == StageState::Paused && run.worked_at.is_none() && run.asking().is_none();
    if let Some(last) = run.pauses.last().filter(|_| answered) {
        return Some((vec![(pause::answered(last), sign(Mark::Wait))], Vec::new()));
    }
    let asking = run.asking()?;
    let course = Course { repo: &state.id.repo, release, stage: rule, run };
    hold::why(&course, &who, now).or_else(|| {
        let (line, act) = pause::why(rule, &who, asking);
        Some((vec![(line, sign(Mark::Wait))], vec![act]))
    })
}

/// What the steps of a run left for people: what failed and blocks nothing, what was left out and why it may be.
fn step_lines(run: &StageRun) -> Vec<(String, &'static str)> {
    let issues = run.walked.issues.iter();
    let issues = issues.map(|f| (format!("issue: \"{}\" {}; it blocks nothing", f.step, f.how), "⚠"));
    let conditional = run.walked.conditional.iter();
    let conditional = conditional.map(|step| (format!("\"{step}\" was left out: conditional"), "○"));
    let unchanged = run.walked.unchanged.iter();
    let unchanged = unchanged.map(|(name, runs)| (format!("{name} was left out: {}", runs.told()), "○"));
    issues.chain(conditional).chain(unchanged).collect()
}

/// A queued stage waits for its environment or a worker; say for which.
fn queued_line(state: &State, release: &Release, stage: &StageName) -> Vec<(String, &'static str)> {
    if release.state_in(stage) != Some(StageState::Queued) {
        return Vec::new();
    }
    let shared = release.rule(stage).and_then(|rule| rule.around.lock.as_ref());
    let what = shared.map_or_else(|| "environment".to_owned(), |lock| format!("lock {lock}"));
    let text = match (occupant(state, release, stage), runbook_on(state, release, stage)) {
        (Some((other, at)), _) if other.state_in(&at.name) == Some(StageState::AwaitingSignoff) => {
            format!("{} has the {what} until it is signed off", other.created.version)
        }
        (Some((other, _)), _) => format!("{} has the {what} just now", other.created.version),
        (None, Some(run)) => format!("{} has the {what} just now", run.title()),
        (None, None) => {
            format!("a worker takes it as soon as one is free and no other pipeline has the {what}")
        }
    };
    vec![(text, "⏳")]
}

/// The run of a runbook that has the environment of a stage.
fn runbook_on<'a>(state: &'a State, release: &Release, stage: &StageName) -> Option<&'a Run> {
    state.runbooks.on(release.rule(stage)?.lock()).map(|run| &**run)
}

/// The release that has the environment of a stage, and the stage it is there for.
fn occupant<'a>(state: &'a State, release: &Release, stage: &StageName) -> Option<(&'a Release, &'a Stage)> {
    let lock = release.lock(release.rule(stage)?);
    state.releases.values().find_map(|other| {
        let at = other.rules.stages.iter().find(|s| {
            other.lock(s).collides(&lock) && other.state_in(&s.name).is_some_and(StageState::occupies)
        });
        at.map(|at| (&**other, at))
    })
}

/// What a person can do now: the acts of the verdict, soonest first.
fn next_lines(state: &State, release: &Release, stage: &StageName, now: Timestamp) -> Vec<String> {
    match release.run(stage) {
        Some(run) if matches!(run.state, StageState::Pending | StageState::AwaitingSignoff) => {}
        Some(run) if run.state == StageState::SkippedUpstream => {
            let one_of = |name: &StageName| release.rules.stages.iter().any(|s| s.needs_any.contains(name));
            let failed = release.stages.keys().filter(|before| {
                let state = release.state_in(before);
                state.is_some_and(|s| s.is_bad_end() && s != StageState::SkippedUpstream)
                    && release.rule(before).is_some_and(|s| s.duty == Duty::Mandatory || one_of(before))
            });
            return failed.map(retry_line).collect();
        }
        Some(run) if run.state.is_bad_end() && run.state != StageState::Superseded => {
            let asked = asked_after(release, stage).map(|(rule, run)| (release, rule, run));
            let acts = asked.map_or_else(Vec::new, |asked| check::why(state, asked, now).1);
            let back = rollback::act(state, release, stage, now);
            // Where it was rolled back nothing is tried again before somebody has lifted the veto.
            let vetoed = state.vetoes.contains_key(&(stage.clone(), release.no()));
            let again =
                if vetoed { unveto_line(state, release, stage) } else { again_line(release, stage, run) };
            return acts.into_iter().chain(back).chain([again]).collect();
        }
        Some(run) if run.state == StageState::Queued => {
            // It starts when who has the environment leaves it, and that may be for people to say.
            let Some((other, at)) = occupant(state, release, stage) else { return Vec::new() };
            let asks = other.state_in(&at.name) == Some(StageState::AwaitingSignoff);
            return if asks { next_lines(state, other, &at.name, now) } else { Vec::new() };
        }
        Some(run) if run.asking().is_some() => {
            return asking(state, release, stage, now).map_or_else(Vec::new, |(_, acts)| acts);
        }
        Some(_) => {
            let asked = asked_after(release, stage).map(|(rule, run)| (release, rule, run));
            return asked.map_or_else(Vec::new, |asked| check::why(state, asked, now).1);
        }
        None => return Vec::new(),
    }
    let Some(rule) = release.rule(stage) else { return Vec::new() };
    verdict(state, release, rule, now).soonest_first().blockers().filter_map(|l| l.next.clone()).collect()
}

fn unveto_line(state: &State, release: &Release, stage: &StageName) -> String {
    if state.tampered(release.no()) {
        return "nothing lifts the veto: somebody with write pushes a new release".to_owned();
    }
    format!("a maintainer comments {} before it is tried again", inline_code(&format!("/unhold {stage}")))
}

/// How it is tried again: a rollback by who may ask for one, and one that never began as a new one.
fn again_line(release: &Release, stage: &StageName, run: &StageRun) -> String {
    match (run.kind, run.started_at) {
        (RunKind::Rollback, None) => rollback::ask_line(release, stage),
        (RunKind::Rollback, Some(_)) => {
            format!("an approver comments {}", inline_code(&format!("/retry {stage}")))
        }
        (RunKind::Deploy | RunKind::Redeploy | RunKind::Verify, _) => retry_line(stage),
    }
}

fn retry_line(stage: &StageName) -> String {
    format!("somebody with write comments {}", inline_code(&format!("/retry {stage}")))
}

/// `/status`: where the releases are.
pub fn status_markdown(state: &State, only: Option<&StageName>, now: Timestamp) -> String {
    let Some(pipeline) = state.pipeline() else { return "ℹ️ **No release yet.**".to_owned() };
    let mut out = format!("ℹ️ **{}**\n", pipeline.name);
    for stage in pipeline.stages.iter().filter(|s| only.is_none_or(|o| *o == s.name)) {
        let mut nothing = true;
        for (track, live) in state.live_of(&stage.name) {
            let of = track.map_or_else(String::new, |track| format!(", {track}"));
            writeln!(out, "- {}{}: {}", stage.name, escape(&of), runs(state, live)).unwrap_or_default();
            nothing = false;
        }
        if nothing {
            writeln!(out, "- {}: nothing yet", stage.name).unwrap_or_default();
        }
        for text in freeze::of_stage(state, stage, now) {
            writeln!(out, "  - {}", escape(&text)).unwrap_or_default();
        }
        for release in state.open() {
            let Some(run) = release.run(&stage.name).filter(|run| !run.state.is_terminal()) else { continue };
            let text = run_status(state, release, (stage, run), now).1;
            writeln!(out, "  - {}", escape(&text)).unwrap_or_default();
        }
    }
    for wait in join::waits(state) {
        let next = wait.next.map_or_else(String::new, |next| format!("; {next}"));
        writeln!(out, "- {}{}", escape(&wait.text), escape(&next)).unwrap_or_default();
    }
    out
}

fn runs(state: &State, live: &Live) -> String {
    match live {
        Live::Release(no, since) => format!("{} since {}", state.version_of(*no), since.minute()),
        Live::Unknown(no) => format!("unknown: {} ended half-way", state.version_of(*no)),
    }
}

/// `/preview`: what would ship and what is missing.
pub fn preview(state: &State, release: &Release, stage: &StageName, now: Timestamp) -> String {
    let live = state.live_in(stage, release.track()).map(|r| r.created.version.to_string());
    let since = live.map_or_else(|| "the first release here".to_owned(), |v| format!("replaces {v}"));
    let mut out = format!("ℹ️ **{} in {stage}: {since}**\n", release.created.version);
    writeln!(out, "{}", comment::facts(release)).unwrap_or_default();
    for change in release.created.changes.iter().take(comment::LISTED_CHANGES) {
        writeln!(out, "- {} {}", change.commit.short(), escape(&change.subject)).unwrap_or_default();
    }
    let listed = release.created.changes.len().min(comment::LISTED_CHANGES);
    let more = release.created.commits().saturating_sub(listed);
    if more > 0 {
        writeln!(out, "- and {more} more").unwrap_or_default();
    }
    out.push('\n');
    out.push_str(&why_markdown(state, release, stage, now));
    out
}

/// A failure with its last lines, safe in Markdown.
pub fn failure_block(failure: &Failure) -> String {
    if failure.tail.is_empty() { String::new() } else { fence(&failure.tail.join("\n")) }
}

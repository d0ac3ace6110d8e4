//! Deploying to a target that does the job itself: launched once, looked at until it is over.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::clock;
use crate::domain::event::Failure;
use crate::domain::pipeline::Step;
use crate::domain::pipeline::step::Action;
use crate::domain::progress::Phase;
use crate::domain::rollout::Said;
use crate::domain::time::Span;
use crate::domain::variable::environment_name;
use crate::domain::view;
use crate::https::{self, Connections};
use crate::runner::hook::{Hook, Job, Launch, Look};
use crate::runner::target::Target;
use crate::service::stage::Walk;
use crate::service::stage::roll::Left;
use crate::service::steps::one::surroundings;
use crate::service::steps::{KeptLog, StepsEnd, left_of};
use crate::trouble::Outcome;

/// First wait before a job is looked at again; it doubles with every look.
const LOOK_AGAIN: Span = Span::seconds(1);
/// Longest wait before a job is looked at again.
const LONGEST_WAIT: Span = Span::seconds(15);
/// How often nobody may say how a job goes before it counts as failed; with the waits some three minutes.
const MAX_SILENCES: u32 = 15;

impl Walk<'_> {
    /// Launches the job of each step and waits for its end.
    pub(super) async fn elsewhere(
        &mut self,
        (target, hook): (&Target, &Hook),
        (steps, left): (&[Step], Left<'_>),
        kept: &mut KeptLog,
    ) -> Outcome<()> {
        let connections = https::connections()?;
        for (index, step) in steps.iter().enumerate() {
            if self.end != StepsEnd::Passed {
                return Ok(());
            }
            let environment = self.environment.clone();
            if !self.wanted(step, &environment, kept).await {
                continue;
            }
            if matches!(step.action, Action::Publish(_) | Action::Write(_)) {
                let no = u32::try_from(index).unwrap_or(u32::MAX);
                self.step((Phase::Deploy, no, step), left, kept).await?;
                continue;
            }
            let run = self.run(&self.course.deploy_in, &environment);
            let launched = match surroundings(step, &run) {
                Ok(values) => {
                    let id = format!("{}#{index}", self.launch_id(target));
                    let facts = self.facts(target, step, &values);
                    let launch = Launch { id: &id, facts, values: &values, now: self.service.store().here() };
                    hook.launch(&connections, &launch).await
                }
                Err(why) => Err(why),
            };
            let job = match launched {
                Ok(job) => job,
                Err(why) => {
                    self.fail(step, &format!("was not launched: {why}"), kept);
                    return Ok(());
                }
            };
            let page = job.page.as_ref().map_or_else(String::new, |page| format!(", {page}"));
            kept.log.note(&format!("{} took {job}{page}", hook.host())).await;
            if let Some(page) = job.page.clone() {
                let said = Said::Launched { target: target.name.clone(), page };
                if self.say(said, kept).await?.is_none() {
                    return Ok(());
                }
            }
            let begun = clock::monotonic();
            let left = || {
                let all = left();
                step.terms.timeout.map_or(all, |own| all.min(left_of(own, begun)))
            };
            self.wait((target, hook, &connections), (&job, step), &left, kept).await?;
        }
        Ok(())
    }

    /// Looks at a job until it is over.
    async fn wait(
        &mut self,
        (target, hook, connections): (&Target, &Hook, &Connections),
        (job, step): (&Job, &Step),
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Outcome<()> {
        let (mut wait, mut silences, mut before) = (LOOK_AGAIN, 0, String::new());
        let mut asked = None;
        loop {
            let look = hook.look(connections, job).await;
            let asks = match &look {
                Look::Waits(state) => Some(state.clone()),
                Look::Goes(_) => None,
                Look::Done | Look::Failed(_) | Look::Silent(_) => asked.clone(),
            };
            if asks != asked {
                asked.clone_from(&asks);
                let said = Said::Waits { target: target.name.clone(), state: asks };
                if self.say(said, kept).await?.is_none() {
                    return Ok(());
                }
            }
            match look {
                Look::Done => {
                    kept.log.note(&format!("{job} is done")).await;
                    return Ok(());
                }
                Look::Failed(how) => {
                    self.fail(step, &format!("{job} ended as {how}"), kept);
                    return Ok(());
                }
                Look::Goes(state) | Look::Waits(state) => {
                    silences = 0;
                    if state != before {
                        kept.log.note(&format!("{job} is {state}")).await;
                        before = state;
                    }
                }
                Look::Silent(why) => {
                    silences += 1;
                    kept.log.note(&why).await;
                    if silences > MAX_SILENCES {
                        let how = format!("{job} was launched, and nobody says how it goes: {why}");
                        self.fail(step, &how, kept);
                        return Ok(());
                    }
                }
            }
            if left() <= Span::millis(1) {
                let failure = failure(step, &format!("{job} was not over in time; it goes on there"), kept);
                self.end = StepsEnd::TimedOut(failure);
                return Ok(());
            }
            let stops = self.course.lease.stops();
            tokio::select! {
                () = stops.cancel.cancelled() => {
                    kept.log.note(&format!("{job} goes on there; stop it at {}", hook.host())).await;
                    self.end = StepsEnd::Stopped;
                    return Ok(());
                }
                () = stops.lost.cancelled() => {
                    self.end = StepsEnd::Lost;
                    return Ok(());
                }
                () = tokio::time::sleep(wait.min(left()).as_std()) => {}
            }
            wait = wait.times(2).min(LONGEST_WAIT);
        }
    }

    fn fail(&mut self, step: &Step, how: &str, kept: &KeptLog) {
        self.end = StepsEnd::Failed(failure(step, how, kept));
    }

    /// What makes it one launch: another worker that launches the same for the same attempt has the same.
    fn launch_id(&self, target: &Target) -> String {
        let (course, release) = (self.course, self.course.release);
        let attempt = release.run(&course.stage.name).map_or(0, |run| run.attempt);
        let log = view::log_id(course.id, release.no(), course.stage.name.as_str(), attempt);
        format!("{log}/{}", target.name)
    }

    /// What the job is about, for whoever takes it.
    fn facts(&self, target: &Target, step: &Step, values: &BTreeMap<String, String>) -> Value {
        let (release, stage) = (self.course.release, self.course.stage);
        let artifacts = release.artifacts.iter().map(|a| json!({"alias": a.alias, "digest": a.digest}));
        let with = step.terms.with.keys().filter_map(|name| {
            Some((name.to_string(), Value::String(values.get(&environment_name(name))?.clone())))
        });
        json!({
            "type": "liftlock.deploy",
            "pipeline": self.course.id.name,
            "version": release.created.version.to_string(),
            "commit": release.created.commit.to_string(),
            "digest": release.shown_digest().map(ToString::to_string),
            "artifacts": artifacts.collect::<Vec<_>>(),
            "stage": stage.name,
            "environment": stage.environment,
            "target": target.name,
            "kind": self.course.kind,
            "with": with.collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn failure(step: &Step, how: &str, kept: &KeptLog) -> Failure {
    Failure { step: kept.mask.apply(&step.name), how: kept.mask.apply(how), tail: Vec::new() }
}

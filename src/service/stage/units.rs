//! The things that a stage deploys: side by side, each as soon as those are done that it depends on (row C42).

use futures_util::stream::{FuturesUnordered, StreamExt as _};

use crate::domain::deployment::{Fates, Part, Turn, Turns, Unit};
use crate::domain::pipeline::Step;
use crate::domain::pipeline::step::Action;
use crate::domain::progress::{Phase, Progress};
use crate::service::stage::roll::Left;
use crate::service::stage::{Walk, worse};
use crate::service::steps::{KeptLog, StepsEnd};
use crate::trouble::Outcome;

/// Most deployments of a stage at the same time: each is at least one process on this machine, most of which wait for
/// somebody else's.
const AT_ONCE: usize = 8;

/// A step and its place in its part of the work.
type Placed<'s> = (u32, &'s Step);

impl<'a> Walk<'a> {
    /// A walk of its own for one among several; what it is at is not seen by the others.
    pub(super) fn apart(&self) -> Walk<'a> {
        Walk {
            service: self.service,
            course: self.course,
            environment: self.environment.clone(),
            end: StepsEnd::Passed,
            news: Progress::at(Phase::Deploy, 0),
            fates: Fates::new(&self.course.stage.deployments),
            rollout: self.rollout.clone(),
            ledger: self.ledger.clone(),
            artifacts: self.artifacts.clone(),
            published: self.published.clone(),
            held: StepsEnd::Passed,
        }
    }
}

impl Walk<'_> {
    /// The steps of a part of the work, without those that are over: deployments side by side as far as they stand
    /// alone, everything else in order.
    pub(super) async fn steps(
        &mut self,
        (phase, steps): (Phase, &[Step]),
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Outcome<()> {
        let asked = self.course.asked.as_ref();
        let open = |index| !asked.is_some_and(|asked| asked.is_behind((phase, index)));
        let placed: Vec<Placed<'_>> = (0_u32..).zip(steps).filter(|(index, _)| open(*index)).collect();
        let of_one = |(_, one): &Placed<'_>, (_, next): &Placed<'_>| {
            one.terms.unit.is_some() && one.terms.unit == next.terms.unit
        };
        let groups: Vec<&[Placed<'_>]> = placed.chunk_by(of_one).collect();
        let beside =
            |one: &&[Placed<'_>], next: &&[Placed<'_>]| part(one).is_some() && part(one) == part(next);
        for together in groups.chunk_by(beside) {
            let rest = match together {
                [_] => together.to_vec(),
                several => self.abreast((phase, several), left, kept).await?,
            };
            if self.end == StepsEnd::Lost {
                return Ok(());
            }
            for (index, step) in rest.into_iter().flatten() {
                self.step((phase, *index, step), left, kept).await?;
                if matches!(self.end, StepsEnd::Lost | StepsEnd::Paused(_)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Several deployments at the same time. All that were begun end before anything else does; the answer is what never
    /// began since the run had ended.
    async fn abreast<'s>(
        &mut self,
        (phase, groups): (Phase, &[&'s [Placed<'s>]]),
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Outcome<Vec<&'s [Placed<'s>]>> {
        let units: Vec<&Unit> = groups.iter().filter_map(|steps| unit(steps)).collect();
        let mut turns = Turns::new(&self.course.stage.deployments, &units);
        let (mut running, mut never, mut ends) = (FuturesUnordered::new(), groups.to_vec(), Ok(()));
        loop {
            while running.len() < AT_ONCE
                && self.end == StepsEnd::Passed
                && ends.is_ok()
                && let Some(next) = turns.begin()
            {
                let Some(at) = never.iter().position(|steps| unit(steps) == Some(next)) else { continue };
                let steps = never.remove(at);
                if self.turn(next, left(), kept).await != Turn::Run {
                    turns.over(next);
                    continue;
                }
                let (mut walk, mut kept) = (self.apart(), kept.beside(next.name.as_str()));
                running.push(Box::pin(async move {
                    let mut ended = Ok(());
                    for (index, step) in steps {
                        ended = walk.step((phase, *index, step), left, &mut kept).await;
                        if ended.is_err() || walk.end == StepsEnd::Lost {
                            break;
                        }
                    }
                    kept.log.end().await;
                    (next, walk, ended)
                }));
            }
            let Some((unit, walk, ended)) = running.next().await else { break };
            turns.over(unit);
            self.join(unit, walk);
            ends = ends.and(ended);
        }
        ends.map(|()| never)
    }

    /// What a deployment beside others makes of the run.
    fn join(&mut self, unit: &Unit, walk: Walk<'_>) {
        self.news.issues.extend(walk.news.issues);
        self.news.conditional.extend(walk.news.conditional);
        if walk.held != StepsEnd::Passed {
            self.fates.failed(unit);
            self.held = worse(&self.held, walk.held);
        }
        if self.end == StepsEnd::Passed || walk.end == StepsEnd::Lost {
            self.end = walk.end;
        }
    }
}

/// The deployment that these steps are of.
fn unit<'s>(steps: &[Placed<'s>]) -> Option<&'s Unit> {
    steps.first().and_then(|(_, step)| step.terms.unit.as_ref())
}

/// The part that these steps are of when they may run beside others.
fn part(steps: &[Placed<'_>]) -> Option<Part> {
    let alone = steps.iter().all(|(_, step)| stands_alone(step));
    unit(steps).filter(|_| alone).map(|unit| unit.part)
}

/// Whether a step leaves nothing in the run that another beside it could find half done: commands, and jobs that targets
/// do. What publishes, makes artifacts or writes down values runs one after another.
pub(super) fn stands_alone(step: &Step) -> bool {
    match &step.action {
        Action::Run(_) | Action::Script(_) | Action::Hook(_) => {
            step.terms.outputs.is_empty() && step.terms.makes.is_nothing()
        }
        Action::Pause(_) | Action::Publish(_) | Action::Write(_) | Action::Gather(_) => false,
    }
}

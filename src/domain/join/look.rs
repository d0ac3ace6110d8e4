//! What joins on a line, and what is waited for there.

use std::collections::BTreeMap;

use crate::domain::join::{ANYWHERE, Built, Expected, Join, Lack, Line, Need, Place, Waiting};
use crate::domain::name::{CommitSha, PipelineId, PipelineName, ReleaseNo};
use crate::domain::state::State;
use crate::domain::time::Timestamp;

/// One line as it is now.
pub(super) struct Look<'a> {
    state: &'a State,
    line: Line,
    /// What was told of this line, by pipeline.
    built: BTreeMap<&'a PipelineName, Vec<&'a (Built, Timestamp)>>,
    /// Every push that was announced for the branch.
    announced: Vec<&'a Expected>,
    /// Those to the repository of the last of them, newest first: commits of one repository have an order.
    pushes: Vec<&'a Expected>,
    /// The newest builds that releases have taken, by where they were built.
    taken: BTreeMap<(&'a PipelineName, Option<&'a PipelineId>), (u64, ReleaseNo)>,
}

impl<'a> Look<'a> {
    pub(super) fn at(state: &'a State, line: Line) -> Self {
        let on_line = |b: &Built| {
            b.branch == line.branch
                && (b.channel == line.channel || b.channel.is_none() || line.channel.is_none())
        };
        let mut built: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for told in state.upstream.all().filter(|(b, _)| on_line(b)) {
            built.entry(&told.0.pipeline).or_default().push(told);
        }
        for all in built.values_mut() {
            all.sort_by_key(|(b, _)| b.order());
        }
        let mut taken: BTreeMap<_, (u64, ReleaseNo)> = BTreeMap::new();
        for build in state.releases.values().flat_map(|r| &r.created.builds).filter(|b| on_line(b)) {
            let last = taken.entry((&build.pipeline, build.origin())).or_insert_with(|| build.order());
            *last = build.order().max(*last);
        }
        let told = state.upstream.expected.values().filter(|(push, _)| push.branch == line.branch);
        let last = told.clone().max_by_key(|(_, at)| *at).and_then(|(push, _)| push.repo());
        let announced: Vec<_> = told.map(|(push, _)| push).collect();
        let mut pushes: Vec<_> = announced.iter().copied().filter(|push| push.repo() == last).collect();
        pushes.sort_by_key(|push| std::cmp::Reverse(push.seq));
        Self { state, line, built, announced, pushes, taken }
    }

    /// Good and in no release; a build that no push was announced for is known and starts nothing.
    fn fresh(&self, built: &Built) -> bool {
        let started = |push: &&Expected| {
            push.commit == built.commit
                && push.repo() == built.repo()
                && push.started.contains(&built.pipeline)
        };
        let taken = self.taken.get(&(&built.pipeline, built.origin()));
        built.outcome.is_ok()
            && taken.is_none_or(|last| built.order() > *last)
            && self.announced.iter().any(started)
    }

    fn fresh_of(&self, pipeline: &PipelineName) -> impl Iterator<Item = &'a (Built, Timestamp)> {
        self.built.get(pipeline).into_iter().flatten().copied().filter(|(b, _)| self.fresh(b))
    }

    /// The last that succeeded up to a commit.
    pub(super) fn last(&self, pipeline: &PipelineName, within: Place<'_>) -> Option<&'a Built> {
        let all = self.built.get(pipeline).into_iter().flatten().copied();
        all.map(|(b, _)| b).rfind(|b| b.outcome.is_ok() && b.within(within))
    }

    pub(super) fn course(&self) -> (Option<Join>, Option<Waiting>) {
        let Some(newest) = self.pushes.first() else { return (None, None) };
        match newest.builds.need {
            Need::Any => self.any(newest),
            Need::AllNewest => self.all_newest(newest),
            Need::AllOfCommit => self.all_of_commit(),
        }
    }

    fn any(&self, push: &Expected) -> (Option<Join>, Option<Waiting>) {
        let fresh = push.builds.from.iter().flat_map(|pipeline| self.fresh_of(pipeline));
        let Some(first) = fresh.map(|(_, at)| *at).min() else { return (None, None) };
        let missing = |p: &&PipelineName| push.taking.contains(*p) && self.last(p, ANYWHERE).is_none();
        let missing = push.builds.from.iter().filter(missing);
        let lacks: Vec<Lack> = missing.map(|p| Lack::Never { pipeline: p.clone() }).collect();
        if lacks.is_empty() { self.join(push, (ANYWHERE, first)) } else { self.wait(push, lacks) }
    }

    fn all_newest(&self, push: &Expected) -> (Option<Join>, Option<Waiting>) {
        let firsts = push.builds.from.iter().map(|p| (p, self.fresh_of(p).map(|(_, at)| *at).min()));
        let (there, lacks): (Vec<_>, Vec<_>) = firsts.partition(|(_, first)| first.is_some());
        let lacks: Vec<Lack> =
            lacks.into_iter().map(|(p, _)| Lack::NotAgain { pipeline: p.clone() }).collect();
        match there.into_iter().filter_map(|(_, first)| first).max() {
            None => (None, None),
            Some(last) if lacks.is_empty() => self.join(push, (ANYWHERE, last)),
            Some(_) => self.wait(push, lacks),
        }
    }

    /// The newest push whose builds are all in; one that was overtaken before it was complete is left out.
    fn all_of_commit(&self) -> (Option<Join>, Option<Waiting>) {
        let mut waiting = None;
        for push in &self.pushes {
            if self.elsewhere(push) {
                continue;
            }
            let lacks: Vec<Lack> = push.builds.from.iter().filter_map(|p| self.lack(push, p)).collect();
            if !lacks.is_empty() {
                waiting = waiting.or_else(|| self.wait(push, lacks).1);
                continue;
            }
            let lasts = push.builds.from.iter().filter_map(|p| self.last(p, push.place()));
            let ends = lasts.filter(|b| self.fresh(b)).filter_map(|b| self.heard_at(b)).max();
            // With nothing new in it, it is in a release already, and so is everything before it.
            let join = ends.and_then(|end| self.join(push, (push.place(), end)).0);
            return (join, waiting);
        }
        (None, waiting)
    }

    fn heard_at(&self, built: &Built) -> Option<Timestamp> {
        let all = self.built.get(&built.pipeline)?;
        all.iter().find(|(b, _)| b.release == built.release).map(|(_, at)| *at)
    }

    /// Whether what the push started went to another channel.
    fn elsewhere(&self, push: &Expected) -> bool {
        let of_push = |b: &Built| b.commit == push.commit && b.branch == push.branch;
        let here = self.built.values().flatten().any(|(b, _)| of_push(b));
        !here && self.state.upstream.all().any(|(b, _)| of_push(b))
    }

    fn lack(&self, push: &Expected, pipeline: &PipelineName) -> Option<Lack> {
        let told = |commit: &CommitSha| {
            let all = self.built.get(pipeline).into_iter().flatten();
            all.rev().map(|(b, _)| b).find(|b| b.commit == *commit)
        };
        let building =
            |commit: &CommitSha| Lack::Building { pipeline: pipeline.clone(), commit: commit.clone() };
        if push.started.contains(pipeline) {
            let Some(built) = told(&push.commit) else { return Some(building(&push.commit)) };
            let why = built.outcome.as_ref().err()?.clone();
            return Some(Lack::Failed { pipeline: pipeline.clone(), version: built.version.clone(), why });
        }
        // What it did not start is as the pushes before it left it, once that is known.
        let mut before = self.pushes.iter().filter(|p| p.seq < push.seq && p.started.contains(pipeline));
        let last = before.next().filter(|p| told(&p.commit).is_none());
        let never = || push.taking.contains(pipeline) && self.last(pipeline, push.place()).is_none();
        match last {
            Some(last) => Some(building(&last.commit)),
            None => never().then(|| Lack::Never { pipeline: pipeline.clone() }),
        }
    }

    fn wait(&self, push: &Expected, lacks: Vec<Lack>) -> (Option<Join>, Option<Waiting>) {
        (None, Some(Waiting { line: self.line.clone(), commit: push.here().1.clone(), lacks }))
    }

    /// The last builds up to a commit, which are all in since a while.
    fn join(
        &self,
        push: &Expected,
        (within, since): (Place<'_>, Timestamp),
    ) -> (Option<Join>, Option<Waiting>) {
        let builds: Vec<Built> =
            push.builds.from.iter().filter_map(|p| self.last(p, within)).cloned().collect();
        let made = self.state.releases.values().map(|r| &r.created).filter(|c| c.branch == self.line.branch);
        let own = builds.iter().filter(|b| b.abroad.is_none()).map(|b| (b.seq, &b.commit));
        let heads = self.announced.iter().filter(|push| push.abroad.is_some()).map(|push| push.here());
        let heads = heads.filter(|_| builds.iter().any(|b| b.abroad.is_some()));
        let commits = own.chain(heads).chain(made.map(|c| (c.seq, &c.commit)));
        let commit = commits.max_by_key(|(seq, _)| *seq).map(|(_, commit)| commit.clone());
        let at = since.plus(push.builds.settle);
        (commit.map(|commit| Join { line: self.line.clone(), commit, builds, at }), None)
    }
}

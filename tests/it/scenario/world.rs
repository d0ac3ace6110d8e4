//! A pipeline, its host, its workers and its people, small enough to fit into a transcript.

use std::collections::{BTreeMap, BTreeSet};

use liftlock::domain::check::course::Course;
use liftlock::domain::check::{LegId, Side};
use liftlock::domain::decide::{
    CheckRequest, Command, Ended, Fresh, Learned, Spoken, StageEnd, Start, Work, decide,
};
use liftlock::domain::effect::{Effect, Place};
use liftlock::domain::event::{BuildOutcome, Change, Event, Failure, Sealed, StartedBy, Unlisted};
use liftlock::domain::join::{Abroad, Built, Expected, PushAbroad};
use liftlock::domain::name::{CommentId, CommitSha, Digest, PipelineId, ReleaseNo, RepoId, TreeSha, UserId};
use liftlock::domain::pause::Said;
use liftlock::domain::person::{Account, Person, Standing, Visibility};
use liftlock::domain::pipeline::{Pipeline, Role};
use liftlock::domain::plan::{Lane, Plan, plan};
use liftlock::domain::probe::{Answer, Reading};
use liftlock::domain::refusal::Refusal;
use liftlock::domain::release::StageState;
use liftlock::domain::reuse::{TakenOver, left_for};
use liftlock::domain::runbook::fact::Fact;
use liftlock::domain::source::{Found, Named};
use liftlock::domain::state::State;
use liftlock::domain::tag::TagNow;
use liftlock::domain::time::Timestamp;
use liftlock::domain::variable::Taken;

use super::invariants;

/// What one command gave.
pub(crate) type Step = Result<Vec<Event>, Refusal>;

/// Everything a transcript speaks about.
pub(crate) struct World {
    /// Notices that a transcript has looked at, by key.
    pub(crate) noticed: BTreeSet<String>,
    pub(crate) state: State,
    pub(crate) log: Vec<(Timestamp, Event)>,
    pub(crate) now: Timestamp,
    /// Whether the clock jumped and timers that came due have not rung yet.
    pub(crate) unrung: bool,
    pub(crate) pipeline: Option<Pipeline>,
    /// Place of each commit on the branch.
    pub(crate) seqs: BTreeMap<String, u64>,
    pub(crate) people: BTreeMap<String, Standing>,
    /// Who may read the repository.
    pub(crate) visibility: Visibility,
    pub(crate) comments: Vec<(CommentId, Spoken)>,
    pub(crate) changed: BTreeSet<CommentId>,
    pub(crate) rewritten: bool,
    /// Why nothing can be run on this machine, if so.
    pub(crate) cannot_start: Option<String>,
    /// Releases whose stored bytes have changed.
    pub(crate) rotten: BTreeSet<ReleaseNo>,
    /// Trees of commits, by how these are called.
    pub(crate) trees: BTreeMap<String, TreeSha>,
    /// What commits say about their date.
    pub(crate) epoch_s: i64,
    pub(crate) tags: BTreeMap<String, Option<CommitSha>>,
    /// Pull requests by the commit that merged them.
    pub(crate) merged: BTreeMap<CommitSha, String>,
    /// Work begun and not ended.
    pub(crate) running: Vec<(Work, u64)>,
    /// Work whose worker vanished.
    pub(crate) lost: Vec<(Work, u64)>,
    pub(crate) fence: u64,
    /// Whether the host takes our comments.
    pub(crate) host: bool,
    /// Comments of ours by marker, with their text.
    pub(crate) notes: BTreeMap<String, String>,
    /// What came of asking the host about those who signed off, not yet shown.
    pub(crate) confirmed: Vec<Event>,
    issues: u32,
    /// The places of commits of other repositories on their branches, by repository.
    seqs_there: BTreeMap<String, BTreeMap<String, u64>>,
    /// Commits that other pipelines have built, by pipeline.
    built: BTreeMap<String, Vec<String>>,
    /// What gates say, by name, when it is not that all is fine.
    pub(crate) gates: BTreeMap<String, Reading>,
}

/// `c12` as a whole commit id; digits that cannot run together with the next name's.
pub(crate) fn sha(alias: &str) -> CommitSha {
    format!("{alias:f<40}").parse().expect("a commit is called by hex digits: c1")
}

fn digest(no: u64) -> Digest {
    Digest::of_hex(&format!("{:e<64}", format!("a{no}"))).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            noticed: BTreeSet::new(),
            state: State::new("github:1/web".parse().unwrap()),
            log: Vec::new(),
            now: Timestamp::parse("2026-03-02T08:00:00Z").unwrap(),
            unrung: false,
            pipeline: None,
            seqs: BTreeMap::new(),
            people: BTreeMap::new(),
            visibility: Visibility::Private,
            comments: Vec::new(),
            changed: BTreeSet::new(),
            rewritten: false,
            cannot_start: None,
            rotten: BTreeSet::new(),
            trees: BTreeMap::new(),
            epoch_s: 1_772_000_000,
            tags: BTreeMap::new(),
            merged: BTreeMap::new(),
            running: Vec::new(),
            lost: Vec::new(),
            fence: 0,
            host: true,
            notes: BTreeMap::new(),
            confirmed: Vec::new(),
            issues: 100,
            seqs_there: BTreeMap::new(),
            built: BTreeMap::new(),
            gates: BTreeMap::new(),
        }
    }

    /// Decides and keeps what was decided; every step is held against the invariants.
    pub(crate) fn decide(&mut self, command: &Command) -> Step {
        let events = decide(&self.state, command, self.now)?;
        // Whatever is decided looks at everything: what was due is done.
        self.unrung = false;
        let before = self.state.clone();
        for event in &events {
            invariants::before_event(&self.state, event, self.now);
            self.state.apply(event, self.now).expect("a decided event applies");
            self.log.push((self.now, event.clone()));
        }
        invariants::after_step(&before, &self.state, self.now);
        Ok(events)
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.state, self.now)
    }

    /// Makes what is owed to the host come true, and says which comments appeared.
    pub(crate) fn settle_host(&mut self) -> Vec<Effect> {
        let mut shown = Vec::new();
        if !self.host {
            return shown;
        }
        for _ in 0..8 {
            let before = self.log.len();
            for owed in self.plan().owed.into_iter().filter(|o| o.lane == Lane::Host) {
                self.carry_out(&owed.effect, &mut shown);
            }
            if self.log.len() == before {
                break;
            }
        }
        shown
    }

    fn carry_out(&mut self, effect: &Effect, shown: &mut Vec<Effect>) {
        if let Effect::Confirm { release, stage, attempt } = effect {
            let fresh = self.host_now(&Fresh::default());
            let command =
                Command::Confirm { release: *release, stage: stage.clone(), attempt: *attempt, fresh };
            let confirmed = self.decide(&command).expect("the host's answer is taken");
            self.confirmed.extend(confirmed);
            return;
        }
        if let Effect::Sources { release, attempt } = effect {
            let found = |source: &Named| Found { source: source.clone(), commit: sha("f0") };
            let found = self.state.release(*release).unwrap().created.pipeline.sources.iter().map(found);
            let found = Ok(found.collect());
            let command = Command::Find { release: *release, attempt: *attempt, found };
            self.decide(&command).expect("the host's answer is taken");
            return;
        }
        let learned = match effect {
            Effect::Thread { release, commit, .. } => {
                let thread = self.merged.get(commit).cloned().unwrap_or_else(|| {
                    self.issues += 1;
                    self.issues.to_string()
                });
                let place = Place::Thread(thread.parse().unwrap());
                Some(Learned::Place { release: *release, place, proposed_by: None })
            }
            Effect::Tag { release, tag, commit, .. } => {
                let there = self.tags.entry(tag.to_string()).or_insert_with(|| Some(commit.clone()));
                let now = TagNow { tag: tag.clone(), commit: there.clone(), object: None };
                Some(Learned::Tag { release: *release, now })
            }
            Effect::Note { marker, place, body, offers } => {
                let new = self.notes.insert(marker.clone(), body.clone());
                if let Some(old) = new {
                    // Only what names the end of a wait is edited, when its rules or its end change.
                    let of_a_wait = marker.starts_with("offer:") || marker.starts_with("remind-");
                    assert!(of_a_wait || old == *body, "{old}\nbecame\n{body}");
                    return;
                }
                shown.push(effect.clone());
                offers.as_ref().map(|offer| Learned::offer(offer, place, self.now))
            }
            _ => None,
        };
        if let Some(learned) = learned {
            self.decide(&Command::Learn(learned)).expect("the host's answer is taken");
        }
    }

    pub(crate) fn person(&mut self, login: &str) -> &mut Standing {
        let next = u64::try_from(self.people.len()).unwrap() + 1;
        self.people.entry(login.to_owned()).or_insert_with(|| Standing {
            person: Person {
                id: UserId(std::num::NonZeroU64::new(next).unwrap()),
                login: login.parse().unwrap(),
            },
            role: Role::Write,
            teams: BTreeSet::new(),
            kind: Account::Human,
        })
    }

    /// A push: of the next commit of the branch, or late of one before another.
    pub(crate) fn push(
        &mut self,
        alias: &str,
        (branch, before): (&str, Option<&str>),
        by: &str,
        (subject, author, unlisted): (&str, &str, Unlisted),
    ) -> Step {
        let last = self.seqs.values().max().copied().unwrap_or(0);
        let seq = match (self.seqs.get(alias), before.and_then(|b| self.seqs.get(b))) {
            (Some(known), _) => *known,
            (None, Some(later)) => later - 5,
            (None, None) => last + 10,
        };
        self.seqs.insert(alias.to_owned(), seq);
        let included_in = before.and_then(|b| self.release_of(&sha(b)));
        let start = self.start(alias, None, (by, subject, author), included_in);
        let branch = branch.parse().unwrap();
        self.decide(&Command::Start(Box::new(Start { branch, unlisted, ..start })))
    }

    /// A push, here or to another repository, that starts pipelines whose builds are listened to.
    pub(crate) fn starts(&mut self, (alias, there): (&str, Option<&str>), started: &[&str]) -> Step {
        let seq = self.place_of(alias, there);
        let pipeline = self.pipeline.as_ref().expect("a pipeline first");
        let (head, head_seq) =
            self.seqs.iter().max_by_key(|(_, seq)| **seq).map_or(("c0", 0), |(h, s)| (h, *s));
        let abroad = there.map(|name| PushAbroad { repo: repo_of(name), head: sha(head), seq: head_seq });
        let push = Expected {
            commit: sha(alias),
            branch: "main".parse().unwrap(),
            seq,
            builds: pipeline.triggers.builds.clone().expect("`builds` first"),
            taking: pipeline.inherits.iter().map(|i| i.pipeline.clone()).collect(),
            started: started.iter().map(|name| name.parse().unwrap()).collect(),
            abroad,
        };
        self.decide(&Command::Expect(Box::new(push)))
    }

    /// The place of a commit on the branch of its repository; a new one comes after all that are known there.
    fn place_of(&mut self, alias: &str, there: Option<&str>) -> u64 {
        let seqs = match there {
            None => &mut self.seqs,
            Some(name) => self.seqs_there.entry(name.to_owned()).or_default(),
        };
        let next = seqs.values().max().copied().unwrap_or(0) + 10;
        *seqs.entry(alias.to_owned()).or_insert(next)
    }

    /// A build of another pipeline ended; building a commit again is the same release. One of another repository may
    /// be made of a build of ours.
    pub(crate) fn built(
        &mut self,
        (pipeline, alias): (&str, &str),
        there: Option<(&str, bool)>,
        failed: Option<&str>,
        by: &str,
    ) -> Step {
        let all = self.built.entry(pipeline.to_owned()).or_default();
        let known = all.iter().position(|commit| commit == alias);
        let at = known.unwrap_or_else(|| {
            all.push(alias.to_owned());
            all.len() - 1
        });
        let no = u32::try_from(at + 1).unwrap();
        let seq = match there {
            None => self.seqs.get(alias).copied().unwrap_or(5),
            Some((name, _)) => self.place_of(alias, Some(name)),
        };
        let abroad = there.map(|(name, _)| Abroad {
            pipeline: PipelineId { repo: repo_of(name), name: "ci".parse().unwrap() },
            repository: name.parse().unwrap(),
            paths: BTreeMap::new(),
            withheld: BTreeSet::new(),
        });
        let of = there.filter(|(_, ours)| *ours).map(|_| self.state.id.clone()).into_iter().collect();
        let person = self.person(by).person.clone();
        let bytes = Digest::of_text(&format!("{pipeline} {no}"));
        let sealed = Sealed {
            alias: pipeline.parse().unwrap(),
            digest: bytes.clone(),
            content: bytes,
            size: 4_096,
            form: liftlock::domain::event::Form::Folder,
            image: None,
        };
        let built = Built {
            pipeline: pipeline.parse().unwrap(),
            release: ReleaseNo(std::num::NonZeroU32::new(no).unwrap()),
            version: format!("v0.1.0-rc.{no}").parse().unwrap(),
            commit: sha(alias),
            branch: "main".parse().unwrap(),
            seq,
            channel: None,
            pusher: Some(person.login.clone()),
            initiator: Some(person),
            outcome: failed.map_or(Ok(vec![sealed]), |why| Err(why.to_owned())),
            abroad,
            of,
        };
        self.decide(&Command::Hear(Box::new(built)))
    }

    /// Makes the releases that are owed by now: builds joined, somebody asked, or a time came.
    pub(crate) fn make(&mut self) -> Vec<Event> {
        let mut made = Vec::new();
        for (effect, at) in self.making() {
            if at > self.now {
                continue;
            }
            let start = match effect {
                Effect::Join { line, .. } => {
                    let (joins, _) = self.state.joins();
                    let join = joins.iter().find(|join| join.line == line).unwrap();
                    let alias = join.commit.as_str().trim_end_matches('f').to_owned();
                    let by = join.builds.last().unwrap().pusher.clone().unwrap();
                    let start = self.start(&alias, None, (by.as_str(), "joined", by.as_str()), None);
                    Start { started_by: StartedBy::Builds(line), ..start }
                }
                Effect::Start { no } => {
                    let asked = std::sync::Arc::clone(&self.state.demands.open[&no]);
                    let head = self.state.head.as_ref().expect("`rules` first").0.clone();
                    let alias = head.as_str().trim_end_matches('f').to_owned();
                    let start = self.start(&alias, None, ("bo", "asked for", "bo"), None);
                    let started_by = StartedBy::Demand { no, cause: asked.cause.clone() };
                    Start { started_by, initiator: asked.by.clone(), pusher: None, ..start }
                }
                other => panic!("{other:?} makes no release"),
            };
            made.extend(self.decide(&Command::Start(Box::new(start))).expect("what is owed is taken"));
        }
        made
    }

    /// Releases that are owed, and when.
    fn making(&self) -> Vec<(Effect, Timestamp)> {
        let owed = self.plan().owed.into_iter();
        owed.filter(|o| matches!(o.effect, Effect::Join { .. } | Effect::Start { .. }))
            .map(|o| (o.effect, o.not_before.unwrap()))
            .collect()
    }

    pub(crate) fn tag(&mut self, tag: &str, alias: &str, by: &str) -> Step {
        let start = self.start(alias, Some(tag), (by, "release", by), None);
        self.decide(&Command::Start(Box::new(start)))
    }

    fn start(
        &mut self,
        alias: &str,
        tag: Option<&str>,
        (by, subject, author): (&str, &str, &str),
        included_in: Option<ReleaseNo>,
    ) -> Start {
        let initiator = self.person(by).person.clone();
        let author = if author == "?" { None } else { Some(author.parse().unwrap()) };
        Start {
            commit: sha(alias),
            tree: self.trees.get(alias).cloned(),
            branch: "main".parse().unwrap(),
            started_by: tag.map_or(StartedBy::Push, |t| StartedBy::Tag(t.parse().unwrap())),
            seq: self.seqs.get(alias).copied().unwrap_or(0),
            pusher: Some(initiator.login.clone()),
            initiator: Some(initiator),
            changes: vec![Change {
                breaking: false,
                reverts: None,
                commit: sha(alias),
                subject: subject.to_owned(),
                author_email: "somebody@example.org".to_owned(),
                author,
            }],
            unheard: false,
            unlisted: Unlisted::default(),
            messages: vec![subject.to_owned()],
            taken: Vec::new(),
            taken_by_others: Vec::new(),
            pipeline: Box::new(self.pipeline.clone().expect("a pipeline first")),
            manifest: digest(99),
            epoch_s: self.epoch_s,
            included_in,
            project: "acme/shop".to_owned(),
            files: Vec::new(),
            groups: Taken::default(),
            fetched: Vec::new(),
        }
    }

    pub(crate) fn check(&mut self, thread: &str, alias: &str, again: bool, refused: Option<&str>) -> Step {
        let pipeline = Box::new(self.pipeline.clone().expect("a pipeline first"));
        self.decide(&Command::Check(Box::new(CheckRequest {
            commit: sha(alias),
            thread: Some(thread.parse().unwrap()),
            pipeline,
            tree: self.trees.get(alias).cloned(),
            refused: refused.map(str::to_owned),
            again,
        })))
    }

    /// The newest release of a commit.
    pub(crate) fn release_of(&self, commit: &CommitSha) -> Option<ReleaseNo> {
        self.state.releases.values().rev().find(|r| r.created.commit == *commit).map(|r| r.no())
    }

    pub(crate) fn release(&self, version: &str) -> ReleaseNo {
        let found = self.state.releases.values().find(|r| r.created.version.to_string() == version);
        found.unwrap_or_else(|| panic!("no release {version}")).no()
    }

    /// Work owed in a lane and not begun.
    pub(crate) fn owed_work(&self, lane: Lane) -> Vec<Work> {
        let mut owed = self.plan().owed;
        owed.sort_by_key(|o| -o.priority);
        owed.iter()
            .filter(|o| o.lane == lane)
            .filter_map(|o| match &o.effect {
                Effect::Build { release, attempt } => {
                    Some(Work::Build { release: *release, attempt: *attempt })
                }
                Effect::Check { commit, attempt } => {
                    Some(Work::Check { commit: commit.clone(), attempt: *attempt })
                }
                Effect::Deploy { release, stage, attempt, admission } => Some(Work::Deploy {
                    release: *release,
                    stage: stage.clone(),
                    attempt: *attempt,
                    admission: *admission,
                }),
                Effect::Runbook { run, turn } => Some(Work::Runbook { run: *run, turn: *turn }),
                _ => None,
            })
            .filter(|work| self.running.iter().all(|(running, _)| running != work))
            .collect()
    }

    /// Every queued stage, also those that the plan makes wait for their environment.
    pub(crate) fn queued(&self) -> Vec<Work> {
        let runs = self.state.releases.values().flat_map(|release| {
            release.stages.iter().filter_map(move |(stage, runs)| {
                let run = runs.last().filter(|run| run.state == StageState::Queued)?;
                Some(Work::Deploy {
                    release: release.no(),
                    stage: stage.clone(),
                    attempt: run.attempt,
                    admission: run.admissions,
                })
            })
        });
        runs.collect()
    }

    /// What the host says now, asked before a stage starts.
    fn fresh(&self, work: &Work) -> Fresh {
        let Work::Deploy { release, .. } = work else {
            return self.host_now(&Fresh { off_branch: self.rewritten, ..Fresh::default() });
        };
        let tag = self.state.version_of(*release);
        let tag = self.tags.get(&tag).map(|commit| TagNow {
            tag: tag.parse().unwrap(),
            commit: commit.clone(),
            object: None,
        });
        let tags = tag.into_iter().collect();
        let gates = self.gates_now(work);
        let cannot_start = self.cannot_start.clone();
        self.host_now(&Fresh { tags, off_branch: self.rewritten, cannot_start, gates, ..Fresh::default() })
    }

    /// With what the host says now about people and their comments.
    fn host_now(&self, fresh: &Fresh) -> Fresh {
        let standings = self.people.values().map(|s| (s.person.id, s.clone())).collect();
        Fresh { standings, comments_changed: self.changed.clone(), ..fresh.clone() }
    }

    /// What gates say when their last sample is old: green, unless the transcript said otherwise.
    fn gates_now(&self, work: &Work) -> Option<Vec<(LegId, Reading)>> {
        let Work::Deploy { release, stage, .. } = work else { return None };
        let release = self.state.release(*release)?;
        let (rule, run) = release.rule(stage).zip(release.run(stage))?;
        let course = Course { repo: &self.state.id.repo, release, stage: rule, run };
        course.is_stale(Side::Pre, self.now).then(|| {
            let gates = course.gates(Side::Pre);
            gates.into_iter().map(|(gate, _)| (gate.clone(), self.says(&gate))).collect()
        })
    }

    /// What a gate says now.
    pub(crate) fn says(&self, gate: &LegId) -> Reading {
        let said = self.gates.get(gate.check.as_str()).cloned();
        said.unwrap_or_else(|| Reading::new(Answer::Pass, "fine"))
    }

    /// Every answer and sample that is owed now.
    pub(crate) fn owed_answers(&self) -> Vec<Work> {
        let now = self.now;
        self.plan()
            .owed
            .iter()
            .filter(|o| !o.cancel && o.not_before.is_none_or(|at| at <= now))
            .filter_map(|o| match o.effect.clone() {
                Effect::Leg { release, stage, attempt, leg, sample } => {
                    Some(Work::Leg { release, stage, attempt, leg, sample })
                }
                Effect::Gates { release, stage, attempt, side, sample } => {
                    Some(Work::Gates { release, stage, attempt, side, sample })
                }
                _ => None,
            })
            .collect()
    }

    /// An answer or a sample comes in.
    pub(crate) fn answer(&mut self, work: &Work, ended: Ended) -> Step {
        self.fence += 1;
        let fence = self.fence;
        self.decide(&Command::Finish { work: work.clone(), fence, ended })
    }

    pub(crate) fn begin(&mut self, work: &Work) -> Step {
        self.fence += 1;
        let fence = self.fence;
        let fresh = self.fresh(work);
        let events = self.decide(&Command::Begin { work: work.clone(), fence, fresh })?;
        let started = events.iter().any(|e| match e {
            Event::BuildStarted { .. }
            | Event::CheckStarted { .. }
            | Event::Runbook(Fact::Started { .. }) => true,
            Event::Pause(fact) => fact.said == Said::Taken { fence },
            Event::StageMoved { detail, .. } => {
                matches!(detail, liftlock::domain::event::Detail::Fence(f) if *f == fence)
            }
            _ => false,
        });
        if started {
            self.running.retain(|(w, _)| w != work);
            self.running.push((work.clone(), fence));
        }
        Ok(events)
    }

    pub(crate) fn finish(&mut self, (work, fence): (&Work, u64), end: &StageEnd) -> Step {
        let ended = match work {
            Work::Deploy { .. } | Work::Runbook { .. } | Work::Leg { .. } | Work::Gates { .. } => {
                Ended::Stage(end.clone())
            }
            Work::Build { release, .. } => match self.taken_over(*release) {
                Some(over) if matches!(end, StageEnd::Passed { .. }) => Ended::Reused(over),
                _ => Ended::Build(built(end, u64::from(release.0.get()))),
            },
            Work::Check { commit, attempt } => match built(end, 900 + u64::from(*attempt)) {
                BuildOutcome::Sealed(artifacts) if self.state.checks[commit].tree.is_some() => {
                    let locks = Digest::of_text("no lock files");
                    Ended::Left { artifacts, locks, executor: None, sources: Vec::new() }
                }
                BuildOutcome::Sealed(_) => Ended::Build(BuildOutcome::Passed),
                other => Ended::Build(other),
            },
        };
        self.running.retain(|(w, f)| w != work || *f != fence);
        self.decide(&Command::Finish { work: work.clone(), fence, ended })
    }

    /// What a worker takes over instead of building: what is as it was sealed; of what is not an alarm is raised.
    fn taken_over(&mut self, no: ReleaseNo) -> Option<TakenOver> {
        for left in left_for(&self.state, self.state.release(no).unwrap(), None) {
            let by = left.reused.by.release();
            if by.is_none_or(|by| !self.rotten.contains(&by)) {
                return Some(left.reused);
            }
            let text = "the stored bytes are not those that were sealed".to_owned();
            let code = liftlock::domain::state::DIGEST_MISMATCH.to_owned();
            let alarm = Learned::Alarm { release: by, code, text };
            self.decide(&Command::Learn(alarm)).expect("an alarm is always taken");
        }
        None
    }

    /// The clock jumps, or the machine slept: timers that came due meanwhile ring once, now, or have not rung yet.
    pub(crate) fn jump(&mut self, ms: i64, rings: bool) -> Vec<Event> {
        let due = self.plan().wake_at;
        self.now = Timestamp(self.now.0 + ms);
        if rings && due.is_some_and(|at| at <= self.now) {
            return self.decide(&Command::Tick).expect("a tick is always taken");
        }
        // A clock that is put back rings nothing: who looks next looks at everything.
        self.unrung |= !rings || ms < 0;
        Vec::new()
    }

    /// Time passes; timers ring when they are due.
    pub(crate) fn wait_until(&mut self, until: Timestamp, mut rang: impl FnMut(&mut Self, &[Event])) {
        if self.unrung {
            let events = self.decide(&Command::Tick).expect("a tick is always taken");
            rang(self, &events);
        }
        loop {
            let made = self.making().into_iter().map(|(_, at)| at).min().filter(|at| *at <= until);
            let rings = self.plan().wake_at.filter(|at| *at <= until);
            if let Some(at) = made.filter(|at| rings.is_none_or(|rings| *at < rings)) {
                self.now = at.max(self.now);
                let events = self.make();
                rang(self, &events);
                continue;
            }
            let Some(at) = rings else { break };
            let ring = Timestamp(at.0 - 1).max(self.now);
            invariants::nothing_changes_before(&self.state, self.now, ring);
            self.now = at;
            let events = self.decide(&Command::Tick).expect("a tick is always taken");
            rang(self, &events);
        }
        invariants::nothing_changes_before(&self.state, self.now, until);
        self.now = until;
    }
}

fn built(end: &StageEnd, no: u64) -> BuildOutcome {
    match end {
        StageEnd::Passed { .. } => BuildOutcome::Sealed(vec![Sealed {
            alias: "app".parse().unwrap(),
            digest: digest(no),
            content: digest(no + 1_000),
            size: 4_096,
            form: liftlock::domain::event::Form::Folder,
            image: None,
        }]),
        StageEnd::Failed(f) | StageEnd::TimedOut(f) => BuildOutcome::Failed(f.clone()),
        StageEnd::Stopped | StageEnd::Paused(_) => BuildOutcome::Errored("stopped".to_owned()),
        StageEnd::Errored(why) | StageEnd::Tampered(why) => BuildOutcome::Errored(why.clone()),
    }
}

/// A failed step with one line of log.
pub(crate) fn failure(step: &str, how: &str) -> Failure {
    Failure { step: step.to_owned(), how: how.to_owned(), tail: vec![format!("{step}: connection refused")] }
}

/// What identifies a repository of this name.
fn repo_of(name: &str) -> RepoId {
    format!("plain:{}", name.replace('/', ".")).parse().unwrap()
}

//! The rules alone: one decision and one plan on a release with a long history.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;

use liftlock::clock;
use liftlock::domain::command::parse::{Parsed, Spelling, parse};
use liftlock::domain::decide::{Command, Ended, Fresh, Spoken, StageEnd, Start, Work, decide};
use liftlock::domain::event::{BuildOutcome, Failure, Form, Sealed, Unlisted};
use liftlock::domain::manifest::load;
use liftlock::domain::name::{Digest, ReleaseNo, StageName, UserId};
use liftlock::domain::person::{Account, Person, Standing, Visibility};
use liftlock::domain::pipeline::{Pipeline, Role};
use liftlock::domain::plan::plan;
use liftlock::domain::release::StageState;
use liftlock::domain::state::State;
use liftlock::domain::time::{Span, Timestamp};
use liftlock::domain::variable::Taken;

use crate::figure::{Fallible, Figure, Spread, ms};

/// Events of the release.
const EVENTS: u64 = 1_000;
/// Runs of the test stage that fail and are asked for again; the rest of the history is approvals that come and go.
const FAILURES: usize = 100;
/// Decisions of which the median is told.
const DECISIONS: usize = 500;
const MANIFEST: &str =
    "version: 1\nname: hello\nbuild: make\nstages:\n  - name: test\n  - {name: prod, approval: 2}\n";

pub(crate) fn figures(_: &Path) -> Fallible<Vec<Figure>> {
    let Played { state, spoken, now } = Played::a_long_release()?;
    let (mut deciding, mut planning, mut both) = (vec![], vec![], vec![]);
    for _ in 0..DECISIONS {
        let began = clock::monotonic();
        let events = decide(&state, &spoken, now).map_err(|refusal| refusal.to_string())?;
        let decided = began.elapsed();
        let mut after = state.clone();
        events.iter().try_for_each(|event| after.apply(event, now))?;
        let applied = clock::monotonic();
        let planned = plan(&after, now);
        let took = applied.elapsed();
        drop(planned);
        deciding.push(ms(decided) * 1e3);
        planning.push(ms(took) * 1e3);
        both.push(ms(decided + took) * 1e3);
    }
    let both = Spread::of(both)?;
    Ok(vec![Figure {
        what: "decide and plan, a release of 1 000 events",
        measured: both.show(0, "us"),
        target: "< 1000 us",
        met: Some(both.median < 1000.0),
        how: format!(
            "`/approve prod` on {} events: decide {}, plan {}",
            state.version,
            Spread::of(deciding)?.show(0, "us"),
            Spread::of(planning)?.show(0, "us")
        ),
    }])
}

/// A pipeline and the command that is measured on it.
struct Played {
    state: State,
    spoken: Command,
    now: Timestamp,
}

impl Played {
    fn a_long_release() -> Fallible<Self> {
        let (test, prod): (StageName, StageName) = ("test".parse()?, "prod".parse()?);
        let pipeline = pipeline(MANIFEST)?;
        let state = State::new("plain:hello/hello".parse()?);
        let mut played = Self { state, spoken: Command::Tick, now: Timestamp(1_700_000_000_000) };
        played.take(&start(&pipeline, 1)?)?;
        let no = ReleaseNo(NonZeroU32::MIN);
        let build = Work::Build { release: no, attempt: 1 };
        let fresh = Fresh::default();
        played.take(&Command::Begin { work: build.clone(), fence: 1, fresh })?;
        let sealed = Ended::Build(BuildOutcome::Sealed(vec![Sealed {
            alias: "default".parse()?,
            digest: digest(&"b".repeat(64))?,
            content: digest(&"c".repeat(64))?,
            size: 1_000,
            form: Form::Folder,
            image: None,
        }]));
        played.take(&Command::Finish { work: build, fence: 1, ended: sealed })?;
        for _ in 0..FAILURES {
            let how = "exit 1".to_owned();
            let failure =
                Failure { step: "test".to_owned(), how, tail: vec!["one test failed".to_owned(); 10] };
            played.run_stage(no, &test, StageEnd::Failed(failure))?;
            played.take(&say("/retry test")?)?;
        }
        played.run_stage(no, &test, StageEnd::Passed { took_ms: 1_000 })?;
        while played.state.version < EVENTS {
            played.take(&say("/approve prod")?)?;
            played.take(&say("/revoke prod")?)?;
        }
        let waits = played.state.release(no).and_then(|release| release.state_in(&prod));
        if waits != Some(StageState::Pending) {
            return Err(format!("prod should wait, and is {waits:?}").into());
        }
        played.spoken = say("/approve prod")?;
        Ok(played)
    }

    /// Decides, and takes what was decided in.
    fn take(&mut self, command: &Command) -> Fallible<()> {
        self.now = self.now.plus(Span::seconds(1));
        let events = decide(&self.state, command, self.now).map_err(|refusal| refusal.to_string())?;
        if events.is_empty() {
            return Err(format!("nothing came of {command:?}").into());
        }
        Ok(events.iter().try_for_each(|event| self.state.apply(event, self.now))?)
    }

    fn run_stage(&mut self, no: ReleaseNo, stage: &StageName, end: StageEnd) -> Fallible<()> {
        let run =
            self.state.release(no).and_then(|release| release.run(stage)).ok_or("the stage did not open")?;
        let (stage, attempt, admission) = (stage.clone(), run.attempt, run.admissions);
        let work = Work::Deploy { release: no, stage, attempt, admission };
        let fence = u64::from(attempt);
        self.take(&Command::Begin { work: work.clone(), fence, fresh: Fresh::default() })?;
        self.take(&Command::Finish { work, fence, ended: Ended::Stage(end) })
    }
}

/// What a manifest declares.
pub(crate) fn pipeline(manifest: &str) -> Fallible<Pipeline> {
    let files = BTreeMap::from([(".github/liftlock.yml".to_owned(), manifest.to_owned())]);
    let loaded = load(&files, &"hello".parse()?).map_err(|problems| problems.to_string())?;
    Ok(loaded.pipelines.into_iter().next().ok_or("no pipeline")?)
}

/// A push to main, by its number.
pub(crate) fn start(pipeline: &Pipeline, number: u32) -> Fallible<Command> {
    Ok(Command::Start(Box::new(Start {
        commit: format!("{number:040x}").parse()?,
        tree: None,
        branch: "main".parse()?,
        started_by: liftlock::domain::event::StartedBy::Push,
        seq: u64::from(number),
        initiator: None,
        pusher: None,
        changes: Vec::new(),
        unheard: false,
        unlisted: Unlisted::default(),
        messages: vec!["feat: begin".to_owned()],
        taken: Vec::new(),
        taken_by_others: Vec::new(),
        pipeline: Box::new(pipeline.clone()),
        manifest: digest(&"a".repeat(64))?,
        epoch_s: 1_700_000_000,
        included_in: None,
        project: "hello".to_owned(),
        files: Vec::new(),
        groups: Taken::default(),
        fetched: Vec::new(),
    })))
}

/// What a maintainer says.
pub(crate) fn say(line: &str) -> Fallible<Command> {
    let Parsed::Commands(commands) = parse(Some(line), Spelling::Bare) else {
        return Err("not a command".into());
    };
    let command = commands.into_iter().next().ok_or("no command")?;
    let person = Person { id: UserId(NonZeroU64::MIN), login: "ana".parse()? };
    let standing = Standing { person, role: Role::Maintain, teams: BTreeSet::new(), kind: Account::Human };
    Ok(Command::Speak(Box::new(Spoken {
        ask: command.ask,
        line: command.line,
        comment: None,
        place: None,
        at: Timestamp(1_700_000_000_000),
        body: digest(&"d".repeat(64))?,
        standing,
        visibility: Visibility::Private,
    })))
}

pub(crate) fn digest(hex: &str) -> Fallible<Digest> {
    Ok(Digest::of_hex(hex)?)
}

//! A stage that stops between two of its steps to ask people: the question, the answer, and what follows from both.

use serde::{Deserialize, Serialize};

use crate::domain::check::hold::Hold;
use crate::domain::event::{Failure, RunKind};
use crate::domain::name::SlotName;
use crate::domain::person::Person;
use crate::domain::pipeline::Stage;
use crate::domain::pipeline::step::{Action, Pause, Silence};
use crate::domain::pipeline::strategy::{BlueGreen, Portion};
use crate::domain::progress::{Phase, phases};
use crate::domain::time::{Span, Timestamp};

/// What a stage stopped to ask; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The part of its work it is in.
    pub phase: Phase,
    /// So many steps of that part are over, the one that asks among them, or portions: where it goes on.
    pub steps: u32,
    /// The step that asks.
    pub step: String,
    /// What people are to do before they answer.
    pub instructions: String,
    /// How long they have.
    pub wait: Span,
    /// What happens when nobody answers.
    pub silence: Silence,
    /// What is asked of the world meanwhile, for a run that is held between two portions: that nobody says no is
    /// not enough for it to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Box<Hold>>,
}

/// What was answered; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Who; nobody when the time was up.
    pub by: Option<Person>,
    /// What follows.
    pub then: Then,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The next step.
    GoOn,
    /// The run has failed; what runs whatever happened still does.
    Fail,
    /// The run is cancelled; what runs whatever happened still does.
    Stop,
}

/// Who said what; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The stage asked.
    Asked(Box<Question>),
    /// It was answered.
    Answered(Answer),
    /// A worker took up a run that is being cancelled, for what runs whatever happened.
    Taken {
        /// The lease's number.
        fence: u64,
    },
}

/// A question of a run, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pausing {
    /// The question.
    pub question: Question,
    /// When it was asked.
    pub at: Timestamp,
    /// The answer, once there is one.
    pub answer: Option<Answer>,
}

impl Pausing {
    /// When silence is an answer.
    pub fn ends(&self) -> Timestamp {
        self.at.plus(self.question.wait)
    }

    /// Why the run has failed by the answer, if so.
    pub fn failure(&self) -> Option<Failure> {
        let answer = self.answer.as_ref().filter(|answer| answer.then == Then::Fail)?;
        let how = match (&answer.by, &answer.note) {
            (Some(by), Some(note)) => format!("rejected by {}: {note}", by.login),
            (Some(by), None) => format!("rejected by {}", by.login),
            (None, Some(note)) => note.clone(),
            (None, None) => format!("nobody answered within {}", self.question.wait),
        };
        Some(Failure { step: self.question.step.clone(), how, tail: Vec::new() })
    }
}

impl Question {
    /// What a step asks: the one with this number, from 0, of a part of a stage's work.
    pub fn of((phase, index): (Phase, u32), step: &str, pause: &Pause) -> Self {
        Self {
            phase,
            steps: index.saturating_add(1),
            step: step.to_owned(),
            instructions: pause.instructions.clone(),
            wait: pause.wait,
            silence: pause.silence,
            hold: None,
        }
    }

    /// What a run is held for behind this portion, the one with this number, from 0.
    pub fn held((index, portion): (u32, &Portion)) -> Option<Self> {
        let (wait, percent) = (portion.hold?, portion.percent);
        Some(Self {
            phase: Phase::Deploy,
            steps: index.saturating_add(1),
            step: format!("canary at {percent} %"),
            instructions: format!("held at {percent} % for {wait}"),
            wait,
            silence: Silence::Resume,
            hold: Some(Box::new(Hold::of(portion))),
        })
    }

    /// What a run is held for once a slot was made the live one.
    pub fn kept(slot: &SlotName, rule: &BlueGreen) -> Option<Self> {
        let wait = rule.keep?;
        Some(Self {
            phase: Phase::Deploy,
            steps: 1,
            step: format!("watched on {slot}"),
            instructions: format!("watched on {slot} for {wait}"),
            wait,
            silence: Silence::Resume,
            hold: Some(Box::new(Hold::of_slot(slot, rule))),
        })
    }

    /// The first question a run of a stage comes to behind this place; from its start when there is none.
    pub fn next(stage: &Stage, kind: RunKind, after: Option<(Phase, u32)>) -> Option<Self> {
        let is_ahead = |phase, index| after.is_none_or(|after| (phase, index) >= after);
        let all = phases(stage, kind).into_iter().flat_map(|(phase, steps)| {
            let strategy = stage.strategy.as_ref().filter(|_| phase == Phase::Deploy);
            let portions = strategy.map_or(&[][..], |strategy| strategy.portions(kind));
            let ahead = (0_u32..).zip(portions).filter(move |(index, _)| is_ahead(phase, *index));
            let held = ahead.filter_map(Self::held);
            let ahead = (0_u32..).zip(steps).filter(move |(index, _)| is_ahead(phase, *index));
            held.chain(ahead.filter_map(move |(index, step)| match &step.action {
                Action::Pause(pause) => Some(Self::of((phase, index), &step.name, pause)),
                Action::Run(_)
                | Action::Script(_)
                | Action::Hook(_)
                | Action::Publish(_)
                | Action::Write(_)
                | Action::Gather(_) => None,
            }))
        });
        let mut all = all;
        all.next()
    }

    /// The place behind the step that asks.
    pub fn place(&self) -> (Phase, u32) {
        (self.phase, self.steps)
    }
}

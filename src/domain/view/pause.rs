//! What people read about a stage that stopped to ask them: on the thread, in `why`, in the list of events.

use crate::domain::event::OfRun;
use crate::domain::markdown::{escape, inline_code};
use crate::domain::pause::{Answer, Pausing, Said, Then};
use crate::domain::pipeline::Stage;
use crate::domain::pipeline::step::Silence;
use crate::domain::release::Release;

/// The comment that asks.
pub fn asked(release: &Release, stage: &Stage, asking: &Pausing) -> String {
    let (version, name) = (&release.created.version, &stage.name);
    format!(
        "⏸ **{version} stopped in {name} at \"{}\"**: {}\n\nComment {} to let it go on, {} or {}. {}.",
        escape(&asking.question.step),
        escape(&asking.question.instructions),
        inline_code(&format!("/resume {name}")),
        inline_code(&format!("/reject {name} -- reason")),
        inline_code(&format!("/cancel {name}")),
        silence(asking)
    )
}

/// What silence means, and when.
fn silence(asking: &Pausing) -> String {
    let at = asking.ends().minute();
    match asking.question.silence {
        Silence::Reject => format!("Without an answer it fails {at}"),
        Silence::Resume => format!("Without an answer it goes on by itself {at}"),
    }
}

/// `why` of it: what it waits for, and who can say.
pub fn why(stage: &Stage, who: &str, asking: &Pausing) -> (String, String) {
    let question = &asking.question;
    let line = format!("\"{}\" asks: {}. {}", question.step, question.instructions, silence(asking));
    let name = &stage.name;
    let act = format!(
        "{who} comments {} or {}",
        inline_code(&format!("/resume {name}")),
        inline_code(&format!("/reject {name} -- reason"))
    );
    (line, act)
}

/// `why` of one that was answered and not taken up yet.
pub fn answered(last: &Pausing) -> String {
    let said = last.answer.as_ref().map_or_else(String::new, said);
    format!("{}: {said}; a worker takes it up as soon as one is free", last.question.step)
}

/// One fact in a few words.
pub fn sentence(fact: &OfRun<Said>) -> String {
    let stage = &fact.stage;
    match &fact.said {
        Said::Asked(question) if question.hold.is_some() => format!("{stage}: {}", question.instructions),
        Said::Asked(question) => format!("{stage}: \"{}\" asks: {}", question.step, question.instructions),
        Said::Answered(answer) => format!("{stage}: {}", said(answer)),
        Said::Taken { .. } => format!("{stage}: taken up to be stopped"),
    }
}

fn said(answer: &Answer) -> String {
    let what = match answer.then {
        Then::GoOn => "may go on",
        Then::Fail => "may not go on",
        Then::Stop => "is to stop",
    };
    match (&answer.by, &answer.note) {
        (Some(by), None) => format!("{what}, {}", by.login),
        (Some(by), Some(note)) => format!("{what}, {}: {note}", by.login),
        // Nobody but a gate or the clock says it.
        (None, Some(note)) => format!("{what}: {note}"),
        (None, None) => format!("{what}, time is up"),
    }
}

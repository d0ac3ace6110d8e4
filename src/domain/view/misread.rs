//! The answer to a line that is no command, with lines that work as they stand where these can be known (COMMANDS §5).

use std::sync::Arc;

use crate::domain::command::Verb;
use crate::domain::command::parse::{ParseError, Problem};
use crate::domain::effect::Place;
use crate::domain::inbox::{Line, ahead_of_turn, to_approve};
use crate::domain::markdown::inline_code;
use crate::domain::state::State;
use crate::domain::time::Timestamp;

/// Most lines that are shown: enough for the stages of a release, and few enough to be read.
const LISTED: usize = 5;

/// What is wrong, and what to write instead. A bare `/approve` names no stage, so it is told the lines for what is
/// spoken about where it was written, else for what waits anywhere.
pub fn misread(states: &[Arc<State>], place: Option<&Place>, error: &ParseError, now: Timestamp) -> String {
    if error.verb != Verb::Approve || error.problem != Problem::NoStage {
        return error.to_string();
    }
    let all = |lines: fn(&State, Timestamp) -> Vec<Line>| {
        states.iter().flat_map(|state| lines(state, now)).collect::<Vec<Line>>()
    };
    let (waiting, early) = (all(to_approve), all(ahead_of_turn));
    let here = |line: &&Line| place.is_some_and(|place| line.places.contains(place));
    let now = |lines: String| format!("Waiting now: {lines}.");
    let before = |lines: String| {
        format!("Nothing waits for approval here yet; this gives it ahead of its turn: {lines}.")
    };
    // Who writes where a release is spoken about means that one.
    let said = shown(waiting.iter().filter(here))
        .map(now)
        .or_else(|| shown(early.iter().filter(here)).map(before))
        .or_else(|| shown(waiting.iter()).map(now))
        .or_else(|| shown(early.iter()).map(before));
    let nothing = || "Nothing waits for approval; `/status` says where the releases are.".to_owned();
    let said = said.unwrap_or_else(nothing);
    format!("**Which stage?** {said} Nothing in this comment was done.")
}

/// The newest of them as code, when there are any.
fn shown<'a>(lines: impl DoubleEndedIterator<Item = &'a Line>) -> Option<String> {
    let mut code: Vec<String> = lines.rev().take(LISTED).map(|line| inline_code(&line.text)).collect();
    code.reverse();
    (!code.is_empty()).then(|| code.join(", "))
}

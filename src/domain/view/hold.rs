//! What people read about a canary that is held: what it waits for, until when, and what ends it.

use crate::domain::check::Side;
use crate::domain::check::course::Course;
use crate::domain::check::hold::Hold;
use crate::domain::markdown::inline_code;
use crate::domain::pause::Pausing;
use crate::domain::time::Timestamp;
use crate::domain::view::Why;
use crate::domain::view::check::gate_lines;

/// `is held at 10 % until 2026-03-02 12:30 UTC`, after the version.
pub fn status((held, hold): (&Pausing, &Hold)) -> String {
    format!("is {} until {}", hold.word(), held.ends().minute())
}

/// `why` of it: what is waited for, its gates with what they say, and who can end it.
pub fn why(course: &Course<'_>, who: &str, now: Timestamp) -> Option<Why> {
    let (held, hold) = course.run.holding()?;
    let name = &course.stage.name;
    let gates: Vec<&str> = hold.gates.post.iter().map(|check| check.name.as_str()).collect();
    let gates = gates.join(" and ");
    let ends = held.ends().minute();
    let next = match (gates.as_str(), held.ends() <= now) {
        ("", _) => ends,
        (gates, false) => format!("{ends} if {gates} is good then"),
        (gates, true) => format!("as soon as {gates} is good: its time is over"),
    };
    let (environment, version) = (&course.stage.environment, &course.release.created.version);
    let line = match &hold.slot {
        None => format!("{} % of {environment} runs {version}; it goes on by itself {next}", hold.percent),
        Some(slot) => format!("{slot} is live in {environment} with {version}; it goes on by itself {next}"),
    };
    let (gates, overrides) = gate_lines(course, Side::Hold);
    let ends = format!(
        "{who} comments {}, or somebody with write {}",
        inline_code(&format!("/reject {name} -- reason")),
        inline_code(&format!("/cancel {name}"))
    );
    let lines = std::iter::once((line, "⏳")).chain(gates).collect();
    Some((lines, overrides.into_iter().chain([ends]).collect()))
}

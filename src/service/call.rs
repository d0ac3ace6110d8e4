//! Signed calls of other programs: what was stored of one is a command of whom the config names, given once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::domain::command::parse::{Parsed, Spelling, parse};
use crate::domain::decide::{Command, Spoken};
use crate::domain::name::{Digest, Login, PipelineId, PipelineName, RepoId, UserId};
use crate::domain::person::{Account, Person, Standing, Visibility};
use crate::domain::pipeline::Role;
use crate::service::Service;
use crate::service::journal::Around;
use crate::service::worker::Result as Worked;
use crate::store::delivery::{Delivery, DeliveryState};

/// What calls are stored under.
pub const SOURCE: &str = "call";
/// The one thing that is called for.
pub const START: &str = "start";
/// Where the numbers of callers begin: above every number that a host has given anybody, and still exact in JSON.
const FIRST: u64 = 1 << 52;
/// Hex digits of a hash that make one number below that.
const DIGITS: usize = 13;

/// Whose call it is and what it is for, kept beside its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressed {
    /// The caller.
    pub caller: Login,
    /// The repository of what is to start.
    pub repo: RepoId,
    /// The pipeline that is to start.
    pub pipeline: PipelineName,
}

/// The body of a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// What is given, by name.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
}

/// The line that starts a pipeline with these inputs. None when a blank would make another word of the line, or a
/// line's end another command.
pub fn start_line(pipeline: &str, inputs: &BTreeMap<String, String>) -> Option<String> {
    let plain =
        |text: &String| !text.is_empty() && !text.contains(|c: char| c.is_control() || c.is_whitespace());
    let mut line = format!("/start {pipeline}");
    for (name, value) in inputs {
        if !plain(name) || !plain(value) || name.contains('=') {
            return None;
        }
        write!(line, " {name}={value}").unwrap_or_default();
    }
    Some(line)
}

impl Service {
    /// Carries out a call in the step that completes its delivery: however often it is taken in, it starts one release.
    pub(super) async fn take_in_call(&self, delivery: &Delivery, mut around: Around) -> Worked {
        let Some((Addressed { caller, repo, pipeline }, spoken)) = self.called(delivery) else {
            let why = "what is stored of the call cannot be read".to_owned();
            around.delivery = Some((delivery.seq, DeliveryState::Poison, Some(why)));
            return self.journal().close(around, Vec::new()).await;
        };
        let id = PipelineId { repo, name: pipeline };
        around.actor = caller.to_string();
        around.cause = format!("delivery:{}", delivery.seq);
        around.delivery = Some((delivery.seq, DeliveryState::Done, None));
        let command = Command::Speak(Box::new(spoken));
        match self.journal().decide(&id, &command, around.clone()).await? {
            Ok(_) => Ok(()),
            Err(refusal) => {
                around.delivery = Some((delivery.seq, DeliveryState::Ignored, Some(refusal.to_string())));
                self.journal().close(around, Vec::new()).await
            }
        }
    }

    fn called(&self, delivery: &Delivery) -> Option<(Addressed, Spoken)> {
        let addressed: Addressed = serde_json::from_str(&delivery.headers).ok()?;
        let given: Given = serde_json::from_slice(delivery.body.as_deref()?).ok()?;
        let line = start_line(addressed.pipeline.as_str(), &given.inputs)?;
        let Parsed::Commands(commands) = parse(Some(&line), Spelling::Bare) else { return None };
        let command = commands.into_iter().next().filter(|_| delivery.event == START)?;
        let spoken = Spoken {
            ask: command.ask,
            body: Digest::of_text(&line),
            line: command.line,
            comment: None,
            place: None,
            at: self.store().here(),
            standing: standing(&addressed.caller),
            visibility: Visibility::Public,
        };
        Some((addressed, spoken))
    }
}

/// A caller may do what the config lets it, which no host knows of: here it has what a start takes, and is in no team.
fn standing(caller: &Login) -> Standing {
    let hash = Digest::of_text(&format!("liftlock caller v1 {caller}"));
    let low = hash.hex().get(..DIGITS).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let id = NonZeroU64::MIN.saturating_add(FIRST | low.unwrap_or_default());
    let person = Person { id: UserId(id), login: caller.clone() };
    Standing { person, role: Role::Write, teams: BTreeSet::new(), kind: Account::Human }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b24_a_callers_number_is_its_own_and_no_hosts() {
        let id = |name: &str| standing(&name.parse().unwrap()).person.id.0.get();
        assert_eq!(id("portal"), id("portal"));
        assert_ne!(id("portal"), id("portal-2"));
        assert!((FIRST..=1 << 53).contains(&id("portal")));
    }

    #[test]
    fn b24_what_is_given_is_words_of_one_line() {
        let line = |name: &str, value: &str| {
            start_line("services", &BTreeMap::from([(name.to_owned(), value.to_owned())]))
        };
        assert_eq!(line("service", "a=b").as_deref(), Some("/start services service=a=b"));
        for (name, value) in [("s", ""), ("", "a"), ("s", "a b"), ("s", "a\n/approve prod"), ("s=", "a")] {
            assert_eq!(line(name, value), None, "{name} {value}");
        }
    }
}

//! What may be passed over, and what never is, whoever asks (SEMANTICS §7, THREATS T31).

use crate::domain::event::Overridable;

/// The waits of the engine's own that can be overridden; every other word is the name of a check.
pub const WAITS: &[Overridable] = &[
    Overridable::Soak,
    Overridable::Deps,
    Overridable::Window,
    Overridable::Freeze,
    Overridable::ApprovalTimeout,
];

/// What nobody may pass over, with the reason: a check cannot be called so.
pub const NEVER: &[(&str, &str)] = &[
    ("digest", "other bytes than the approved ones never start"),
    ("signature", "bytes that nobody vouches for never start"),
    ("contract", "what does not keep its contract is not a release"),
    ("lock", "two runs in one environment would undo each other"),
    ("self-approval", "who is left out of an approval is left out for everybody's safety"),
    ("approval", "only the stage's approvers approve"),
    ("approvals", "only the stage's approvers approve"),
    ("build", "there is nothing to deploy without its artifact"),
    ("tag", "a version means one commit for ever"),
    ("veto", "`/unhold` lifts a veto, where one can be lifted"),
    ("hold", "`/unhold` lifts a hold"),
];

/// The word cannot be overridden; why, when there is something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Never(pub Option<&'static str>);

/// What a word of `/override <stage> <check>` means, in small or capital letters. Whether a stage has a check of that
/// name, and whether it may be overridden, only the stage knows.
pub fn of_word(word: &str) -> Result<Overridable, Never> {
    let word = word.to_ascii_lowercase();
    if let Some((_, why)) = NEVER.iter().find(|(name, _)| *name == word) {
        return Err(Never(Some(why)));
    }
    let wait = WAITS.iter().find(|wait| wait.word() == word).cloned();
    wait.map_or_else(|| word.parse().map(Overridable::Check).map_err(|_| Never(None)), Ok)
}

impl Overridable {
    /// The word in `/override <stage> <check>`.
    pub fn word(&self) -> &str {
        match self {
            Self::Soak => "soak",
            Self::Deps => "deps",
            Self::Window => "window",
            Self::Freeze => "freeze",
            Self::ApprovalTimeout => "approval-timeout",
            Self::Check(name) => name.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t31_what_keeps_a_release_whole_is_never_overridden() {
        for (word, why) in NEVER {
            assert_eq!(of_word(word), Err(Never(Some(why))), "{word}");
            assert_eq!(of_word(&word.to_ascii_uppercase()), Err(Never(Some(why))), "{word}");
        }
        assert_eq!(of_word("*"), Err(Never(None)));
        for wait in WAITS {
            assert_eq!(of_word(wait.word()), Ok(wait.clone()));
        }
    }

    #[test]
    fn d11_a_check_is_overridden_by_its_name() {
        assert_eq!(of_word("SDL"), Ok(Overridable::Check("sdl".parse().unwrap())));
    }

    #[test]
    fn what_was_stored_before_checks_had_names_reads_the_same() {
        let stored = |text: &str| serde_json::from_str::<Overridable>(text).unwrap();
        assert_eq!(stored("\"soak\""), Overridable::Soak);
        assert_eq!(stored("\"deps\""), Overridable::Deps);
        assert_eq!(stored("{\"check\":\"sdl\"}"), Overridable::Check("sdl".parse().unwrap()));
        let window = serde_json::to_string(&Overridable::ApprovalTimeout).unwrap();
        assert_eq!(window, "\"approval_timeout\"");
    }
}

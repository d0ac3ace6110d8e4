//! The keys that say who approves: `teams`, and the rules of `approval` and `approvals`.

use crate::domain::manifest::approval;
use crate::domain::manifest::keys::{LOGIN, PLAIN, SPAN};
use crate::domain::manifest::shape::Duty::Optional;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};

/// Most approvals a rule may ask for; more people than ever watch one release.
pub(super) const MAX_APPROVALS: u32 = 20;

words! {
    TEAM = approval::check_team, Some("^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$");
    ANY_TEAM = approval::check_any_team,
        Some("^(?:[a-z][a-z0-9-]{0,30}|[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)$");
    TEAM_ALIAS = approval::check_alias, Some("^[a-z][a-z0-9-]{0,30}$");
    INSTRUCTIONS = approval::check_instructions, Some("\\S");
}

/// People in one word.
pub(super) static WHO: Word = Word { pattern: None, check: approval::check_who };
/// People in one word, or by a mapping.
pub(super) static WHO_ITEM: Shape = Shape::Any(&[Shape::Text(&WHO), Shape::Object(&WHO_OBJECT)]);
static REQUIREMENT: Shape = Shape::Any(&[Shape::Text(&WHO), Shape::Object(&REQUIREMENT_OBJECT)]);
static EXCLUSION: Shape = Shape::Choice(approval::EXCLUSIONS);
static TEAM_ITEM: Shape = Shape::Object(&TEAM_OBJECT);

/// A number of maintainers, or a rule.
pub(super) const RULE: Shape =
    Shape::Any(&[Shape::Count { min: 0, max: MAX_APPROVALS }, Shape::Object(&APPROVAL_OBJECT)]);
/// Teams by name.
pub(super) const TEAMS: Shape = Shape::Map { key: &TEAM_ALIAS, value: &TEAM_ITEM };

keys! { TEAM_KEYS {
    "team" Optional, Shape::Text(&TEAM), "The members of the host's team `org/slug`.";
    "users" Optional, Shape::List(&Shape::Text(&LOGIN)), "These persons.";
} }
static TEAM_OBJECT: Object =
    Object { what: "a team", keys: &[TEAM_KEYS], one_of: &["team", "users"], ..PLAIN };

keys! { APPROVALS_KEYS {
    "pre" Optional, RULE, "How many approve before the deploy, or a rule; the same as `approval`.";
} }
/// The rules around a stage.
pub(super) static APPROVALS_OBJECT: Object =
    Object { what: "`approvals`", keys: &[APPROVALS_KEYS], later: &["post"], ..PLAIN };

keys! { APPROVAL_KEYS {
    "min" Optional, Shape::Count { min: 1, max: MAX_APPROVALS }, "How many different people.";
    "from" Optional, Shape::Any(&[Shape::Text(&WHO), Shape::List(&WHO_ITEM)]),
        "Who counts: a role, a team `org/slug`, the name of a team, a person `@login`.";
    "require" Optional, Shape::List(&REQUIREMENT), "Groups that must each give so many.";
    "exclude" Optional, Shape::Any(&[Shape::Choice(approval::EXCLUSIONS), Shape::List(&EXCLUSION)]), "Who never counts.";
    "distinct" Optional, Shape::Flag, "Whether one person serves only one entry of `require`.";
    "timeout" Optional, Shape::Text(&SPAN), "How long the stage waits before it is rejected.";
    "valid_for" Optional, Shape::Text(&SPAN), "How long an approval counts.";
    "bind" Optional, Shape::Choice(approval::BINDS), "What is approved: the digest, or the version too.";
    "instructions" Optional, Shape::Text(&INSTRUCTIONS), "What to do before answering, shown in the request.";
} }
static APPROVAL_OBJECT: Object =
    Object { what: "`approval`", keys: &[APPROVAL_KEYS], later: &["reuse_from"], ..PLAIN };

keys! { WHO_KEYS {
    "role" Optional, Shape::Choice(approval::ROLES), "Everyone with at least this role.";
    "team" Optional, Shape::Text(&ANY_TEAM), "The members of a team: `org/slug`, or a name in `teams`.";
    "user" Optional, Shape::Text(&LOGIN), "One person.";
    "users" Optional, Shape::List(&Shape::Text(&LOGIN)), "Several persons.";
} }
static WHO_OBJECT: Object = Object {
    what: "an entry of `from`",
    keys: &[WHO_KEYS],
    one_of: &["role", "team", "user", "users"],
    ..PLAIN
};

keys! { REQUIREMENT_KEYS {
    "role" Optional, Shape::Choice(approval::ROLES), "Everyone with at least this role.";
    "team" Optional, Shape::Text(&ANY_TEAM), "The members of a team: `org/slug`, or a name in `teams`.";
    "user" Optional, Shape::Text(&LOGIN), "One person.";
    "users" Optional, Shape::List(&Shape::Text(&LOGIN)), "Any of these persons.";
    "min" Optional, Shape::Count { min: 1, max: MAX_APPROVALS }, "How many of them.";
} }
static REQUIREMENT_OBJECT: Object = Object {
    what: "an entry of `require`",
    keys: &[REQUIREMENT_KEYS],
    one_of: &["role", "team", "user", "users"],
    ..PLAIN
};

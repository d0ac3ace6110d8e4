//! The keys of a check that asks the outside world without running a command.

use crate::domain::manifest::keys::{ADDRESS, LINE, PLAIN};
use crate::domain::manifest::shape::Duty::Optional;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::manifest::{approval, probe};

/// Most issues a check may let pass; with more nobody reads the list.
const MAX_ISSUES: u32 = 10_000;

/// What kinds of questions there are; a check has one of these keys.
pub(in crate::domain::manifest) const PROBE_KINDS: &[&str] =
    &["http", "status", "checks", "issues", "metric", "wait_for"];

static CONDITION: Word =
    Word { pattern: Some("^\\s*(?:[<>]=?|[=!]=)\\s*[0-9.eE+-]+\\s*$"), check: probe::check_condition };
static LOGIN: Word = Word { pattern: None, check: approval::check_login };
static CODE: Shape = Shape::Count { min: 100, max: 599 };
const APP: Shape = Shape::Count { min: 1, max: u32::MAX };

keys! { pub(in crate::domain::manifest) PROBE_KEYS {
    "http" Optional, Shape::Text(&ADDRESS), "An address that answers as it should.";
    "method" Optional, Shape::Choice(&["GET", "HEAD"]), "How the address is asked.";
    "expect" Optional, Shape::Any(&[Shape::Count { min: 100, max: 599 }, Shape::List(&CODE)]),
        "The answer's status, or several; 200 by default. Redirects are not followed.";
    "body_contains" Optional, Shape::Text(&LINE), "A text in the first 64 KiB of the answer.";
    "status" Optional, Shape::Text(&LINE), "Another system's commit status that is green.";
    "by" Optional, Shape::Text(&LOGIN), "The only account whose status counts, `ci[bot]` for an app.";
    "checks" Optional, Shape::Text(&LINE), "Another app's check run that is green.";
    "app" Optional, APP, "The number of the app whose check run counts.";
    "issues" Optional, Shape::Text(&LINE), "A search for issues, in the host's own words.";
    "max" Optional, Shape::Count { min: 0, max: MAX_ISSUES }, "At most so many issues match; none by default.";
    "metric" Optional, Shape::Text(&LINE), "A Prometheus query.";
    "server" Optional, Shape::Text(&ADDRESS), "The Prometheus server's address.";
    "pass" Optional, Shape::Text(&CONDITION), "What every value must satisfy: `< 0.01`.";
    "wait_for" Optional, Shape::Object(&AWAITED_OBJECT), "Something another system reports when it is done.";
} }

keys! { AWAITED_KEYS {
    "status" Optional, Shape::Text(&LINE), "A commit status.";
    "by" Optional, Shape::Text(&LOGIN), "The only account whose status counts, `ci[bot]` for an app.";
    "checks" Optional, Shape::Text(&LINE), "A check run.";
    "app" Optional, APP, "The number of the app whose check run counts.";
} }
static AWAITED_OBJECT: Object =
    Object { what: "`wait_for`", keys: &[AWAITED_KEYS], one_of: &["status", "checks"], ..PLAIN };

/// A check that is nothing but a question.
pub(in crate::domain::manifest) static PROBE_OBJECT: Object =
    Object { what: "a probe", keys: &[PROBE_KEYS], one_of: PROBE_KINDS, ..PLAIN };

//! The keys of `windows`.

use crate::domain::manifest::shape::Duty::{Optional, Required};
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::manifest::window::{check_clock, check_date_or_clock};
use crate::domain::window::{Weekday, Zone};

use super::{LINE, PLAIN, SPAN, parses};

words! {
    ZONE = parses::<Zone>, Some("^[A-Za-z][A-Za-z0-9_+/-]*$");
    CLOCK = check_clock, Some("^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$");
    DATE_OR_CLOCK = check_date_or_clock,
        Some("^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00|[0-9]{4}-[0-9]{2}-[0-9]{2})$");
}

static ALLOWED: Shape = Shape::Object(&ALLOW_OBJECT);
static DENIED: Shape = Shape::Object(&DENY_OBJECT);
static WEEKDAY: Shape = Shape::Choice(Weekday::WORDS);
static KIND: Shape = Shape::Choice(&["rollback"]);

const DAYS: Shape = Shape::Any(&[Shape::Choice(Weekday::WORDS), Shape::List(&WEEKDAY)]);

keys! { WINDOWS_KEYS {
    "tz" Required, Shape::Text(&ZONE), "The time zone of all times here, by its IANA name.";
    "allow" Optional, Shape::List(&ALLOWED), "Hours in which the stage may start; always when absent.";
    "deny" Optional, Shape::List(&DENIED), "Days or hours in which it may not, whatever is allowed.";
    "must_finish" Optional, Shape::Flag, "Whether it only starts when it is expected to end before the window does.";
    "timeout" Optional, Shape::Text(&SPAN), "How long a release waits for its window before it is rejected.";
    "ignore_for" Optional, Shape::List(&KIND), "What does not wait for windows and freezes; rollbacks by default.";
} }
pub(super) static WINDOWS_OBJECT: Object = Object { what: "`windows`", keys: &[WINDOWS_KEYS], ..PLAIN };

keys! { ALLOW_KEYS {
    "name" Optional, Shape::Text(&LINE), "What people call it.";
    "days" Required, DAYS, "The days it starts on.";
    "from" Required, Shape::Text(&CLOCK), "The first minute.";
    "to" Required, Shape::Text(&CLOCK), "The minute it has ended by; before `from` means the next day.";
} }
static ALLOW_OBJECT: Object = Object { what: "an entry of `allow`", keys: &[ALLOW_KEYS], ..PLAIN };

keys! { DENY_KEYS {
    "name" Optional, Shape::Text(&LINE), "What people call it.";
    "days" Optional, DAYS, "The days of every week it starts on.";
    "from" Required, Shape::Text(&DATE_OR_CLOCK), "The first day, or with `days` the first minute.";
    "to" Required, Shape::Text(&DATE_OR_CLOCK), "The day, or with `days` the minute, it has ended by.";
} }
static DENY_OBJECT: Object = Object { what: "an entry of `deny`", keys: &[DENY_KEYS], ..PLAIN };

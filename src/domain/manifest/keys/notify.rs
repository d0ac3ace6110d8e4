//! The keys of `notify`.

use super::{Optional, PLAIN, Required};
use crate::domain::manifest::notify;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::notice::{Audience, Topic};

words! {
    ROUTE = notify::check_route, Some("^(?:issue|(?:slack|mail|webhook):#?[A-Za-z0-9][A-Za-z0-9._-]{0,79})$");
}

static TOPIC: Shape = Shape::Choice(Topic::WORDS);

keys! { NOTIFY_KEYS {
    "to" Required, Shape::Text(&ROUTE), "`slack:<name>`, `mail:<name>` or `webhook:<name>` of the server's config, or `issue`.";
    "events" Required, Shape::List(&TOPIC), "What it is told of.";
    "audience" Optional, Shape::Choice(Audience::WORDS), "In whose words; those of release managers by default.";
} }
static ENTRY: Object = Object { what: "an entry of `notify`", keys: &[NOTIFY_KEYS], ..PLAIN };
static ITEM: Shape = Shape::Object(&ENTRY);

/// Who is told of what.
pub(super) const NOTIFY: Shape = Shape::List(&ITEM);

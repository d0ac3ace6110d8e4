//! The keys of a release's name and version.

use super::{Optional, PATH, PLAIN};
use crate::domain::manifest::release;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};

static TEMPLATE: Word = Word { pattern: Some("."), check: release::check_template };

keys! { RELEASE_KEYS {
    "name" Optional, Shape::Text(&TEMPLATE),
        "What people call it, for example `$(prefix).Framework $(Build.BuildNumber)_$(Rev:r)`.";
    "version" Optional, Shape::Text(&TEMPLATE), "Its version and tag, for example `8.0.$(Rev:r)`.";
    "kind" Optional, Shape::Choice(&["deploy", "publish"]),
        "What releasing means: `deploy` to systems of your own, or `publish` to others, which is not taken back.";
    "notes" Optional, Shape::Object(&NOTES), "How its notes are made.";
} }

keys! { NOTES_KEYS {
    "from" Optional, Shape::Choice(&["commits", "pull_requests"]), "What they list; `commits` by default.";
    "template" Optional, Shape::Text(&PATH), "A file of the repository with a template (Jinja) in place of ours.";
} }
static NOTES: Object = Object { what: "`notes`", keys: &[NOTES_KEYS], ..PLAIN };

/// What releases are called.
pub(super) static RELEASE: Object =
    Object { what: "`release`", keys: &[RELEASE_KEYS], later: &["tz"], ..PLAIN };

//! The keys of `triggers` and of `artifacts`: what starts a release, and what it is made of.

use crate::domain::manifest::image;
use crate::domain::manifest::shape::Duty::{Optional, Required};
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::manifest::trigger::check_from;
use crate::domain::manifest::workflow;

use super::{
    ALIAS, LEFT_BEHIND, LINE, PATTERN, PIPELINE_NAME, PLAIN, SOAK, SPAN, STAGE_NAME, channel, runbook, window,
};

words! {
    LEFT = workflow::check_name, Some("^[^\":<>|*?\\\\/\\x00-\\x1f]+$");
    IMAGE = image::check_name, Some("^(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/)?[a-z0-9][a-z0-9._/-]*$");
    FROM = check_from, Some("^(?:build/[A-Za-z0-9]|upload$|actions/[A-Za-z0-9._-]+\\.ya?ml$|git\\+(?:https|ssh)://.+/.+@.)");
}

static PIPELINE: Shape = Shape::Text(&PIPELINE_NAME);

keys! { TRIGGERS_KEYS {
    "push" Optional, Shape::Any(&[Shape::Object(&PUSH_OBJECT), Shape::Empty]), "Pushes to these branches that change these paths.";
    "tags" Optional, Shape::List(&Shape::Text(&PATTERN)), "Pushed tags that match one of these.";
    "pull_request" Optional, Shape::Any(&[Shape::Object(&PULL_REQUEST_OBJECT), Shape::Empty]), "Pull requests get a quality build.";
    "button" Optional, Shape::Any(&[Shape::Object(&BUTTON_OBJECT), Shape::Empty]), "Somebody starts it: by page, command line, API or `/start`.";
    "schedule" Optional, Shape::List(&TIMED), "Times at which the head of the branch is released, when it has changed.";
    "builds" Optional, Shape::Object(&BUILDS_OBJECT), "Builds of other pipelines of this file make a release.";
} }
pub(super) static TRIGGERS_OBJECT: Object =
    Object { what: "`triggers`", keys: &[TRIGGERS_KEYS], later: &[], ..PLAIN };

keys! { PUSH_KEYS {
    "branches" Optional, Shape::List(&Shape::Text(&PATTERN)), "Branch patterns; the default branch when absent.";
    "paths" Optional, Shape::List(&Shape::Text(&PATTERN)), "Path patterns, `!` excludes, the last match wins.";
} }
static PUSH_OBJECT: Object = Object { what: "`push`", keys: &[PUSH_KEYS], ..PLAIN };

keys! { PULL_REQUEST_KEYS {
    "paths" Optional, Shape::List(&Shape::Text(&PATTERN)), "Path patterns as for `push`.";
    "stages" Optional, Shape::NoItems("stages for pull requests"), "Empty: pull requests are built, not deployed.";
} }
static PULL_REQUEST_OBJECT: Object = Object { what: "`pull_request`", keys: &[PULL_REQUEST_KEYS], ..PLAIN };

keys! { BUTTON_KEYS {
    "title" Optional, Shape::Text(&LINE), "What the button says.";
    "inputs" Optional, runbook::INPUTS, "What may be given, by name; `$(name)` is the value.";
    "per" Optional, Shape::Text(&runbook::INPUT_NAME), "An input that is `required`: releases of different values are deployed side by side, and have nothing to do with one another.";
} }
static BUTTON_OBJECT: Object = Object { what: "`button`", keys: &[BUTTON_KEYS], ..PLAIN };

keys! { TIMED_KEYS {
    "cron" Required, Shape::Text(&LINE), "Minute, hour, day, month and weekday, as in `0 16 * * tue`.";
    "tz" Required, Shape::Text(&window::ZONE), "The time zone, by its IANA name.";
    "channel" Optional, Shape::Text(&channel::NAME), "The channel of the releases, one of `channels`.";
} }
static TIMED_OBJECT: Object = Object { what: "an entry of `schedule`", keys: &[TIMED_KEYS], ..PLAIN };
static TIMED: Shape = Shape::Object(&TIMED_OBJECT);

keys! { TRAIN_KEYS {
    "cron" Required, Shape::Text(&LINE), "Minute, hour, day, month and weekday, as in `0 16 * * tue`.";
    "tz" Required, Shape::Text(&window::ZONE), "The time zone, by its IANA name.";
    "from" Required, Shape::Text(&STAGE_NAME), "The stage whose newest success is taken along.";
    "cut_off" Optional, Shape::Text(&SPAN), "How long before a departure it is settled what it takes along: what succeeds later waits for the next one.";
    "if_changed" Optional, Shape::Flag, "Whether it leaves without what is there already; `true` by default.";
} }
pub(super) static TRAIN_OBJECT: Object =
    Object { what: "`schedule` of a stage", keys: &[TRAIN_KEYS], ..PLAIN };

keys! { BUILDS_KEYS {
    "any" Optional, Shape::List(&PIPELINE), "Pipelines of which each build makes a release, with the last of the others.";
    "all" Optional, Shape::List(&PIPELINE), "Pipelines of which all builds make one release.";
    "join" Optional, Shape::Choice(&["commit", "newest"]), "Whether `all` waits for those of one commit, or for a new one of each.";
    "settle" Optional, Shape::Text(&SOAK), "How long builds that end one after the other still go into one release: `2m` for `any`.";
} }
static BUILDS_OBJECT: Object =
    Object { what: "`builds`", keys: &[BUILDS_KEYS], one_of: &["any", "all"], ..PLAIN };

keys! { ARTIFACT_KEYS {
    "alias" Optional, Shape::Text(&ALIAS), "Its name in the release; the last part of the path by default.";
    "path" Optional, Shape::Text(&LEFT_BEHIND), "A folder or file the build leaves behind, or the other pipeline's did; `drop/**` is the folder `drop`.";
    "from" Optional, Shape::Text(&FROM), "`build/<pipeline>`: what a build of another pipeline left, as it is; `upload`: what is handed in by API; `actions/<file>`: what a workflow of GitHub's own CI left; `git+https://host/path@branch`: the tree of another repository.";
    "artifact" Optional, Shape::Text(&LEFT), "What the workflow calls it; the alias by default.";
    "primary" Optional, Shape::Flag, "Whether it speaks for the release: its digest is shown, and deploy steps start in it; at most one does.";
    "shipping" Optional, Shape::Flag, "`false` for what goes to nobody outside: it is in no list of checksums, and is published only where a step names it.";
    "kind" Optional, Shape::Choice(&["files", "image", "source"]), "`image` for an OCI layout that goes to registries, `source` for the tree of another repository.";
    "image" Optional, Shape::Text(&IMAGE), "What the image is called in registries: `acme/sdk` in that of each environment, `ghcr.io/acme/sdk` in that one.";
} }
pub(super) static ARTIFACT_OBJECT: Object = Object { what: "an artifact", keys: &[ARTIFACT_KEYS], ..PLAIN };

//! The keys of `checks`, `verify` and `gates`.

use super::probe::PROBE_KEYS;
use super::{CHECK_NAME, COMMAND, PLAIN, SOAK, SPAN, any_span, positive_span};
use crate::domain::manifest::shape::Duty::{Optional, Required};
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::time::Span;

/// Most samples in a row that may be asked for, and bad ones forgiven: beyond, `every` is the key to turn.
const MAX_SAMPLES: u32 = 100;
/// Shortest time between two samples (SEMANTICS §5).
const SHORTEST_PACE: Span = Span::minutes(1);
/// Longest time before the first sample (SEMANTICS §5).
const LONGEST_DELAY: Span = Span::hours(48);

fn pace(text: &str) -> Result<(), String> {
    positive_span(text)?;
    match text.parse::<Span>() {
        Ok(span) if span < SHORTEST_PACE => Err(format!("samples are at least {SHORTEST_PACE} apart")),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn delay(text: &str) -> Result<(), String> {
    any_span(text)?;
    match text.parse::<Span>() {
        Ok(span) if span > LONGEST_DELAY => Err(format!("the time is at most {LONGEST_DELAY}")),
        Ok(_) | Err(_) => Ok(()),
    }
}

static PACE: Word = Word { pattern: SPAN.pattern, check: pace };
static DELAY: Word = Word { pattern: SPAN.pattern, check: delay };
static CHECK_REF: Shape = Shape::Text(&CHECK_NAME);

const SAMPLES: Shape = Shape::Count { min: 1, max: MAX_SAMPLES };
const NAMES: Shape = Shape::List(&CHECK_REF);
const ON_TIMEOUT: Shape = Shape::Choice(&["reject", "pause", "continue"]);

keys! { CACHE_KEYS {
    "by" Required, Shape::Choice(&["artifacts"]), "For every release with the same sealed bytes; of a command also the same tree, variables and names of secrets.";
    "max_age" Required, Shape::Text(&SPAN), "How long the answer holds from when it was given: `7d`.";
} }
static CACHE_OBJECT: Object = Object { what: "`cache`", keys: &[CACHE_KEYS], ..PLAIN };

keys! { pub(in crate::domain::manifest) CHECK_KEYS {
    "run" Optional, Shape::Text(&COMMAND),
        "A text for `/bin/sh -e`: exit 0 is good, 75 means that nobody can tell, and anything else is bad.";
    "uses" Optional, Shape::Choice(&["asset", "binary", "checksum", "coherent", "packages", "signing", "sourcelink", "symbols"]),
        "A look at the artifacts that is built in; `verify` and `gates` may name these without declaring them, too.";
    "blocking" Optional, Shape::Flag, "Whether a bad answer keeps the stage; it does by default.";
    "overridable" Optional, Shape::Flag, "Whether `/override` may pass it; it may by default.";
    "each" Optional, Shape::Choice(&["component"]), "Asked once for every repository of the release, as `$REPO` and `$SHA`, with its tree in `$LIFTLOCK_TREE`.";
    "cache" Optional, Shape::Any(&[Shape::Choice(&["digest"]), Shape::Object(&CACHE_OBJECT)]), "A good answer holds: `digest` in all stages of the release, `{by: artifacts, max_age: 7d}` in later releases, too.";
    "every" Optional, Shape::Text(&PACE), "Time between two samples, at least `1m`; without, it is asked once.";
    "consecutive" Optional, SAMPLES, "How many good answers in a row it takes.";
    "delay" Optional, Shape::Text(&DELAY), "Time before the first sample, at most `48h`.";
    "timeout" Optional, Shape::Text(&SPAN), "How long a command may run, or samples are taken.";
    "on_timeout" Optional, ON_TIMEOUT, "What happens when samples were taken for that long.";
    "failure_limit" Optional, Shape::Count { min: 0, max: MAX_SAMPLES }, "So many bad answers are forgiven.";
} }

/// One check.
pub(in crate::domain::manifest) static CHECK_OBJECT: Object = Object {
    what: "a check",
    keys: &[CHECK_KEYS, PROBE_KEYS],
    one_of: &["run", "uses", "http", "status", "checks", "issues", "metric", "wait_for"],
    ..PLAIN
};

/// `checks`.
pub(in crate::domain::manifest) static CHECK: Shape = Shape::Object(&CHECK_OBJECT);

keys! { VERIFY_KEYS {
    "parallel" Optional, NAMES, "Checks that are asked at once.";
    "then" Optional, NAMES, "Checks that follow one after another, once all of `parallel` are good.";
} }
static VERIFY_OBJECT: Object = Object { what: "`verify`", keys: &[VERIFY_KEYS], ..PLAIN };

/// `verify`.
pub(in crate::domain::manifest) const VERIFY: Shape =
    Shape::Any(&[Shape::Text(&CHECK_NAME), NAMES, Shape::Object(&VERIFY_OBJECT)]);

keys! { GATES_KEYS {
    "pre" Optional, NAMES, "Checks that are sampled before the stage starts.";
    "post" Optional, NAMES, "Checks that are sampled after its deploy and its `verify`.";
    "delay" Optional, Shape::Text(&DELAY), "Time before the first sample of a side, at most `48h`.";
    "every" Optional, Shape::Text(&PACE), "Time between two samples, at least `1m`.";
    "timeout" Optional, Shape::Text(&SPAN), "How long a side is sampled; `24h` by default.";
    "consecutive" Optional, SAMPLES, "How many samples in a row must be good.";
    "on_timeout" Optional, ON_TIMEOUT, "What happens when a side was sampled for that long.";
    "order" Optional, Shape::Choice(&["sequential", "parallel"]), "Whether gates wait for approvals, or both are asked at once; gates that are commands always wait, since they get the stage's secrets.";
    "watch" Optional, Shape::Text(&SOAK), "How long the gates of `post` are sampled further once the release is live.";
} }

/// `gates`.
pub(in crate::domain::manifest) static GATES_OBJECT: Object =
    Object { what: "`gates`", keys: &[GATES_KEYS], ..PLAIN };

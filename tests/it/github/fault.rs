//! What may go wrong on the way: one fault per matching request, as often as the test says.

use std::sync::Arc;

use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// What happens in place of, or after, the proper answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This answer; nothing is applied.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: Value },
    /// The connection breaks before anything is applied.
    DropBefore,
    /// The call is applied and the connection breaks before the answer.
    DropAfter,
    /// The call waits for a permit of the test's before it is applied.
    Held(Arc<Semaphore>),
}

/// A fault and the requests it is for.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) method: Method,
    /// The path contains this.
    pub(crate) path: String,
    pub(crate) times: usize,
    pub(crate) fault: Fault,
}

impl Fault {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: json!({"message": "Server Error"}) }
    }

    /// A secondary limit that comes without any header, as GitHub sends it.
    pub(crate) fn secondary_limit() -> Self {
        let body = json!({"message": "You have exceeded a secondary rate limit. Please wait a few minutes."});
        Self::Answer { status: 403, headers: Vec::new(), body }
    }

    pub(crate) fn with_header(status: u16, name: &'static str, value: impl Into<String>) -> Self {
        Self::Answer { status, headers: vec![(name, value.into())], body: json!({"message": "see headers"}) }
    }
}

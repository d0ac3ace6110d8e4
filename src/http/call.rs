//! The door for programs that sign what they ask for: a call starts the pipeline of its address, once (CHECKLIST B24).

use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use tokio::time::sleep;

use crate::config::caller::Caller;
use crate::domain::name::PipelineId;
use crate::domain::time::{Span, Timestamp};
use crate::forge::signature;
use crate::http::State;
use crate::http::api::Reply;
use crate::http::body::{self, Bounds, Held};
use crate::http::error::{Fault, Why};
use crate::http::extract::At;
use crate::http::typed::Says as _;
use crate::http::webhook::{one, outcome};
use crate::service::call::{Addressed, Given, SOURCE, START, start_line};
use crate::store::delivery::{DeliveryState, NewDelivery, Put};

/// Who calls.
const CALLER: &str = "X-Liftlock-Caller";
/// When, in seconds since 1970.
const TIMESTAMP: &str = "X-Liftlock-Timestamp";
/// `sha256=` and the hex digits of the HMAC.
const SIGNATURE: &str = "X-Liftlock-Signature";
/// How far a caller's clock may be from ours: machines without a time server are minutes off, and a call that
/// somebody wrote down is worth nothing after that.
const WINDOW: Span = Span::minutes(5);
/// Looks at what becomes of a call before it is answered without: five seconds, since a worker takes milliseconds and
/// nobody waits for long.
const LOOKS: usize = 100;
/// Between two of them.
const LOOK_AGAIN: Span = Span::millis(50);

/// A call as it was sent.
struct Call<'a> {
    caller: &'a str,
    at: &'a str,
    signature: &'a str,
    /// Its address, as it was asked for.
    target: &'a str,
    body: &'a [u8],
}

/// Why a call does not count.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// No caller that is known here signed this: which part of it is wrong is nobody's business.
    Unsigned,
    /// It is signed, and its time is none.
    NoTime,
    /// It is signed, and its time is too far from this.
    Elsewhen(Timestamp),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        let said = match refused {
            Refused::Unsigned => {
                "No caller that is known here signed this. Sign the time, the address and the body with the caller's \
                 secret, as docs/start.md says."
                    .to_owned()
            }
            Refused::NoTime => format!("`{TIMESTAMP}` is whole seconds since 1970, as `date +%s` prints them."),
            Refused::Elsewhen(now) => format!(
                "It is {} here, and the call is of another time: {} minutes before and after are taken. Set the \
                 caller's clock and sign the call again.",
                now.rfc3339(),
                WINDOW.as_millis() / Span::minutes(1).as_millis(),
            ),
        };
        Self { said: Some(said.into()), ..Self::new(Why::Unsigned) }
    }
}

/// Whose call it is, when it counts now.
///
/// Neither a header nor an address has a line's end in it, so the parts of what is signed are told apart. Every secret
/// of every caller is tried, so that the time tells neither who is known here nor which secret it was.
fn check<'a>(callers: &'a [Caller], call: &Call<'_>, now: Timestamp) -> Result<&'a Caller, Refused> {
    let mut signed = format!("{}\nPOST {}\n", call.at, call.target).into_bytes();
    signed.extend_from_slice(call.body);
    let found = callers.iter().fold(None, |found, caller| {
        let secrets: Vec<&[u8]> = caller.secrets.iter().map(|secret| secret.expose().as_bytes()).collect();
        let good = signature::verify(&secrets, &[call.signature.as_bytes()], &signed).is_ok();
        found.or((good && caller.name.as_str() == call.caller).then_some(caller))
    });
    let caller = found.ok_or(Refused::Unsigned)?;
    let seconds = call.at.parse::<i64>().map_err(|_| Refused::NoTime)?;
    let away = now.0.abs_diff(seconds.saturating_mul(1000));
    if away > WINDOW.as_millis() { Err(Refused::Elsewhen(now)) } else { Ok(caller) }
}

/// `POST /webhook/start/{repo}/{pipeline}`.
pub(super) async fn start(
    state: extract::State<State>,
    At((repo, pipeline)): At<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let began = crate::clock::monotonic();
    let taken = take(&state, &format!("{repo}/{pipeline}"), (&uri, &headers), body).await;
    state.metrics().delivery(SOURCE, outcome(&taken), began.elapsed());
    match taken? {
        Put::Stored(seq) => {
            let text = format!("Taken as delivery {seq}; a release is being made.");
            answer(&state, seq, (StatusCode::ACCEPTED, text)).await
        }
        Put::Duplicate(seq) => {
            let text = format!("This call was taken before, as delivery {seq}; nothing was started again.");
            answer(&state, seq, (StatusCode::OK, text)).await
        }
        Put::Clash => Err(Fault::new(Why::Conflict)),
    }
}

async fn take(
    state: &State,
    stream: &str,
    (uri, headers): (&Uri, &HeaderMap),
    body: Body,
) -> Result<Put, Fault> {
    let limits = state.limits();
    let bounds = Bounds { bytes: limits.body, within: limits.request_within };
    let held = body::read(headers, body, bounds, state.budget()).await?;
    let header = |name: &str| one(headers, name).map(Option::unwrap_or_default);
    let call = Call {
        caller: header(CALLER)?,
        at: header(TIMESTAMP)?,
        signature: header(SIGNATURE)?,
        target: uri.path_and_query().map_or_else(|| uri.path(), |target| target.as_str()),
        body: &held.bytes,
    };
    let caller = check(state.callers(), &call, state.now()).inspect_err(|refused| {
        tracing::warn!(source = SOURCE, ?refused, "a call was refused");
    })?;
    // Digits are read in either case, and are the same call then.
    let guid = call.signature.to_ascii_lowercase();
    let PipelineId { repo, name: pipeline } = startable(state, stream, caller).await?;
    put(state, (guid, Addressed { caller: caller.name.clone(), repo, pipeline }), held).await
}

/// The pipeline, when the caller may start it.
async fn startable(state: &State, stream: &str, caller: &Caller) -> Result<PipelineId, Fault> {
    let id = stream.parse::<PipelineId>().ok();
    let row = state.store().pipeline(stream).await.map_err(|trouble| Fault::behind(&trouble))?;
    let (Some(id), Some(row)) = (id, row) else { return Err(Fault::new(Why::NotFound)) };
    if caller.may_start(&row.repo_name, &id.name) {
        return Ok(id);
    }
    let said = format!(
        "{} may not start {}:{}; its `allow` in the server's config says what it may.",
        caller.name, row.repo_name, id.name
    );
    Err(Fault { said: Some(said.into()), ..Fault::new(Why::Forbidden) })
}

async fn put(state: &State, (guid, addressed): (String, Addressed), mut held: Held) -> Result<Put, Fault> {
    let given: Given = serde_json::from_slice(&held.bytes)
        .map_err(|e| Fault::malformed(format!("The body cannot be read: {e}.")))?;
    if start_line(addressed.pipeline.as_str(), &given.inputs).is_none() {
        return Err(Fault::malformed("Give every input one word."));
    }
    let headers = serde_json::to_string(&addressed).map_err(|_| Fault::new(Why::Bug))?;
    let new = NewDelivery {
        source: SOURCE.to_owned(),
        guid,
        event: START.to_owned(),
        repo: None,
        headers,
        body: std::mem::take(&mut held.bytes),
        received_at: state.now(),
    };
    let _place = state.hook_place().await?;
    let outcome = state.store().put_delivery(new).await.map_err(|trouble| Fault::behind(&trouble));
    // Its share of the budget is held until the store has let go of the body.
    drop(held);
    outcome
}

/// What became of it: what is given is judged by the rules of the pipeline, and a worker asks them.
async fn answer(state: &State, seq: i64, (status, text): (StatusCode, String)) -> Result<Response, Fault> {
    for _ in 0..LOOKS {
        let delivery = state.store().delivery(seq).await.map_err(|trouble| Fault::behind(&trouble))?;
        match delivery.state {
            DeliveryState::New => sleep(LOOK_AGAIN.as_std()).await,
            DeliveryState::Done => return Ok(Reply { accepted: true, text }.answer(status)),
            DeliveryState::Ignored | DeliveryState::Poison => {
                let text = delivery.error.unwrap_or_default().said_as(state.prefix());
                return Ok(Reply { accepted: false, text }.answer(status));
            }
        }
    }
    let text = format!("Stored as delivery {seq}; what becomes of it is not known yet.");
    Ok(Reply { accepted: true, text }.answer(StatusCode::ACCEPTED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const AT: &str = "1800000000";
    const TARGET: &str = "/webhook/start/plain:shop/services";
    const BODY: &[u8] = br#"{"inputs": {"service": "checkout"}}"#;
    const SECRET: &str = "what the portal signs with";

    fn callers() -> Vec<Caller> {
        let caller = |name: &str, secrets: &[&str]| Caller {
            name: name.parse().unwrap(),
            secrets: secrets.iter().map(|secret| Secret::new(*secret)).collect(),
            allow: vec!["*:*/start".to_owned().try_into().unwrap()],
        };
        vec![
            caller("portal", &["what it will sign with", SECRET]),
            caller("robot", &["what the robot signs with"]),
        ]
    }

    fn signed(secret: &str, (at, target, body): (&str, &str, &[u8])) -> String {
        let text = [format!("{at}\nPOST {target}\n").as_bytes(), body].concat();
        signature::sign(secret.as_bytes(), &text).unwrap()
    }

    fn judged(
        caller: &str,
        signature: &str,
        (at, target, body): (&str, &str, &[u8]),
    ) -> Result<String, Refused> {
        let call = Call { caller, at, signature, target, body };
        check(&callers(), &call, NOW).map(|caller| caller.name.to_string())
    }

    #[test]
    fn b24_a_call_counts_for_whoever_signed_time_address_and_body() {
        let sent = (AT, TARGET, BODY);
        let right = signed(SECRET, sent);
        assert_eq!(judged("portal", &right, sent), Ok("portal".to_owned()));
        // The secret that takes the place of it.
        assert_eq!(judged("portal", &signed("what it will sign with", sent), sent), Ok("portal".to_owned()));
        for (caller, signature, sent) in [
            ("robot", right.as_str(), sent),
            ("nobody", &right, sent),
            ("", &right, sent),
            ("portal", &signed("what the robot signs with", sent), sent),
            ("portal", &signed("what nobody signs with", sent), sent),
            ("portal", "", sent),
            ("portal", "sha256=", sent),
            ("portal", right.trim_start_matches("sha256="), sent),
            ("portal", &right, ("1800000001", TARGET, BODY)),
            ("portal", &right, (AT, "/webhook/start/plain:shop/site", BODY)),
            ("portal", &right, (AT, "/webhook/start/plain:shop/services?", BODY)),
            ("portal", &right, (AT, TARGET, br#"{"inputs": {"service": "basket"}}"#)),
            ("portal", &right, (AT, TARGET, b"")),
        ] {
            assert_eq!(
                judged(caller, signature, sent),
                Err(Refused::Unsigned),
                "{caller} {signature} {sent:?}"
            );
        }
    }

    #[test]
    fn b24_a_call_of_another_time_does_not_count_whoever_signed_it() {
        let at = |at: &str| judged("portal", &signed(SECRET, (at, TARGET, BODY)), (at, TARGET, BODY));
        assert_eq!(at("1799999700"), Ok("portal".to_owned()));
        assert_eq!(at("1800000300"), Ok("portal".to_owned()));
        for far in ["1799999699", "1800000301", "0", "-1800000000", "9223372036854775807"] {
            assert_eq!(at(far), Err(Refused::Elsewhen(NOW)), "{far}");
        }
        for none in ["", "now", "1800000000.5", "99999999999999999999"] {
            assert_eq!(at(none), Err(Refused::NoTime), "{none}");
        }
        // Nobody learns that a time is wrong who cannot sign.
        assert_eq!(judged("portal", "sha256=00", ("0", TARGET, BODY)), Err(Refused::Unsigned));
    }
}

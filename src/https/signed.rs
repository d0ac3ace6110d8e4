//! Requests that prove where they come from, as Standard Webhooks 1.0.0 say: an id that stays the same over retries,
//! the time, and a signature over both and the body.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::header::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::domain::time::Timestamp;
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// What a key in the standard's own spelling begins with; the rest is base64.
const PREFIX: &str = "whsec_";

/// Headers of a request beside the usual ones.
pub type Headers = Vec<(HeaderName, HeaderValue)>;

/// The headers of a message; `id` is whatever makes it one message, however often it is sent.
pub fn headers((id, body): (&str, &str), key: Option<&Secret>, now: Timestamp) -> Outcome<Headers> {
    let id = format!("msg_{}", hex::encode(Sha256::digest(id.as_bytes())));
    let seconds = now.0.div_euclid(1_000).to_string();
    let mut headers = vec![("webhook-id", id.clone()), ("webhook-timestamp", seconds.clone())];
    if let Some(key) = key {
        headers.push(("webhook-signature", signature(key, (&id, &seconds, body))?));
    }
    let headers = headers.into_iter().map(|(name, value)| {
        let value =
            HeaderValue::from_str(&value).map_err(|e| Trouble::bug("write a webhook's header").because(e))?;
        Ok((HeaderName::from_static(name), value))
    });
    headers.collect()
}

fn signature(key: &Secret, (id, seconds, body): (&str, &str, &str)) -> Outcome<String> {
    let bytes = match key.expose().strip_prefix(PREFIX) {
        Some(text) => BASE64_STANDARD
            .decode(text)
            .map_err(|_| Trouble::refused("a webhook's key begins with `whsec_` and is not base64"))?,
        None => key.expose().as_bytes().to_vec(),
    };
    let mac = Hmac::<Sha256>::new_from_slice(&bytes);
    let mut mac = mac.map_err(|e| Trouble::bug("sign a webhook").because(e))?;
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    Ok(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own libraries.
    #[test]
    fn e06_the_signature_is_that_of_the_standard() {
        let key = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed =
            signature(&key, ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "{\"test\": 2432232314}"))
                .unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(signature(&Secret::new("whsec_?"), ("", "", "")).is_err());
    }

    #[test]
    fn a_message_that_is_sent_again_has_the_same_id() {
        let of = |id: &str, now| headers((id, "{}"), None, Timestamp(now)).unwrap();
        let id = |headers: &Headers| headers.iter().find(|(name, _)| name == "webhook-id").cloned();
        let (first, again) = (of("a", 1_000), of("a", 99_000));
        assert_eq!(id(&first), id(&again));
        assert_ne!(first, again, "the time is that of sending");
        assert_ne!(id(&of("b", 1_000)), id(&first));
    }
}

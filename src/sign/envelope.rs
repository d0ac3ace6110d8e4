//! Signed texts of a kind, so that no other kind can be taken for one: DSSE v1.0
//! (<https://github.com/secure-systems-lab/dsse>).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Kind, Public};
use crate::domain::evidence::pae;
use crate::domain::name::printable;

/// What Sigstore's tools read (<https://github.com/sigstore/protobuf-specs>, `sigstore_bundle.proto`).
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A signed text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

/// What is signed for a text.
pub(super) fn signed(kind: &str, payload: &[u8]) -> Vec<u8> {
    pae(kind, payload)
}

impl Envelope {
    pub(super) fn new(kind: &str, payload: &[u8], (keyid, signature): (String, &[u8])) -> Self {
        Self {
            payload_type: kind.to_owned(),
            payload: BASE64_STANDARD.encode(payload),
            signatures: vec![Signature { keyid, sig: BASE64_STANDARD.encode(signature) }],
        }
    }

    /// The name of the key that signed it, as it says itself.
    pub fn key(&self) -> &str {
        self.signatures.first().map_or("", |signature| &signature.keyid)
    }

    /// The same as a Sigstore bundle: no certificate and no public log, but the name of a key that its reader has.
    pub fn bundle(&self) -> Value {
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": self.key()}, "tlogEntries": []},
            "dsseEnvelope": self,
        })
    }

    /// The text and the one of these keys that signed it; the error is why it proves nothing.
    pub fn open<'k>(&self, kind: &str, keys: &'k [Public]) -> Result<(Vec<u8>, &'k Public), String> {
        if self.payload_type != kind {
            return Err(format!("it holds `{}`, not `{kind}`", printable(&self.payload_type)));
        }
        let payload =
            BASE64_STANDARD.decode(&self.payload).map_err(|_| "its text is not base64".to_owned())?;
        let text = signed(kind, &payload);
        let good = |signature: &Signature| {
            let bytes = BASE64_STANDARD.decode(&signature.sig).ok()?;
            // What a name says is a hint: each key is tried.
            let mut keys = keys.iter().filter(|key| key.kind == Kind::EcdsaP256);
            keys.find(|key| key.verifies(&text, &bytes))
        };
        let signer = self.signatures.iter().find_map(good);
        let signer = signer.ok_or("none of these keys signed it, or it was changed since")?;
        Ok((payload, signer))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Keys;
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn t45_what_was_changed_or_is_something_else_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::of_folder(folder.path(), Timestamp(1_000)).unwrap();
        let public = keys.public().unwrap();
        let envelope = keys.sign("text/plain", b"yes").unwrap();
        assert!(envelope.open("text/html", &public).is_err());
        let mut changed = envelope.clone();
        changed.payload = BASE64_STANDARD.encode(b"no!");
        assert!(changed.open("text/plain", &public).unwrap_err().contains("changed since"));
        let mut changed = envelope.clone();
        changed.signatures[0].sig = BASE64_STANDARD.encode(b"no");
        assert!(changed.open("text/plain", &public).is_err());
        changed.signatures.clear();
        assert!(changed.open("text/plain", &public).is_err());
    }
}

//! Tags of releases as git writes them, and where their signature stands.
//!
//! git signs the text of the tag's object up to the signature and puts that behind it, whoever makes it (its
//! `gitformat-signature`), so that any `git tag -v` checks it.

use serde::{Deserialize, Serialize};

use crate::domain::name::{CommitSha, ObjectId, RefName};
use crate::domain::time::Timestamp;

/// Who makes tags, as git records people.
pub const TAGGER: (&str, &str) = ("liftlock", "server@liftlock");

/// Who signs the tags of releases, the weaker first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignTags {
    /// Nobody.
    #[default]
    Never,
    /// The server, with the key that OpenSSH knows.
    Ssh,
}

impl SignTags {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde calls")]
    pub(in crate::domain) fn is_never(&self) -> bool {
        *self == Self::Never
    }
}

/// A tag as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagNow {
    /// The tag.
    pub tag: RefName,
    /// Where it points; nothing when it is gone.
    pub commit: Option<CommitSha>,
    /// What its name stands for, the object of an annotated tag, as far as that was looked at.
    pub object: Option<ObjectId>,
}

/// An annotated tag to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its name without `refs/tags/`.
    pub name: RefName,
    /// What it names for ever.
    pub commit: CommitSha,
    /// Its text.
    pub message: String,
    /// The signature; nothing for a tag that is not signed.
    pub signed: Option<Signed>,
}

/// The line that a signature begins with.
const SIGNATURE: &str = "-----BEGIN SSH SIGNATURE-----";

/// The text that a tag's signature is of, and the signature; nothing when the object of the tag has none.
pub fn signed_part(object: &str) -> Option<(&str, &str)> {
    let at = object.find(&format!("\n{SIGNATURE}"))?.checked_add(1)?;
    object.split_at_checked(at)
}

/// A signature of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The time that the tag says it was made at, in whole seconds.
    pub at: Timestamp,
    /// The signature, armored.
    pub signature: String,
}

impl Tag {
    /// What is signed: all that stands before the signature.
    pub fn payload(&self, at: Timestamp) -> String {
        let (name, email) = TAGGER;
        let second = at.0.div_euclid(1_000);
        let (commit, tag, message) = (&self.commit, &self.name, self.text());
        format!(
            "object {commit}\ntype commit\ntag {tag}\ntagger {name} <{email}> {second} +0000\n\n{message}"
        )
    }

    /// The message with the signature behind it, when it has one.
    pub fn message(&self) -> String {
        let signature = self.signed.as_ref().map_or("", |signed| signed.signature.as_str());
        format!("{}{signature}", self.text())
    }

    /// The whole object of a signed tag.
    pub fn object(&self) -> Option<String> {
        let signed = self.signed.as_ref()?;
        Some(self.payload(signed.at) + &signed.signature)
    }

    /// A signature begins on a line of its own.
    fn text(&self) -> String {
        let end = if self.message.ends_with('\n') { "" } else { "\n" };
        format!("{}{end}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d41_a_tag_is_signed_up_to_its_signature() {
        let (at, signature) = (Timestamp(1_700_000_000_000), format!("{SIGNATURE}\nAAAA\n"));
        let plain = Tag {
            name: "v1.2.0".parse().unwrap(),
            commit: "a".repeat(40).parse().unwrap(),
            message: format!("version 1.2.0, not {SIGNATURE}"),
            signed: None,
        };
        assert_eq!(signed_part(&plain.payload(at)), None, "words in a line are none");
        let signed = Tag { signed: Some(Signed { at, signature: signature.clone() }), ..plain };
        let object = signed.object().unwrap();
        assert_eq!(signed_part(&object), Some((signed.payload(at).as_str(), signature.as_str())));
    }
}

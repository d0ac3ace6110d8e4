//! Images: what one is called in a registry, and the digest that makes it one image wherever it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::name::{Digest, printable};
use crate::domain::version::Version;

/// Longest name; registries take 255 with their own address in front.
const MAX_NAME_BYTES: usize = 200;
/// Longest tag that registries take.
const MAX_TAG_CHARS: usize = 128;

/// The name of an image without tag and digest: `acme/sdk` in whatever registry an environment has, or
/// `ghcr.io/acme/sdk` in that one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName {
    host: Option<String>,
    path: String,
}

/// An image that a release has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// What it is called.
    pub name: ImageName,
    /// The digest of its manifest: a registry with the same digest has the same bytes.
    pub manifest: Digest,
}

/// An image that commands run in: in a registry, at a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Base {
    /// What it is called, with its registry.
    pub name: ImageName,
    /// What it is.
    pub digest: Digest,
}

impl Base {
    /// The image that a build names, when it is one that can be run in: other texts are names of a hosted service.
    pub fn of(text: &str) -> Option<Self> {
        let (name, digest) = text.split_once('@')?;
        let name: ImageName = name.parse().ok()?;
        name.host()?;
        Some(Self { name, digest: digest.parse().ok()? })
    }
}

impl TryFrom<String> for Base {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::of(&text).ok_or_else(|| {
            format!(
                "`{}` is not an image of a registry at its digest: `host/name@sha256:…`",
                printable(&text)
            )
        })
    }
}

impl From<Base> for String {
    fn from(base: Base) -> Self {
        base.to_string()
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.digest)
    }
}

impl ImageName {
    /// The registry it belongs to, when it names one.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Its path in a registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same in whatever registry it is put.
    #[must_use]
    pub fn here(&self) -> Self {
        Self { host: None, path: self.path.clone() }
    }
}

impl FromStr for ImageName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("`{}` is not the name of an image: {why}", printable(text)));
        if text.contains('@') || text.rsplit('/').next().is_some_and(|last| last.contains(':')) {
            return refuse("it has neither tag nor digest; it is pushed under the release's version");
        }
        let (host, path) = match text.split_once('/') {
            Some((first, rest)) if names_registry(first) => (Some(first.to_owned()), rest),
            Some(_) | None => (None, text),
        };
        if text.len() > MAX_NAME_BYTES || !path.split('/').all(is_part) {
            return refuse("write `acme/sdk` or `ghcr.io/acme/sdk`, in small letters");
        }
        if host.as_deref().is_some_and(|host| !is_host(host)) {
            return refuse("its registry is a host name and maybe a port");
        }
        Ok(Self { host, path: path.to_owned() })
    }
}

/// Whether the first part of a name is a registry's, as every tool of the field reads it.
pub fn names_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

/// A host name and maybe a port.
pub fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.chars().all(inside)
        && port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// One part of a path in a registry.
pub fn is_part(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(word) && text.ends_with(word) && text.chars().all(|c| word(c) || "._-".contains(c))
}

/// The tag that a release's image is pushed under; it is for people, everything else goes by digest.
pub fn tag_of(version: &Version) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    version.to_string().chars().map(allowed).take(MAX_TAG_CHARS).collect()
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}/{}", self.path),
            None => f.write_str(&self.path),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.manifest)
    }
}

impl TryFrom<String> for ImageName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b17_an_image_is_named_without_tag_and_digest() {
        let host = |text: &str| text.parse::<ImageName>().map(|name| name.host().map(str::to_owned));
        assert_eq!(host("ghcr.io/acme/sdk").unwrap().as_deref(), Some("ghcr.io"));
        assert_eq!(host("localhost:5000/sdk").unwrap().as_deref(), Some("localhost:5000"));
        assert_eq!(host("acme/sdk").unwrap(), None);
        for wrong in [
            "",
            "acme/sdk:1",
            "acme/sdk@sha256:00",
            "Acme/sdk",
            "acme//sdk",
            "../sdk",
            "-x/y",
            "acme/sdk ",
            "ghcr.io/",
            "gh_cr.io/acme/sdk",
            "ghcr.io:x/acme",
            "https://ghcr.io/acme/sdk",
        ] {
            assert!(wrong.parse::<ImageName>().is_err(), "{wrong}");
        }
        let name: ImageName = serde_json::from_str("\"ghcr.io/acme/sdk\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"ghcr.io/acme/sdk\"");
        let digest = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(Base::of(&format!("ghcr.io/acme/sdk@{digest}")).unwrap().digest.as_str(), digest);
        for shown in ["rust:1.95", "ghcr.io/acme/sdk:1", "aws/codebuild/x:5.0", &format!("acme/sdk@{digest}")]
        {
            assert_eq!(Base::of(shown), None, "{shown}");
        }
        assert_eq!(tag_of(&"v1.4.0-rc.2".parse().unwrap()), "v1.4.0-rc.2");
    }
}

//! A bucket of an object store: for `[artifacts]`, and for outlets.

use serde::Deserialize;

use super::{Given, Reading};
use crate::bucket::{BUILT_IN, Bucket, Provider};
use crate::domain::contract::Size;
use crate::domain::name::is_file_name;

/// Copies of a bucket's artifacts on this machine when nobody says: what most machines can spare, and enough for the
/// releases that are under way.
const COPIES_BYTES: u64 = 50 * 1_000 * 1_000 * 1_000;

/// Where it is, and the key, as written.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) bucket: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Given>,
}

/// What stands under `[artifacts]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Artifacts {
    kind: Word,
    bucket: Option<String>,
    prefix: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    user: Option<String>,
    password: Option<Given>,
    copies: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    #[default]
    Disk,
    S3,
    Gcs,
    Azure,
}

impl Artifacts {
    /// Keys that say something about another kind.
    fn misplaced(&self) -> Option<&'static str> {
        use Word::{Azure, Gcs, S3};
        let own: [(&str, bool, &[Word]); 7] = [
            ("bucket", self.bucket.is_some(), &[S3, Gcs, Azure]),
            ("prefix", self.prefix.is_some(), &[S3, Gcs, Azure]),
            ("region", self.region.is_some(), &[S3]),
            ("endpoint", self.endpoint.is_some(), &[S3, Gcs, Azure]),
            ("user", self.user.is_some(), &[S3, Azure]),
            ("password", self.password.is_some(), &[S3, Gcs, Azure]),
            ("copies", self.copies.is_some(), &[S3, Gcs, Azure]),
        ];
        own.into_iter().find(|(_, given, kinds)| *given && !kinds.contains(&self.kind)).map(|(key, _, _)| key)
    }
}

impl Reading<'_> {
    /// The bucket that keeps artifacts, and how many bytes of copies the data folder has of it; nothing when that folder
    /// keeps them.
    pub(super) fn artifacts(&mut self, file: Artifacts) -> Option<(Bucket, u64)> {
        if let Some(key) = file.misplaced() {
            self.problem(format!("artifacts: {key} says nothing about this kind"));
        }
        let provider = match file.kind {
            Word::Disk => return None,
            Word::S3 => Provider::S3,
            Word::Gcs => Provider::Gcs,
            Word::Azure => Provider::Azure,
        };
        let Artifacts { bucket, prefix, region, endpoint, user, password, copies, .. } = file;
        let place = Place { bucket, prefix, region, endpoint, user, password };
        let copies = match copies.as_deref().map(str::parse::<Size>) {
            None => COPIES_BYTES,
            Some(Ok(Size(bytes))) => bytes,
            Some(Err(error)) => {
                self.problem(format!("artifacts: copies: {error}"));
                COPIES_BYTES
            }
        };
        self.bucket("artifacts", provider, place).map(|bucket| (bucket, copies))
    }

    /// Every key is in the config: what a machine in a cloud may do by itself is nobody's leave to write there.
    pub(super) fn bucket(&mut self, what: &str, provider: Provider, place: Place) -> Option<Bucket> {
        if !BUILT_IN {
            self.problem(format!("{what}: this program was built without the feature `object-stores`"));
        }
        let name = place.bucket.unwrap_or_default();
        if !is_file_name(&name) || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            self.problem(format!("{what}: bucket is the name of one"));
        }
        let prefix = place.prefix.unwrap_or_default();
        let prefix = prefix.trim_matches('/').to_owned();
        if !prefix.is_empty() && !prefix.split('/').all(is_file_name) {
            self.problem(format!("{what}: prefix is a path such as \"releases/shop\""));
        }
        if place.user.is_none() && provider != Provider::Gcs {
            self.problem(format!("{what}: user is missing: the name of the key, or of Azure's account"));
        }
        let endpoint = place.endpoint.as_ref().and_then(|at| self.base(&format!("{what}: endpoint"), at));
        let Some(password) = place.password else {
            self.problem(format!(
                "{what}: password is missing: the key, or the JSON of Google's service account"
            ));
            return None;
        };
        let password = self.secret(&format!("{what}: password"), password)?;
        let (region, user) = (place.region, place.user.unwrap_or_default());
        Some(Bucket { provider, name, prefix, region, endpoint, user, password })
    }
}

#[cfg(test)]
mod tests {
    use super::COPIES_BYTES;
    use crate::config::tests::read;

    const S3: &str = "[artifacts]\nkind = \"s3\"\nbucket = \"acme-artifacts\"\nprefix = \"/shop/\"\n\
                      region = \"eu-central-1\"\nuser = \"AKIA\"\npassword = \"canary-of-artifacts\"\n";

    #[test]
    fn e10_t47_artifacts_are_on_disk_or_in_a_bucket_whose_key_is_hidden() {
        assert!(read("").unwrap().artifacts.is_none());
        assert!(read("[artifacts]\nkind = \"disk\"\n").unwrap().artifacts.is_none());
        let config = read(S3).unwrap();
        let (bucket, copies) = config.artifacts.as_ref().unwrap();
        assert_eq!(*copies, COPIES_BYTES);
        let small = read(&format!("{S3}copies = \"20GB\"\n")).unwrap();
        assert_eq!(small.artifacts.unwrap().1, 20_000_000_000);
        assert!(read("[artifacts]\ncopies = \"20GB\"\n").unwrap_err().contains("copies says nothing"));
        assert!(read(&format!("{S3}copies = \"much\"\n")).unwrap_err().contains("`much` is not a size"));
        assert_eq!((bucket.to_string().as_str(), bucket.prefix.as_str()), ("s3://acme-artifacts", "shop"));
        assert!(config.hidden().iter().any(|secret| secret.expose() == "canary-of-artifacts"));
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn e10_what_a_bucket_of_artifacts_cannot_be_is_said_with_the_config() {
        for (old, new, why) in [
            ("\"s3\"", "\"disk\"", "artifacts: bucket says nothing about this kind"),
            ("\"s3\"", "\"gcs\"", "artifacts: region says nothing about this kind"),
            ("\"s3\"", "\"ftp\"", "unknown variant `ftp`"),
            ("bucket = \"acme-artifacts\"\n", "", "artifacts: bucket is the name of one"),
            ("/shop/", "a/../b", "artifacts: prefix is a path"),
            ("user = \"AKIA\"\n", "", "artifacts: user is missing"),
            ("password = \"canary-of-artifacts\"\n", "", "artifacts: password is missing"),
            (
                "region",
                "endpoint = \"http://s3.example\"\nregion",
                "artifacts: endpoint is an `https://` address",
            ),
            ("region", "url = \"x\"\nregion", "unknown field `url`"),
        ] {
            let problems = read(&S3.replace(old, new)).unwrap_err();
            assert!(problems.contains(why), "{new}: {problems}");
        }
    }
}

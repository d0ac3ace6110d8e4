//! `[[publish]]`: outlets, where files of releases are published and read back, and who may.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Given, Reading, STAGES, bucket};
use crate::bucket::{Bucket, Provider};
use crate::domain::image::{is_host, is_part};
use crate::domain::name::OutletName;
use crate::domain::time::Span;
use crate::publish::command::Feed;
use crate::publish::folder::Folder;
use crate::publish::http::Http;
use crate::publish::{Images, Kind, Outlet, Patience};
use crate::secret::Allowed;

/// How often something is read back when nobody says; with the wait some two minutes, which caches need.
const TRIES: u32 = 40;
/// Most tries: nobody waits longer than a day.
const MOST_TRIES: u32 = 10_000;
/// Time between two tries when nobody says.
const WAIT: Span = Span::seconds(3);

/// One outlet as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    name: OutletName,
    kind: Word,
    path: Option<PathBuf>,
    put: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Given>,
    #[serde(default)]
    upload: Vec<String>,
    #[serde(default)]
    validate: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    secrets: BTreeMap<String, Given>,
    address: Option<String>,
    user: Option<String>,
    password: Option<Given>,
    #[serde(default)]
    plain_http: bool,
    bucket: Option<String>,
    prefix: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    url: Option<String>,
    tries: Option<u32>,
    wait: Option<Span>,
    #[serde(default)]
    allow: Vec<Allowed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Folder,
    Http,
    Command,
    Registry,
    S3,
    Gcs,
    Azure,
}

impl Entry {
    /// Keys that say something about another kind.
    fn misplaced(&self) -> Option<&'static str> {
        use Word::{Azure, Command, Folder, Gcs, Http, Registry, S3};
        let own: [(&str, bool, &[Word]); 15] = [
            ("path", self.path.is_some(), &[Folder]),
            ("put", self.put.is_some(), &[Http]),
            ("headers", !self.headers.is_empty(), &[Http]),
            ("upload", !self.upload.is_empty(), &[Command]),
            ("validate", !self.validate.is_empty(), &[Command]),
            ("environment", !self.environment.is_empty(), &[Command]),
            ("secrets", !self.secrets.is_empty(), &[Command]),
            ("address", self.address.is_some(), &[Registry]),
            ("user", self.user.is_some(), &[Registry, S3, Azure]),
            ("password", self.password.is_some(), &[Registry, S3, Gcs, Azure]),
            ("plain_http", self.plain_http, &[Registry]),
            ("bucket", self.bucket.is_some(), &[S3, Gcs, Azure]),
            ("prefix", self.prefix.is_some(), &[S3, Gcs, Azure]),
            ("region", self.region.is_some(), &[S3]),
            ("endpoint", self.endpoint.is_some(), &[S3, Gcs, Azure]),
        ];
        own.into_iter().find(|(_, given, kinds)| *given && !kinds.contains(&self.kind)).map(|(key, _, _)| key)
    }
}

impl Reading<'_> {
    pub(super) fn outlets(&mut self, given: Vec<Entry>) -> Vec<Outlet> {
        let mut outlets: Vec<Outlet> = Vec::new();
        for file in given {
            let name = file.name.clone();
            if outlets.iter().any(|known| known.name == name) {
                self.problem(format!("two outlets are called {name}"));
            }
            self.for_somebody(&format!("publish {name}"), &file.allow, STAGES);
            let tries = file.tries.unwrap_or(TRIES);
            if tries == 0 || tries > MOST_TRIES {
                self.problem(format!("publish {name}: tries is 1 to {MOST_TRIES}"));
            }
            let patience = Patience { tries, wait: file.wait.unwrap_or(WAIT) };
            let url = file.url.as_ref().and_then(|url| self.base(&format!("publish {name}: url"), url));
            if let Some(key) = file.misplaced() {
                self.problem(format!("publish {name}: {key} says nothing about this kind"));
            }
            let kind = match file.kind {
                Word::Folder => self.folder(&file).map(Kind::Folder),
                Word::Http => self.puts(&file).map(Kind::Http),
                Word::Command => Some(Kind::Command(self.feed(&file))),
                Word::Registry => self.images(&file).map(Kind::Registry),
                Word::S3 => self.object(&file, Provider::S3).map(Kind::Object),
                Word::Gcs => self.object(&file, Provider::Gcs).map(Kind::Object),
                Word::Azure => self.object(&file, Provider::Azure).map(Kind::Object),
            };
            let allow = file.allow;
            outlets.extend(kind.map(|kind| Outlet { name, kind, url, patience, allow }));
        }
        outlets
    }

    fn folder(&mut self, file: &Entry) -> Option<Folder> {
        let name = &file.name;
        match &file.path {
            Some(path) if path.is_absolute() => Some(Folder { path: path.clone() }),
            Some(_) | None => {
                self.problem(format!("publish {name}: path is the folder's, beginning with `/`"));
                None
            }
        }
    }

    fn puts(&mut self, file: &Entry) -> Option<Http> {
        let name = &file.name;
        let mut headers = Vec::new();
        for (header, given) in &file.headers {
            let what = format!("publish {name}: headers.{header}");
            let value = self.secret(&what, given.clone());
            match header.parse() {
                Ok(header) => headers.extend(value.map(|value| (header, value))),
                Err(_) => self.problem(format!("{what} is not the name of a header")),
            }
        }
        let Some(put) = &file.put else {
            self.problem(format!("publish {name}: put is missing: the address that files are put below"));
            return None;
        };
        let put = self.base(&format!("publish {name}: put"), put)?;
        Some(Http { put, headers })
    }

    /// What nobody reads back is not published: both commands are asked for.
    fn feed(&mut self, file: &Entry) -> Feed {
        let name = &file.name;
        for (key, argv) in [("upload", &file.upload), ("validate", &file.validate)] {
            if argv.first().is_none_or(String::is_empty) {
                self.problem(format!("publish {name}: {key} is missing: a program and its words"));
            }
        }
        let secrets = self.step_secrets(&format!("publish {name}: secrets"), file.secrets.clone());
        let (upload, validate) = (file.upload.clone(), file.validate.clone());
        Feed { upload, validate, environment: file.environment.clone(), secrets }
    }

    fn images(&mut self, file: &Entry) -> Option<Images> {
        let name = &file.name;
        let address = file.address.clone().unwrap_or_default();
        let (host, path) =
            address.split_once('/').map_or((&*address, None), |(host, path)| (host, Some(path)));
        if !is_host(host) || path.is_some_and(|path| !path.split('/').all(is_part)) {
            self.problem(format!(
                "publish {name}: address is a host such as \"docker.io\", and maybe a path"
            ));
            return None;
        }
        let loopback = matches!(host.split(':').next(), Some("127.0.0.1" | "localhost"));
        if file.plain_http && !loopback {
            self.problem(format!("publish {name}: plain_http is for registries on this machine"));
        }
        let password = file.password.clone();
        let password = password.and_then(|given| self.secret(&format!("publish {name}: password"), given));
        let login = match (file.user.clone(), password) {
            (Some(user), Some(password)) if !user.contains(':') => Some((user, password)),
            (None, None) => None,
            _ => {
                self.problem(format!("publish {name}: user and password go together"));
                None
            }
        };
        Some(Images { address, login, plain: file.plain_http })
    }

    fn object(&mut self, file: &Entry, provider: Provider) -> Option<Bucket> {
        let place = bucket::Place {
            bucket: file.bucket.clone(),
            prefix: file.prefix.clone(),
            region: file.region.clone(),
            endpoint: file.endpoint.clone(),
            user: file.user.clone(),
            password: file.password.clone(),
        };
        self.bucket(&format!("publish {}", file.name), provider, place)
    }

    /// An address that others are below; it is shown to everybody, so nothing secret is in it.
    pub(super) fn base(&mut self, what: &str, text: &str) -> Option<String> {
        let uri: Option<hyper::Uri> = text.parse().ok();
        let loopback = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let good = uri.as_ref().is_some_and(|uri| {
            let host = uri.host().unwrap_or_default();
            let scheme = uri.scheme_str().unwrap_or_default();
            let safe = scheme == "https" || (scheme == "http" && loopback(host));
            let plain = uri.query().is_none() && !text.contains('@') && !text.contains('#');
            safe && !host.is_empty() && plain
        });
        if !good {
            self.problem(format!(
                "{what} is an `https://` address without user, password or query; plain `http` is for this machine only"
            ));
            return None;
        }
        Some(text.trim_end_matches('/').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::read;
    use crate::publish::Kind;

    const CDN: &str = "[[publish]]\nname = \"cdn\"\nkind = \"http\"\nput = \"https://up.example/r/\"\n\
                       url = \"https://cdn.example/\"\nheaders = { Authorization = \"Bearer canary-of-cdn\" }\n\
                       tries = 5\nwait = \"2s\"\nallow = [\"shop/prod\"]\n";
    const FOLDER: &str =
        "[[publish]]\nname = \"disk\"\nkind = \"folder\"\npath = \"/srv/cdn\"\nallow = [\"shop/prod\"]\n";

    const FEED: &str = "[[publish]]\nname = \"nuget\"\nkind = \"command\"\nupload = [\"/bin/up\", \"{files}\"]\n\
                        validate = [\"/bin/look\"]\nsecrets = { KEY = \"canary-of-nuget\" }\nallow = [\"shop/prod\"]\n";
    const DOCKER: &str = "[[publish]]\nname = \"docker\"\nkind = \"registry\"\naddress = \"docker.io/acme\"\n\
                          user = \"bot\"\npassword = \"canary-of-docker\"\nallow = [\"shop/prod\"]\n";

    const S3: &str = "[[publish]]\nname = \"bucket\"\nkind = \"s3\"\nbucket = \"acme-releases\"\nprefix = \"/shop/\"\n\
                      region = \"eu-central-1\"\nuser = \"AKIA\"\npassword = \"canary-of-s3\"\nallow = [\"shop/prod\"]\n";
    const GCS: &str = "[[publish]]\nname = \"google\"\nkind = \"gcs\"\nbucket = \"acme\"\n\
                       password = '{\"private_key\": \"canary-of-gcs\"}'\nallow = [\"shop/prod\"]\n";

    #[test]
    fn d43_t47_buckets_have_keys_that_are_hidden() {
        let config = read(&format!("{S3}{GCS}")).unwrap();
        let hidden: Vec<String> = config.hidden().iter().map(|s| s.expose().to_owned()).collect();
        for secret in ["canary-of-s3", "canary-of-gcs"] {
            assert!(hidden.contains(&secret.to_owned()), "{hidden:?}");
        }
        assert!(!format!("{:?}", config.outlets).contains("canary"));
        let Kind::Object(bucket) = &config.outlets[0].kind else { panic!("{:?}", config.outlets) };
        assert_eq!((bucket.to_string().as_str(), bucket.prefix.as_str()), ("s3://acme-releases", "shop"));
    }

    #[test]
    fn d45_d50_t47_feeds_and_registries_have_secrets_that_are_hidden() {
        let config = read(&format!("{FEED}{DOCKER}")).unwrap();
        let hidden: Vec<String> = config.hidden().iter().map(|s| s.expose().to_owned()).collect();
        assert!(
            hidden.contains(&"canary-of-nuget".to_owned()) && hidden.contains(&"canary-of-docker".to_owned())
        );
        assert!(!format!("{:?}", config.outlets).contains("canary"));
    }

    #[test]
    fn d42_t47_an_outlet_has_a_public_address_patience_and_secrets_that_are_hidden() {
        let config = read(&format!("{CDN}{FOLDER}")).unwrap();
        let [cdn, disk] = config.outlets.as_slice() else { panic!("{:?}", config.outlets) };
        assert!(matches!(&cdn.kind, Kind::Http(http) if http.put == "https://up.example/r"));
        assert_eq!(cdn.address("v1.2.0").as_deref(), Some("https://cdn.example/v1.2.0/"));
        assert_eq!((cdn.patience.tries, cdn.patience.wait.to_string().as_str()), (5, "2s"));
        assert_eq!((disk.patience.tries, disk.address("v1.2.0")), (40, None));
        assert!(config.hidden().iter().any(|secret| secret.expose() == "Bearer canary-of-cdn"));
        assert!(!format!("{cdn:?}").contains("canary"));
    }

    #[test]
    fn d42_what_an_outlet_cannot_be_is_said_with_the_config() {
        for (from, old, new, why) in [
            (CDN, "put = \"https://up.example/r/\"\n", "", "put is missing"),
            (CDN, "https://up.example", "http://up.example", "put is an `https://` address"),
            (CDN, "https://cdn.example/", "https://u:p@cdn.example/", "url is an `https://` address"),
            (CDN, "https://cdn.example/", "https://cdn.example/?k=1", "url is an `https://` address"),
            (CDN, "Authorization", "\"a b\"", "is not the name of a header"),
            (CDN, "tries = 5", "tries = 0", "tries is 1 to 10000"),
            (CDN, "tries = 5", "path = \"/x\"", "path says nothing about this kind"),
            (FEED, "upload = [\"/bin/up\", \"{files}\"]\n", "", "upload is missing"),
            (FEED, "validate = [\"/bin/look\"]\n", "", "validate is missing"),
            (FEED, "secrets", "headers", "headers says nothing about this kind"),
            (DOCKER, "docker.io", "https://docker.io", "address is a host"),
            (DOCKER, "user = \"bot\"\n", "", "user and password go together"),
            (DOCKER, "user", "plain_http = true\nuser", "plain_http is for registries on this machine"),
            (S3, "bucket = \"acme-releases\"\n", "", "bucket is the name of one"),
            (S3, "acme-releases", "../acme", "bucket is the name of one"),
            (S3, "/shop/", "a/../b", "prefix is a path"),
            (S3, "user = \"AKIA\"\n", "", "user is missing"),
            (S3, "password = \"canary-of-s3\"\n", "", "password is missing"),
            (S3, "region", "endpoint = \"http://s3.example\"\nregion", "endpoint is an `https://` address"),
            (GCS, "bucket", "region = \"eu\"\nbucket", "region says nothing about this kind"),
            (GCS, "bucket", "user = \"me\"\nbucket", "user says nothing about this kind"),
            (CDN, "allow = [\"shop/prod\"]", "", "publish cdn is for nobody"),
            (CDN, "\"http\"", "\"ftp\"", "unknown variant `ftp`"),
            (FOLDER, "/srv/cdn", "srv/cdn", "path is the folder's"),
            (FOLDER, "path", "put = \"https://x.example\"\npath", "put says nothing about this kind"),
        ] {
            let problems = read(&from.replace(old, new)).unwrap_err();
            assert!(problems.contains(why), "{new}: {problems}");
        }
        assert!(read(&format!("{FOLDER}{FOLDER}")).unwrap_err().contains("two outlets are called disk"));
    }
}

//! Registries of the server's config, and how images get there: by the system's skopeo, told everything by us.
//!
//! Nothing of the server user's own settings counts: no login file, no list of mirrors. Credentials travel in a file
//! that only the server's user can read, never as words that others can see (THREATS T40).

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Program;
use crate::domain::image::{Base, ImageName};
use crate::domain::name::{Digest, EnvironmentName};
use crate::secret::{Allowed, Asking, Secret};
use crate::trouble::{Outcome, Trouble};

/// The program.
pub const CLIENT: &str = "skopeo";
/// The program that makes a tree of an image.
pub const UNPACKER: &str = "umoci";
/// Where the logins are, in the folder that the client starts in.
const LOGINS: &str = "login.json";
/// A file without a word, in place of the system's settings.
const NOTHING: &str = "nothing.conf";
/// What the registry has, as it was read back.
pub const READ_BACK: &str = "read-back.json";

/// A registry that images are pushed to, or taken from.
#[derive(Debug, Clone)]
pub struct Registry {
    /// `host[:port]`, and maybe a path that all its images are below.
    pub address: String,
    /// The host whose images are pushed here in its place.
    pub instead_of: Option<String>,
    /// The environment whose images are here; none takes only images that name it.
    pub environment: Option<EnvironmentName>,
    /// Who we are there.
    pub login: Option<(String, Secret)>,
    /// Whether it is asked without TLS, as on this machine alone.
    pub plain: bool,
    /// The stages that may push to it; with `build` for the stage, the builds that may run in its images.
    pub allow: Vec<Allowed>,
}

impl Registry {
    /// Whether this stage may use it.
    pub fn allows(&self, asking: Asking<'_>) -> bool {
        self.allow.iter().any(|allowed| allowed.is(asking))
    }

    /// Its host, and the port if it is not the usual one.
    pub fn host(&self) -> &str {
        self.address.split('/').next().unwrap_or(&self.address)
    }

    /// Whether it is where an image of this name goes for this environment: the registry that the name says, or else
    /// the environment's.
    pub fn takes(&self, name: &ImageName, environment: &EnvironmentName) -> bool {
        match name.host() {
            Some(host) => self.instead_of.as_deref().unwrap_or_else(|| self.host()) == host,
            None => self.environment.as_ref() == Some(environment),
        }
    }

    /// The image here, without tag and digest.
    pub fn place(&self, name: &ImageName) -> String {
        match name.host() {
            Some(_) if self.instead_of.is_none() => name.to_string(),
            Some(_) | None => format!("{}/{}", self.address, name.path()),
        }
    }

    /// What commands are told.
    pub fn reference(&self, name: &ImageName, digest: &Digest) -> String {
        format!("{}@{digest}", self.place(name))
    }

    /// Writes what the client reads into a folder of its own, which is made when it is not there.
    pub fn prepare(&self, folder: &Path) -> Outcome<()> {
        let what = || format!("write the login for {}", self.host());
        std::fs::create_dir_all(folder).map_err(|e| Trouble::transient(what()).because(e))?;
        let put = |name: &str, text: &str| {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(folder.join(name));
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|e| Trouble::transient(what()).because(e))
        };
        let auths = self.login.as_ref().map(|(user, password)| {
            let proof = STANDARD.encode(format!("{user}:{}", password.expose()));
            (self.host(), serde_json::json!({ "auth": proof }))
        });
        let auths: BTreeMap<_, _> = auths.into_iter().collect();
        put(LOGINS, &serde_json::json!({ "auths": auths }).to_string())?;
        put(NOTHING, "")
    }

    /// What the client finds in its environment, started in that folder.
    pub fn environment(folder: &Path, path: &str) -> BTreeMap<String, String> {
        let file = |name: &str| folder.join(name).display().to_string();
        [
            ("PATH", path.to_owned()),
            ("HOME", folder.display().to_string()),
            ("TMPDIR", folder.display().to_string()),
            ("REGISTRY_AUTH_FILE", file(LOGINS)),
            ("CONTAINERS_REGISTRIES_CONF", file(NOTHING)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn tls(&self) -> String {
        (!self.plain).to_string()
    }

    /// Copies an OCI layout, a folder below the one that the client starts in, to the registry; its bytes stay as
    /// they are, all platforms of them.
    pub fn push(&self, layout: &str, name: &ImageName, tag: &str) -> Program {
        words(&[
            CLIENT,
            "--insecure-policy",
            "copy",
            "--quiet",
            "--all",
            "--preserve-digests",
            &format!("--dest-tls-verify={}", self.tls()),
            &format!("oci:{layout}"),
            &format!("docker://{}:{tag}", self.place(name)),
        ])
    }

    /// Copies an image at its digest into a layout, in the folder that the client starts in.
    pub fn pull(&self, base: &Base) -> Program {
        words(&[
            CLIENT,
            "--insecure-policy",
            "copy",
            "--quiet",
            "--preserve-digests",
            &format!("--src-tls-verify={}", self.tls()),
            &format!("docker://{base}"),
            "oci:layout:base",
        ])
    }

    /// Makes a tree of what was pulled, in the folder `bundle`; who is not root gets all files as their own.
    pub fn unpack() -> Program {
        let rootless = !rustix::process::geteuid().is_root();
        let mut argv = vec![UNPACKER, "unpack"];
        argv.extend(rootless.then_some("--rootless"));
        argv.extend(["--image", "layout:base", "bundle"]);
        words(&argv)
    }

    /// Reads the manifest that the registry has under a tag or digest into [`READ_BACK`].
    pub fn read_back(&self, reference: &str) -> Program {
        words(&[
            "/bin/sh",
            "-c",
            "exec \"$@\" >read-back.json",
            "sh",
            CLIENT,
            "--insecure-policy",
            "inspect",
            "--raw",
            &format!("--tls-verify={}", self.tls()),
            &format!("docker://{reference}"),
        ])
    }
}

fn words(words: &[&str]) -> Program {
    Program::Argv(words.iter().map(|word| (*word).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn registry() -> Registry {
        Registry {
            address: "acr.example:5000/shop".to_owned(),
            instead_of: None,
            environment: Some("prod".parse().unwrap()),
            login: Some(("bot".to_owned(), Secret::new("canary-of-registry"))),
            plain: false,
            allow: Vec::new(),
        }
    }

    #[test]
    fn b23_c07_an_image_goes_to_the_registry_it_names_or_else_to_the_environments() {
        let (prod, test) = ("prod".parse().unwrap(), "test".parse().unwrap());
        let own: ImageName = "acme/sdk".parse().unwrap();
        assert!(registry().takes(&own, &prod) && !registry().takes(&own, &test));
        assert_eq!(registry().place(&own), "acr.example:5000/shop/acme/sdk");
        let there: ImageName = "acr.example:5000/acme/sdk".parse().unwrap();
        assert!(registry().takes(&there, &test));
        assert_eq!(registry().place(&there), "acr.example:5000/acme/sdk");
        assert!(!registry().takes(&"acr.example/acme/sdk".parse().unwrap(), &prod));
        let mirror = Registry { instead_of: Some("ghcr.io".to_owned()), ..registry() };
        let public: ImageName = "ghcr.io/acme/sdk".parse().unwrap();
        assert!(mirror.takes(&public, &test) && !mirror.takes(&there, &test));
        assert_eq!(mirror.place(&public), "acr.example:5000/shop/acme/sdk");
    }

    #[test]
    fn t40_t47_a_login_is_in_a_file_of_ours_and_in_no_word() {
        let dir = tempfile::tempdir().unwrap();
        registry().prepare(dir.path()).unwrap();
        let file = dir.path().join(LOGINS);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let proof = STANDARD.encode("bot:canary-of-registry");
        assert_eq!(
            std::fs::read_to_string(file).unwrap(),
            format!("{{\"auths\":{{\"acr.example:5000\":{{\"auth\":\"{proof}\"}}}}}}")
        );
        let name = "acme/sdk".parse().unwrap();
        let shown = format!("{:?} {:?}", registry().push("Sdk", &name, "v1"), registry());
        assert!(!shown.contains("canary") && !shown.contains(&proof), "{shown}");
        assert!(shown.contains("--dest-tls-verify=true"));
    }
}

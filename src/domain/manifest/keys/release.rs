//! The keys of a release's name, version, notes and contract.

use super::{ALIAS, Optional, PATH, PATTERN, PLAIN, Required, window};
use crate::domain::contract::FileKind;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::manifest::{contract, release};

static TEMPLATE: Word = Word { pattern: Some("."), check: release::check_template };

keys! { RELEASE_KEYS {
    "name" Optional, Shape::Text(&TEMPLATE),
        "What people call it, for example `$(prefix).Framework $(Build.BuildNumber)_$(Rev:r)`.";
    "version" Optional, Shape::Text(&TEMPLATE), "Its version and tag, for example `8.0.$(Rev:r)`.";
    "tz" Optional, Shape::Text(&window::ZONE), "Where the days of `$(Date:…)` begin, by its IANA name; `UTC` by default.";
    "kind" Optional, Shape::Choice(&["deploy", "publish"]),
        "What releasing means: `deploy` to systems of your own, or `publish` to others, which is not taken back.";
    "notes" Optional, Shape::Object(&NOTES), "How its notes are made.";
    "sign_tags" Optional, Shape::Choice(&["ssh"]), "Its tags are signed, as `git tag -v` checks them with `/keys/allowed_signers`.";
    "contract" Optional, Shape::Object(&CONTRACT), "What a release must be made of; looked at in every stage, and never passed over.";
} }

keys! { NOTES_KEYS {
    "from" Optional, Shape::Choice(&["commits", "pull_requests"]), "What they list; `commits` by default.";
    "template" Optional, Shape::Text(&PATH), "A file of the repository with a template (Jinja) in place of ours.";
} }
static NOTES: Object = Object { what: "`notes`", keys: &[NOTES_KEYS], ..PLAIN };

static SIZE: Word = Word { pattern: Some("^[0-9]+(?:[kMG]B|[KMG]iB|B)?$"), check: contract::check_size };
static KEY: Word = Word { pattern: Some("\\S"), check: contract::check_key };
static ONE_KEY: Shape = Shape::Text(&KEY);
static ASSET: Shape = Shape::Any(&[Shape::Text(&ALIAS), Shape::Object(&ASSET_OBJECT)]);

keys! { CONTRACT_KEYS {
    "assets" Required, Shape::List(&ASSET), "What must be there, in order: artifacts, or files of them.";
    "keys" Optional, Shape::List(&ONE_KEY), "Public keys of OpenSSH or minisign, a line each: whose signatures count.";
    "sbom" Optional, Shape::Flag, "Whether there must be a bill of materials.";
} }
static CONTRACT: Object = Object { what: "`contract`", keys: &[CONTRACT_KEYS], ..PLAIN };

keys! { ASSET_KEYS {
    "artifact" Required, Shape::Text(&ALIAS), "The artifact.";
    "files" Optional, Shape::Text(&PATTERN), "A pattern of paths in it; at least one file must fit. Without, the artifact as a whole.";
    "kind" Optional, Shape::Choice(FileKind::WORDS), "What each is: it is opened to its end.";
    "min_size" Optional, Shape::Text(&SIZE), "Each has at least so much, for example `20kB`.";
    "max_size" Optional, Shape::Text(&SIZE), "Each has at most so much, for example `300MiB`.";
    "checksum" Optional, Shape::Flag, "Whether a list of checksums among the files must name each.";
    "signed" Optional, Shape::Flag, "Whether each must be signed: in itself, or by a file beside it.";
} }
static ASSET_OBJECT: Object = Object { what: "an asset", keys: &[ASSET_KEYS], ..PLAIN };

/// What releases are called.
pub(super) static RELEASE: Object = Object { what: "`release`", keys: &[RELEASE_KEYS], ..PLAIN };

//! `build`, `artifacts`, steps and paths → how the artifact is made and what is packed.

use std::collections::BTreeSet;

use crate::domain::image::Base;
use crate::domain::join::Inherited;
use crate::domain::manifest::buildspec::{self, Spec};
use crate::domain::manifest::code::Code;
use crate::domain::manifest::image;
use crate::domain::manifest::node::{Node, Value};
use crate::domain::manifest::origin;
use crate::domain::manifest::problem::{Findings, Place};
use crate::domain::manifest::rights;
use crate::domain::manifest::shape::quoted_list;
use crate::domain::manifest::source;
use crate::domain::manifest::step;
use crate::domain::manifest::trigger;
use crate::domain::manifest::view::{self, View};
use crate::domain::manifest::workflow;
use crate::domain::manifest::{COPILOT_BUILDSPEC, Context, Dialect};
use crate::domain::name::{Alias, printable};
use crate::domain::pipeline::{Artifact, Build, Checkout, Network, Step};
use crate::domain::reuse::Reuse;
use crate::domain::source::Named;
use crate::domain::time::Span;
use crate::domain::workflow::Workflow;

/// How long a build or one attempt of a stage may take by default.
pub(super) const TIMEOUT: Span = Span::hours(1);
/// What is packed after a build that does not say (MANIFEST §1).
const DEFAULT_PATH: &str = "dist";
/// Most folders that are kept for later builds: a build has a package store or two for each of its languages.
const MAX_CACHES: usize = 16;
/// Longest path.
const MAX_PATH_BYTES: usize = 300;

/// The build of a pipeline and what it leaves behind.
pub(super) struct Made {
    pub(super) build: Build,
    pub(super) artifacts: Vec<Artifact>,
    pub(super) inherits: Vec<Inherited>,
    pub(super) uploads: BTreeSet<Alias>,
    pub(super) workflow: Option<Workflow>,
    pub(super) sources: Vec<Named>,
    pub(super) primary: Option<Alias>,
    pub(super) withheld: BTreeSet<Alias>,
}

/// Reads `build` and `artifacts`.
pub(super) fn read(pipeline: View<'_>, context: &Context<'_>, findings: &mut Findings<'_>) -> Made {
    let node = pipeline.get("build");
    let view = node.map_or_else(|| pipeline.below("build"), View::of);
    let mut build = Build {
        steps: own_steps(node, findings),
        environment: view.variables("env"),
        buildspec: None,
        image: view.line("image"),
        cache: Vec::new(),
        network: if view.line("network").as_deref() == Some("host") { Network::Host } else { Network::None },
        secrets: view.names("secrets"),
        timeout: view.parsed("timeout").unwrap_or(TIMEOUT),
        reuse: pipeline.line("reuse").map_or(Reuse::Never, |word| Reuse::of_word(&word)),
        checkout: source::checkout(pipeline),
    };
    rights::tell(view, findings);
    let mut left_behind = Vec::new();
    if let Some((path, at)) = buildspec_path(node, context.dialect) {
        let spec = read_buildspec((&path, at), context, Failing::Build, findings);
        let own = std::mem::take(&mut build.environment);
        build.environment = spec.environment;
        build.environment.extend(own);
        build.steps = spec.steps;
        left_behind = spec.artifacts;
        build.buildspec = Some(path);
    } else if let Some(node) = node
        && build.steps.is_empty()
    {
        check_not_empty(node, findings);
    }
    let inherits = trigger::inherited(pipeline, findings);
    let mut artifacts = artifacts(pipeline, left_behind, findings);
    let workflow = workflow::read(pipeline, findings);
    let uploads = trigger::uploads(pipeline, workflow.as_ref(), findings);
    let sources = origin::read(pipeline, findings);
    if artifacts.is_empty() && inherits.is_empty() && uploads.is_empty() && sources.is_empty() {
        artifacts.extend(by_default(&build));
    }
    let primary = primary(pipeline, findings);
    let withheld = marked(pipeline, ("shipping", false)).map(|(alias, _)| alias).collect();
    let takes = !inherits.is_empty() || !uploads.is_empty();
    let builds = !build.steps.is_empty() || !artifacts.is_empty() || !sources.is_empty() || !takes;
    check_reuse(&build, builds, pipeline.place("reuse"), findings);
    build.cache = caches(view, build.image.as_deref(), &artifacts, findings);
    Made { build, artifacts, inherits, uploads, workflow, sources, primary, withheld }
}

/// The folders that are kept for later builds. None of them may be in an artifact: what is sealed is of its own commit
/// alone.
fn caches(
    build: View<'_>,
    image: Option<&str>,
    artifacts: &[Artifact],
    findings: &mut Findings<'_>,
) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let given = build.items("cache");
    if !given.is_empty() && image.and_then(Base::of).is_none() {
        let message = "`cache` keeps folders under the digest of the build's image, and none is named";
        let hint = "say which image the build runs in, `image: registry/name@sha256:…`, or leave `cache` out";
        findings.add_hinted(Code::Impossible, build.place("cache"), message.to_owned(), hint.to_owned());
    }
    for node in given {
        let Some(path) = view::text(node).and_then(|text| clean_left(text).ok()) else { continue };
        let artifact = artifacts.iter().find(|artifact| overlap(&artifact.path, &path));
        let other = out.iter().find(|other| overlap(other, &path));
        let (other, hint) = if let Some(artifact) = artifact {
            let hint = "what an earlier build left is in no artifact: download to a folder outside, `.npm`";
            (format!("the artifact `{}`", artifact.path), hint)
        } else if let Some(other) = other {
            (format!("`{other}`"), "name the outer one alone")
        } else {
            out.push(path);
            continue;
        };
        let message = format!("the folder `{}` and {other} are one inside the other", printable(&path));
        findings.add_hinted(Code::Impossible, node.at, message, hint.to_owned());
    }
    if out.len() > MAX_CACHES {
        let message = format!("at most {MAX_CACHES} folders are kept, and these are {}", out.len());
        findings.add(Code::Impossible, build.place("cache"), message);
    }
    out
}

/// Whether one of two clean paths lies in the other.
fn overlap(one: &str, other: &str) -> bool {
    let lies_in = |inner: &str, outer: &str| {
        outer == "." || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    lies_in(one, other) || lies_in(other, one)
}

/// A build that others may stand for is not told what it could not be told by them.
fn check_reuse(build: &Build, builds: bool, at: Place, findings: &mut Findings<'_>) {
    if build.reuse == Reuse::Never {
        return;
    }
    if !builds {
        let message = "nothing is built here, so nothing could be taken over".to_owned();
        findings.add_hinted(Code::Impossible, at, message, "leave `reuse` out".to_owned());
        return;
    }
    let word = build.reuse.word();
    if build.checkout == Checkout::History {
        let message =
            format!("the build sees the history and tags of its commit, and `reuse: {word}` goes by neither");
        let hint = "leave `reuse` or `output_artifact_format: CODEBUILD_CLONE_REF` out".to_owned();
        findings.add_hinted(Code::Impossible, at, message, hint);
        return;
    }
    let said = || build.steps.iter().map(Step::text).chain(build.environment.values().map(String::as_str));
    for name in build.reuse.hides().iter().filter(|name| said().any(|text| text.contains(**name))) {
        let message = format!("the build names `{name}`, and with `reuse: {word}` it is not told it");
        let hint = format!(
            "releases that share a build differ in it: use it in stages, or leave `reuse` at `{}`",
            if build.reuse == Reuse::Tree && *name == "LIFTLOCK_COMMIT" { "commit" } else { "never" }
        );
        findings.add_hinted(Code::Impossible, at, message, hint);
    }
}

/// The buildspec a pipeline reads: the one it names, or Copilot's own place in Copilot's files.
pub(super) fn buildspec_path(build: Option<&Node>, dialect: Dialect) -> Option<(String, Place)> {
    let view = build.map(View::of);
    let named = view.and_then(|v| v.get("buildspec"));
    if let Some(node) = named {
        return Some((clean_path(view::text(node)?).ok()?, node.at));
    }
    let commands = build.is_some_and(|n| match &n.value {
        Value::Mapping(entries) => entries.iter().any(|e| matches!(e.key.as_str(), "run" | "steps")),
        Value::Null | Value::Scalar { .. } | Value::Sequence(_) => true,
    });
    match dialect {
        Dialect::Copilot if !commands => {
            Some((COPILOT_BUILDSPEC.to_owned(), build.map(|n| n.at).unwrap_or_default()))
        }
        Dialect::Copilot | Dialect::Native => None,
    }
}

/// What fails when a buildspec is not there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failing {
    Build,
    Stage,
}

pub(super) fn read_buildspec(
    (path, at): (&str, Place),
    context: &Context<'_>,
    failing: Failing,
    findings: &mut Findings<'_>,
) -> Spec {
    if let Some(text) = context.files.get(path) {
        let mut own = Findings::new(path);
        let spec = buildspec::read(path, text, &mut own);
        findings.absorb(own);
        return spec;
    }
    let shown = printable(path);
    let (what, key) = match failing {
        Failing::Build => ("build", "build.buildspec"),
        Failing::Stage => ("stage", "buildspec"),
    };
    let message = format!("the buildspec `{shown}` is not in the tree; the {what} will fail");
    let hint = format!("commit `{shown}`, or name another file in `{key}`");
    findings.add_hinted(Code::NoBuildspec, at, message, hint);
    buildspec::missing(path)
}

/// What is there but wrong has been reported; what is missing or an empty list has not.
fn check_not_empty(node: &Node, findings: &mut Findings<'_>) {
    let view = View::of(node);
    let commands = ["run", "steps", "buildspec"];
    let list = view.get("steps").unwrap_or(node);
    if matches!(&list.value, Value::Sequence(items) if items.is_empty()) {
        findings.add(Code::WrongShape, list.at, "`build` has no steps; leave it out".to_owned());
    } else if matches!(node.value, Value::Mapping(_)) && commands.iter().all(|key| view.get(key).is_none()) {
        let message = format!("`build` needs one of {}", quoted_list(&commands));
        findings.add(Code::MissingKey, node.at, message);
    }
}

fn own_steps(build: Option<&Node>, findings: &mut Findings<'_>) -> Vec<Step> {
    let Some(node) = build else { return Vec::new() };
    match &node.value {
        Value::Scalar { .. } | Value::Sequence(_) => step::read(node, &[], findings),
        Value::Mapping(_) => {
            let view = View::of(node);
            let commands = view.get("run").or_else(|| view.get("steps"));
            commands.map(|node| step::read(node, &[], findings)).unwrap_or_default()
        }
        Value::Null => Vec::new(),
    }
}

fn artifacts(pipeline: View<'_>, left_behind: Vec<String>, findings: &mut Findings<'_>) -> Vec<Artifact> {
    let mut out: Vec<Artifact> = Vec::new();
    let mut taken: Vec<Alias> = Vec::new();
    let given = pipeline.items("artifacts");
    for node in given {
        let view = View::of(node);
        taken.extend(view.get("from").and_then(|_| view.parsed::<Alias>("alias")));
        let path = view::text(node).or_else(|| view.get("path").and_then(view::text));
        let image = image::read(node, findings);
        if view.get("from").is_some() {
            continue;
        }
        let usual = || image.as_ref().and_then(|_| image::usual_path(&view.parsed("alias")?));
        let Some(path) = path.and_then(|p| clean_left(p).ok()).or_else(usual) else { continue };
        let Some(alias) = view.parsed("alias").or_else(|| alias_of(&path)) else { continue };
        if out.iter().any(|a| a.alias == alias) || taken.contains(&alias) {
            let message = format!("two artifacts are called `{alias}`");
            let hint = format!("give one a name of its own: `{{alias: …, path: {}}}`", printable(&path));
            findings.add_hinted(Code::DuplicateName, node.at, message, hint);
            continue;
        }
        out.push(Artifact { alias, path, image });
    }
    if given.is_empty() {
        for path in left_behind {
            if let Some(alias) = alias_of(&path).and_then(|a| unused(a, &out)) {
                out.push(Artifact { alias, path, image: None });
            }
        }
    }
    out
}

/// The artifact that says of itself that it is the primary one.
fn primary(pipeline: View<'_>, findings: &mut Findings<'_>) -> Option<Alias> {
    let mut all = marked(pipeline, ("primary", true));
    let (first, _) = all.next()?;
    for (_, view) in all {
        let message = format!("`{first}` is the primary artifact already");
        findings.add(Code::DuplicateName, view.place("primary"), message);
    }
    Some(first)
}

/// The artifacts that say this of themselves.
fn marked<'p>(
    pipeline: View<'p>,
    (key, value): (&'static str, bool),
) -> impl Iterator<Item = (Alias, View<'p>)> {
    let all = pipeline.items("artifacts").iter().map(View::of);
    all.filter(move |view| view.flag(key) == Some(value)).filter_map(|view| {
        let path = view.get("path").and_then(view::text).and_then(|p| clean_left(p).ok());
        let alias = view.parsed("alias").or_else(|| alias_of(&path?));
        Some((alias?, view))
    })
}

/// Interpreted code is packed too: without a build the whole tree is the artifact (row E09).
/// A buildspec that names no artifacts keeps to no convention of ours, so the tree as it left it is packed.
fn by_default(build: &Build) -> Option<Artifact> {
    let path = if build.steps.is_empty() || build.buildspec.is_some() { "." } else { DEFAULT_PATH };
    alias_of(path).map(|alias| Artifact { alias, path: path.to_owned(), image: None })
}

/// The alias, or the alias with the first number that makes it different from the others.
fn unused(alias: Alias, others: &[Artifact]) -> Option<Alias> {
    let free = |a: &Alias| !others.iter().any(|o| o.alias == *a);
    if free(&alias) {
        return Some(alias);
    }
    let stem: String = alias.as_str().chars().take(36).collect();
    (2..=999).filter_map(|n| format!("{stem}-{n}").parse().ok()).find(free)
}

/// An artifact's name from the last part of its path; the whole tree is the `source`.
fn alias_of(path: &str) -> Option<Alias> {
    let last = path.rsplit('/').next().unwrap_or(path);
    let words: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphabetic())
        .take(40)
        .collect();
    if path == "." { "source".parse().ok() } else { words.parse().or_else(|_| "artifact".parse()).ok() }
}

pub(super) fn check_path(text: &str) -> Result<(), String> {
    clean_path(text).map(drop)
}

pub(super) fn check_left(text: &str) -> Result<(), String> {
    clean_left(text).map(drop)
}

/// What a build leaves behind: a path, or a folder with everything in it as people write it, `drop/**`.
pub(super) fn clean_left(text: &str) -> Result<String, String> {
    clean_path(text.strip_suffix("/**").unwrap_or(text))
}

pub(super) fn check_files(text: &str) -> Result<(), String> {
    clean_files(text).map(drop)
}

/// A path below the tree without `./` in front and `/` behind; `.` is the tree itself.
pub(super) fn clean_path(text: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("`{}` is not a path in the repository: {why}", printable(text)));
    let path = text.trim_start_matches("./").trim_end_matches('/');
    if text.is_empty() || text.len() > MAX_PATH_BYTES {
        return refuse("it has 1 to 300 bytes");
    }
    if text.starts_with(['/', '~']) {
        return refuse("it starts at the repository's root, without `/`");
    }
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return refuse("it has no control characters and no `\\`");
    }
    if text.contains(['*', '?', '[']) {
        return refuse("it is a folder or file, not a pattern");
    }
    if path.is_empty() || path == "." {
        return Ok(".".to_owned());
    }
    if path.split('/').any(|part| matches!(part, "" | "." | ".." | ".git")) {
        return refuse("no part of it is empty, `.`, `..` or `.git`");
    }
    Ok(path.to_owned())
}

/// A buildspec's file pattern as the folder it stands for: `**/*` → `.`, `infra/*` → `infra`.
pub(super) fn clean_files(text: &str) -> Result<String, String> {
    let folder = ["/**/*", "/**", "/*"].iter().find_map(|end| text.strip_suffix(end));
    match text {
        "**/*" | "**" | "*" => Ok(".".to_owned()),
        _ => clean_path(folder.unwrap_or(text)),
    }
}

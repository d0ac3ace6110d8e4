//! Text → pipelines, or all problems at once, each with place, code and hint (MANIFEST.md); Copilot's format too.
//!
//! A text becomes a tree of nodes with places ([`node`]), the tree is compared with the table of keys ([`shape`],
//! [`keys`]), and what fits is read into pipelines with defaults filled in. All three report into one list.
//! Pure: the caller reads the files of a commit and hands them over.

mod adapter;
mod agent;
mod approval;
mod build;
mod buildspec;
mod channel;
mod check;
pub mod code;
mod contract;
mod deployment;
mod derivation;
pub mod elsewhere;
mod environment;
mod extends;
mod group;
mod image;
mod keys;
pub mod node;
mod notify;
mod order;
mod origin;
mod overriding;
pub mod probe;
pub mod problem;
mod publish;
mod release;
mod retention;
mod rights;
mod rollback;
mod runbook;
pub mod schema;
mod shape;
pub mod source;
mod stage;
mod step;
mod strategy;
mod target;
mod trigger;
mod variable;
mod view;
mod window;
mod workflow;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::domain::join::Need;
use crate::domain::manifest::approval::Teams;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::elsewhere::{Elsewhere, Others};
use crate::domain::manifest::extends::Rings;
use crate::domain::manifest::keys::{SEVERAL_OBJECT, SINGLE_OBJECT};
use crate::domain::manifest::node::{Node, Value};
use crate::domain::manifest::problem::{Findings, Place, Problem, Severity, in_order};
use crate::domain::manifest::shape::Shape;
use crate::domain::manifest::source::Source;
use crate::domain::manifest::stage::Draft;
use crate::domain::manifest::view::View;
use crate::domain::name::{PipelineName, RepoName};
use crate::domain::pipeline::{About, Contexts, Pipeline, Step};
use crate::domain::runbook::Runbook;

/// Where a native manifest may be; only one of them.
pub const NATIVE_PATHS: [&str; 2] = [".github/liftlock.yml", ".github/liftlock.yaml"];
/// Copilot's manifest of a single pipeline (row C19).
pub const COPILOT_PATH: &str = "copilot/pipeline.yml";
/// Where Copilot keeps the manifests of several pipelines, each in a folder of its own as `manifest.yml`.
pub const COPILOT_FOLDER: &str = "copilot/pipelines/";
/// Copilot's buildspec when the manifest names none (row C19).
pub const COPILOT_BUILDSPEC: &str = "copilot/buildspec.yml";
/// Most stages of a pipeline: each writes statuses, and GitHub takes 1000 per commit and context.
const MAX_STAGES: usize = 50;

/// Most pipelines of a repository, and so of the buildspecs that are read for one push.
const MAX_PIPELINES: usize = 50;

/// Paths of one commit and the texts at them.
pub type Sources = BTreeMap<String, String>;

/// What a repository declares at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The pipelines, at least one, in the order of the file.
    pub pipelines: Vec<Pipeline>,
    /// What Copilot's `source` blocks say, by pipeline.
    pub sources: BTreeMap<PipelineName, Source>,
    /// What should be looked at.
    pub warnings: Vec<Problem>,
    /// Pipelines that are named and not declared here, each with what is wrong when the server does not know it.
    pub abroad: BTreeMap<PipelineName, Problem>,
    /// The files that declare the pipelines, in order, and then those that they extend.
    pub paths: Vec<String>,
    /// Every file that was read, with path and length in front: the text a digest of the manifest is taken of.
    pub text: String,
}

/// Every problem of a manifest that is refused, warnings too, in the order of their places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problems(pub Vec<Problem>);

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let errors = self.0.iter().filter(|p| p.severity == Severity::Error).count();
        match self.0.iter().find(|p| p.severity == Severity::Error) {
            Some(first) => {
                write!(
                    f,
                    "{}:{}:{}: {} ({})",
                    first.file, first.line, first.column, first.message, first.code
                )?;
                if errors > 1 { write!(f, ", and {} more", errors - 1) } else { Ok(()) }
            }
            None => f.write_str("the manifest has no errors"),
        }
    }
}

impl std::error::Error for Problems {}

/// What `check` found, whether the manifest loads or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The pipelines that would run; none when there are errors.
    pub pipelines: Vec<Pipeline>,
    /// Errors and warnings in the order of their places.
    pub problems: Vec<Problem>,
}

impl Report {
    /// True when the manifest loads.
    pub fn passes(&self) -> bool {
        !self.problems.iter().any(|p| p.severity == Severity::Error)
    }
}

/// Which tool's defaults a file is read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Native,
    Copilot,
}

impl Dialect {
    fn of(path: &str) -> Self {
        if path.starts_with("copilot/") { Self::Copilot } else { Self::Native }
    }
}

/// What reading one file needs to know around it.
#[derive(Debug)]
struct Context<'a> {
    files: &'a Sources,
    others: Others<'a>,
    repository: &'a RepoName,
    path: &'a str,
    dialect: Dialect,
}

/// A pipeline, its `source` block, and the files it is made of besides its manifest.
type Read = (Pipeline, Option<Source>, Vec<String>);

/// How often [`also_needed`] and [`needed_elsewhere`] have to be asked until nothing more is missing: files extend files.
pub const READS: usize = extends::MAX_DEPTH + 1;

/// True for a path where a manifest is looked for; the caller reads these files of a commit first.
pub fn is_manifest(path: &str) -> bool {
    NATIVE_PATHS.contains(&path) || path == COPILOT_PATH || copilot_folder(path).is_some()
}

/// The files that the manifests among `files` need besides themselves: their buildspecs and what they extend, in
/// order, without those that are there already. The caller reads them, asks again at most [`READS`] times in all, and
/// calls [`load`]; those that do not exist are left out.
pub fn also_needed(files: &Sources) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for (path, root) in parsed(files) {
        for pipeline in pipelines(&root) {
            let build = build::buildspec_path(pipeline.get("build"), Dialect::of(path)).map(|(path, _)| path);
            needed.extend(build.filter(|_| is_manifest(path)));
            needed.extend(release::template(pipeline));
            needed.extend(
                pipeline.items("stages").iter().flat_map(|stage| deployment::buildspecs(View::of(stage))),
            );
        }
    }
    needed.extend(missing(files).into_iter().filter(|path| !elsewhere::is_one(path)));
    needed.retain(|path| !files.contains_key(path));
    needed
}

/// The files of other repositories that the manifests among `files` need, in order, without those that are there
/// already; each is put among them by its own name, `org/repo//file.yml@sha`.
pub fn needed_elsewhere(files: &Sources) -> BTreeSet<Elsewhere> {
    missing(files).iter().filter_map(|path| Elsewhere::parse(path).ok()).collect()
}

/// Everything that is extended and not there.
fn missing(files: &Sources) -> BTreeSet<String> {
    let manifests = files.keys().map(String::as_str).filter(|p| is_manifest(p)).take(MAX_PIPELINES);
    extends::missing(files, manifests)
}

/// The folders in which the manifests among `files` have their services. The caller adds the files of the commit that
/// [`is_service`] before it calls [`load`].
pub fn service_folders(files: &Sources) -> BTreeSet<String> {
    let manifests = parsed(files).filter(|(path, _)| is_manifest(path));
    let folders = manifests.flat_map(|(path, root)| {
        let of = |pipeline| deployment::folder(pipeline, Dialect::of(path));
        pipelines(&root).filter_map(of).collect::<Vec<_>>()
    });
    folders.collect()
}

/// True for the file that makes a folder a service, when services are in these folders.
pub fn is_service(path: &str, folders: &BTreeSet<String>) -> bool {
    folders.iter().any(|folder| deployment::service_of(path, folder).is_some())
}

/// Those of the files that are YAML, as far as they are looked at for what they need.
fn parsed(files: &Sources) -> impl Iterator<Item = (&str, Node)> {
    let manifests = files.iter().filter(|(path, _)| is_manifest(path)).take(MAX_PIPELINES);
    let others = files.iter().filter(|(path, _)| !is_manifest(path)).take(MAX_PIPELINES);
    manifests
        .chain(others)
        .filter_map(|(path, text)| Some((path.as_str(), node::parse(text, &mut Findings::new(path))?)))
}

/// What may be the pipelines of a file.
fn pipelines(root: &Node) -> impl Iterator<Item = View<'_>> {
    let top = View::of(root);
    let inner = top.below("pipelines").entries().iter().take(MAX_PIPELINES).map(|e| View::of(&e.value));
    inner.chain(std::iter::once(top))
}

/// Loads the pipelines of a repository: `.github/liftlock.yml`, else `.github/liftlock.yaml`, else Copilot's files.
/// A file of another repository that is not there is an error.
pub fn load(files: &Sources, repository: &RepoName) -> Result<Loaded, Problems> {
    load_with(files, Others::Asked(&BTreeMap::new()), repository)
}

/// The same, knowing what became of the files of other repositories that are not there.
pub fn load_with(files: &Sources, others: Others<'_>, repository: &RepoName) -> Result<Loaded, Problems> {
    let paths = find(files).map_err(|problem| Problems(vec![problem]))?;
    let mut problems = Vec::new();
    let mut read: Vec<Read> = Vec::new();
    let mut used: BTreeSet<&str> = paths.iter().copied().collect();
    let mut extended: BTreeSet<String> = BTreeSet::new();
    let mut abroad = BTreeMap::new();
    for path in &paths {
        let context = Context { files, others, repository, path, dialect: Dialect::of(path) };
        let mut findings = Findings::new(path);
        for (at, (pipeline, source, made_of)) in read_file(&context, &mut findings) {
            if read.iter().any(|(p, _, _)| p.name == pipeline.name) {
                let message = format!("two pipelines are called `{}`", pipeline.name);
                findings.add(Code::DuplicateName, at, message);
            }
            used.extend(
                pipeline.build.buildspec.as_deref().and_then(|b| files.get_key_value(b)).map(|(k, _)| &**k),
            );
            used.extend(made_of.iter().filter_map(|path| files.get_key_value(path)).map(|(k, _)| &**k));
            extended.extend(made_of.iter().cloned());
            read.push((pipeline, source, made_of));
        }
        abroad.extend(findings.take_left());
        problems.extend(findings.into_problems());
    }
    let problems = in_order(problems);
    if problems.iter().any(|p| p.severity == Severity::Error) || read.is_empty() {
        return Err(Problems(in_order(problems.into_iter().chain(abroad.into_values()).collect())));
    }
    let sources = read.iter().filter_map(|(p, s, _)| Some((p.name.clone(), s.clone()?))).collect();
    let mut pipelines: Vec<Pipeline> = read.into_iter().map(|(p, _, _)| p).collect();
    trigger::connect(&mut pipelines);
    Ok(Loaded {
        text: digestible(files, &used),
        pipelines,
        sources,
        warnings: problems,
        abroad,
        paths: paths.into_iter().map(str::to_owned).chain(extended).collect(),
    })
}

impl Loaded {
    /// The same where the server says which repository declares a name, to a pipeline that may take its builds.
    pub fn among(
        self,
        declares: impl Fn(&PipelineName, &PipelineName) -> Option<RepoName>,
    ) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        for pipeline in &self.pipelines {
            let Some(builds) = &pipeline.triggers.builds else { continue };
            let mut first: Option<(&PipelineName, RepoName)> = None;
            for (name, problem) in self.abroad.iter().filter(|(name, _)| builds.abroad.contains(*name)) {
                let wrong = match (declares(&pipeline.name, name), &first) {
                    (None, _) => Some((
                        format!("the server's config lets `{}` take no builds of `{name}`", pipeline.name),
                        "declare it in this file, or have it added below `[[upstream]]` of the config",
                    )),
                    (Some(there), Some((other, elsewhere)))
                        if builds.need == Need::AllOfCommit && there != *elsewhere =>
                    {
                        let both = format!("`{other}`, built in {elsewhere}, and `{name}`, built in {there}");
                        Some((format!("no commit starts both {both}"), "write `join: newest`"))
                    }
                    (Some(there), _) => {
                        first.get_or_insert((name, there));
                        None
                    }
                };
                problems.extend(wrong.map(|(message, hint)| Problem {
                    code: Code::UnknownPipeline,
                    severity: Severity::Error,
                    message,
                    hint: Some(hint.to_owned()),
                    ..problem.clone()
                }));
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(Problems(in_order(problems))) }
    }
}

/// Loads and reports, for people who are writing a manifest; files of other repositories that are not there are
/// warned of.
pub fn check(files: &Sources, repository: &RepoName) -> Report {
    match load_with(files, Others::Unasked, repository) {
        Ok(loaded) => {
            let problems = loaded.warnings.into_iter().chain(loaded.abroad.into_values()).collect();
            Report { pipelines: loaded.pipelines, problems: in_order(problems) }
        }
        Err(Problems(problems)) => Report { pipelines: Vec::new(), problems },
    }
}

/// The name of the pipeline's folder in Copilot's newer layout (row C44).
fn copilot_folder(path: &str) -> Option<&str> {
    let name = path.strip_prefix(COPILOT_FOLDER)?.strip_suffix("/manifest.yml")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

fn find(files: &Sources) -> Result<Vec<&str>, Problem> {
    let present = |path: &str| files.get_key_value(path).map(|(key, _)| key.as_str());
    let native: Vec<&str> = NATIVE_PATHS.iter().filter_map(|path| present(path)).collect();
    match native.as_slice() {
        [_, second, ..] => {
            let message = format!("both `{}` and `{}` exist", NATIVE_PATHS[0], NATIVE_PATHS[1]);
            let hint = Some(format!("delete `{second}`"));
            return Err(Problem::new(Code::TwoFiles, second, Place::default(), message, hint));
        }
        [_] => return Ok(native),
        [] => {}
    }
    let folders = files.keys().map(String::as_str).filter(|p| copilot_folder(p).is_some());
    let copilot: Vec<&str> = present(COPILOT_PATH).into_iter().chain(folders).collect();
    if copilot.is_empty() {
        let message =
            format!("there is no manifest: neither `{}` nor `{COPILOT_PATH}` exists", NATIVE_PATHS[0]);
        let hint = Some("write one with `liftlock init`".to_owned());
        return Err(Problem::new(Code::NoFile, NATIVE_PATHS[0], Place::default(), message, hint));
    }
    if let Some(first) = copilot.get(MAX_PIPELINES) {
        let message =
            format!("a repository has at most {MAX_PIPELINES} pipelines, and here are {}", copilot.len());
        return Err(Problem::new(Code::TooLarge, first, Place::default(), message, None));
    }
    Ok(copilot)
}

fn digestible(files: &Sources, used: &BTreeSet<&str>) -> String {
    let read = files.iter().filter(|(path, _)| used.contains(path.as_str()));
    read.fold(String::new(), |mut out, (path, text)| {
        write!(out, "{path} {}\n{text}\n", text.len()).unwrap_or_default();
        out
    })
}

fn read_file(context: &Context<'_>, findings: &mut Findings<'_>) -> Vec<(Place, Read)> {
    let text = context.files.get(context.path).map(String::as_str).unwrap_or_default();
    let Some(root) = node::parse(text, findings) else { return Vec::new() };
    let top = View::of(&root);
    let Some(several) = top.entry("pipelines") else {
        shape::check(&root, &Shape::Object(&SINGLE_OBJECT), "the manifest", findings);
        let contexts =
            if copilot_folder(context.path).is_some() { Contexts::Qualified } else { Contexts::Short };
        let at = top.get("name").map_or(Place { file: 0, line: 1, column: 1, length: 1 }, |n| n.at);
        let Some(name) = top.parsed("name").or_else(|| default_name(context)) else { return Vec::new() };
        let mut read = read_pipeline((top, root.at), (name, contexts), context, findings);
        trigger::check(&[(read.0.name.clone(), top)], std::iter::once(&mut read.0), findings);
        return vec![(at, read)];
    };
    shape::check(&root, &Shape::Object(&SEVERAL_OBJECT), "the manifest", findings);
    let entries = View::of(&several.value).entries();
    if entries.is_empty() && matches!(several.value.value, Value::Mapping(_)) {
        findings.add(Code::WrongShape, several.value.at, "`pipelines` has no pipeline".to_owned());
    }
    if let Some(first) = entries.get(MAX_PIPELINES) {
        let message =
            format!("a repository has at most {MAX_PIPELINES} pipelines, and here are {}", entries.len());
        findings.add(Code::TooLarge, first.key_at, message);
    }
    let (mut read, mut views) = (Vec::new(), Vec::new());
    for entry in entries.iter().take(MAX_PIPELINES) {
        let Ok(name) = entry.key.parse::<PipelineName>() else { continue };
        let view = View::of(&entry.value);
        let (contexts, at) = (Contexts::Qualified, entry.value.at);
        views.push((name.clone(), view));
        read.push((entry.key_at, read_pipeline((view, at), (name, contexts), context, findings)));
    }
    trigger::check(&views, read.iter_mut().map(|(_, (pipeline, _, _))| pipeline), findings);
    read
}

/// The folder's name in Copilot's newer layout, else the last part of the repository's name.
fn default_name(context: &Context<'_>) -> Option<PipelineName> {
    let repository = context.repository.as_str();
    let last = repository.rsplit('/').next().unwrap_or(repository);
    let words = last.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let name = copilot_folder(context.path).unwrap_or(words);
    name.parse().or_else(|_| "main".parse()).ok()
}

fn read_pipeline(
    (own, at): (View<'_>, Place),
    (name, contexts): (PipelineName, Contexts),
    context: &Context<'_>,
    findings: &mut Findings<'_>,
) -> Read {
    let begun = findings.mark();
    let rings = extends::gather(own, context, findings);
    let composed = rings.compose(own, at, findings);
    let view = composed.as_ref().map_or(own, View::of);
    let source = source::read(view, context.repository, findings);
    let about = About {
        title: view.line("title"),
        description: view.line("description"),
        tags: view.lines("tags"),
        weight: view.integer("weight").unwrap_or(0),
        docs_url: view.line("docs_url"),
    };
    let triggers = trigger::read(view, source.as_ref(), findings);
    let made = build::read(view, context, findings);
    let nodes = view.items("stages");
    let written: BTreeSet<&str> =
        nodes.iter().take(MAX_STAGES).filter_map(|node| Some(stage::name_of(node)?.0)).collect();
    let teams = approval::teams(view);
    let runbooks = runbook::read(view, (&written, &teams), findings);
    let deploy = view.get("deploy").map(|node| step::read(node, &runbooks, findings)).unwrap_or_default();
    let checks = check::declared(view, contract::of(view).is_some(), findings);
    let around = (deploy.as_slice(), runbooks.as_slice(), &teams, &checks);
    let mut drafts = drafts(view, (own, &rings), around, findings);
    let services = deployment::services(view, context, findings);
    let deployed = deployment::Around { pipeline: &name, context, services: &services };
    for draft in &mut drafts {
        let node = nodes.iter().find(|node| stage::name_of(node).is_some_and(|(_, at)| at == draft.at));
        if let Some(node) = node {
            deployment::unfold(node, &mut draft.stage, &deployed, findings);
        }
    }
    let variables = variable::of_pipeline(view, findings);
    let groups = group::of(view, Some(&written), findings);
    let channels = channel::of_pipeline(view, &written, findings);
    let mut stages = order::link(drafts, &written, findings);
    environment::tell(view, &mut stages, findings);
    let pipeline = Pipeline {
        name,
        contexts,
        about,
        triggers,
        build: made.build,
        artifacts: made.artifacts,
        inherits: made.inherits,
        uploads: made.uploads,
        primary: made.primary,
        withheld: made.withheld,
        workflow: made.workflow,
        sources: made.sources,
        feeds: BTreeSet::new(),
        release: release::read(view, context.files, findings),
        variables,
        groups,
        channels,
        notify: notify::of(view, findings),
        retention: retention::of(view, findings),
        stages,
        runbooks,
    };
    check_whole(view, &pipeline, findings);
    rings.forgive(findings, begun);
    let files = [rings.files, services.files].concat();
    (pipeline, source, files)
}

/// What can be said of a pipeline only once all of it is read.
fn check_whole(view: View<'_>, pipeline: &Pipeline, findings: &mut Findings<'_>) {
    variable::check(view, pipeline, findings);
    derivation::check(view, pipeline, findings);
    publish::check(view, pipeline, findings);
    release::check(view, pipeline, findings);
    contract::check(view, pipeline, findings);
    check::idle(view, pipeline, findings);
    rollback::check_shipped(view, pipeline, findings);
    runbook::check(view, pipeline, findings);
    trigger::check_trains(view, pipeline, findings);
    deployment::check_artifacts(view, pipeline, findings);
}

/// What a stage is read with.
type Around<'a> = (&'a [Step], &'a [Runbook], &'a Teams, &'a check::Declared);

/// The stages of a pipeline; what an extended file says about one still holds.
fn drafts(
    view: View<'_>,
    (own, rings): (View<'_>, &Rings),
    around: Around<'_>,
    findings: &mut Findings<'_>,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let nodes = view.items("stages");
    check_stage_count(view.get("stages"), nodes, findings);
    for (node, own) in nodes.iter().zip(own.items("stages")).take(MAX_STAGES) {
        let Some(mut draft) = stage::read(node, around, findings) else { continue };
        let read = |base: &Node, findings: &mut Findings<'_>| stage::read(base, around, findings);
        rings.tighten(&mut draft, View::of(own), read, findings);
        let production = environment::is_production(view, &draft.stage);
        if !release::kind(view).ships(&draft.stage) {
            rollback::warn_without(View::of(node), (&draft.stage, production, draft.at), findings);
        }
        drafts.push(draft);
    }
    drafts
}

fn check_stage_count(list: Option<&Node>, stages: &[Node], findings: &mut Findings<'_>) {
    let Some(list) = list.filter(|n| matches!(n.value, Value::Sequence(_))) else { return };
    if stages.is_empty() {
        let hint = "write at least one: `stages: [test]`".to_owned();
        findings.add_hinted(Code::NoStages, list.at, "there is no stage".to_owned(), hint);
    }
    if let Some(first) = stages.get(MAX_STAGES) {
        let message = format!("a pipeline has at most {MAX_STAGES} stages, and here are {}", stages.len());
        findings.add(Code::TooLarge, first.at, message);
    }
}

//! `triggers` → what starts a release, and `artifacts` that are `from` another pipeline's build.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::demand::{Button, Timed, Train};
use crate::domain::input::Input;
use crate::domain::join::{Builds, Inherited, Need, Wanted};
use crate::domain::manifest::build::clean_left;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::image;
use crate::domain::manifest::node::{Entry, Node};
use crate::domain::manifest::origin;
use crate::domain::manifest::problem::{Findings, Place};
use crate::domain::manifest::runbook;
use crate::domain::manifest::shape::nearest;
use crate::domain::manifest::source::Source;
use crate::domain::manifest::view::{self, View};
use crate::domain::manifest::workflow;
use crate::domain::name::{Alias, ChannelName, PipelineName, StageName, printable};
use crate::domain::pipeline::{Artifact, Pipeline, PullRequestTrigger, PushTrigger, Triggers};
use crate::domain::time::Span;
use crate::domain::workflow::Workflow;

/// How long `any` waits for a second build that ends at about the same time.
const SETTLE: Span = Span::minutes(2);
/// What `from` begins with when it means a build.
pub(super) const BUILD: &str = "build/";
/// What `from` says of what is handed in.
const UPLOAD: &str = "upload";

pub(super) fn check_from(text: &str) -> Result<(), String> {
    if text == UPLOAD {
        return Ok(());
    }
    if origin::is_one(text) {
        return origin::parse(text).map(drop);
    }
    if let Some(file) = workflow::parse(text) {
        return file.map(drop);
    }
    let name = text.strip_prefix(BUILD).map(str::parse::<PipelineName>);
    match name {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err(format!(
            "`{}` is not where an artifact comes from: write `build/<pipeline>`, `upload`, \
             `actions/<workflow>.yml` or `git+https://host/path@branch`",
            printable(text)
        )),
    }
}

/// Where an artifact comes from, as written.
pub(super) fn from_of(artifact: &Node) -> Option<&str> {
    View::of(artifact).get("from").and_then(view::text)
}

pub(super) fn is_upload(artifact: &Node) -> bool {
    from_of(artifact) == Some(UPLOAD)
}

/// The name that such an artifact must have.
pub(super) fn alias_of(artifact: &Node, what: &str, findings: &mut Findings<'_>) -> Option<Alias> {
    let view = View::of(artifact);
    if view.get("alias").is_none() {
        findings.add(Code::MissingKey, artifact.at, format!("{what} needs `alias`"));
    }
    view.parsed("alias")
}

/// Without `triggers`, a push to the default branch; with it, only what it lists. Copilot's branch always counts.
pub(super) fn read(view: View<'_>, source: Option<&Source>, findings: &mut Findings<'_>) -> Triggers {
    let branches: Vec<_> = source.and_then(|s| s.branch.clone()).into_iter().collect();
    if view.items("artifacts").iter().any(|node| is_upload(node) || workflow::is_one(node)) {
        return Triggers::default();
    }
    let Some(block) = view.get("triggers").map(View::of) else {
        return Triggers { push: Some(PushTrigger { branches, paths: Vec::new() }), ..Triggers::default() };
    };
    let push = block.below("push");
    if let Some(entry) = push.entry("branches").filter(|_| !branches.is_empty()) {
        let message = "`triggers.push.branches` and `source.properties.branch` exclude each other".to_owned();
        findings.add_hinted(Code::Exclusive, entry.key_at, message, "keep one of them".to_owned());
    }
    let own = push.all("branches");
    let pull_request = block.below("pull_request");
    Triggers {
        push: (block.get("push").is_some() || !branches.is_empty()).then(|| PushTrigger {
            branches: if own.is_empty() { branches } else { own },
            paths: push.all("paths"),
        }),
        tags: block.all("tags"),
        pull_request: block
            .get("pull_request")
            .map(|_| PullRequestTrigger { paths: pull_request.all("paths") }),
        button: block.get("button").map(|node| button(view, node, findings)),
        schedule: block.items("schedule").iter().filter_map(|node| timed(view, node, findings)).collect(),
        builds: block.get("builds").and_then(|node| builds(node, findings)),
    }
}

/// What starts releases beside the button.
const STARTS: [&str; 4] = ["push", "tags", "schedule", "builds"];

fn button(pipeline: View<'_>, node: &Node, findings: &mut Findings<'_>) -> Button {
    let triggers = pipeline.below("triggers");
    let view = View::of(node);
    let by_itself = STARTS.iter().any(|key| triggers.get(key).is_some());
    let inputs = runbook::inputs(view, by_itself.then_some(Code::NotGiven), findings);
    let per = view.line("per");
    if let Some((node, per)) = view.get("per").zip(per.as_ref()) {
        let branch = pipeline.below("source").below("properties").entry("branch");
        let others = STARTS.iter().filter_map(|key| triggers.entry(key)).chain(branch);
        check_per((node.at, per), &inputs, others, findings);
    }
    Button { title: view.line("title"), inputs, per }
}

/// Releases are told apart by what each of them was given: nothing else may start one, and none may be without it.
fn check_per<'n>(
    (at, per): (Place, &str),
    inputs: &BTreeMap<String, Input>,
    others: impl Iterator<Item = &'n Entry>,
    findings: &mut Findings<'_>,
) {
    match inputs.get(per) {
        Some(input) if input.required => {}
        Some(_) => {
            let message = format!("`per` is what every release is given, and `{per}` may be left out");
            findings.add_hinted(Code::Per, at, message, format!("write `{per}: {{required: true}}`"));
        }
        None => {
            let all: Vec<String> = inputs.keys().map(|name| format!("`{name}`")).collect();
            let all =
                if all.is_empty() { "it has none".to_owned() } else { format!("it has {}", all.join(", ")) };
            findings.add(Code::Per, at, format!("the button has no input `{per}`: {all}"));
        }
    }
    for other in others {
        let message =
            format!("a release that `{}` starts has no `{per}`, which tells releases apart", other.key);
        let hint = format!("take `{}` out, in another pipeline if need be, or leave out `per`", other.key);
        findings.add_hinted(Code::Per, other.key_at, message, hint);
    }
}

fn timed(pipeline: View<'_>, node: &Node, findings: &mut Findings<'_>) -> Option<Timed> {
    let view = View::of(node);
    let channel = view.parsed::<ChannelName>("channel");
    if let Some(name) =
        channel.as_ref().filter(|name| pipeline.below("channels").get(name.as_str()).is_none())
    {
        let at = view.get("channel").map(|node| node.at).unwrap_or_default();
        findings.add(Code::Channel, at, format!("there is no channel `{name}`"));
    }
    Some(Timed { schedule: runbook::schedule(node, findings)?, channel })
}

/// The times at which a stage takes a release along.
pub(super) fn train(stage: View<'_>, findings: &mut Findings<'_>) -> Option<Train> {
    let node = stage.get("schedule")?;
    let view = View::of(node);
    let schedule = runbook::schedule(node, findings)?;
    let cut_off = view.parsed::<Span>("cut_off");
    // What a train takes along is settled once the one before it has left.
    if let Some((cut_off, apart)) = cut_off.and_then(|span| Some((span, schedule.closest_within(span)?))) {
        let message =
            format!("the cut-off is {cut_off} before a departure, and two of them are {apart} apart");
        let hint = format!("write less than `{apart}`, or let the train leave less often");
        findings.add_hinted(Code::CutOff, view.place("cut_off"), message, hint);
    }
    Some(Train {
        schedule,
        from: view.parsed("from")?,
        if_changed: view.flag("if_changed").unwrap_or(true),
        cut_off,
    })
}

/// A train comes from a stage that its own needs, and takes one release along: not one of each track.
pub(super) fn check_trains(view: View<'_>, pipeline: &Pipeline, findings: &mut Findings<'_>) {
    for node in view.items("stages") {
        let own = View::of(node);
        let stage = own.parsed::<StageName>("name").and_then(|name| pipeline.stage(&name));
        let Some((stage, train)) = stage.and_then(|stage| Some((stage, stage.train.as_ref()?))) else {
            continue;
        };
        let per = pipeline.triggers.button.as_ref().and_then(|button| button.per.as_ref());
        if let Some(per) = per {
            let message = format!("a train takes one release along, and each `{per}` has one of its own");
            let hint = "leave the stage's `schedule` out, or `per`".to_owned();
            findings.add_hinted(Code::Per, own.place("schedule"), message, hint);
        }
        if stage.comes_from().any(|need| *need == train.from) {
            continue;
        }
        let at = own.below("schedule").get("from").map(|node| node.at).unwrap_or_default();
        let message =
            format!("the train to `{}` comes from `{}`, which it does not need", stage.name, train.from);
        let hint = format!("add `{}` to its `needs`", train.from);
        findings.add_hinted(Code::UnknownStage, at, message, hint);
    }
}

fn builds(node: &Node, findings: &mut Findings<'_>) -> Option<Builds> {
    let view = View::of(node);
    let key = if view.get("all").is_some() { "all" } else { "any" };
    let mut from: Vec<PipelineName> = Vec::new();
    for item in view.items(key) {
        let Some(name) = view::parsed::<PipelineName>(item) else { continue };
        if from.contains(&name) {
            findings.add(Code::DuplicateName, item.at, format!("`{name}` is named twice"));
        } else {
            from.push(name);
        }
    }
    if from.is_empty() {
        if let Some(list) = view.get(key).filter(|list| view::items(list).is_empty()) {
            findings.add(Code::WrongShape, list.at, format!("`{key}` names no pipeline"));
        }
        return None;
    }
    let need = match (key, view.line("join").as_deref()) {
        ("all", Some("newest")) => Need::AllNewest,
        ("all", _) => Need::AllOfCommit,
        (_, None) => Need::Any,
        (_, Some(_)) => {
            let message = "`join` goes with `all`: `any` takes the last build of the others".to_owned();
            findings.add(Code::Exclusive, view.place("join"), message);
            Need::Any
        }
    };
    let usual = if need == Need::Any { SETTLE } else { Span::ZERO };
    Some(Builds { need, from, abroad: BTreeSet::new(), settle: view.parsed("settle").unwrap_or(usual) })
}

/// Reads the artifacts that are built elsewhere and handed in, or come from this workflow; a pipeline with some starts
/// with them alone.
pub(super) fn uploads(
    pipeline: View<'_>,
    workflow: Option<&Workflow>,
    findings: &mut Findings<'_>,
) -> BTreeSet<Alias> {
    let mut out: BTreeSet<Alias> = workflow.iter().flat_map(|w| w.artifacts.keys().cloned()).collect();
    for node in pipeline.items("artifacts").iter().filter(|node| is_upload(node)) {
        let Some(alias) = alias_of(node, "an artifact that is handed in", findings) else { continue };
        if !out.insert(alias.clone()) {
            findings.add(Code::DuplicateName, node.at, format!("two artifacts are called `{alias}`"));
        }
    }
    if let Some(first) = pipeline.below("triggers").entries().first().filter(|_| !out.is_empty()) {
        let how = if workflow.is_some() { "come from a workflow" } else { "are handed in" };
        let message = format!("a pipeline whose artifacts {how} starts with them alone");
        let hint = format!("leave `{}` out", first.key);
        findings.add_hinted(Code::Exclusive, first.key_at, message, hint);
    }
    out
}

/// Reads the artifacts that come from other pipelines; which one of theirs is found when all are read.
pub(super) fn inherited(pipeline: View<'_>, findings: &mut Findings<'_>) -> Vec<Inherited> {
    let mut out: Vec<Inherited> = Vec::new();
    for node in pipeline.items("artifacts") {
        if let (Some(from), Some(entry)) = (from_of(node), View::of(node).entry("path"))
            && !from.starts_with(BUILD)
        {
            let message = "`path` says what a build left, here or in another pipeline".to_owned();
            findings.add_hinted(Code::BadText, entry.key_at, message, "leave it out".to_owned());
        }
        let from = from_of(node).and_then(|text| text.strip_prefix(BUILD));
        let Some(Ok(from)) = from.map(str::parse::<PipelineName>) else { continue };
        let Some(alias) = alias_of(node, "an artifact from a build", findings) else { continue };
        if out.iter().any(|known| known.alias == alias) {
            findings.add(Code::DuplicateName, node.at, format!("two artifacts are called `{alias}`"));
            continue;
        }
        let (is_image, image) = image::inherited(node);
        out.push(Inherited { artifact: alias.clone(), alias, pipeline: from, is_image, image, abroad: None });
    }
    out
}

/// The pipelines of a file must know those of it that they listen to, and none may start itself, whatever way round. A
/// name that is no pipeline's of the file is another repository's, which only the server knows.
pub(super) fn check<'p>(
    views: &[(PipelineName, View<'_>)],
    pipelines: impl Iterator<Item = &'p mut Pipeline>,
    findings: &mut Findings<'_>,
) {
    let mut pipelines: Vec<&mut Pipeline> = pipelines.collect();
    let left: BTreeMap<PipelineName, Vec<Alias>> =
        pipelines.iter().map(|p| (p.name.clone(), p.aliases().cloned().collect())).collect();
    let paths: BTreeMap<PipelineName, Vec<Artifact>> =
        pipelines.iter().map(|p| (p.name.clone(), p.artifacts.clone())).collect();
    let heard: BTreeMap<PipelineName, Vec<PipelineName>> = pipelines
        .iter()
        .map(|p| (p.name.clone(), p.triggers.builds.iter().flat_map(|b| b.from.clone()).collect()))
        .collect();
    for (name, view) in views {
        let Some(pipeline) = pipelines.iter_mut().find(|p| p.name == *name) else { continue };
        check_builds(*view, (pipeline, &left, &heard), findings);
        if let Some(builds) = &mut pipeline.triggers.builds {
            builds.abroad = builds.from.iter().filter(|name| !left.contains_key(*name)).cloned().collect();
        }
        for inherited in &mut pipeline.inherits {
            let node = view
                .items("artifacts")
                .iter()
                .find(|node| View::of(node).parsed::<Alias>("alias").as_ref() == Some(&inherited.alias));
            let Some(from) = node.and_then(|node| View::of(node).get("from")) else { continue };
            if !heard.get(name).is_some_and(|heard| heard.contains(&inherited.pipeline)) {
                let message =
                    format!("`{}` is not among the pipelines of `triggers.builds`", inherited.pipeline);
                findings.add(Code::UnknownPipeline, from.at, message);
            }
            let path = node.and_then(|node| View::of(node).get("path"));
            let path = path.and_then(|path| Some((path, clean_left(view::text(path)?).ok()?)));
            match (left.get(&inherited.pipeline), path) {
                (None, path) => {
                    let packed = path.map_or(Wanted::Named, |(_, path)| Wanted::From(path));
                    inherited.abroad = Some(packed);
                }
                (Some(_), Some((at, path))) => {
                    let left = paths.get(&inherited.pipeline).map(Vec::as_slice).unwrap_or_default();
                    choose_by_path(inherited, left, (&path, at, findings));
                }
                (Some(theirs), None) => choose(inherited, theirs, (from, findings)),
            }
        }
    }
    withhold(&mut pipelines);
}

type Names<T> = BTreeMap<PipelineName, Vec<T>>;

/// What a pipeline listens to.
fn check_builds(
    view: View<'_>,
    (pipeline, left, heard): (&Pipeline, &Names<Alias>, &Names<PipelineName>),
    findings: &mut Findings<'_>,
) {
    let Some(rule) = &pipeline.triggers.builds else { return };
    let builds = view.below("triggers").below("builds");
    for node in builds.items("any").iter().chain(builds.items("all")) {
        let Some(name) = view::parsed::<PipelineName>(node) else { continue };
        if left.contains_key(&name) {
            if starts(&name, &pipeline.name, heard) {
                let message = format!("builds of `{}` would start builds of itself", pipeline.name);
                findings.add(Code::Cycle, node.at, message);
            }
        } else if let Some(near) = nearest(name.as_str(), left.keys().map(PipelineName::as_str)) {
            let message = format!("there is no pipeline `{name}`");
            findings.add_hinted(Code::UnknownPipeline, node.at, message, format!("did you mean `{near}`?"));
        } else {
            let message = format!("`{name}` is no pipeline of this file, so the server has to know it");
            let hint = "its config says below `[[upstream]]` what is built in other repositories".to_owned();
            findings.leave(name, (Code::Upstream, node.at), (message, hint));
        }
    }
    let (own, abroad): (Vec<_>, Vec<_>) = rule.from.iter().partition(|name| left.contains_key(*name));
    if let (Need::AllOfCommit, Some(own), Some(abroad)) = (rule.need, own.first(), abroad.first()) {
        let message =
            format!("no commit starts both `{own}`, built here, and `{abroad}`, built in another repository");
        let hint = "write `join: newest`".to_owned();
        findings.add_hinted(Code::Exclusive, builds.place("all"), message, hint);
    }
}

/// What does not ship where it is built ships nowhere, through however many pipelines it is handed on.
fn withhold(pipelines: &mut [&mut Pipeline]) {
    loop {
        let known: BTreeMap<PipelineName, BTreeSet<Alias>> =
            pipelines.iter().map(|p| (p.name.clone(), p.withheld.clone())).collect();
        let stays = |taken: &&Inherited| {
            known.get(&taken.pipeline).is_some_and(|withheld| withheld.contains(&taken.artifact))
        };
        let mut news = false;
        for pipeline in &mut *pipelines {
            for taken in pipeline.inherits.iter().filter(stays) {
                news |= pipeline.withheld.insert(taken.alias.clone());
            }
        }
        if !news {
            return;
        }
    }
}

/// The artifact of the same name, or the only one there is.
fn choose(inherited: &mut Inherited, theirs: &[Alias], (from, findings): (&Node, &mut Findings<'_>)) {
    match theirs {
        [only] => inherited.artifact = only.clone(),
        _ if theirs.contains(&inherited.alias) => {}
        _ => {
            let names: Vec<String> = theirs.iter().map(|alias| format!("`{alias}`")).collect();
            let message = format!(
                "`{}` leaves several artifacts, and none is called `{}`: {}",
                inherited.pipeline,
                inherited.alias,
                names.join(", ")
            );
            findings.add(Code::UnknownPipeline, from.at, message);
        }
    }
}

/// The artifact that the other pipeline packs from there: what is taken is what was sealed, never a part of it.
fn choose_by_path(
    inherited: &mut Inherited,
    left: &[Artifact],
    (path, at, findings): (&str, &Node, &mut Findings<'_>),
) {
    if let Some(artifact) = left.iter().find(|artifact| artifact.path == path) {
        inherited.artifact = artifact.alias.clone();
        return;
    }
    let all: Vec<String> = left.iter().map(|artifact| format!("`{}`", printable(&artifact.path))).collect();
    let leaves = if all.is_empty() { "nothing of its own".to_owned() } else { all.join(", ") };
    let message = format!("`{}` leaves nothing at `{}`", inherited.pipeline, printable(path));
    findings.add_hinted(Code::UnknownPipeline, at.at, message, format!("it leaves {leaves}"));
}

/// Whether builds of the one start, through whatever others, builds of the other.
fn starts(
    listened: &PipelineName,
    to: &PipelineName,
    heard: &BTreeMap<PipelineName, Vec<PipelineName>>,
) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![listened]);
    while let Some(name) = next.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            next.extend(heard.get(name).into_iter().flatten());
        }
    }
    false
}

/// Notes with each pipeline those that its builds start.
pub(super) fn connect(pipelines: &mut [Pipeline]) {
    let listens: Vec<(PipelineName, Vec<PipelineName>)> = pipelines
        .iter()
        .filter_map(|p| Some((p.name.clone(), p.triggers.builds.as_ref()?.from.clone())))
        .collect();
    for pipeline in pipelines {
        let feeds = listens.iter().filter(|(_, from)| from.contains(&pipeline.name));
        pipeline.feeds = feeds.map(|(name, _)| name.clone()).collect();
    }
}

//! How a release was promoted, as in-toto has it: a layout that says which steps there have to be, and a link for each.
//!
//! The steps are `build`, `approve-<stage>-<n>` for the n-th person who approved a stage, `signoff-<stage>-<n>` for who
//! found it good after the deploy, and `stage-<stage>`; all of them leave the files as they were, but for what
//! the commands of a stage make anew or in addition.
//! Links are signed by the server. People have no keys here, so a threshold of in-toto, which counts keys, cannot count
//! them: each person has a step of their own instead, whose link changes a list of people. A person who was counted
//! twice would leave it as it was, and the layout wants it changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::domain::approval::{counts, needed, rule_on};
use crate::domain::derivation::FIRST;
use crate::domain::event::{Approval, ApprovalSide};
use crate::domain::evidence::{Matter, Origin, file_name, files};
use crate::domain::name::{Digest, StageName, printable};
use crate::domain::pipeline::{Behind, Duty, Stage};
use crate::domain::release::{Release, StageRun, StageState};

/// How the file of a link ends; the step and the beginning of the key's name stand before it.
pub const LINK: &str = ".link";
/// How a layout is called that waits for its owner's signature, behind the name of the stage that it leads to.
pub const LAYOUT: &str = ".layout";
/// So much of a key's name is in the name of a link.
const KEY_CHARACTERS: usize = 8;
/// The first step.
const BUILD: &str = "build";
/// What the steps of stages begin with.
const STAGE: &str = "stage-";
/// What lists of people are called, before the step that they belong to.
const PEOPLE: &str = "people/";
/// Most people of one side of a stage who get a link: more than any rule asks for.
const MAX_PEOPLE: usize = 100;

/// Under which name in-toto looks for a step's link that this key signed.
pub fn link_name(step: &str, key: &str) -> String {
    let key: String = key.chars().take(KEY_CHARACTERS).collect();
    format!("{step}.{key}{LINK}")
}

/// The step that a link with this name is of.
pub fn step_of(name: &str) -> Option<&str> {
    name.strip_suffix(LINK)?.rsplit_once('.').map(|(step, _)| step)
}

/// Whether a release was signed before there were links.
pub(super) fn lacks(release: &Release) -> bool {
    let linked = |signed: &&super::Signed| signed.files.iter().any(|kept| kept.name.ends_with(LINK));
    release.signed(&Matter::Build).as_ref().is_some_and(|signed| !linked(signed))
        && release.signed(&Matter::Links).is_none()
}

/// The links of a matter by their steps. Of a stage that succeeded again, the first time counts.
pub fn links(release: &Release, what: &Matter, origin: Origin<'_>) -> Vec<(String, Value)> {
    let mut known: BTreeSet<String> =
        files(release).filter_map(|kept| step_of(&kept.name)).map(str::to_owned).collect();
    let stage = |what: &Matter| match what {
        Matter::Stage { stage, attempt } => Some((stage.clone(), *attempt)),
        Matter::Build | Matter::Links | Matter::Revision { .. } | Matter::Written { .. } => None,
    };
    let (builds, runs) = match what {
        Matter::Build => (true, Vec::new()),
        Matter::Stage { .. } => (false, stage(what).into_iter().collect()),
        // What a stage made is in the link of that stage.
        Matter::Revision { .. } | Matter::Written { .. } => (false, Vec::new()),
        Matter::Links => (true, release.evidence.iter().filter_map(|signed| stage(&signed.what)).collect()),
    };
    let mut all = Vec::new();
    if builds && known.insert(BUILD.to_owned()) {
        all.push(build(&release.at_revision(FIRST), origin));
    }
    for (stage, attempt) in runs {
        let found = of_stage(release, (&stage, attempt), origin);
        if found.last().is_some_and(|(step, _)| known.insert(step.clone())) {
            all.extend(found);
        }
    }
    all
}

type Artifacts = BTreeMap<String, Value>;

fn sealed(release: &Release) -> Artifacts {
    let named = |file| (file_name(file), json!({"sha256": file.digest.hex()}));
    release.artifacts.iter().map(named).collect()
}

fn link(step: &str, (materials, products): (&Artifacts, &Artifacts), said: &Value) -> (String, Value) {
    let link = json!({
        "_type": "link", "name": step, "materials": materials, "products": products, "byproducts": said,
        "command": [], "environment": {},
    });
    (step.to_owned(), link)
}

/// What the files were made of; what others built or handed in goes through as it is.
fn build(release: &Release, origin: Origin<'_>) -> (String, Value) {
    let (created, products) = (&release.created, sealed(release));
    let mut materials = Artifacts::from([
        (source(origin), json!({"gitCommit": release.built_from()})),
        (pipeline(origin), json!({"sha256": created.manifest.hex()})),
    ]);
    materials.extend(
        release
            .sources
            .iter()
            .map(|found| (format!("git+https://{}", found.source), json!({"gitCommit": found.commit}))),
    );
    let taken = release.artifacts.iter().filter(|file| !super::built_here(release, file));
    materials.extend(taken.map(|file| (file_name(file), json!({"sha256": file.digest.hex()}))));
    let over = release.reused.as_ref();
    let said = json!({
        "release": origin.page(release), "version": created.version.to_string(), "ref": created.branch,
        "at": release.at.rfc3339(),
        "taken_over": over.map(|over| json!({"of": over.by.to_string(), "commit": created.commit, "tree": over.tree})),
    });
    link(BUILD, (&materials, &products), &said)
}

/// The repository as a thing that was built from.
fn source(origin: Origin<'_>) -> String {
    format!("git+{}", origin.repository)
}

/// The pipeline as a thing that was built by.
fn pipeline(origin: Origin<'_>) -> String {
    format!("pipeline/{}", origin.pipeline.name)
}

/// The people of a stage and the stage itself.
fn of_stage(
    release: &Release,
    (stage, attempt): (&StageName, u32),
    origin: Origin<'_>,
) -> Vec<(String, Value)> {
    let run = release.attempt(stage, attempt).filter(|run| run.state == StageState::Succeeded);
    let (Some(run), Some(rule)) = (run, release.rule(stage)) else { return Vec::new() };
    let of = |no: u32| sealed(&release.at_revision(no));
    let began = release.revised_in(stage).map_or(run.revision, |made| made.no.saturating_sub(1));
    let (before, after) = (of(began.min(run.revision)), of(run.revision));
    let mut all = Vec::new();
    for (side, files) in [(ApprovalSide::Before, &before), (ApprovalSide::After, &after)] {
        let people = people(release, (rule, run), side);
        all.extend(lists(files, &format!("{}-{stage}", word(side)), &people));
    }
    let passed = run.overrides.iter().map(|said| json!({"check": said.check.word(), "by": said.by.login}));
    let said = json!({
        "release": origin.page(release), "attempt": attempt, "at": run.moved_at.rfc3339(),
        "environment": rule.environment, "overridden": passed.collect::<Vec<_>>(),
    });
    all.push(link(&step_of_stage(stage), (&before, &after), &said));
    all
}

fn word(side: ApprovalSide) -> &'static str {
    match side {
        ApprovalSide::Before => "approve",
        ApprovalSide::After => "signoff",
    }
}

/// Whose word counted when the stage began, or was found good: each person once.
fn people<'a>(
    release: &Release,
    (stage, run): (&Stage, &'a StageRun),
    side: ApprovalSide,
) -> Vec<&'a Approval> {
    let Some(rule) = rule_on(stage, run, side) else { return Vec::new() };
    let at = match side {
        ApprovalSide::Before => run.started_at.unwrap_or(run.moved_at),
        ApprovalSide::After => run.moved_at,
    };
    let mut known = BTreeSet::new();
    let given = run.given(side).iter();
    let counted = given.filter(|approval| counts(&rule, release, run, (approval, at)).is_ok());
    counted.filter(|approval| known.insert(approval.standing.person.id)).take(MAX_PEOPLE).collect()
}

/// A link for each person, which adds them to the list of those before them.
fn lists(files: &Artifacts, step: &str, people: &[&Approval]) -> Vec<(String, Value)> {
    let (mut all, mut before, mut ids) = (Vec::new(), files.clone(), Vec::<String>::new());
    for (no, approval) in (1_usize..).zip(people) {
        let (person, standing) = (&approval.standing.person, &approval.standing);
        ids.push(person.id.to_string());
        let mut after = before.clone();
        let list = Digest::of_text(&format!("{}\n", ids.join("\n")));
        after.insert(format!("{PEOPLE}{step}"), json!({"sha256": list.hex()}));
        let said = json!({
            "person": {"id": person.id, "login": person.login, "role": standing.role, "teams": standing.teams},
            "at": approval.at.rfc3339(), "comment": approval.comment, "text": {"sha256": approval.body.hex()},
            "commit": approval.commit, "digest": {"sha256": approval.digest.hex()}, "people": ids,
        });
        all.push(link(&format!("{step}-{no}"), (&before, &after), &said));
        before = after;
    }
    all
}

/// What a layout is made for, beside the release.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The keys that may sign links, as PEM by their names.
    pub keys: &'a BTreeMap<String, String>,
    /// Until when it is good.
    pub expires: &'a str,
}

/// The layout for releases like this one, up to a stage; a person signs it with a key of their own.
pub fn layout(
    release: &Release,
    stage: &StageName,
    origin: Origin<'_>,
    terms: Terms<'_>,
) -> Result<Value, String> {
    let last = release.rule(stage).ok_or_else(|| format!("there is no stage {stage}"))?;
    let built_files = Left::by_build(release);
    let mut steps = vec![built(&built_files.names(), origin, terms)];
    let behind = release.rules.behind();
    let mut left: BTreeMap<&StageName, Left> = BTreeMap::new();
    for stage in leading_to(release, last, &behind) {
        // In the order of the file, so that what is made of something counts more than that.
        let is_behind = |s: &&Stage| behind.leads(&s.name, &stage.name);
        let left_before = release.rules.stages.iter().filter(is_behind).filter_map(|s| left.get(&s.name));
        let before = left_before.fold(built_files.clone(), Left::and);
        let after = before.clone().with(release, &stage.name)?;
        let asked = [(ApprovalSide::Before, &stage.approval), (ApprovalSide::After, &stage.signoff)];
        for (side, rule) in asked {
            let files = if side == ApprovalSide::Before { &before } else { &after };
            let step = format!("{}-{}", word(side), stage.name);
            let count = rule.as_ref().map_or(0, needed);
            steps.extend((1..=count).map(|no| counted((&step, no), files, terms)));
        }
        let step = step_of_stage(&stage.name);
        let products = rules(&after.names(), &after.rules_but(&step));
        steps.push(expected(&step, (&before.unchanged(), &products), terms));
        left.insert(&stage.name, after);
    }
    let same = rules(&[], &[matched("*", &step_of_stage(stage))]);
    let inspect = json!([{
        "_type": "inspection", "name": "files", "run": ["true"], "expected_materials": same,
        "expected_products": [["ALLOW", "*"]],
    }]);
    let key = |(id, pem): (&String, &String)| {
        let public = json!({
            "keyid": id, "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem},
        });
        (id.clone(), public)
    };
    let readme = format!(
        "Releases of {} ({}) up to {stage}: built and promoted by {}.",
        origin.repository, origin.pipeline.name, origin.server
    );
    let keys: BTreeMap<String, Value> = terms.keys.iter().map(key).collect();
    Ok(json!({
        "signatures": [],
        "signed": {
            "_type": "layout", "steps": steps, "inspect": inspect, "keys": keys, "expires": terms.expires,
            "readme": readme,
        },
    }))
}

/// The stages that a release is promoted through before it is in this one, and this one: a stage that may be skipped,
/// or that there is a way around, is none of them.
fn leading_to<'a>(release: &'a Release, last: &'a Stage, behind: &Behind<'_>) -> Vec<&'a Stage> {
    let counts = |stage: &&Stage| {
        let led = behind.leads(&stage.name, &last.name);
        stage.name == last.name || (led && stage.duty == Duty::Mandatory)
    };
    release.rules.stages.iter().filter(counts).collect()
}

/// Which files there are at a place of the chain, and which step left each of them as it is there.
#[derive(Debug, Clone)]
struct Left(BTreeMap<String, String>);

impl Left {
    fn by_build(release: &Release) -> Self {
        Self(sealed(&release.at_revision(FIRST)).into_keys().map(|name| (name, BUILD.to_owned())).collect())
    }

    fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// With what another stage that comes before left: what a stage made counts more than what was built.
    fn and(mut self, other: &Self) -> Self {
        let made = other.0.iter().filter(|(_, step)| *step != BUILD);
        self.0.extend(made.map(|(name, step)| (name.clone(), step.clone())));
        self
    }

    /// With what the steps of a stage make.
    fn with(mut self, release: &Release, stage: &StageName) -> Result<Self, String> {
        let steps = release.steps(stage).map_or(&[][..], |stage| &stage.deploy);
        for alias in steps.iter().flat_map(|step| step.terms.makes.all()) {
            let made = release.artifacts.iter().find(|sealed| sealed.alias == *alias);
            let made = made.ok_or_else(|| {
                format!("{stage} has not made `{alias}` of it yet; ask for a release that has passed it")
            })?;
            self.0.insert(file_name(made), step_of_stage(stage));
        }
        Ok(self)
    }

    /// Every file is as the step left it that made it.
    fn rules(&self) -> Vec<Value> {
        if self.0.values().all(|step| step == BUILD) {
            return vec![matched("*", BUILD)];
        }
        self.0.iter().map(|(name, step)| matched(name, step)).collect()
    }

    /// The same where one of the steps is the one that leaves it so.
    fn rules_but(&self, own: &str) -> Vec<Value> {
        if self.0.values().all(|step| step != own) {
            return self.rules();
        }
        let rule = |(name, step): (&String, &String)| {
            if step == own { json!(["ALLOW", name]) } else { matched(name, step) }
        };
        self.0.iter().map(rule).collect()
    }

    fn unchanged(&self) -> Value {
        rules(&self.names(), &self.rules())
    }
}

fn step_of_stage(stage: &StageName) -> String {
    format!("{STAGE}{stage}")
}

/// That a file is as a step left it.
fn matched(name: &str, step: &str) -> Value {
    json!(["MATCH", name, "WITH", "PRODUCTS", "FROM", step])
}

/// Rules of in-toto: these have to be there, these are as they should be, and there is nothing else.
fn rules(required: &[&str], allowed: &[Value]) -> Value {
    let required = required.iter().map(|name| json!(["REQUIRE", name]));
    required.chain(allowed.iter().cloned()).chain([json!(["DISALLOW", "*"])]).collect()
}

fn expected(step: &str, (materials, products): (&Value, &Value), terms: Terms<'_>) -> Value {
    json!({
        "_type": "step", "name": step, "expected_materials": materials, "expected_products": products,
        "pubkeys": terms.keys.keys().collect::<Vec<_>>(), "expected_command": [], "threshold": 1,
    })
}

/// The build is of this repository by this pipeline, and leaves these files.
fn built(names: &[&str], origin: Origin<'_>, terms: Terms<'_>) -> Value {
    let materials = rules(&[&source(origin), &pipeline(origin)], &[json!(["ALLOW", "*"])]);
    let allowed: Vec<Value> = names.iter().map(|name| json!(["ALLOW", name])).collect();
    expected(BUILD, (&materials, &rules(names, &allowed)), terms)
}

/// The n-th person changes the list that the one before them left.
fn counted((step, no): (&str, u32), files: &Left, terms: Terms<'_>) -> Value {
    let (list, name) = (format!("{PEOPLE}{step}"), format!("{step}-{no}"));
    let (mut required, mut allowed) = (files.names(), files.rules());
    let materials = if no == 1 {
        rules(&required, &allowed)
    } else {
        let before = format!("{step}-{}", no.saturating_sub(1));
        required.push(&list);
        allowed.push(matched(&list, &before));
        rules(&required, &allowed)
    };
    let changes = if no == 1 { "CREATE" } else { "MODIFY" };
    let mut required = files.names();
    required.push(&list);
    let allowed = [vec![json!([changes, list])], files.rules()].concat();
    expected(&name, (&materials, &rules(&required, &allowed)), terms)
}

/// What a link says, once its signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// Its step.
    pub step: String,
    /// Who it is about: their id and their login.
    pub person: Option<(String, String)>,
    /// The hex of the digests of what it began with.
    pub materials: BTreeMap<String, String>,
    /// The hex of the digests of what it left.
    pub products: BTreeMap<String, String>,
}

/// Reads a link that was kept under this name.
pub fn read(name: &str, link: &Value) -> Result<Linked, String> {
    let says = |pointer: &str| link.pointer(pointer).and_then(Value::as_str);
    if says("/_type") != Some("link") {
        return Err("it is no link of in-toto".to_owned());
    }
    let step = says("/name").unwrap_or_default();
    if step.is_empty() || step_of(name) != Some(step) {
        return Err(format!("it is of the step `{}`", printable(step)));
    }
    let id = link.pointer("/byproducts/person/id").map(Value::to_string);
    let person = id.zip(says("/byproducts/person/login").map(str::to_owned));
    let digest = |(name, digests): (&String, &Value)| {
        Some((name.clone(), digests.pointer("/sha256")?.as_str()?.to_owned()))
    };
    let digests = |pointer: &str| {
        let all = link.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
        all.filter_map(digest).collect()
    };
    let (materials, products) = (digests("/materials"), digests("/products"));
    Ok(Linked { step: step.to_owned(), person, materials, products })
}

/// What a file was at any step before it had this digest, by the stages that made it anew; nothing where it was not
/// there yet.
pub fn forms<'a>(links: &'a [Linked], file: &str, digest: &'a str) -> BTreeSet<Option<&'a str>> {
    let mut known = BTreeSet::from([Some(digest)]);
    loop {
        let made = links.iter().filter(|linked| linked.makes()).filter(|linked| {
            linked.products.get(file).is_some_and(|left| known.contains(&Some(left.as_str())))
        });
        let before: Vec<Option<&str>> =
            made.map(|linked| linked.materials.get(file).map(String::as_str)).collect();
        let count = known.len();
        known.extend(before);
        if known.len() == count {
            return known;
        }
    }
}

impl Linked {
    /// Whether it may have made files anew: only stages do.
    fn makes(&self) -> bool {
        self.person.is_none() && self.step.starts_with(STAGE)
    }

    /// The step without the number, when it is one of those that count people.
    pub fn counted(&self) -> Option<&str> {
        self.person.is_some().then(|| self.step.rsplit_once('-').map_or(self.step.as_str(), |(step, _)| step))
    }
}

//! A drop: the files of a release, and of the builds that it is made of, in one folder with a list (CHECKLIST D02,
//! D05).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::event::Sealed;
use crate::domain::evidence::file_name;
use crate::domain::join::{Built, PipelineAt};
use crate::domain::name::{PipelineId, ReleaseNo};
use crate::domain::release::Release;
use crate::domain::state::State;

/// The number of the form of the list; fields are added, never changed.
const FORM: u32 = 1;
/// The list's name in the drop.
pub const MANIFEST: &str = "manifest.json";
/// Where in the drop the files are that go to others, and those that do not.
const FOLDERS: [&str; 2] = ["shipping", "nonshipping"];

/// What a step gathers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gather {
    /// The builds that the release is made of, too, and those that these are made of.
    pub full: bool,
}

/// What goes into a drop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drop {
    /// What each release gives, a build before what is made of it.
    pub parts: Vec<Part>,
    /// Builds that are not in it, each with the one of the same pipeline that is.
    pub left_out: Vec<(PipelineAt, String, String)>,
}

/// What one release gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its pipeline.
    pub pipeline: PipelineAt,
    /// The release.
    pub release: Arc<Release>,
    /// What it is made of, whether that is in the drop or a nearer build of the same pipeline is.
    pub made_of: Vec<(PipelineAt, String)>,
    /// Its artifacts, but for those that another part gives.
    pub assets: Vec<Asset>,
}

/// An artifact in a drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The artifact.
    pub sealed: Sealed,
    /// Where it is, relative to the drop: a folder, or a file.
    pub path: String,
    /// Whether it goes to others.
    pub ships: bool,
}

/// A file of the drop, as it lies there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Laid {
    /// Relative to the drop.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// The hex of its SHA-512.
    pub sha512: String,
}

/// What a release gathers. Where pipelines take each other's builds, the walk could go round for ever: of a pipeline
/// that is met again only the build that was met first is in the drop, which is the one nearest to the release.
pub fn gather(
    (pipeline, release): (&PipelineId, &Arc<Release>),
    gather: Gather,
    states: &BTreeMap<PipelineId, Arc<State>>,
) -> Result<Drop, String> {
    let mut found: Found = BTreeMap::new();
    let mut drop = Drop::default();
    let own = PipelineAt { id: pipeline.clone(), abroad: None };
    let mut open = vec![(own.clone(), Arc::clone(release))];
    // By distance, so that the nearest build of a pipeline is met first.
    while !open.is_empty() {
        let mut next = Vec::new();
        for (name, build) in std::mem::take(&mut open) {
            let version = build.created.version.to_string();
            if let Some((_, known)) = found.get(&name.id) {
                if known.no() != build.no() {
                    drop.left_out.push((name, version, known.created.version.to_string()));
                }
                continue;
            }
            if gather.full {
                for input in &build.created.builds {
                    let taken = input_at(&own, &name, input);
                    let release = input_of(states, &taken, input.release)?;
                    next.push((taken, release));
                }
            }
            found.insert(name.id.clone(), (name, build));
        }
        open = next;
    }
    drop.left_out.sort();
    drop.left_out.dedup();
    place((&own, &own), &found, (&mut BTreeSet::new(), &mut drop.parts));
    Ok(drop)
}

/// The pipeline of an input, called as the gathered release calls it: the walk may come back to its own repository from
/// another one, and a pipeline has one name in a list.
fn input_at(own: &PipelineAt, name: &PipelineAt, input: &Built) -> PipelineAt {
    let at = name.input(input);
    if at.id.repo == own.id.repo { PipelineAt { abroad: None, ..at } } else { at }
}

/// The build of each pipeline that is nearest to the release.
type Found = BTreeMap<PipelineId, (PipelineAt, Arc<Release>)>;

fn input_of(
    states: &BTreeMap<PipelineId, Arc<State>>,
    pipeline: &PipelineAt,
    no: ReleaseNo,
) -> Result<Arc<Release>, String> {
    let found = states.get(&pipeline.id).and_then(|state| state.release(no));
    let found =
        found.ok_or_else(|| format!("release {no} of {pipeline}, which it is made of, is not known here"))?;
    if found.retired.is_some() {
        let version = &found.created.version;
        return Err(format!(
            "the bytes of {pipeline} {version}, which it is made of, are not kept any longer"
        ));
    }
    Ok(Arc::clone(found))
}

/// A build behind what it is made of.
fn place(
    (own, name): (&PipelineAt, &PipelineAt),
    found: &Found,
    (met, parts): (&mut BTreeSet<PipelineId>, &mut Vec<Part>),
) {
    let Some((_, build)) = found.get(&name.id).filter(|_| met.insert(name.id.clone())) else { return };
    for input in &build.created.builds {
        place((own, &input_at(own, name, input)), found, (met, parts));
    }
    parts.push(part((own, name), build, found));
}

fn part((own, pipeline): (&PipelineAt, &PipelineAt), release: &Arc<Release>, found: &Found) -> Part {
    let created = &release.created.pipeline;
    // What it took as it was is given by the one that built it, and a drop holds no other drops.
    let given = |sealed: &Sealed| {
        let taken = created.inherits.iter().filter(|inherited| inherited.alias == sealed.alias);
        let mut builds = taken.flat_map(|inherited| {
            release.created.builds.iter().filter(move |build| build.pipeline == inherited.pipeline)
        });
        let taken = builds.any(|build| {
            let from = found.get(&build.pipeline_in(&pipeline.id.repo));
            from.is_some_and(|(_, from)| from.artifacts.iter().any(|a| a.digest == sealed.digest))
        });
        taken || created.drops().any(|drop| *drop == sealed.alias)
    };
    let asset = |sealed: &Sealed| {
        let ships = release.ships(sealed);
        let [shipping, other] = FOLDERS;
        let folder = if ships { shipping } else { other };
        Asset { sealed: sealed.clone(), path: format!("{folder}/{pipeline}/{}", sealed.alias), ships }
    };
    let assets = release.artifacts.iter().filter(|sealed| !given(sealed)).map(asset).collect();
    let input = |input: &Built| (input_at(own, pipeline, input), input.version.to_string());
    let made_of = release.created.builds.iter().map(input).collect();
    Part { pipeline: pipeline.clone(), release: Arc::clone(release), made_of, assets }
}

impl Drop {
    /// The list, with the files as they lie there.
    pub fn manifest(&self, laid: &BTreeSet<Laid>) -> Value {
        let builds: Vec<Value> = self.parts.iter().map(|part| part.listed(laid)).collect();
        let left_out: Vec<Value> = self
            .left_out
            .iter()
            .map(|(pipeline, version, instead)| json!({"pipeline": pipeline.to_string(), "version": version, "instead": instead}))
            .collect();
        json!({"form": FORM, "builds": builds, "left_out": left_out})
    }
}

impl Part {
    fn listed(&self, laid: &BTreeSet<Laid>) -> Value {
        let created = &self.release.created;
        let inputs = self.made_of.iter();
        let inputs =
            inputs.map(|(pipeline, version)| json!({"pipeline": pipeline.to_string(), "version": version}));
        json!({
            "pipeline": self.pipeline.to_string(),
            "version": created.version.to_string(),
            "number": created.release,
            "commit": created.commit,
            "made_of": inputs.collect::<Vec<_>>(),
            "assets": self.assets.iter().map(|asset| asset.listed(laid)).collect::<Vec<_>>(),
        })
    }
}

impl Asset {
    fn listed(&self, laid: &BTreeSet<Laid>) -> Value {
        let below = format!("{}/", self.path);
        let mine = laid.iter().filter(|file| file.path == self.path || file.path.starts_with(&below));
        let files = mine.map(|file| json!({"path": file.path, "size": file.size, "sha512": file.sha512}));
        json!({
            "name": self.sealed.alias,
            "path": self.path,
            "shipping": self.ships,
            "sealed_as": file_name(&self.sealed),
            "sha256": self.sealed.digest.hex(),
            "files": files.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{BuildOutcome, Event, Form};
    use crate::domain::manifest::load;
    use crate::domain::name::Digest;
    use crate::domain::time::Timestamp;

    const MANIFEST: &str = "version: 1
name: NAME
build: make
artifacts: [{alias: NAME-bits, path: dist}, {alias: NAME-symbols, path: symbols, shipping: false}]
stages: [{name: prep, deploy: [{uses: gather, with: {full: true}, artifacts: [drop]}]}]
";

    /// A pipeline whose n-th release is made of these builds.
    fn pipeline(name: &str, releases: &[&[(&str, u32)]]) -> (PipelineId, Arc<State>) {
        let sources = [(".github/liftlock.yml".to_owned(), MANIFEST.replace("NAME", name))].into();
        let loaded = load(&sources, &"acme/sdk".parse().unwrap()).unwrap();
        let mut state = State::new(format!("plain:sdk/{name}").parse().unwrap());
        for (no, made_of) in (1_u32..).zip(releases) {
            let builds: Vec<Value> = made_of.iter().map(|(name, no)| built(name, *no)).collect();
            let mut created = json!({
                "seq": no, "started_by": "push", "initiator": null, "changes": [], "epoch_s": 0,
                "pipeline": loaded.pipelines[0], "manifest": Digest::of_text("m"), "included_in": null,
            });
            created.as_object_mut().unwrap().extend(about(no));
            created["builds"] = json!(builds);
            let created = serde_json::from_value(created).unwrap();
            state.apply(&Event::ReleaseCreated(Box::new(created)), Timestamp(0)).unwrap();
            let sealed = ["bits", "symbols"].map(|what| Sealed {
                alias: format!("{name}-{what}").parse().unwrap(),
                digest: Digest::of_text(&format!("{name} {what} {no}")),
                content: Digest::of_text("tar"),
                size: 1,
                form: Form::Folder,
                image: None,
            });
            let release = ReleaseNo(no.try_into().unwrap());
            let begun = Event::BuildStarted { release, attempt: 1, fence: 1 };
            let outcome = BuildOutcome::Sealed(sealed.to_vec());
            let ended = Event::BuildFinished {
                release,
                attempt: 1,
                outcome,
                reused: None,
                locks: None,
                executor: None,
            };
            state.apply(&begun, Timestamp(0)).unwrap();
            state.apply(&ended, Timestamp(0)).unwrap();
        }
        (state.id.clone(), Arc::new(state))
    }

    /// What facts about a release and about a build have in common.
    fn about(no: u32) -> serde_json::Map<String, Value> {
        let commit = format!("{no:040}");
        let all = json!({
            "release": no, "version": format!("v1.{no}.0"), "commit": commit, "branch": "main", "pusher": null,
        });
        all.as_object().unwrap().clone()
    }

    fn built(name: &str, no: u32) -> Value {
        let mut built = json!({"pipeline": name, "seq": no, "initiator": null, "outcome": {"Ok": []}});
        built.as_object_mut().unwrap().extend(about(no));
        built
    }

    /// The last release of the first pipeline, gathered, as `pipeline version`.
    fn gathered(all: &[(PipelineId, Arc<State>)], full: bool) -> Result<(Vec<String>, Drop), String> {
        let (id, state) = &all[0];
        let release = state.releases.values().last().unwrap();
        let drop = gather((id, release), Gather { full }, &all.iter().cloned().collect())?;
        let named = |part: &Part| format!("{} {}", part.pipeline, part.release.created.version);
        Ok((drop.parts.iter().map(named).collect(), drop))
    }

    #[test]
    fn d05_a_build_comes_before_what_is_made_of_it() {
        let all = [
            pipeline("sdk", &[&[("aspnet", 1), ("runtime", 1)]]),
            pipeline("aspnet", &[&[("runtime", 1)]]),
            pipeline("runtime", &[&[]]),
        ];
        let (parts, drop) = gathered(&all, true).unwrap();
        assert_eq!(parts, ["runtime v1.1.0", "aspnet v1.1.0", "sdk v1.1.0"]);
        assert_eq!(drop.left_out, []);
        let paths: Vec<&str> = drop.parts[0].assets.iter().map(|asset| asset.path.as_str()).collect();
        assert_eq!(paths, ["shipping/runtime/runtime-bits", "nonshipping/runtime/runtime-symbols"]);
        let (alone, _) = gathered(&all, false).unwrap();
        assert_eq!(alone, ["sdk v1.1.0"], "its inputs are gathered when they are asked for");
    }

    #[test]
    fn d05_pipelines_that_take_each_others_builds_end_at_the_nearest_ones() {
        // Each runtime is built with the sdk before it, and each sdk of a runtime.
        let all = [
            pipeline("sdk", &[&[], &[("runtime", 1)], &[("runtime", 2)]]),
            pipeline("runtime", &[&[("sdk", 1)], &[("sdk", 2)]]),
        ];
        let (parts, drop) = gathered(&all, true).unwrap();
        assert_eq!(parts, ["runtime v1.2.0", "sdk v1.3.0"]);
        let named =
            |(pipeline, left, instead): &(PipelineAt, String, String)| format!("{pipeline} {left} {instead}");
        let left: Vec<String> = drop.left_out.iter().map(named).collect();
        assert_eq!(left, ["sdk v1.2.0 v1.3.0"], "what an older one was made of is not looked at");
    }

    #[test]
    fn d05_a_build_that_is_not_there_any_more_is_named() {
        let all = [pipeline("sdk", &[&[("runtime", 7)]])];
        let why = gathered(&all, true).unwrap_err();
        assert_eq!(why, "release 7 of runtime, which it is made of, is not known here");
    }

    #[test]
    fn d05_the_list_has_every_file_with_its_sha512() {
        let all = [pipeline("sdk", &[&[]])];
        let (_, drop) = gathered(&all, false).unwrap();
        let laid = |path: &str| Laid { path: path.to_owned(), size: 3, sha512: "ab".repeat(64) };
        let laid = ["shipping/sdk/sdk-bits/a/b.txt", "nonshipping/sdk/sdk-symbols/x.pdb"].map(laid).into();
        let list = drop.manifest(&laid);
        let assets = list["builds"][0]["assets"].as_array().unwrap();
        let said: Vec<_> =
            assets.iter().map(|a| (&a["shipping"], &a["sealed_as"], &a["files"][0]["path"])).collect();
        let said: Vec<String> =
            said.iter().map(|(ships, name, path)| format!("{ships} {name} {path}")).collect();
        assert_eq!(
            said,
            [
                r#"true "sdk-bits.tar.zst" "shipping/sdk/sdk-bits/a/b.txt""#,
                r#"false "sdk-symbols.tar.zst" "nonshipping/sdk/sdk-symbols/x.pdb""#
            ]
        );
        assert_eq!(assets[0]["files"][0]["sha512"], "ab".repeat(64));
    }
}

//! Pairs that go together and pairs that do not, by feed; and what releases are made of.

use serde_json::json;

use super::range::{same, satisfies};
use super::*;
use crate::domain::event::Event;
use crate::domain::manifest::load;
use crate::domain::name::Digest;
use crate::domain::source::Found;
use crate::domain::time::Timestamp;

/// `yes`, `no` or `?` for a version and what is wanted.
fn answers(feed: Feed, cases: &[(&str, &str, Option<bool>)]) {
    for (version, wanted, expected) in cases {
        assert_eq!(satisfies(feed, version, wanted), *expected, "{feed:?}: {version} for {wanted:?}");
    }
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);

#[test]
fn d08_npm_ranges() {
    answers(
        Feed::Npm,
        &[
            ("2.1.0", "2.1.0", YES),
            ("2.1.0", "2.0.3", NO),
            ("2.1.0", "^2.0.3", YES),
            ("3.0.0", "^2.0.3", NO),
            ("0.3.0", "^0.2.1", NO),
            ("2.1.9", "~2.1.0", YES),
            ("2.2.0", "~> 2.1.0", NO),
            ("2.1.0", "2.x", YES),
            ("2.1.0", "2", YES),
            ("2.1.0", "2.0.*", NO),
            ("2.1.0", ">= 1.0.0 < 2.0.0 || ^2.1", YES),
            ("2.1.0", "1.0.0 - 2.0", NO),
            ("2.0.7", "1.0.0 - 2.0", YES),
            ("2.1.0", "*", YES),
            ("2.1.0", "", YES),
            ("2.1.0", "=v2.1.0", YES),
            ("2.1.0+build.7", "2.1.0", YES),
            ("1.4.0-rc.2", "^1.4.0-rc.1", YES),
            ("1.4.0-rc.2", "^1.4.0", NO),
            ("2.1.0", "latest", None),
            ("2.1.0", "workspace:^", None),
            ("2.1.0", "file:../ui", None),
            ("2.1.0", ">=", None),
            ("two", "^2", None),
        ],
    );
}

#[test]
fn d08_cargo_requirements() {
    answers(
        Feed::Cargo,
        &[
            ("1.2.3", "1.2", YES),
            ("1.2.3", "=1.2.4", NO),
            ("0.3.0", "0.2", NO),
            ("1.2.3", ">=1, <1.2", NO),
            ("1.2.3-rc.1", "1.2", NO),
            ("1.2.3", "one", None),
        ],
    );
}

#[test]
fn d08_nuget_intervals() {
    answers(
        Feed::NuGet,
        &[
            ("8.0.4", "8.0.3", YES),
            ("8.0.4", "[8.0.3]", NO),
            ("8.0.4", "[8.0.4]", YES),
            ("8.0.4.0", "[8.0.4]", YES),
            ("8.0.4", "[8.0.0, 8.0.4)", NO),
            ("8.0.4", "(,8.0.4]", YES),
            ("8.0.4", "(8.0.4,)", NO),
            ("8.0.4-preview.1", "8.0.4", NO),
            ("8.0.4-Preview.2", "8.0.4-preview.1", YES),
            ("8.0.4", "", YES),
            ("8.0.4", "[8.0.4", None),
            ("8.0.4", "8.*", None),
            ("8.0.4", "(8.0.4)", None),
        ],
    );
}

#[test]
fn d08_python_specifiers() {
    answers(
        Feed::PyPi,
        &[
            ("1.2.0", "==1.2", YES),
            ("1.2.1", "==1.2", NO),
            ("1.2.1", "==1.2.*", YES),
            ("1.2.1", "!=1.2.*", NO),
            ("1.2.1", "~=1.2.0", YES),
            ("1.3", "~=1.2.0", NO),
            ("1.3", "~=1.2", YES),
            ("1.2.1", "(>=1.0,<2)", YES),
            ("2.0rc1", "<2", NO),
            ("2.0rc1", ">=1.0", YES),
            ("2.0-rc.1", "==2.0rc1", YES),
            ("2.0.dev3", "<2.0a1", YES),
            ("1.0.post1", ">1.0", NO),
            ("1.0-1", "==1.0.post1", YES),
            ("1!1.0", ">=2.0", YES),
            ("1.0+local", "==1.0", YES),
            ("1.2.1", "", YES),
            ("1.2.1", "@ https://example.com/x.whl", None),
            ("1.2.1", ">=one", None),
            ("banana", ">=1", None),
        ],
    );
}

#[test]
fn the_same_version_may_be_written_in_two_ways() {
    assert!(same(Feed::PyPi, "1.0", "1.0.0"));
    assert!(same(Feed::NuGet, "1.0", "1.0.0.0"));
    assert!(same(Feed::Npm, "1.0.0+a", "1.0.0+b"));
    assert!(!same(Feed::Cargo, "1.0.0", "1.0.0-rc.1"));
    assert!(same(Feed::Npm, "odd", "odd"), "what is no version is at least a text");
}

fn package(artifact: &str, feed: Feed, (name, version): (&str, &str), needs: &[(&str, &str)]) -> Package {
    let need = |(name, versions): &(&str, &str)| Need { name: (*name).into(), versions: (*versions).into() };
    Package {
        artifact: artifact.to_owned(),
        feed,
        name: name.to_owned(),
        version: version.to_owned(),
        needs: needs.iter().map(need).collect(),
    }
}

#[test]
fn d08_the_pair_that_does_not_go_together_is_named() {
    let ui = |version| package("web", Feed::Npm, ("@acme/ui", version), &[]);
    let shop = |wanted| {
        package("admin", Feed::Npm, ("@acme/shop", "1.0.0"), &[("@acme/ui", wanted), ("react", "^17")])
    };
    assert_eq!(
        incoherent(&[ui("2.1.0"), shop("^2.0.3")]),
        Vec::<String>::new(),
        "react is not the release's"
    );
    assert_eq!(
        incoherent(&[ui("2.1.0"), shop("2.0.3")]),
        ["`web` holds @acme/ui 2.1.0, `admin` needs @acme/ui 2.0.3 (of @acme/shop 1.0.0)"]
    );
    assert_eq!(
        incoherent(&[ui("2.1.0"), shop("latest")]),
        [
            "`web` holds @acme/ui 2.1.0, `admin` needs @acme/ui latest (of @acme/shop 1.0.0), and nobody can tell whether that is it"
        ]
    );
    let copy = package("admin", Feed::Npm, ("@acme/ui", "2.0.3"), &[]);
    assert_eq!(
        incoherent(&[ui("2.1.0"), copy, shop("2.0.3")]),
        ["`web` holds @acme/ui 2.1.0, `admin` holds @acme/ui 2.0.3"],
        "what is needed is there, and something else, too"
    );
    assert_eq!(incoherent(&[ui("2.1.0"), ui("2.0.3")]), ["`web` holds @acme/ui 2.1.0 and 2.0.3"]);
    let python = package("lib", Feed::PyPi, ("acme_ui", "2.0"), &[]);
    let user = package("app", Feed::PyPi, ("app", "1"), &[("Acme.UI", "==2.1")]);
    assert_eq!(
        incoherent(&[ui("2.1.0"), python, user]),
        ["`lib` holds acme_ui 2.0, `app` needs acme_ui ==2.1 (of app 1)"],
        "names are those of their feed"
    );
    let rid = |artifact| package(artifact, Feed::NuGet, ("Acme.Core", "1.0"), &[]);
    assert_eq!(
        incoherent(&[rid("linux"), rid("windows")]),
        Vec::<String>::new(),
        "the same twice is the same"
    );
}

const MANIFEST: &str = "version: 1\nname: NAME\nbuild: make\nartifacts: dist\nstages: [test]\n";

/// What a release is made of: builds by pipeline and number.
type Inputs<'a> = &'a [(&'a str, u32)];

/// A pipeline whose n-th release is made of these builds, and has the configuration at this commit.
fn pipeline(name: &str, releases: &[(Inputs<'_>, &str)]) -> (PipelineId, Arc<State>) {
    let sources = [(".github/liftlock.yml".to_owned(), MANIFEST.replace("NAME", name))].into();
    let loaded = load(&sources, &"acme/sdk".parse().unwrap()).unwrap();
    let mut state = State::new(format!("plain:sdk/{name}").parse().unwrap());
    for (no, (made_of, config)) in (1_u32..).zip(releases) {
        let about = |no: u32| {
            json!({"release": no, "version": format!("v1.{no}.0"), "commit": format!("{no:040}"), "branch": "main",
                   "seq": no, "initiator": null, "pusher": null})
        };
        let builds = made_of.iter().map(|(name, no)| {
            let mut built = about(*no);
            built["pipeline"] = json!(name);
            built["outcome"] = json!({"Ok": []});
            built
        });
        let mut created = about(no);
        created["builds"] = builds.collect();
        for (key, value) in [
            ("started_by", json!("push")),
            ("changes", json!([])),
            ("epoch_s", json!(0)),
            ("pipeline", json!(loaded.pipelines[0])),
            ("manifest", json!(Digest::of_text("m"))),
            ("included_in", json!(null)),
        ] {
            created[key] = value;
        }
        let created = serde_json::from_value(created).unwrap();
        state.apply(&Event::ReleaseCreated(Box::new(created)), Timestamp(0)).unwrap();
        if !config.is_empty() {
            let source = Named {
                alias: "Config".parse().unwrap(),
                repository: "git.example/acme/config".to_owned(),
                reference: "main".parse().unwrap(),
            };
            let found = Found { source, commit: config.repeat(40).parse().unwrap() };
            let release = state.releases.values_mut().next_back().unwrap();
            Arc::make_mut(release).sources.push(found);
        }
    }
    (state.id.clone(), Arc::new(state))
}

/// What the last release of the first pipeline is made of.
fn walked(all: &[(PipelineId, Arc<State>)]) -> MadeOf {
    let (name, state) = &all[0];
    made_of((name, state.releases.values().last().unwrap()), &all.iter().cloned().collect())
}

#[test]
fn d08_two_releases_of_one_pipeline_below_a_release_are_named_with_who_has_them() {
    let runtime = pipeline("runtime", &[(&[], ""), (&[], "")]);
    let aspnet = pipeline("aspnet", &[(&[("runtime", 1)], ""), (&[("runtime", 2)], "")]);
    let good = [pipeline("kit", &[(&[("aspnet", 2), ("runtime", 2)], "")]), aspnet.clone(), runtime.clone()];
    assert_eq!(walked(&good), MadeOf { parts: 2, problems: Vec::new() });
    let bad = [pipeline("kit", &[(&[("aspnet", 1), ("runtime", 2)], "")]), aspnet, runtime];
    assert_eq!(walked(&bad).problems, ["kit v1.1.0 has runtime v1.2.0, aspnet v1.1.0 has runtime v1.1.0"]);
}

#[test]
fn d08_a_source_is_there_at_one_commit() {
    let of = |kit: &str, aspnet: &str| {
        walked(&[pipeline("kit", &[(&[("aspnet", 1)], kit)]), pipeline("aspnet", &[(&[], aspnet)])])
    };
    assert_eq!(of("a", "a"), MadeOf { parts: 2, problems: Vec::new() });
    assert_eq!(
        of("a", "b").problems,
        ["kit v1.1.0 has git.example/acme/config@main at aaaaaaa, aspnet v1.1.0 has it at bbbbbbb"]
    );
}

#[test]
fn d08_what_is_made_with_an_older_one_of_itself_is_coherent() {
    let all = [
        pipeline("sdk", &[(&[], ""), (&[("runtime", 1)], ""), (&[("runtime", 2)], "")]),
        pipeline("runtime", &[(&[("sdk", 1)], ""), (&[("sdk", 2)], "")]),
    ];
    assert_eq!(walked(&all), MadeOf { parts: 1, problems: Vec::new() });
    let gone = [pipeline("sdk", &[(&[("runtime", 7)], "")])];
    assert_eq!(
        walked(&gone).problems,
        ["runtime v1.7.0 is not known here, so nobody can tell what is in it"]
    );
}

//! The fixtures: every file under `fixtures/manifests` is read and answered exactly as the `.txt` beside it says.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::problem::{render_github, render_json, render_text};
use super::*;
use crate::domain::glob::selects;
use crate::domain::pipeline::{Checkout, Exclusion, Network, PushTrigger, Role, Stage, Who};

mod wrong_keys;

fn repository() -> RepoName {
    "kohidave/demo-api-frontend".parse().unwrap()
}

fn native(text: &str) -> Sources {
    [(NATIVE_PATHS[0].to_owned(), text.to_owned())].into()
}

fn copilot(text: &str) -> Sources {
    [(COPILOT_PATH.to_owned(), text.to_owned())].into()
}

fn one(files: &Sources) -> Pipeline {
    match load(files, &repository()) {
        Ok(loaded) => loaded.pipelines.into_iter().next().unwrap(),
        Err(Problems(problems)) => panic!("{}", render_text(&problems, files)),
    }
}

fn codes(files: &Sources) -> Vec<Code> {
    check(files, &repository()).problems.into_iter().map(|p| p.code).collect()
}

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifests").join(kind)
}

/// A fixture: a single file (Copilot's when its name says so) or a folder that stands for a repository.
struct Fixture {
    files: Sources,
    expected: PathBuf,
}

fn fixtures(kind: &str) -> Vec<Fixture> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder(kind)).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let expected = folder(kind).join(format!("{stem}.txt"));
        if path.is_dir() {
            let mut files = Sources::new();
            gather(&path, &path, &mut files);
            out.push(Fixture { files, expected });
        } else if path.extension().is_some_and(|e| e == "yml") {
            let text = fs::read_to_string(&path).unwrap();
            let files = if stem.contains("copilot") { copilot(&text) } else { native(&text) };
            out.push(Fixture { files, expected });
        } else {
            let input = path.with_extension("yml").exists() || path.with_extension("").is_dir();
            assert!(input, "{} belongs to no fixture", path.display());
        }
    }
    assert!(out.len() > 5, "{kind} has lost its files");
    out.sort_by(|a, b| a.expected.cmp(&b.expected));
    out
}

fn gather(root: &Path, at: &Path, files: &mut Sources) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name_of(name), fs::read_to_string(&path).unwrap());
        }
    }
}

/// `elsewhere/org/repo@sha/file.yml` stands for the file of another repository.
fn name_of(path: String) -> String {
    let Some(rest) = path.strip_prefix("elsewhere/") else { return path };
    let (repository, rest) = rest.split_once('@').unwrap();
    let (commit, file) = rest.split_once('/').unwrap();
    format!("{repository}//{file}@{commit}")
}

/// Compares, or rewrites the answer when `UPDATE` is set.
fn answer(expected: &Path, actual: &str, wrong: &mut String) {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test, not of the program")]
    if std::env::var_os("UPDATE").is_some() {
        fs::write(expected, actual).unwrap();
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    if wanted != actual {
        writeln!(wrong, "{} differs; UPDATE=1 rewrites it. Now:\n{actual}", expected.display()).unwrap();
    }
}

#[test]
fn every_good_fixture_loads_as_expected() {
    let mut wrong = String::new();
    for Fixture { files, expected } in fixtures("good") {
        let report = check(&files, &repository());
        let mut actual = render_text(&report.problems, &files);
        if !actual.is_empty() {
            actual.push('\n');
        }
        assert!(report.passes(), "{}\n{actual}", expected.display());
        actual.push_str(&serde_json::to_string_pretty(&report.pipelines).unwrap());
        actual.push('\n');
        answer(&expected, &actual, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_bad_fixture_is_refused_with_all_its_problems() {
    let mut wrong = String::new();
    for Fixture { files, expected } in fixtures("bad") {
        let report = check(&files, &repository());
        assert!(!report.passes(), "{} loads", expected.display());
        answer(&expected, &render_text(&report.problems, &files), &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_code_has_a_fixture_and_an_explanation() {
    let all: BTreeSet<Code> =
        fixtures("good").into_iter().chain(fixtures("bad")).flat_map(|f| codes(&f.files)).collect();
    let missing: Vec<&Code> = Code::ALL.iter().filter(|c| !all.contains(c)).collect();
    assert!(missing.is_empty(), "no fixture has {missing:?}");
    for code in Code::ALL {
        assert!(code.explanation().len() > 40, "{code}");
        assert_eq!(code::explain(&code.as_str().to_lowercase()), Some(code.explanation()));
        assert_eq!(
            Code::ALL.iter().filter(|c| c.as_str() == code.as_str()).count(),
            1,
            "{code} is not unique"
        );
    }
    assert_eq!(code::explain("M9999"), None);
}

/// What the schema says about a file with a problem of this code.
#[derive(PartialEq, Eq)]
enum Verdict {
    /// The file does not fit.
    Refuses,
    /// The file may fit: the schema does not know the rule.
    Silent,
    /// There is no value to compare.
    Unreadable,
}

/// How messages about rules between distant keys, or of one dialect only, begin.
const DISTANT: [&str; 12] = [
    "`build` needs one of",
    "`build` has no steps",
    "`pipelines` has no",
    "`triggers.push.branches` and",
    "`watch` needs",
    "an artifact from a build needs",
    "an artifact that is handed in needs",
    "a pipeline whose artifacts are handed in",
    "`join` goes with",
    "no commit starts both",
    "`any` names no",
    "`all` names no",
];

fn verdict(problem: &Problem) -> Verdict {
    if DISTANT.iter().any(|start| problem.message.starts_with(start)) {
        return Verdict::Silent;
    }
    match problem.code {
        Code::Syntax | Code::TooLarge | Code::DuplicateKey | Code::NotOneDocument | Code::Feature => {
            Verdict::Unreadable
        }
        Code::AliasKey
        | Code::NoEffect
        | Code::BadText
        | Code::DuplicateName
        | Code::UnknownStage
        | Code::UnknownPipeline
        | Code::Upstream
        | Code::Reported
        | Code::NoTemplate
        | Code::NotGiven
        | Code::Per
        | Code::CutOff
        | Code::UnknownArtifact
        | Code::UnknownCheck
        | Code::Cycle
        | Code::Extends
        | Code::Unread
        | Code::Notify
        | Code::Channel
        | Code::Variable
        | Code::Naming
        | Code::Deployment
        | Code::NoService
        | Code::NoStages
        | Code::Impossible
        | Code::UnknownTeam
        | Code::SelfApproval
        | Code::Swallowed
        | Code::Environment
        | Code::Targets
        | Code::Strategy
        | Code::Derivation
        | Code::NoRollback
        | Code::TwoFiles
        | Code::NoFile
        | Code::NoBuildspec
        | Code::OtherRepository
        | Code::Idle
        | Code::BadStep => Verdict::Silent,
        Code::UnknownKey
        | Code::NotYet
        | Code::MissingKey
        | Code::Exclusive
        | Code::WrongShape
        | Code::BadChoice
        | Code::NotBoolean
        | Code::BadNumber
        | Code::BadVersion
        | Code::BuildInStage => Verdict::Refuses,
    }
}

#[test]
fn schema_and_reader_agree_on_every_fixture() {
    let validator = jsonschema::validator_for(&schema::schema()).unwrap();
    let mut compared = 0;
    for Fixture { files, expected } in fixtures("good").into_iter().chain(fixtures("bad")) {
        for (path, text) in files.iter().filter(|(path, _)| is_manifest(path)) {
            // The other reader of YAML is the oracle for what a text means to tools that know the schema.
            let Ok(value) = serde_saphyr::from_str::<serde_json::Value>(text) else { continue };
            let problems = check(&files, &repository()).problems;
            let own: Vec<&Problem> = problems.iter().filter(|p| p.file == *path).collect();
            if own.iter().any(|p| verdict(p) == Verdict::Unreadable) {
                continue;
            }
            let reasons: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
            let refused = own.iter().any(|p| verdict(p) == Verdict::Refuses);
            let may_be_refused = refused || own.iter().any(|p| p.code == Code::BadText);
            assert!(!refused || !reasons.is_empty(), "{}: {path} fits the schema", expected.display());
            assert!(may_be_refused || reasons.is_empty(), "{}: {path}: {reasons:?}", expected.display());
            compared += 1;
        }
    }
    assert!(compared > 20, "only {compared} files were compared");
}

#[test]
fn every_key_of_the_table_is_used_by_a_good_fixture() {
    let texts: String = fixtures("good").into_iter().flat_map(|f| f.files.into_values()).collect();
    for object in [&SINGLE_OBJECT, &SEVERAL_OBJECT, &keys::BUILDSPEC_OBJECT] {
        for key in wrong_keys::keys_of(object) {
            assert!(texts.contains(&format!("{}:", key.name)), "no good fixture has `{}`", key.name);
        }
    }
}

#[test]
fn c19_c20_c23_c24_c25_c26_c27_the_seed_manifest_loads_verbatim() {
    let text = include_str!("../../../fixtures/manifests/good/2a-copilot-seed-verbatim.yml");
    assert_eq!(text.len(), 1075, "the seed's bytes were changed");
    let files = copilot(text);
    let loaded = load(&files, &repository()).unwrap();
    let [pipeline] = loaded.pipelines.as_slice() else { panic!("one pipeline") };
    assert_eq!(pipeline.name.as_str(), "pipeline-ecs-kudos-kohidave-demo-api-frontend");
    assert_eq!(pipeline.context("prod"), "liftlock/prod");
    let push = pipeline.triggers.push.as_ref().unwrap();
    assert_eq!(push.branches.iter().map(ToString::to_string).collect::<Vec<_>>(), ["main"]);
    let source = &loaded.sources[&pipeline.name];
    assert_eq!(source.provider.as_deref(), Some("GitHub"));
    assert_eq!(source.repository.as_deref(), Some("github.com/kohidave/demo-api-frontend"));
    assert_eq!(source.access_token_secret.as_deref(), Some("github-token-ecs-kudos-demo-api-frontend"));
    assert_eq!(pipeline.stage_names().map(ToString::to_string).collect::<Vec<_>>(), ["test", "prod"]);
    assert_eq!(runs(&pipeline.stages[0]), ["make test", "echo \"woo! Tests passed\""]);
    assert_eq!(pipeline.stages[1].approval, None);
    assert_eq!(loaded.paths, [COPILOT_PATH]);
}

fn runs(stage: &Stage) -> Vec<&str> {
    stage.test_commands.iter().map(Step::text).collect()
}

#[test]
fn c19_c31_c33_the_buildspec_is_read_or_its_absence_fails_the_build() {
    let manifest = "version: 1\nname: web\nstages: [{name: test}]\n";
    let mut files = copilot(manifest);
    assert_eq!(also_needed(&files), BTreeSet::from([COPILOT_BUILDSPEC.to_owned()]));
    let missing = one(&files);
    assert_eq!(codes(&files), [Code::NoBuildspec]);
    let step = &missing.build.steps[0];
    assert!(
        step.text().contains("copilot/buildspec.yml is not in this commit") && step.text().contains("exit 1")
    );

    let spec = "version: 0.2\nphases:\n  post_build: {commands: [three]}\n  install: {commands: [one]}\n  build: {commands: [two]}\n";
    files.insert(COPILOT_BUILDSPEC.to_owned(), spec.to_owned());
    assert!(also_needed(&files).is_empty());
    let pipeline = one(&files);
    assert_eq!(
        pipeline.build.steps[0].text(),
        "echo \"phase install\"\none\necho \"phase build\"\ntwo\necho \"phase post_build\"\nthree\n"
    );
    assert_eq!(pipeline.build.buildspec.as_deref(), Some(COPILOT_BUILDSPEC));
}

#[test]
fn c21_another_version_is_a_clear_error() {
    for (version, expected) in [("1", None), ("2", Some(Code::BadVersion)), ("1.0", Some(Code::BadVersion))] {
        let files = copilot(&format!("version: {version}\nbuild: make\nstages: [{{name: test}}]\n"));
        assert_eq!(codes(&files).first().copied(), expected, "{version}");
    }
    assert_eq!(codes(&copilot("build: make\nstages: [{name: test}]\n")), [Code::MissingKey]);
}

#[test]
fn c22_the_provider_is_one_of_a_few() {
    let with = |provider: &str| {
        copilot(&format!(
            "version: 1\nbuild: make\nsource: {{provider: {provider}}}\nstages: [{{name: test}}]\n"
        ))
    };
    for provider in source::PROVIDERS {
        assert_eq!(codes(&with(provider)), [], "{provider}");
    }
    assert_eq!(codes(&with("SourceForge")), [Code::BadChoice]);
}

#[test]
fn c31_variables_and_artifacts_of_the_buildspec_are_taken_over() {
    let mut files = copilot("version: 1\nbuild: {env: {A: mine}}\nstages: [{name: test}]\n");
    let spec = "version: 0.2\nenv: {variables: {A: theirs, B: theirs}}\nphases: {build: {commands: [make]}}\n\
                artifacts: {base-directory: out, files: ['web/**/*', notes.txt]}\n";
    files.insert(COPILOT_BUILDSPEC.to_owned(), spec.to_owned());
    let pipeline = one(&files);
    let variables: Vec<String> = pipeline.build.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(variables, ["A=mine", "B=theirs"]);
    let artifacts: Vec<&str> = pipeline.artifacts.iter().map(|a| a.path.as_str()).collect();
    assert_eq!(artifacts, ["out/web", "out/notes.txt"]);
}

#[test]
fn c33_a_missing_buildspec_cannot_inject_a_command() {
    let files = native("version: 1\nbuild: {buildspec: \"a';touch x;'\"}\nstages: [test]\n");
    let run = one(&files).build.steps[0].text().to_owned();
    assert!(run.contains("a'\\'';touch x;'\\''"), "{run}");
}

#[test]
fn c24_a_branch_of_the_source_is_a_pattern_and_its_absence_the_default_branch() {
    let with = copilot(
        "version: 1\nbuild: make\nsource: {properties: {branch: release/*}}\nstages: [{name: test}]\n",
    );
    let push = one(&with).triggers.push.unwrap();
    assert!(selects(&push.branches, "release/1") && !selects(&push.branches, "main"));
    let without = copilot("version: 1\nbuild: make\nstages: [{name: test}]\n");
    assert_eq!(one(&without).triggers.push, Some(PushTrigger::default()));
}

#[test]
fn c25_addresses_of_a_repository_become_one() {
    for text in [
        "https://github.com/acme/Web",
        "https://GitHub.com/acme/Web.git",
        "https://github.com/acme/Web/",
        "ssh://git@github.com/acme/Web.git",
        "ssh://git@github.com:22/acme/Web",
        "git@github.com:acme/Web.git",
    ] {
        assert_eq!(source::normalise_repository(text).as_deref(), Ok("github.com/acme/Web"), "{text}");
    }
    let secret = source::normalise_repository("https://x:hunter2@github.com/acme/web").unwrap_err();
    assert!(!secret.contains("hunter2"), "{secret}");
}

#[test]
fn c28_requires_approval_is_one_approval_and_the_old_spelling_warns() {
    let rule = |stage: &str| {
        let files = copilot(&format!("version: 1\nbuild: make\nstages: [{{name: prod, {stage}}}]\n"));
        (one(&files).stages.remove(0).approval, codes(&files))
    };
    let (plain, warned) = rule("requires_approval: true");
    let plain = plain.unwrap();
    assert_eq!((plain.min, plain.from.as_slice()), (1, [Who::Role(Role::Maintain)].as_slice()));
    assert_eq!((plain.valid_for.to_string().as_str(), plain.timeout.to_string().as_str()), ("7d", "7d"));
    assert_eq!(warned, [Code::SelfApproval]);
    let (old, warned) = rule("require_approval: true");
    assert_eq!(old.unwrap(), plain);
    assert_eq!(warned, [Code::AliasKey, Code::SelfApproval]);
    assert_eq!(rule("requires_approval: false"), (None, vec![]));
    assert_eq!(rule("approval: 1").0.unwrap(), plain);
    assert_eq!(rule("approval: {min: 1, exclude: [pusher]}").1, []);
}

#[test]
fn e05_a_stage_that_people_approve_says_how_it_is_taken_back() {
    let warned = |stage: &str| {
        let files = copilot(&format!("version: 1\ndeploy: ./deploy.sh\nstages: [{{name: prod, {stage}}}]\n"));
        codes(&files).contains(&Code::NoRollback)
    };
    assert!(warned("approval: 1") && warned("approvals: {post: {min: 1, from: [maintain]}}"));
    assert!(!warned("approval: 1, rollback: {approval: 1}"), "by hand is a plan, too");
    assert!(!warned("approval: 1, rollback: {auto: true}"));
    assert!(!warned("soak: 0s"), "nobody is asked, so nobody wants to know");
    assert!(!warned("approval: 1, agent: none, deploy: []"), "nothing is deployed");
}

#[test]
fn the_digestible_text_changes_with_every_file_that_was_read_and_no_other() {
    let mut files = copilot("version: 1\nstages: [{name: test}]\n");
    let text = |files: &Sources| load(files, &repository()).unwrap().text;
    let alone = text(&files);
    files.insert("README.md".to_owned(), "x".to_owned());
    assert_eq!(text(&files), alone);
    files.insert(
        COPILOT_BUILDSPEC.to_owned(),
        "version: 0.2\nphases: {build: {commands: [make]}}\n".to_owned(),
    );
    assert_ne!(text(&files), alone);
}

#[test]
fn d01_a_file_elsewhere_belongs_to_the_digest_and_without_it_nothing_loads_on_a_server() {
    let sha = "9fceb02d0ae598e95dc970b74767f19372d61af8";
    let name = format!("acme/rings//prod.yml@{sha}");
    let mut files = native(&format!("version: 1\nextends: {name}\ndeploy: ./d.sh\nstages: [prod]\n"));
    let needed: Vec<String> = needed_elsewhere(&files).iter().map(ToString::to_string).collect();
    assert_eq!((needed, also_needed(&files)), (vec![name.clone()], BTreeSet::new()));
    let told = |files: &Sources, refused: &BTreeMap<String, String>| {
        load_with(files, Others::Asked(refused), &repository()).unwrap_err().to_string()
    };
    let gone = BTreeMap::from([(name.clone(), "it is gone".to_owned())]);
    let at = ".github/liftlock.yml:2:10: cannot read `acme/rings//prod.yml` at 9fceb02:";
    assert_eq!(told(&files, &gone), format!("{at} it is gone (M0605)"));
    assert!(load(&files, &repository()).is_err(), "what nobody asked for is no reason to go on");
    assert_eq!(codes(&files), [Code::Unread]);

    // Its own paths are in its own repository.
    files.insert(
        name.clone(),
        "version: 1\nextends: teams.yml\nstages: [{name: prod, soak: 1h}]\n".to_owned(),
    );
    files.insert("teams.yml".to_owned(), "not: read\n".to_owned());
    let teams = format!("acme/rings//teams.yml@{sha}");
    assert_eq!(needed_elsewhere(&files).first().unwrap().to_string(), teams);
    files.insert(teams.clone(), "version: 1\nteams: {keepers: {users: [ana]}}\n".to_owned());
    let loaded = load(&files, &repository()).unwrap();
    assert_eq!(loaded.pipelines[0].stages[0].soak.to_string(), "1h");
    assert_eq!(loaded.paths[1..], [name, teams.clone()]);
    assert!(loaded.text.contains(&teams) && !loaded.text.contains("not: read"));
    files.insert(teams, "version: 1\nteams: {keepers: {users: [bo]}}\n".to_owned());
    assert_ne!(load(&files, &repository()).unwrap().text, loaded.text);
}

#[test]
fn c27_tests_stay_in_order_behind_the_deploy() {
    let files =
        native("version: 1\ndeploy: ./d.sh\nstages: [{name: test, test_commands: [b, a, c]}, prod]\n");
    let pipeline = one(&files);
    assert_eq!(pipeline.stages[0].deploy[0].text(), "./d.sh");
    assert_eq!(runs(&pipeline.stages[0]), ["b", "a", "c"]);
    assert_eq!(pipeline.stages[1].needs, [pipeline.stages[0].name.clone()]);
}

#[test]
fn c44_copilots_folders_are_several_pipelines() {
    let text = "version: 1\nbuild: make\nstages: [{name: test}]\n";
    let files: Sources =
        ["api", "web"].map(|n| (format!("{COPILOT_FOLDER}{n}/manifest.yml"), text.to_owned())).into();
    let loaded = load(&files, &repository()).unwrap();
    let contexts: Vec<String> = loaded.pipelines.iter().map(|p| p.context("test")).collect();
    assert_eq!(contexts, ["liftlock/api/test", "liftlock/web/test"]);
    assert!(
        !is_manifest("copilot/pipelines/a/b/manifest.yml") && is_manifest("copilot/pipelines/a/manifest.yml")
    );
}

#[test]
fn a15_a_stage_per_environment_is_one_line() {
    let files = native("version: 1\ndeploy: ./d.sh\nstages:\n  - dev\n  - test\n  - prod\n");
    let pipeline = one(&files);
    let places: Vec<String> = pipeline.stages.iter().map(|s| s.environment.to_string()).collect();
    assert_eq!(places, ["dev", "test", "prod"]);
    assert!(pipeline.stages.iter().all(|s| s.deploy == pipeline.stages[0].deploy && !s.deploy.is_empty()));
}

#[test]
fn a26_a_step_has_the_name_it_was_given() {
    let long = "x".repeat(80);
    let files = native(&format!(
        "version: 1\nstages: [{{name: t, deploy: [{{name: Deploy, run: ./d.sh}}, {long}]}}]\n"
    ));
    let names: Vec<String> = one(&files).stages[0].deploy.iter().map(|s| s.name.clone()).collect();
    assert_eq!(names[0], "Deploy");
    assert_eq!(names[1].chars().count(), 60);
}

#[test]
fn b05_b07_two_pipelines_of_one_repository_have_their_own_paths_and_statuses() {
    let text = include_str!("../../../fixtures/manifests/good/several-pipelines.yml");
    let loaded = load(&native(text), &repository()).unwrap();
    let [studio, runtime] = loaded.pipelines.as_slice() else { panic!("two pipelines") };
    assert_eq!(studio.context("quality"), "liftlock/studio/quality");
    assert_eq!(runtime.context("quality"), "liftlock/runtime/quality");
    let starts = |p: &Pipeline, path: &str| selects(&p.triggers.push.as_ref().unwrap().paths, path);
    assert!(starts(studio, "studio/a.rs") && !starts(runtime, "studio/a.rs"));
    assert!(!starts(studio, "studio/docs/a.md") && starts(runtime, "runtime/x"));
}

#[test]
fn e09_the_tree_is_packed_without_a_build_and_no_stage_builds() {
    let packed =
        |text: &str| one(&native(text)).artifacts.iter().map(|a| format!("{}={}", a.alias, a.path)).collect();
    let paths: Vec<String> = packed("version: 1\nstages: [test]\n");
    assert_eq!(paths, ["source=."]);
    let paths: Vec<String> = packed("version: 1\nbuild: make\nstages: [test]\n");
    assert_eq!(paths, ["dist=dist"]);
    let files = native("version: 1\nbuild: make\nstages: [{name: prod, build: make prod}]\n");
    assert_eq!(codes(&files), [Code::BuildInStage]);
}

#[test]
fn problems_print_for_people_for_machines_and_for_github() {
    let files = native("version: 1\nstages: [{name: prod, aproval: 1}]\n");
    let problems = check(&files, &repository()).problems;
    assert_eq!(
        render_text(&problems, &files),
        "error[M0201]: unknown key `aproval` in a stage\n \
         --> .github/liftlock.yml:2:23\n  |\n\
         2 | stages: [{name: prod, aproval: 1}]\n  |                       ^^^^^^^\n  \
         = help: did you mean `approval`?\n"
    );
    assert_eq!(
        render_github(&problems),
        "::error file=.github/liftlock.yml,line=2,col=23,endColumn=30,title=M0201::unknown key `aproval` in a stage\
         %0Ahelp: did you mean `approval`?\n"
    );
    let json: serde_json::Value = serde_json::from_str(&render_json(&problems)).unwrap();
    assert_eq!(json["problems"][0]["code"], "M0201");
    assert_eq!(json["problems"][0]["column"], 23);
    assert_eq!(
        load(&files, &repository()).unwrap_err().to_string(),
        ".github/liftlock.yml:2:23: unknown key `aproval` in a stage (M0201)"
    );
}

#[test]
fn limits_hold_for_hostile_texts() {
    let long = native(&"#".repeat(node::MAX_TEXT_BYTES + 1));
    assert_eq!(codes(&long), [Code::TooLarge]);
    let wide = native(&format!("version: 1\ntags: [{}]\nstages: [test]\n", "a, ".repeat(node::MAX_NODES)));
    assert_eq!(codes(&wide), [Code::TooLarge]);
    let mut chain = "version: 1\na0: &a0 [x]\n".to_owned();
    for n in 1..100 {
        writeln!(chain, "a{n}: &a{n} [*a{}]", n - 1).unwrap();
    }
    assert_eq!(codes(&native(&chain)), [Code::TooLarge]);
    let names = |n: usize| (0..n).map(|n| format!("s{n}")).collect::<Vec<_>>().join(", ");
    for many in [60, 120] {
        let found = codes(&native(&format!("version: 1\nstages: [{}]\n", names(many))));
        assert!(!found.is_empty() && found.iter().all(|c| *c == Code::TooLarge), "{found:?}");
    }
    let pipelines: Vec<String> = (0..51).map(|n| format!("  p{n}: {{stages: [test]}}\n")).collect();
    assert_eq!(codes(&native(&format!("version: 1\npipelines:\n{}", pipelines.concat()))), [Code::TooLarge]);
    let repeated = "*a, ".repeat(60);
    let heavy = format!("version: 1\nx: &a {}\ntags: [{repeated}]\nstages: [test]\n", "y".repeat(20_000));
    assert_eq!(codes(&native(&heavy)), [Code::TooLarge]);
    let shared = native("version: 1\nbuild: {run: make, env: &a {K: v}}\nstages: [{name: t, env: *a}]\n");
    assert_eq!(codes(&shared), []);
}

#[test]
fn a_flood_of_problems_is_cut_and_never_hides_an_error() {
    let unknown: Vec<String> = (0..150).map(|n| format!("k{n}: 1\n")).collect();
    let report = check(&native(&unknown.concat()), &repository());
    assert_eq!(report.problems.len(), 101);
    assert!(report.problems[0].message.starts_with("52 more errors"), "{}", report.problems[0].message);
    let mut warned = "version: 1\npipelines:\n".to_owned();
    for n in 0..50 {
        let stages = "{name: a, approval: 1}, {name: b, approval: 1}, {name: c, approval: 1}";
        writeln!(warned, "  p{n}: {{stages: [{stages}]}}").unwrap();
    }
    assert!(check(&native(&warned), &repository()).passes());
    let wrong = warned.replace("p49: {stages: [", "p49: {stages: [Prod, ");
    assert!(!check(&native(&wrong), &repository()).passes());
}

#[test]
fn t16_what_would_hide_text_is_shown_as_a_stand_in() {
    let files = native("version: 1\nstages: [\u{202e}prod]\n");
    let shown = render_text(&check(&files, &repository()).problems, &files);
    assert!(shown.contains("U+202Eprod") && !shown.contains('\u{202e}'), "{shown}");
}

#[test]
fn defaults_are_filled_in() {
    let pipeline = one(&native("version: 1\nbuild: {run: make}\nstages: [test]\n"));
    assert_eq!(pipeline.name.as_str(), "demo-api-frontend");
    assert_eq!(pipeline.build.network, Network::None);
    assert_eq!(pipeline.build.timeout.to_string(), "1h");
    let stage = &pipeline.stages[0];
    assert_eq!((stage.retries, stage.rollback_approvals), (0, 1));
    let excluded = one(&native("version: 1\nstages: [{name: p, approval: {exclude: pusher}}]\n"));
    let rule = excluded.stages[0].approval.clone().unwrap();
    assert_eq!(rule.exclude, BTreeSet::from([Exclusion::Pusher]));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[ a-z0-9:\\[\\]{},&*!|>'\"#\n-]{0,120}") {
        let files = native(&text);
        let report = check(&files, &repository());
        proptest::prop_assert!(report.passes() != report.pipelines.is_empty());
        render_text(&report.problems, &files);
        also_needed(&files);
    }

    #[test]
    fn no_stage_text_makes_the_reader_panic(text in "[ a-z0-9:\\[\\]{},&*~'\"-]{0,60}") {
        let files = native(&format!("version: 1\nstages:\n  - name: prod\n    {text}\n    approval: {text}\n"));
        render_text(&check(&files, &repository()).problems, &files);
    }
}

#[test]
fn c32_a_file_for_an_older_version_still_loads_and_one_for_a_newer_is_refused() {
    let file = |version: &str| native(&format!("version: 1\ntool_version: {version}\nstages: [test]\n"));
    let own = env!("CARGO_PKG_VERSION");
    for version in ["0", "0.0.1", "0.1", "v0.1.0", own] {
        assert_eq!(codes(&file(version)), [], "{version}");
    }
    let newer = check(&file("9.1"), &repository());
    assert!(!newer.passes());
    assert!(newer.problems[0].message.contains("written for liftlock 9.1"), "{:?}", newer.problems);
}

#[test]
fn c39_a_build_gets_the_files_or_a_clone_as_copilots_key_says() {
    for (format, checkout) in [("CODE_ZIP", Checkout::Files), ("CODEBUILD_CLONE_REF", Checkout::History)] {
        let files = native(&format!(
            "version: 1\nsource: {{properties: {{connection_name: main, output_artifact_format: {format}}}}}\n\
             stages: [test]\n"
        ));
        assert_eq!(codes(&files), [], "{format}");
        let loaded = load(&files, &repository()).unwrap();
        let source = loaded.sources.values().next().unwrap();
        assert_eq!(source.connection_name.as_deref(), Some("main"));
        assert_eq!(source.output_artifact_format.as_deref(), Some(format));
        assert_eq!(loaded.pipelines[0].build.checkout, checkout);
    }
}

/// Two commits of one tree have other histories, and tags are made after a commit was built.
#[test]
fn c39_what_a_build_that_sees_the_history_left_is_never_taken_over() {
    for reuse in ["commit", "tree"] {
        let files = native(&format!(
            "version: 1\nsource: {{properties: {{output_artifact_format: CODEBUILD_CLONE_REF}}}}\n\
             build: make\nreuse: {reuse}\nstages: [test]\n"
        ));
        let problems = check(&files, &repository()).problems;
        let wrong = problems.iter().find(|problem| problem.code == Code::Impossible);
        let told = format!(
            "the build sees the history and tags of its commit, and `reuse: {reuse}` goes by neither"
        );
        assert_eq!(wrong.map(|problem| problem.message.as_str()), Some(told.as_str()), "{problems:?}");
    }
}

#[test]
fn c40_the_builds_image_and_buildspec_are_taken_over_and_its_rights_are_not() {
    let image = "aws/codebuild/amazonlinux2-x86_64-standard:3.0";
    let mut files = copilot(&format!(
        "version: 1\nbuild: {{image: {image}, buildspec: ci/build.yml, additional_policy: {{PolicyDocument: \
         {{Version: 2012-10-17, Statement: [{{Effect: Allow, Action: ['s3:PutObject', 's3:GetObject'], Resource: \
         'arn:aws:s3:::drop/*'}}, {{Effect: Deny, Action: 's3:*', Resource: '*'}}, {{Effect: Allow, Action: \
         'ecr:GetAuthorizationToken', Resource: '*'}}]}}}}}}\nstages: [{{name: test}}]\n"
    ));
    files.insert(
        "ci/build.yml".to_owned(),
        "version: 0.2\nphases: {build: {commands: [make dist]}}\n".to_owned(),
    );
    files.insert(COPILOT_BUILDSPEC.to_owned(), "this is not the one that was named\n".to_owned());
    let warned = check(&files, &repository()).problems;
    let [warning] = warned.as_slice() else { panic!("{warned:?}") };
    let told = "`additional_policy` has no effect here: commands use the server's tools and rights";
    assert_eq!((warning.code, warning.message.as_str()), (Code::NoEffect, told));
    // What it asks for is a map that whoever runs the server reads.
    let asks = "the server's own role is to allow `ecr:GetAuthorizationToken` on `*`; `s3:GetObject`, `s3:PutObject` on \
                `arn:aws:s3:::drop/*`; and it is to deny `s3:*` on `*`";
    assert_eq!(warning.hint.as_deref(), Some(asks));
    let build = one(&files).build;
    assert_eq!(build.image.as_deref(), Some(image));
    assert_eq!(build.buildspec.as_deref(), Some("ci/build.yml"));
    assert_eq!(build.steps[0].text(), "echo \"phase build\"\nmake dist\n");
}

/// The whole grammar of a statement: what it leaves out, where it holds, and what it denies.
#[test]
fn c40_every_statement_of_a_policy_is_told_for_what_it_is() {
    let hint = |statements: &str| {
        let policy = format!("{{Version: 2012-10-17, Statement: {statements}}}");
        let files = native(&format!(
            "version: 1\nbuild: {{run: make, additional_policy: {{PolicyDocument: {policy}}}}}\nstages: [test]\n"
        ));
        let warned = check(&files, &repository()).problems;
        let [warning] = warned.as_slice() else { panic!("{warned:?}") };
        warning.hint.clone().unwrap_or_default()
    };
    let own = "the server's own role is to";
    let unread = "1 of its statements cannot be read: each has an `Effect`, which is `Allow` or `Deny`, an `Action` or \
                  `NotAction`, and a `Resource` or `NotResource`";
    for (statements, told) in [
        (
            "{Effect: Allow, NotAction: ['iam:*', 'sts:*'], Resource: '*'}",
            "allow everything but `iam:*`, `sts:*` on `*`",
        ),
        ("{Effect: Allow, Action: 's3:*', NotResource: [b, a]}", "allow `s3:*` on everything but `a`, `b`"),
        (
            "{Effect: Deny, NotAction: 's3:Get*', NotResource: a}",
            "deny everything but `s3:Get*` on everything but `a`",
        ),
        (
            "{Effect: Allow, Action: 's3:*', Resource: a, Condition: {StringEquals: {'aws:RequestedRegion': [eu-west-1, \
             eu-north-1]}, Bool: {'aws:SecureTransport': true}}}",
            "allow `s3:*` on `a` where `Bool` holds for `aws:SecureTransport` and `true` and `StringEquals` holds for \
             `aws:RequestedRegion` and `eu-north-1`, `eu-west-1`",
        ),
        // The same with and without a condition are two rights; two lists of what is left out do not add up.
        (
            "[{Effect: Allow, Action: b, Resource: r}, {Effect: Allow, Action: a, Resource: r}, {Effect: Allow, Action: c, \
             Resource: r, Condition: {Bool: {k: 'true'}}}]",
            "allow `a`, `b` on `r`; `c` on `r` where `Bool` holds for `k` and `true`",
        ),
        (
            "[{Effect: Allow, NotAction: a, Resource: r}, {Effect: Allow, NotAction: b, Resource: r}]",
            "allow everything but `a` on `r`; everything but `b` on `r`",
        ),
        (
            "[{Effect: Allow, Action: a, Resource: r}, {Effect: Deny, Action: a, Resource: s}]",
            "allow `a` on `r`; and it is to deny `a` on `s`",
        ),
    ] {
        assert_eq!(hint(statements), format!("{own} {told}"), "{statements}");
    }
    for bad in [
        "{Effect: allow, Action: a, Resource: r}",
        "{Action: a, Resource: r}",
        "{Effect: Allow, Resource: r}",
        "{Effect: Allow, Action: a}",
        "{Effect: Allow, Action: a, NotAction: b, Resource: r}",
        "{Effect: Deny, Action: a, Resource: r, NotResource: s}",
        "[a sentence]",
    ] {
        assert_eq!(hint(bad), unread, "{bad}");
    }
    let half = hint("[{Effect: Allow, Action: a, Resource: r}, {}]");
    assert_eq!(half, format!("{own} allow `a` on `r`; {unread}"));
    assert_eq!(hint("[]"), "");
}

#[test]
fn c41_buildspecs_before_a_deploy_go_by_what_they_depend_on_and_those_after_exclude_tests() {
    let with = |stage: &str| {
        let mut files =
            copilot(&format!("version: 1\nbuild: make\ndeploy: ./d.sh\nstages:\n  - name: test\n{stage}"));
        for name in ["schema", "users", "smoke"] {
            let spec = format!("version: 0.2\nphases: {{build: {{commands: [./{name}]}}}}\n");
            files.insert(format!("ci/{name}.yml"), spec);
        }
        files
    };
    let before = "    pre_deployments:\n      users: {buildspec: ci/users.yml, depends_on: [schema]}\n      \
                  schema: {buildspec: ci/schema.yml}\n";
    let after = "    post_deployments: {smoke: {buildspec: ci/smoke.yml}}\n";
    let pipeline = one(&with(&format!("{before}{after}")));
    let text = |steps: &[Step]| steps.iter().map(|step| step.text().to_owned()).collect::<Vec<_>>();
    let phase = |name: &str| format!("echo \"phase build\"\n./{name}\n");
    let stage = &pipeline.stages[0];
    assert_eq!(text(&stage.deploy), [phase("schema"), phase("users"), "./d.sh".to_owned()]);
    assert_eq!(text(&stage.test_commands), [phase("smoke")]);
    let both = with(&format!("{after}    test_commands: [make test]\n"));
    let problems = check(&both, &repository()).problems;
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(problem.code, Code::Exclusive);
    assert_eq!(problem.message, "`post_deployments` and `test_commands` exclude each other");
}

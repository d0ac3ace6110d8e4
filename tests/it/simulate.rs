//! Scenarios of `fixtures/simulate` against their manifests, by the library and by the program itself.
#![expect(clippy::disallowed_methods, reason = "a test rewrites its own transcript when asked to")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use liftlock::domain::manifest::{self, Sources};
use liftlock::domain::name::RepoName;
use liftlock::domain::pipeline::Pipeline;
use liftlock::domain::simulate::ahead::{Ahead, ahead};
use liftlock::domain::simulate::scenario::{self, Scenario};
use liftlock::domain::simulate::transcript::What;
use liftlock::domain::simulate::{Played, simulate, untouched};
use liftlock::domain::state::State;
use liftlock::domain::time::Timestamp;

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn folder() -> PathBuf {
    fixture("fixtures/simulate")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// Plays a scenario whose expectations hold, and compares what it tells with the transcript beside it.
#[track_caller]
fn plays(manifest: &str, scenario: &str) {
    let read = |path: &str| std::fs::read_to_string(fixture(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let played = play(&read(manifest), &read(scenario));
    holds(&played);
    kept(&scenario.replace(".txt", ".out"), &played.text());
}

fn pipeline(yaml: &str) -> Pipeline {
    let repository: RepoName = "acme/shop".parse().unwrap();
    let files = Sources::from([(manifest::NATIVE_PATHS[0].to_owned(), yaml.to_owned())]);
    let report = manifest::check(&files, &repository);
    assert!(report.passes(), "{:?}", report.problems);
    report.pipelines.into_iter().next().unwrap()
}

fn read(text: &str, pipeline: &Pipeline) -> Scenario {
    scenario::read(text, pipeline).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn play(yaml: &str, lines: &str) -> Played {
    let pipeline = pipeline(yaml);
    simulate(&pipeline, &read(lines, &pipeline), None).unwrap_or_else(|problem| panic!("{problem}"))
}

#[track_caller]
fn holds(played: &Played) {
    assert!(played.passes() && played.held > 0, "{}", played.text());
}

/// The problems of a scenario for a pipeline with the stages test and prod.
fn problems(lines: &str) -> Vec<String> {
    let pipeline = pipeline("version: 1\nbuild: make\ndeploy: ./deploy.sh\nstages: [test, prod]\n");
    let problems = scenario::read(lines, &pipeline).expect_err("a scenario with problems");
    problems.iter().map(ToString::to_string).collect()
}

/// Compares with what is kept in a file, or rewrites it when asked to.
#[track_caller]
fn kept(path: &str, told: &str) {
    if std::env::var_os("UPDATE").is_some() {
        let mut file = std::fs::File::create(fixture(path)).unwrap();
        std::io::Write::write_all(&mut file, told.as_bytes()).unwrap();
    }
    let kept = std::fs::read_to_string(fixture(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert_eq!(told, kept, "UPDATE=1 rewrites it");
}

#[test]
fn b09_b10_b11_e28_builds_of_two_pipelines_and_a_train_are_played() {
    plays("fixtures/simulate/altinn.yml", "fixtures/simulate/altinn.txt");
}

#[test]
fn e07_would_v1_4_reach_prod_on_24_december() {
    plays("fixtures/simulate/christmas.yml", "fixtures/simulate/christmas.txt");
}

#[test]
fn e01_what_is_published_is_not_taken_back_and_what_is_deployed_is() {
    plays("fixtures/simulate/shipped.yml", "fixtures/simulate/shipped.txt");
}

#[test]
fn e08_a_tag_on_what_was_built_builds_nothing_again() {
    plays("fixtures/simulate/reused.yml", "fixtures/simulate/reused.txt");
}

#[test]
fn d06_d34_what_a_stage_signs_takes_the_place_of_what_it_was() {
    plays("fixtures/simulate/signed.yml", "fixtures/simulate/signed.txt");
}

/// A release pipeline of Azure DevOps: the framework's sample project, from its library of variables to prod.
#[test]
fn a01_a05_a11_a15_a17_an_azure_release_from_its_build_to_prod() {
    plays("fixtures/samples/invictus/.github/liftlock.yml", "fixtures/scenarios/processes/azure-release.txt");
}

/// .NET's rings: a drop that is not coherent yet, validations, a recorded override, sign-offs by team, and a window to
/// publish in.
#[test]
fn d01_d07_d08_d09_d11_d24_d26_d28_d32_d38_d40_the_rings_of_dotnet_to_the_day_of_publishing() {
    plays("fixtures/scenarios/processes/dotnet-rings.yml", "fixtures/scenarios/processes/dotnet-rings.txt");
}

/// A service of Altinn: published by a button, each in its turn, from files of another repository.
#[test]
fn b14_b24_a_service_is_published_by_its_button() {
    plays(
        "fixtures/scenarios/processes/altinn-service.yml",
        "fixtures/scenarios/processes/altinn-service.txt",
    );
}

/// Copilot's pipeline: all you do is push; red tests keep a change from the production stage.
#[test]
fn c04_c09_c28_c36_copilots_pipeline_from_a_push_to_production() {
    plays("fixtures/scenarios/processes/copilot.yml", "fixtures/scenarios/processes/copilot.txt");
}

/// Release management in practice: a train, a canary that is put back, and the fix that takes the next one.
#[test]
fn e02_e05_e23_e28_a_train_with_a_canary_that_is_put_back() {
    plays("fixtures/scenarios/processes/practice.yml", "fixtures/scenarios/processes/practice.txt");
}

/// A host that fails, one that is ill, a slot that is not good, and what each of them keeps from going on.
#[test]
fn e07_e23_e24_what_happens_if_host_3_fails() {
    plays("fixtures/simulate/targets.yml", "fixtures/simulate/targets.txt");
}

#[test]
fn e07_targets_are_named_before_they_fail() {
    let yaml = "version: 1\nbuild: make\ndeploy: ./deploy.sh\nstages: [test, {name: prod, targets: {}}]\n";
    let lines = "targets test: web-1\ntargets prod\ntargets prod: web-1, web-1\ntargets prod: web-1\n\
                 target web-2 fails: disk\ntarget web-1 explodes\ntarget web-1 fails\n2026-03-02 09:00\n";
    let problems = scenario::read(lines, &pipeline(yaml)).expect_err("a scenario with problems");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let how =
        "write `target web-1 fails: exit 3`, `target web-1 is ill: answers 500` or `target web-1 passes`";
    assert_eq!(
        told,
        [
            "line 1: the manifest gives test no `targets`, so its commands run once".to_owned(),
            "line 2: write `targets prod: web-1, web-2`".to_owned(),
            "line 3: each target is named once, and there is at least one; write `targets prod: web-1, web-2`"
                .to_owned(),
            "line 5: there is no target `web-2`; there is `web-1`".to_owned(),
            format!("line 6: {how}"),
            format!("line 7: {how}"),
        ]
    );
}

#[test]
fn e07_an_everyday_scenario_goes_through_failures_overrides_and_a_rollback() {
    holds(&play(&text("everyday.yml"), &text("everyday.txt")));
}

#[test]
fn e07_the_scenario_of_the_manual_plays_as_it_says() {
    let manual = include_str!("../../docs/simulate.md");
    let block =
        |language: &str| manual.split(&format!("```{language}\n")).nth(1).unwrap().split("```").next();
    let played = play(block("yaml").unwrap(), block("scenario").unwrap());
    holds(&played);
    let shown = manual.split("```\nTue").nth(1).unwrap().split("```").next().unwrap();
    assert!(played.text().contains(&format!("Tue{shown}")), "{}", played.text());
}

#[test]
fn e07_the_same_scenario_gives_the_same_transcript() {
    let (yaml, lines) = (text("everyday.yml"), text("everyday.txt"));
    assert_eq!(play(&yaml, &lines), play(&yaml, &lines));
}

#[test]
fn e07_an_expectation_that_is_not_so_says_what_is() {
    let lines = "person ana: maintain\n2026-03-02 09:00 push by bo: feat: one\n10:00 expect prod has v0.1\n\
                 expect prod waits: window\nexpect v0.2 in prod waits\nexpect prod failed\nexpect accepted\n\
                 ana: /approve prod\nexpect refused: not_entitled\nexpect v0.1 is superseded\n";
    let played =
        play("version: 1\nbuild: make\ndeploy: ./d\nstages: [test, {name: prod, approval: 1}]\n", lines);
    let found: Vec<&str> = played
        .transcript
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Expected { found, .. } => found.as_deref(),
            What::Line { .. } | What::Event { .. } | What::Waits { .. } | What::Answer { .. } => None,
        })
        .collect();
    assert_eq!(
        found,
        [
            "prod has nothing",
            "v0.1.0-rc.1 waits: 0 of 1 approvals; needs 1 of role maintain or higher",
            "there is no release v0.2; there is v0.1.0-rc.1",
            "v0.1.0-rc.1 is waiting in prod",
            "nobody has said anything yet",
            "it was accepted",
            "v0.1.0-rc.1 is active",
        ]
    );
    assert_eq!((played.held, played.missed), (0, vec![3, 4, 5, 6, 7, 9, 10]));
}

#[test]
fn e07_every_bad_line_is_named_with_what_to_write_instead() {
    let found = problems(
        "zone Oslo\nperson ana: boss\nperson bo: write\npush by bo: too early\n2026-03-02 09:00 push bo: feat: x\n\
         08:00 push by bo: feat: x\n25:00\n2026-02-30 09:00\n10:00 stage prd fails\nstage prod explodes\n\
         check health fails\ncy: /approve prod\nbo: /approve\nbo: looks good\nexpect prod has\n\
         expect prod waits: luck\nexpect prod happy\nzone UTC\ndeploy prod\n",
    );
    assert_eq!(found, text("bad-lines.out").lines().collect::<Vec<_>>());
}

#[test]
fn e07_a_scenario_in_which_nothing_happens_is_refused() {
    assert_eq!(
        problems("# nothing\nperson ana: admin\n"),
        ["line 1: nothing happens: no line has a time, such as `2026-12-21 09:00 push by bo: feat: login`"]
    );
}

#[test]
fn e07_times_are_those_of_the_zone_also_where_the_clocks_change() {
    let yaml = "version: 1\nbuild: make\ndeploy: ./d\nstages: [test]\n";
    let lines = "zone Europe/Oslo\n2026-03-29 01:30 push by bo: feat: one\n+1h expect test has v0.1\n";
    let played = play(yaml, lines);
    holds(&played);
    // From 02:00 the clocks jump to 03:00.
    assert_eq!(
        (played.until.as_str(), played.until_when.as_str()),
        ("2026-03-29T01:30:00Z", "Sun 2026-03-29 03:30")
    );
}

/// A pipeline with everything that can be waited for in front of prod.
const CAREFUL: &str = "version: 1\nname: shop\nbuild: make\ndeploy: ./d\nstages:\n  - name: test\n  - name: prod\n    \
    soak: 24h\n    approvals: {pre: {min: 2, from: [{team: acme/release}, maintain]}, post: {min: 1, from: [{team: acme/qa}]}}\n  \
    - {name: archive, trigger: manual, optional: true}\n";

fn look(state: &State, pipeline: &Pipeline, act: &str) -> Ahead {
    let now = Timestamp::parse("2026-12-21T09:00:00Z").unwrap();
    ahead(state, pipeline, &act.parse().unwrap(), now).unwrap()
}

#[test]
fn e07_a_push_is_planned_stage_by_stage_with_who_can_act() {
    let pipeline = pipeline(CAREFUL);
    let plan = look(&untouched(&pipeline), &pipeline, "push");
    let waits: Vec<(&str, Vec<&str>)> = plan
        .stages
        .iter()
        .map(|s| (s.stage.as_str(), s.waits.iter().map(|w| w.blocker.as_str()).collect()))
        .collect();
    assert_eq!(
        waits,
        [("test", vec![]), ("prod", vec!["soak", "approval", "signoff"]), ("archive", vec!["trigger"])]
    );
    let times: Vec<_> = plan.stages.iter().map(|s| (s.starts.as_deref(), s.live.as_deref())).collect();
    assert_eq!(
        times,
        [
            (Some("2026-12-21 09:05 UTC"), Some("2026-12-21 09:10 UTC")),
            (Some("2026-12-22 09:10 UTC"), Some("2026-12-22 09:15 UTC")),
            (Some("2026-12-22 09:15 UTC"), Some("2026-12-22 09:20 UTC")),
        ]
    );
    kept("fixtures/simulate/plan.out", &format!("{}\n", plan.text()));
}

fn liftlock(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_liftlock"))
        .current_dir(folder())
        .env_clear()
        .args(arguments)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn e07_the_program_plays_to_the_end_or_to_a_day() {
    let whole = liftlock(&["simulate", "christmas.yml", "christmas.txt"]);
    assert_eq!((whole.status.code(), out(&whole)), (Some(0), text("christmas.out")));
    let early =
        liftlock(&["simulate", "christmas.yml", "christmas.txt", "--until", "2026-12-21 11:00", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&out(&early)).unwrap();
    assert_eq!(answer["until"], "2026-12-21T10:00:00Z");
    assert_eq!(answer["stages"][1]["stage"], "staging");
    assert_eq!(answer["stages"][1]["has"], serde_json::Value::Null);
    assert_eq!(answer["stages"][1]["coming"][0]["text"], "v1.4.0-rc.1 is running");
    assert_eq!((answer["held"].as_u64(), answer["schema"].as_u64()), (Some(0), Some(1)));
    let late = liftlock(&["simulate", "christmas.yml", "christmas.txt", "--until", "2027-02-01"]);
    assert!(out(&late).contains("Tue 2027-02-02 00:00 Europe/Oslo:"), "{}", out(&late));
}

#[test]
fn e07_a_scenario_that_fails_ends_with_1_and_a_bad_one_names_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let missed = at("missed.txt", "2026-12-21 09:00 push by bo: feat: x\n10:00 expect prod has v0.1\n");
    let output = liftlock(&["simulate", "christmas.yml", &missed]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(out(&output).ends_with("1 of 1 expectations does not hold: line 2\n"), "{}", out(&output));
    let bad = at("bad.txt", "2026-12-21 09:00 push by bo: feat: x\n10:00 expect prd has v0.1\n");
    let output = liftlock(&["simulate", "christmas.yml", &bad]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        err(&output),
        format!("error: {bad}, line 2: there is no stage `prd`; there is `test`, `staging`, `prod`\n")
    );
    let output = liftlock(&["simulate", "christmas.yml", "christmas.txt", "--until", "Christmas"]);
    assert!(err(&output).contains("`Christmas` is neither a day"), "{}", err(&output));
    let two = at(
        "two.yml",
        "version: 1\npipelines:\n  web: {build: make, deploy: ./d, stages: [test]}\n  api: {build: make, deploy: ./d, stages: [test]}\n",
    );
    let lines = at("lines.txt", "2026-12-21 09:00 push by bo: feat: x\n10:00 expect test has v0.1\n");
    let output = liftlock(&["simulate", &two, &lines]);
    assert!(err(&output).contains("add --pipeline with one of web, api"), "{}", err(&output));
    let output = liftlock(&["simulate", &two, &lines, "--pipeline", "api"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[test]
fn e07_the_program_plans_for_a_manifest_without_a_server() {
    let output = liftlock(&["plan", "--manifest", "christmas.yml", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let plan: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(plan["act"], "push");
    assert_eq!(plan["stages"][2]["stage"], "prod");
    assert_eq!(plan["stages"][2]["waits"][0]["for"], "soak");
    let output = liftlock(&["plan", "/approve prod", "--manifest", "christmas.yml"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(
        out(&output).contains("nothing would come of it: nothing waits for prod now"),
        "{}",
        out(&output)
    );
    let output = liftlock(&["plan", "ship it", "--manifest", "christmas.yml"]);
    assert_eq!(output.status.code(), Some(2));
}

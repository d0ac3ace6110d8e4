//! Steps with scripts, shells, arguments, tries and limits of their own.

use super::tree::sample;
use super::world::{CANARY, World};

/// What the tests of this file have in common: a build that packs `tools`, one stage with these steps.
fn manifest(deploy: &str) -> String {
    let mut out = String::from(
        "version: 1\nname: shop\nbuild: [sh build.sh, cp -r tools dist/]\nartifacts: dist\nstages:\n  - name: prod\n    \
         secrets: [SHOP_TOKEN]\n    env: {ArtifactsPath: tools, Infra_Env: dev, Infra_Loc: weu, PREFIX: acme}\n    deploy:\n",
    );
    for line in deploy.lines() {
        out.push_str("      ");
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// A repository whose `tools` differ between checkout and artifact, pushed.
async fn pushed(deploy: &str, tools: &[(&str, &str)]) -> (World, String) {
    let mut files = sample(&manifest(deploy));
    for (name, text) in tools {
        files.insert(format!("tools/{name}"), (*text).to_owned());
    }
    let mut world = World::of(files).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    (world, commit)
}

/// Says with which words it was started, one a line.
const WORDS: &str = "#!/bin/sh\nfor word in \"$@\"; do echo \"$word\"; done >> \"$TARGET/words\"\n";
/// A `pwsh` that takes its script for one of `sh`, after writing down its words.
const PWSH: &str = "#!/bin/sh\nfor word in \"$@\"; do echo \"$word\"; done >> \"$TARGET/words\"\n\
                    while [ \"$1\" != -File ]; do shift; done\nshift\nexec sh \"$@\"\n";

const DEPLOY_PS1: &str = "
- name: Deploy
  script: $(ArtifactsPath)/Deploy.ps1
  args:
    ArtifactsPath: $(System.DefaultWorkingDirectory)/dist/$(ArtifactsPath)
    ArtifactsPathScripts: {fallback: ArtifactsPath}
    ResourcePrefix: $(Infra.Env)-$(Infra.Loc)-$(prefix)
    WhatIf: {value: $(DryRun), optional: true}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_a26_a28_a30_a31_t20_a_script_of_the_artifact_is_run_by_powershell_with_its_arguments() {
    let mut files = sample(&manifest(DEPLOY_PS1));
    files.insert(
        "tools/Deploy.ps1".to_owned(),
        "cat \"$0\" | head -1 > \"$TARGET/ran\"; pwd >> \"$TARGET/ran\"".to_owned(),
    );
    let mut world = World::of(files).await;
    world.install("pwsh", PWSH);
    // What is checked out differs from what was built: the build says which file this is.
    let build =
        "set -e\nmkdir -p dist\nsed 's/^/: ARTIFACT; /' tools/Deploy.ps1 > t && mv t tools/Deploy.ps1\n";
    let commit = world.merge_files(1, &[("build.sh", build)], "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert!(world.wrote("ran").starts_with(": ARTIFACT"), "{}", world.wrote("ran"));
    let words = world.wrote("words");
    let words: Vec<&str> = words.lines().collect();
    let [no_profile, batch, file, script, path, scripts, prefix] = words.as_slice() else {
        panic!("{words:?}")
    };
    assert_eq!([*no_profile, *batch, *file], ["-NoProfile", "-NonInteractive", "-File"]);
    let folder = script.strip_suffix("/Deploy.ps1").unwrap();
    assert!(folder.ends_with("/artifacts/dist/tools"), "{script}");
    assert_eq!(path.strip_prefix("-ArtifactsPath:"), Some(folder));
    assert_eq!(scripts.strip_prefix("-ArtifactsPathScripts:"), Some(folder));
    assert_eq!(*prefix, "-ResourcePrefix:dev-weu-acme");
    world.status(&commit, "liftlock/prod", "success").await;
    world.finish().await;
}

/// Nothing of the stage has happened: what runs there is known as before, and the answer says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_a29_what_is_missing_is_said_before_anything_starts() {
    let missing = DEPLOY_PS1.replace("$(Infra.Loc)", "$(Infra.Location)");
    for (deploy, install, reason) in [
        (DEPLOY_PS1, false, "\"Deploy\": it needs `pwsh`, which is not on the server's machine"),
        (&missing, true, "the argument `ResourcePrefix` has no value: there is no `$(Infra.Location)`"),
        (
            "- {run: 'true', env: {A: b}}\n- {script: tools/x.sh, args: {Key: $(SHOP_TOKEN)}}",
            false,
            "the argument `Key` would show a secret",
        ),
    ] {
        let first = format!("- touch \"$TARGET/began\"\n{}", deploy.trim_start_matches('\n'));
        let mut world = World::of(sample(&manifest(&first))).await;
        if install {
            world.install("pwsh", PWSH);
        }
        let commit =
            world.merge_files(1, &[("tools/Deploy.ps1", "true"), ("tools/x.sh", "true")], "feat: x").await;
        let said = world.hears(1).await.replace('\\', "");
        assert!(said.contains(reason) && said.contains("`/retry prod`"), "{said}");
        world.status(&commit, "liftlock/prod", "error").await;
        assert!(!world.target().join("began").exists(), "no step has run");
        assert!(world.state("shop").await.live.is_empty(), "nothing is unknown");
        assert!(!world.said_and_kept().await.contains(CANARY));
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a28_a_script_that_the_artifact_does_not_have_fails_and_a_link_does_not_lead_out() {
    let (world, commit) = pushed("- {script: missing.sh}", &[("x.sh", "true")]).await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("did not start: the artifact has no file `missing.sh`"), "{said}");
    world.status(&commit, "liftlock/prod", "failure").await;
    world.finish().await;

    // The file is in the checkout beside the artifacts, and in reach of macros.
    let (world, _) = pushed("- {script: $(LIFTLOCK_SOURCE)/smoke.sh}", &[("x.sh", "true")]).await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("the artifact has no file `"), "{said}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t20_words_reach_a_script_as_they_are() {
    let evil = "- script: tools/words.sh\n  args: ['$(EVIL)', '-x', '--help', '; id', '`id`', '$$(id)', '']\n  \
                env: {EVIL: '$$(PREFIX) && $$(touch \"$TARGET/hacked\")'}";
    let (world, _) = pushed(evil, &[("words.sh", WORDS)]).await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let words = world.wrote("words");
    assert_eq!(
        words.lines().collect::<Vec<_>>(),
        ["$(PREFIX) && $(touch \"$TARGET/hacked\")", "-x", "--help", "; id", "`id`", "$(id)", ""]
    );
    assert!(!world.target().join("hacked").exists());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d39_a_step_is_tried_again_and_has_a_folder_a_shell_and_a_limit_of_its_own() {
    let steps = "- {run: 'pwd > \"$TARGET/where\"', working_directory: tools}\n\
                 - {run: 'x=([0]=bash); echo \"${x[0]}\" > \"$TARGET/shell\"; false | true', shell: bash, retries: 0}\n";
    let (world, _) = pushed(steps, &[("x.sh", "true")]).await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("ended with exit code 1"), "`pipefail` holds: {said}");
    assert!(world.wrote("where").trim_end().ends_with("/dist/tools"));
    assert_eq!(world.wrote("shell"), "bash\n");
    world.finish().await;

    let flaky = "- {name: Flaky, run: 'echo try >> \"$TARGET/tries\"; test $(wc -l < \"$TARGET/tries\") -ge 2', retries: 3}\n\
                 - {name: Slow, run: sleep 60, timeout: 100ms}";
    let (world, commit) = pushed(flaky, &[("x.sh", "true")]).await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("timed out") && said.contains("Slow") && said.contains("100ms"), "{said}");
    assert_eq!(world.wrote("tries").lines().count(), 2, "the second try passed, and no third was made");
    assert!(world.status(&commit, "liftlock/prod", "failure").await.contains("Slow"));
    world.finish().await;
}

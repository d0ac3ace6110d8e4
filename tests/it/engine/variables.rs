//! What the commands of a stage are told: variables, macros and the folder of the artifacts.

use super::tree::sample;
use super::world::World;

/// The release of the Invictus framework, as its guide asks for it, with a shell in PowerShell's place.
const INVICTUS: &str = r#"version: 1
name: acme.Invictus.Framework
build: sh build.sh
artifacts: [{alias: InvictusFramework, path: dist}]
variables:
  ArtifactsPath: $(System.DefaultWorkingDirectory)/InvictusFramework/Framework
  ArtifactsPathScripts: $(ArtifactsPath)
  Invictus.Secrets.ApiKey1.Name: apikey1
  Infra.Environment.Region.Primary.ShortName: weu
  Infra.Environment.Customer.ShortName: acme
  Mode: release
deploy:
  - name: Deploy
    run: sh "$(ArtifactsPath)/Deploy.sh" "$(ResourcePrefix)" "$(cat $(ArtifactsPathScripts)/args)" >> "$TARGET/journal"
stages:
  - name: test
    variables:
      Infra.Environment.ShortName: dev
      ResourcePrefix: $(Infra.Environment.ShortName)-$(Infra.Environment.Region.Primary.ShortName)-$(Infra.Environment.Customer.ShortName)
  - name: prod
    variables: {Infra.Environment.ShortName: prd, ResourcePrefix: "it's $$(mine)", Mode: stage}
"#;

const BUILD: &str = r"set -e
mkdir -p dist/Framework
cat src/app.txt > dist/Framework/args
cp deploy.sh dist/Framework/Deploy.sh
";

const DEPLOY: &str = r#"set -e
test -d "$SYSTEM_DEFAULTWORKINGDIRECTORY/InvictusFramework"
test "$ARTIFACTSPATH" = "$ARTIFACTSPATHSCRIPTS"
test "$RELEASE_ARTIFACTS_INVICTUSFRAMEWORK_DIGEST" = "$LIFTLOCK_DIGEST"
test "$RELEASE_ARTIFACTS_INVICTUSFRAMEWORK_SOURCEVERSION" = "$LIFTLOCK_COMMIT"
echo "$STAGE $1 $2 $INVICTUS_SECRETS_APIKEY1_NAME $MODE $BUILD_SOURCEBRANCHNAME"
"#;

fn invictus(manifest: &str) -> std::collections::BTreeMap<String, String> {
    let mut files = sample(manifest);
    files.insert("build.sh".to_owned(), BUILD.to_owned());
    files.insert("deploy.sh".to_owned(), DEPLOY.to_owned());
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a07_a12_a13_a14_a30_a31_e14_the_commands_of_a_stage_are_told_its_variables() {
    let mut world = World::of(invictus(INVICTUS)).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(
        world.deployed(),
        ["test dev-weu-acme the shop apikey1 release main", "prod it's $(mine) the shop apikey1 stage main"]
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_a_path_that_the_artifact_has_not_fails_before_anything_is_deployed() {
    let wrong = INVICTUS.replace("InvictusFramework/Framework", "InvictusFramework/Frame");
    let mut world = World::of(invictus(&wrong)).await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await;
    let told = "InvictusFramework/Frame\\`, and the artifact has no such path";
    assert!(said.contains(told), "{said}");
    assert_eq!(world.deployed(), [""; 0]);
    world.finish().await;
}

/// The same with a script of the artifact, an output and a hook.
const SCRIPTED: &str = r#"deploy:
  - name: Count
    run: echo "Step.Count=3" > "$LIFTLOCK_OUTPUT"
    outputs: [Step.Count]
  - name: Deploy
    script: $(ArtifactsPath)/Words.sh
    args:
      ArtifactsPath: $(ArtifactsPath)
      ArtifactsPathScripts: {fallback: ArtifactsPath}
      ResourcePrefix: $(ResourcePrefix)-$(Step.Count)
stages:
  - name: test
    hooks: {after: [{run: "echo after $(ResourcePrefix) $(Step.Count) >> \"$TARGET/journal\"", always: true}]}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_a30_a31_scripts_and_hooks_are_told_the_variables_too() {
    let (head, rest) = INVICTUS.split_once("deploy:\n").unwrap();
    let (_, stages) = rest.split_once("stages:\n  - name: test\n").unwrap();
    let mut files = invictus(&format!("{head}{SCRIPTED}{stages}"));
    let words = "test \"$1\" = \"--ArtifactsPath=$ARTIFACTSPATH\"\n\
                 test \"$2\" = \"--ArtifactsPathScripts=$ARTIFACTSPATH\"\necho \"$STAGE $3\" >> \"$TARGET/journal\"\n";
    files.insert("words.sh".to_owned(), words.to_owned());
    files.insert("build.sh".to_owned(), format!("{BUILD}cp words.sh dist/Framework/Words.sh\n"));
    let mut world = World::of(files).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(
        world.deployed(),
        [
            "test --ResourcePrefix=dev-weu-acme-3",
            "after dev-weu-acme 3",
            "prod --ResourcePrefix=it's $(mine)-3"
        ]
    );
    world.finish().await;
}

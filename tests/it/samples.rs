//! The sample projects do by hand what their pipelines say.

use std::path::Path;
use std::process::Command;

#[test]
fn c02_the_hello_sample_builds_deploys_and_tests_itself_with_sh_alone() {
    let dir = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/samples/hello");
    let copied = Command::new("cp").arg("-r").arg(&sample).arg(dir.path()).status().unwrap();
    assert!(copied.success());
    let tree = dir.path().join("hello");
    let target = dir.path().join("target");
    let run = |folder: &Path, script: &str| {
        let output = Command::new("sh")
            .arg(script)
            .current_dir(folder)
            .env("STAGE", "test")
            .env("LIFTLOCK_VERSION", "1.2.0")
            .env("LIFTLOCK_DEMO_TARGET", &target)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let artifact = tree.join("dist");
    assert!(run(&tree, "build.sh").0);
    assert!(!run(&artifact, "smoke.sh").0, "nothing is deployed yet");
    for _ in 0..2 {
        assert!(run(&artifact, "deploy.sh").0);
        assert_eq!(run(&artifact, "smoke.sh"), (true, "Hello from 1.2.0\n".to_owned()));
    }
    let page = target.join("test/hello.html");
    assert_eq!(std::fs::read(&page).unwrap(), std::fs::read(artifact.join("hello.html")).unwrap());
    let changed = Command::new("cp").arg(sample.join("src/hello.html")).arg(&page).status().unwrap();
    assert!(changed.success());
    assert!(!run(&artifact, "smoke.sh").0, "another page is there");
}

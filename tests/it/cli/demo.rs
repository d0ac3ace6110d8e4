//! The demo as somebody runs it who has just installed the program.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::{code, err, liftlock, out, run};

#[test]
fn the_demo_brings_a_push_to_prod_by_itself() {
    let at = tempfile::tempdir().unwrap();
    let ran = run(at.path(), &["demo", "--auto", "--data", "demo"]);
    let said = err(&ran);
    assert_eq!(code(&ran), 0, "{said}");
    let sealed = said.split("sealed once: ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(sealed.starts_with("sha256:"), "{said}");
    assert!(said.contains(&format!("with the digest that test ran: {sealed}")), "{said}");
}

/// The lines it prints are ones to paste: each is typed here as it stands.
#[test]
fn the_demo_waits_for_prod_and_its_lines_work_as_they_are_pasted() {
    let at = tempfile::tempdir().unwrap();
    let mut demo =
        liftlock(at.path()).args(["demo", "--data", "demo"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut line = |word: &str| -> String {
        let found =
            lines.find_map(|line| line.trim_start().strip_prefix(word).map(|rest| rest.trim().to_owned()));
        found.unwrap_or_else(|| panic!("the demo prints `{word}`"))
    };
    let typed = |line: &str| Command::new("sh").current_dir(at.path()).args(["-c", line]).output().unwrap();
    let (page, approve, why, statuses) = (line("page:"), line("approve:"), line("why:"), line("statuses:"));
    assert!(page.starts_with("http://127.0.0.1:"), "{page}");

    let waits = typed(&why);
    assert!(code(&waits) == 8 && out(&waits).contains("0 of 1 approvals"), "{}{}", out(&waits), err(&waits));
    let approved = typed(&approve);
    assert_eq!(code(&approved), 0, "{}", err(&approved));
    let begun = liftlock::clock::monotonic();
    while !out(&typed(&statuses)).contains("went live in") {
        assert!(begun.elapsed() < super::PATIENCE, "{}", out(&typed(&statuses)));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    while code(&typed(&why)) == 8 {
        assert!(begun.elapsed() < super::PATIENCE, "{}", out(&typed(&why)));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // Whoever has seen enough presses Ctrl-C.
    assert!(Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap().success());
    assert!(demo.wait().unwrap().success());
}

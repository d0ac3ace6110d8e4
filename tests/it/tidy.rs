//! Rules that no compiler checks, read off the sources; each has a test of itself on a bad source made up here.
#![expect(clippy::print_stdout, reason = "the measured share is worth a line")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use liftlock::domain::command::VERBS;

mod source;

use source::{Source, after_path, find_word, lines_with, without_comments};

/// Most production lines of a file; more is a message about the design.
const MAX_FILE_LINES: usize = 700;
/// The rules are the heart of the program: at least this share of all production code, in percent.
const MIN_DOMAIN_SHARE: usize = 33;
/// Fewer sources than this means that the tree was not found, and every rule would pass over nothing.
const MIN_SOURCES: usize = 50;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder, relative to the tree, sorted; build output and the repository itself left out.
fn files_below(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(folder)];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            match name.as_str() {
                "target" | ".git" | "data" => {}
                _ if path.is_dir() => waiting.push(path),
                _ => found.push(name),
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> Option<String> {
    String::from_utf8(fs::read(root().join(path)).unwrap()).ok()
}

/// The sources of the program and of its tests.
fn sources() -> Vec<Source> {
    let paths = files_below("src").into_iter().chain(files_below("tests"));
    let found: Vec<Source> = paths
        .filter(|p| Path::new(p).extension().is_some_and(|e| e == "rs"))
        .map(|p| Source::new(&p, &read(&p).unwrap()))
        .collect();
    assert!(found.len() >= MIN_SOURCES, "only {} sources below {}", found.len(), root().display());
    found
}

fn program() -> Vec<Source> {
    sources().into_iter().filter(|s| s.path.starts_with("src/")).collect()
}

fn made_up(path: &str, text: &str) -> Source {
    Source::new(path, text)
}

#[track_caller]
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "{} finding(s):\n{}", findings.len(), findings.join("\n"));
}

#[track_caller]
fn one(findings: &[String], expected: &str) {
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].starts_with(expected), "{findings:?} does not start with {expected}");
}

// Dependencies go one way: main → cli → http → service → { edges } → shared → domain.

/// How high a module stands; modules of one height do not know each other, but for the shared ones.
fn height(module: &str) -> Option<u8> {
    match module {
        "main" => Some(6),
        "cli" => Some(5),
        "http" => Some(4),
        "service" | "config" | "telemetry" => Some(3),
        "forge" | "git" | "runner" | "artifact" | "store" | "notify" | "probe" | "publish" | "sign"
        | "upstream" | "validate" | "vault" => Some(2),
        "trouble" | "clock" | "secret" | "mask" | "folder" | "https" | "bucket" | "zipped" => Some(1),
        "domain" => Some(0),
        _ => None,
    }
}

/// Ways aside that are meant, with the reason; one that is no longer needed is a finding, too.
const MEANT: [(&str, &str, &str); 2] = [
    ("src/forge/plain/", "git", "on the plain host the repository is the host"),
    ("src/forge/plain/hook.rs", "artifact", "a hook is written by the one synced write there is"),
];

fn meant(path: &str, to: &str) -> bool {
    MEANT.iter().any(|(from, other, _)| path.starts_with(from) && to == *other)
}

fn module_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

fn wrong_ways(source: &Source) -> Vec<String> {
    let from = module_of(&source.path);
    if from == "lib" {
        return Vec::new();
    }
    let Some(own) = height(from) else {
        return vec![format!("{}:1: give the module `{from}` a height in tests/it/tidy.rs", source.path)];
    };
    let mut findings = Vec::new();
    for (line, to) in after_path(&source.code, "crate") {
        let Some(other) = height(&to) else { continue };
        let shared = own == 1 && other == 1;
        if to != from && other >= own && !shared && !meant(&source.path, &to) {
            let why = if other == own { "stands beside it" } else { "stands above it" };
            findings.push(format!("{}:{line}: `{from}` names `{to}`, which {why}", source.path));
        }
    }
    findings
}

#[test]
fn dependencies_go_one_way() {
    none(&program().iter().flat_map(wrong_ways).collect::<Vec<_>>());
}

#[test]
fn every_way_aside_that_is_meant_is_gone() {
    let sources = program();
    for (from, to, why) in MEANT {
        let mut names = sources.iter().filter(|s| s.path.starts_with(from));
        let gone = names.any(|s| after_path(&s.code, "crate").iter().any(|(_, name)| name == to));
        assert!(gone, "{from} no longer names `{to}` ({why}): take it off the list");
    }
}

#[test]
fn a_dependency_that_goes_up_or_aside_is_found() {
    let up = made_up("src/store/x.rs", "//! X.\n\nuse crate::service::Service;\n");
    one(&wrong_ways(&up), "src/store/x.rs:3: `store` names `service`");
    let aside = made_up("src/git/x.rs", "//! X.\nfn f() -> crate::store::Store {}\n");
    one(&wrong_ways(&aside), "src/git/x.rs:2: `git` names `store`");
    let group =
        made_up("src/domain/x.rs", "//! X.\nuse crate::{\n    domain::{name, store},\n    clock,\n};\n");
    one(&wrong_ways(&group), "src/domain/x.rs:4: `domain` names `clock`");
    let unknown = made_up("src/util.rs", "//! X.\n");
    one(&wrong_ways(&unknown), "src/util.rs:1: give the module");
    let fine = "//! X: [`crate::cli`].\nuse crate::store::Store;\nconst A: &str = \"crate::http::x\";\n";
    none(&wrong_ways(&made_up("src/service/x.rs", fine)));
    none(&wrong_ways(&made_up("src/mask.rs", "//! X.\nuse crate::secret::Secret;\n")));
}

// The rules know no world.

const OF_STD: [&str; 4] = ["fs", "net", "env", "process"];
const WORLDLY: [&str; 8] = ["tokio", "tracing", "sqlx", "git2", "octocrab", "async", "Instant", "SystemTime"];

fn worldly(source: &Source) -> Vec<String> {
    if module_of(&source.path) != "domain" {
        return Vec::new();
    }
    let code = source.production();
    let std = after_path(&code, "std").into_iter().filter(|(_, n)| OF_STD.contains(&n.as_str()));
    let mut found: Vec<(usize, String)> = std.map(|(line, name)| (line, format!("std::{name}"))).collect();
    for word in WORLDLY {
        found.extend(find_word(&code, word).into_iter().map(|line| (line, word.to_owned())));
    }
    found.sort();
    let tell = |(line, word): &(usize, String)| {
        format!("{}:{line}: `{word}`: the domain knows no IO, no async, no clock and no log", source.path)
    };
    found.iter().map(tell).collect()
}

#[test]
fn the_domain_knows_no_world() {
    none(&program().iter().flat_map(worldly).collect::<Vec<_>>());
}

#[test]
fn a_worldly_domain_is_found() {
    for (text, word) in [
        ("use std::fs;", "std::fs"),
        ("use std::{collections::BTreeMap, net::IpAddr};", "std::net"),
        ("fn f() { std::process::abort() }", "std::process"),
        ("fn f() -> std::time::SystemTime {}", "SystemTime"),
        ("fn f(at: Instant) {}", "Instant"),
        ("pub async fn f() {}", "async"),
        ("fn f() { tracing::info!(\"x\") }", "tracing"),
    ] {
        let source = made_up("src/domain/x.rs", &format!("//! X.\n{text}\n"));
        one(&worldly(&source), &format!("src/domain/x.rs:2: `{word}`"));
    }
    let in_tests = "//! X: no `tokio`.\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
    none(&worldly(&made_up("src/domain/x.rs", in_tests)));
    none(&worldly(&made_up("src/domain/x/tests.rs", "//! X.\nuse std::fs;\n")));
    none(&worldly(&made_up("src/store/x.rs", "//! X.\nuse std::fs;\n")));
}

// Every file says what it is for.

fn silent(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//! ").is_some_and(|duty| !duty.trim().is_empty());
    if says { Vec::new() } else { vec![format!("{}:1: begin with `//! ` and the file's duty", source.path)] }
}

#[test]
fn every_file_begins_with_its_duty() {
    none(&sources().iter().flat_map(silent).collect::<Vec<_>>());
}

#[test]
fn a_file_without_a_duty_is_found() {
    one(&silent(&made_up("src/x.rs", "use std::fmt;\n")), "src/x.rs:1: begin with");
    one(&silent(&made_up("src/x.rs", "//!\n//! X.\n")), "src/x.rs:1: begin with");
    one(&silent(&made_up("src/x.rs", "")), "src/x.rs:1: begin with");
}

// Every fixture is used.

/// What a source says after `fixtures/`: a file, a folder that is walked, or (with `/` at its end) the start of names.
fn references(source: &Source) -> Vec<String> {
    let text = without_comments(&source.text);
    let part = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    text.match_indices("fixtures/")
        .map(|(at, _)| text[at..].chars().take_while(|c| part(*c)).collect())
        .collect()
}

fn unused(fixtures: &[String], sources: &[Source]) -> Vec<String> {
    let mut used = BTreeSet::new();
    for source in sources {
        for reference in references(source) {
            let names_are_added = reference.ends_with('/');
            for fixture in fixtures {
                let name = fixture.rsplit('/').next().unwrap_or(fixture);
                let walked = fixture.strip_prefix(&reference).is_some_and(|rest| rest.starts_with('/'));
                let added = names_are_added
                    && fixture.strip_prefix(&reference) == Some(name)
                    && source.text.contains(&format!("\"{name}\""));
                if *fixture == reference || walked || added {
                    used.insert(fixture);
                }
            }
        }
    }
    let left = fixtures.iter().filter(|f| !used.contains(f));
    left.map(|f| format!("{f}:1: no test reads this fixture")).collect()
}

#[test]
fn every_fixture_is_used() {
    let sources: Vec<Source> = sources().into_iter().filter(|s| !s.path.contains("tidy")).collect();
    none(&unused(&files_below("fixtures"), &sources));
}

#[test]
fn a_fixture_that_nobody_reads_is_found() {
    let files =
        ["fixtures/a.csv", "fixtures/b/1.json", "fixtures/c/1.json", "fixtures/c/2.json", "fixtures/d.txt"]
            .map(str::to_owned);
    let reader = "//! X.\n// not fixtures/d.txt\nconst A: &str = include_str!(\"../fixtures/a.csv\");\n\
        fn b() { join(\"fixtures/b\") }\nread!(concat!(\"fixtures/c/\", $name)); c(\"2.json\");\n";
    let findings = unused(&files, &[made_up("tests/it/x.rs", reader)]);
    assert_eq!(
        findings,
        ["fixtures/c/1.json:1: no test reads this fixture", "fixtures/d.txt:1: no test reads this fixture"]
    );
}

// Production code does not know that it is tested.

fn test_hooks(source: &Source) -> Vec<String> {
    if source.is_test() {
        return Vec::new();
    }
    let lines: Vec<&str> = source.code.lines().collect();
    let mut findings = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let asks = ["cfg(", "cfg_attr(", "cfg!("].iter().any(|c| line.contains(c));
        if !asks || find_word(line, "test").is_empty() {
            continue;
        }
        let next =
            lines[index + 1..].iter().map(|l| l.trim()).find(|l| !l.is_empty() && !l.starts_with("#["));
        let module = line.trim() == "#[cfg(test)]"
            && next.is_some_and(|n| n.starts_with("mod tests") || n.starts_with("mod testing;"));
        if !module {
            findings.push(format!("{}:{}: `cfg(test)` belongs on `mod tests` only", source.path, index + 1));
        }
    }
    findings
}

#[test]
fn production_code_has_no_test_hooks() {
    none(&program().iter().flat_map(test_hooks).collect::<Vec<_>>());
}

#[test]
fn a_test_hook_is_found() {
    let field = "//! X.\nstruct A {\n    #[cfg(test)]\n    hook: u8,\n}\n";
    one(&test_hooks(&made_up("src/x.rs", field)), "src/x.rs:3: `cfg(test)`");
    one(
        &test_hooks(&made_up("src/x.rs", "//! X.\nfn f() { if cfg!(test) {} }\n")),
        "src/x.rs:2: `cfg(test)`",
    );
    one(&test_hooks(&made_up("src/x.rs", "//! X.\n#[cfg(any(test, unix))]\nmod tests;\n")), "src/x.rs:2:");
    none(&test_hooks(&made_up("src/x.rs", "//! X.\n#[cfg(test)]\n#[path = \"a\"]\nmod tests;\n")));
}

// Exceptions say why, and no test is skipped.

fn silenced(source: &Source) -> Vec<String> {
    let allow = "write `#[expect(…, reason = \"…\")]`: it says why and ends when the reason does";
    let skip = "a test runs or is not there";
    let mut findings = Vec::new();
    for (needle, why) in [("[allow(", allow), (", allow(", allow), ("[ignore", skip), (", ignore)", skip)] {
        for line in lines_with(&source.code, needle) {
            findings.push(format!("{}:{line}: {why}", source.path));
        }
    }
    findings
}

#[test]
fn exceptions_say_why_and_no_test_is_skipped() {
    none(&sources().iter().flat_map(silenced).collect::<Vec<_>>());
}

#[test]
fn an_exception_without_a_reason_and_a_skipped_test_are_found() {
    one(&silenced(&made_up("src/x.rs", "//! X.\n#[allow(dead_code)]\nfn f() {}\n")), "src/x.rs:2: write");
    one(&silenced(&made_up("src/x.rs", "//! X.\n#![cfg_attr(a, allow(b))]\n")), "src/x.rs:2: write");
    one(
        &silenced(&made_up("tests/it/x.rs", "//! X.\n#[test]\n#[ignore]\nfn f() {}\n")),
        "tests/it/x.rs:3: a test",
    );
    none(&silenced(&made_up(
        "src/x.rs",
        "//! X.\n#[expect(a, reason = \"b\")]\n// #[allow(c)]\nfn f() {}\n",
    )));
}

// No file is too long to be read.

fn too_long(source: &Source) -> Vec<String> {
    let count = source.production().lines().filter(|l| !l.is_empty()).count();
    if source.is_test() || count <= MAX_FILE_LINES {
        return Vec::new();
    }
    vec![format!("{}:{MAX_FILE_LINES}: {count} lines; split it by meaning", source.path)]
}

#[test]
fn no_file_is_too_long() {
    none(&program().iter().flat_map(too_long).collect::<Vec<_>>());
}

#[test]
fn a_file_that_is_too_long_is_found() {
    let long = format!("//! X.\n{}", "fn f() {}\n".repeat(MAX_FILE_LINES + 1));
    one(&too_long(&made_up("src/x.rs", &long)), "src/x.rs:700: 701 lines");
    let tested = format!(
        "//! X.\nfn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n",
        "fn f() {}\n".repeat(MAX_FILE_LINES)
    );
    none(&too_long(&made_up("src/x.rs", &tested)));
}

// The rules are the largest part of the program.

/// Lines of code (no tests, comments or blank lines) by module.
fn code_lines(sources: &[Source]) -> BTreeMap<&str, usize> {
    let mut lines = BTreeMap::new();
    for source in sources {
        let count = source.production().lines().filter(|l| !l.trim().is_empty()).count();
        *lines.entry(module_of(&source.path)).or_default() += count;
    }
    lines
}

/// Percent of the lines of code that are in the domain.
fn domain_share(sources: &[Source]) -> usize {
    let lines = code_lines(sources);
    lines.get("domain").unwrap_or(&0) * 100 / lines.values().sum::<usize>().max(1)
}

#[test]
fn the_rules_are_the_largest_part_of_the_program() {
    let sources = program();
    let lines = code_lines(&sources);
    let share = domain_share(&sources);
    println!("{share} % of the production code is in the domain: {lines:?}");
    assert!(
        share >= MIN_DOMAIN_SHARE,
        "{share} % is in the domain, less than {MIN_DOMAIN_SHARE} %: {lines:?}"
    );
    let largest = lines.iter().max_by_key(|(_, count)| **count).map(|(module, _)| *module);
    assert_eq!(largest, Some("domain"), "{lines:?}");
}

#[test]
fn the_share_of_the_domain_counts_code_only() {
    let domain = made_up(
        "src/domain/x.rs",
        "//! X.\n\n// Why.\nfn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n",
    );
    let store = made_up("src/store/x.rs", "//! X.\nfn f() {}\nfn g() {}\nfn h() {}\n");
    assert_eq!(domain_share(&[domain, store]), 25);
}

// Lines to type are written in code, since a server may want a word of its own in them.

/// Where texts for people are made.
const SAYS: [&str; 3] = ["src/domain/", "src/service/", "src/http/"];
/// A scenario's own notation, `ana: /approve prod`, is read by no server.
const NOTATION: &str = "src/domain/simulate/scenario/";

/// Commands in the middle of a text that do not stand behind a back tick: nothing would put the server's word in.
fn bare_commands(source: &Source) -> Vec<String> {
    let texts =
        Source { code: without_comments(&source.text), text: String::new(), path: source.path.clone() };
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(texts.production().lines()) {
        for row in VERBS {
            let word = format!("/{}", row.word);
            let bare = |at: usize| {
                let before = line[..at].chars().next_back();
                let behind = line[at + word.len()..].chars().next();
                before.is_none_or(|c| c.is_whitespace() || "(:,".contains(c))
                    && behind.is_none_or(|c| !c.is_alphanumeric() && !"-_/".contains(c))
            };
            if line.match_indices(&word).any(|(at, _)| bare(at)) {
                findings.push(format!("{}:{number}: `{word}` is not in back ticks", source.path));
            }
        }
    }
    findings
}

#[test]
fn t23_lines_to_type_stand_in_back_ticks() {
    let says =
        |s: &Source| SAYS.iter().any(|folder| s.path.starts_with(folder)) && !s.path.starts_with(NOTATION);
    let says = program().into_iter().filter(says);
    none(&says.flat_map(|source| bare_commands(&source)).collect::<Vec<_>>());
}

#[test]
fn a_line_to_type_without_back_ticks_is_found() {
    let said = |text: &str| {
        made_up("src/domain/x.rs", &format!("//! X.\n// Not /hold.\nfn f() {{ g(\"{text}\") }}\n"))
    };
    for bare in ["Comment /rollback prod -- reason.", "by /retry or so", "(/hold)", "so: /unhold"] {
        one(&bare_commands(&said(bare)), "src/domain/x.rs:3: ");
    }
    for good in
        ["Comment `/rollback prod`.", "/retry {stage}", "see /etc/run and /api/status", "a /status-page"]
    {
        none(&bare_commands(&said(good)));
    }
}

// The tree stands alone.

/// Folders of one machine; spelled in two parts so that this file passes its own rule.
const ELSEWHERE: [&str; 2] = [concat!("/wo", "rk/"), concat!("../sha", "red")];

fn elsewhere(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for word in ELSEWHERE {
            let starts = |at: usize| {
                !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "._-}/~".contains(c))
            };
            if line.match_indices(word).any(|(at, _)| starts(at)) {
                findings.push(format!("{path}:{number}: `{word}` is a path outside the tree"));
            }
        }
    }
    findings
}

#[test]
fn the_tree_names_no_path_outside_itself() {
    let files = files_below("");
    assert!(files.iter().any(|f| f == "Cargo.toml"), "the tree was not found: {files:?}");
    let read = files.iter().filter_map(|f| read(f).map(|text| (f, text)));
    none(&read.flat_map(|(f, text)| elsewhere(f, &text)).collect::<Vec<_>>());
}

#[test]
fn a_path_outside_the_tree_is_found() {
    one(&elsewhere("a.md", &format!("See\n{}notes.", ELSEWHERE[0])), "a.md:2: ");
    one(&elsewhere("a.md", &format!("(`{}/notes`)", ELSEWHERE[1])), "a.md:1: ");
    none(&elsewhere("a.md", "https://example.com/work/x and ./network/work/y\n"));
}

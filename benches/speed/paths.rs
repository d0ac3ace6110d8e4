//! Path filters over a large repository: which pipelines a commit among 100 000 files concerns.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use liftlock::clock;
use liftlock::domain::glob::{Glob, selects};
use liftlock::domain::name::CommitSha;
use liftlock::git::repo::Mirror;
use liftlock::git::tree::Changed;

use crate::engine::git;
use crate::figure::{Fallible, Figure, Spread, ms};

/// Files of the repository, in folders of folders of files.
const FOLDERS: usize = 100;
const BELOW: usize = 20;
const FILES: usize = 50;
/// Commits of which the median is told, and files that each changes.
const COMMITS: usize = 25;
const CHANGED: usize = 20;
/// Most paths that are compared, as the service has it.
const MOST: usize = 20_000;
/// Pipelines that listen, each to its own folder and not to its documents.
const PIPELINES: usize = 10;

pub(crate) fn figures(folder: &Path) -> Fallible<Vec<Figure>> {
    let bare = folder.join("hello.git");
    git(folder, &["init", "--quiet", "--bare", "--initial-branch=main", "hello.git"])?;
    import(&bare)?;
    let commits: Vec<CommitSha> = git(&bare, &["rev-list", "--reverse", "main"])?
        .lines()
        .map(|line| Ok(line.parse()?))
        .collect::<Fallible<_>>()?;
    let filters: Vec<Vec<Glob>> = (0..PIPELINES)
        .map(|no| Ok(vec![format!("folder-{no}/**").parse()?, format!("!folder-{no}/**/*.md").parse()?]))
        .collect::<Fallible<_>>()?;
    let (mut took, mut concerned) = (Vec::new(), 0);
    for pair in commits.windows(2) {
        let [before, after] = pair else { continue };
        let began = clock::monotonic();
        // As for a push: every pipeline asks by itself.
        for paths in &filters {
            let mirror = Mirror::open(&bare)?;
            let changed = mirror.changed_paths(Some(before), after, MOST)?;
            let touched = match changed {
                Changed::TooMany => true,
                Changed::Paths(paths_changed) => paths_changed.iter().any(|path| selects(paths, path)),
            };
            concerned += usize::from(touched);
        }
        took.push(ms(began.elapsed()));
    }
    let took = Spread::of(took)?;
    Ok(vec![Figure {
        what: "path filters of a commit among 100 000 files",
        measured: took.show(2, "ms"),
        target: "< 20 ms",
        met: Some(took.median < 20.0),
        how: format!(
            "{COMMITS} commits of {CHANGED} files, {PIPELINES} pipelines each with two patterns, {concerned} concerned"
        ),
    }])
}

/// All commits at once, as a text for `git fast-import`.
fn import(bare: &Path) -> Fallible<()> {
    let mut text = String::from("blob\nmark :1\ndata 5\nhello\n");
    let mut commit = |no: usize, files: Vec<(String, String)>| -> Fallible<()> {
        writeln!(text, "commit refs/heads/main\ncommitter B <b@example.org> {} +0000", 1_700_000_000 + no)?;
        writeln!(text, "data 4\nfix:")?;
        files.into_iter().try_for_each(|(path, content)| match content.as_str() {
            "" => writeln!(text, "M 644 :1 {path}"),
            content => writeln!(text, "M 644 inline {path}\ndata {}\n{content}", content.len()),
        })?;
        Ok(writeln!(text)?)
    };
    let path = |no: usize| {
        let (folder, rest) = (no % FOLDERS, no / FOLDERS);
        format!("folder-{folder}/part-{}/file-{}.txt", rest % BELOW, rest / BELOW % FILES)
    };
    let all = FOLDERS * BELOW * FILES;
    commit(0, (0..all).map(|no| (path(no), String::new())).collect())?;
    for no in 1..=COMMITS {
        // Spread over the whole repository.
        let changed = (0..CHANGED).map(|file| (path((no * 7_919 + file * 4_999) % all), no.to_string()));
        commit(no, changed.collect())?;
    }
    let mut child = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(bare)
        .stdin(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(text.as_bytes())?;
    if child.wait()?.success() { Ok(()) } else { Err("git fast-import failed".into()) }
}

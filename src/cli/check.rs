//! `liftlock check`, `schema` and `explain`: manifests without a server.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cli::{Ended, Exit, terminal};
use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::{render_github, render_json, render_text};
use crate::domain::manifest::{self, Sources, schema as manifest_schema};
use crate::domain::name::RepoName;
use crate::domain::pipeline::Pipeline;
use crate::trouble::Trouble;

/// Deepest folder looked through for manifests; they all lie within four.
const DEPTH: usize = 4;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A manifest; the one of this folder's repository when absent.
    file: Option<PathBuf>,
    /// How problems are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// As annotations of GitHub Actions.
    Github,
}

pub(super) fn run(arguments: &Arguments) -> Ended {
    let files = gather(arguments.file.as_deref())?;
    let report = manifest::check(&files, &repository());
    match arguments.format {
        Format::Text if report.problems.is_empty() => {}
        Format::Text => terminal::line(render_text(&report.problems, &files).trim_end()),
        Format::Json => terminal::line(&render_json(&report.problems)),
        Format::Github => terminal::line(render_github(&report.problems).trim_end()),
    }
    if !report.passes() {
        return Ok(Exit::Failed);
    }
    if arguments.format == Format::Text {
        for pipeline in &report.pipelines {
            let stages: Vec<String> = pipeline.stage_names().map(ToString::to_string).collect();
            terminal::line(&format!("ok: pipeline {} with stages {}", pipeline.name, stages.join(", ")));
        }
    }
    Ok(Exit::Done)
}

/// The files of a manifest: a lone one, or all of this folder's repository; with those that they name.
pub(super) fn gather(file: Option<&Path>) -> Result<Sources, Trouble> {
    let root = PathBuf::from(".");
    let mut files = Sources::new();
    match file {
        Some(path) => {
            let text = read(path)?;
            // A lone file is checked as the native manifest, whatever it is called, unless it is Copilot's.
            let shown = path.display().to_string();
            let name =
                if manifest::is_manifest(&shown) { shown } else { manifest::NATIVE_PATHS[0].to_owned() };
            files.insert(name, text);
        }
        None => collect(&root, "", 0, &mut files)?,
    }
    for _ in 0..manifest::READS {
        for needed in manifest::also_needed(&files) {
            if let Ok(text) = std::fs::read_to_string(root.join(&needed)) {
                files.insert(needed, text);
            }
        }
    }
    for folder in manifest::service_folders(&files) {
        services(&root, &folder, &mut files);
    }
    Ok(files)
}

/// The files of the services in a folder.
fn services(root: &Path, folder: &str, files: &mut Sources) {
    let folders = std::collections::BTreeSet::from([folder.to_owned()]);
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return };
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let path = if folder == "." {
            format!("{name}/manifest.yml")
        } else {
            format!("{folder}/{name}/manifest.yml")
        };
        if manifest::is_service(&path, &folders)
            && let Ok(text) = std::fs::read_to_string(root.join(&path))
        {
            files.insert(path, text);
        }
    }
}

/// The one pipeline of a manifest that somebody means; the problems are told when it does not load.
pub(super) fn pipeline(file: Option<&Path>, named: Option<&str>) -> Result<Pipeline, Trouble> {
    let pipelines = pipelines(file)?;
    let names: Vec<String> = pipelines.iter().map(|p| p.name.to_string()).collect();
    let mut wanted = pipelines.into_iter().filter(|p| named.is_none_or(|n| p.name.as_str() == n));
    match (wanted.next(), wanted.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(Trouble::refused(format!(
            "the manifest has several pipelines; add --pipeline with one of {}",
            names.join(", ")
        ))),
        (None, _) => {
            Err(Trouble::not_found(format!("there is no such pipeline; there is {}", names.join(", "))))
        }
    }
}

/// All pipelines of a manifest; the problems are told when it does not load.
pub(super) fn pipelines(file: Option<&Path>) -> Result<Vec<Pipeline>, Trouble> {
    let files = gather(file)?;
    let report = manifest::check(&files, &repository());
    if !report.passes() {
        terminal::note(render_text(&report.problems, &files).trim_end());
        return Err(Trouble::refused("the manifest does not load"));
    }
    // What is not known here is missing in every answer about the pipeline.
    let unread: Vec<_> = report.problems.into_iter().filter(|p| p.code == Code::Unread).collect();
    if !unread.is_empty() {
        terminal::note(render_text(&unread, &files).trim_end());
    }
    Ok(report.pipelines)
}

pub(super) fn schema() -> Ended {
    let schema = serde_json::to_string_pretty(&manifest_schema::schema())
        .map_err(|e| Trouble::bug("write the schema").because(e))?;
    terminal::line(&schema);
    Ok(Exit::Done)
}

pub(super) fn explain(code: &str) -> Ended {
    match manifest::code::explain(code) {
        Some(text) => {
            terminal::line(text);
            Ok(Exit::Done)
        }
        None => Err(Trouble::not_found(format!("no problem has the code `{code}`; codes look like `M0101`"))),
    }
}

pub(super) fn read(path: &Path) -> Result<String, Trouble> {
    std::fs::read_to_string(path)
        .map_err(|e| Trouble::not_found(format!("read {}", path.display())).because(e))
}

/// The folder's name, as the name a pipeline gets when it has none.
fn repository() -> RepoName {
    let folder = std::env::current_dir().ok();
    let name = folder.as_deref().and_then(Path::file_name).and_then(|n| n.to_str());
    name.and_then(|n| n.parse().ok()).unwrap_or_else(fallback)
}

#[expect(clippy::expect_used, reason = "the literal is a name")]
fn fallback() -> RepoName {
    "pipeline".parse().expect("the literal is a name")
}

fn collect(root: &Path, below: &str, depth: usize, files: &mut Sources) -> Result<(), Trouble> {
    let folder = root.join(below);
    let entries = std::fs::read_dir(&folder)
        .map_err(|e| Trouble::not_found(format!("read the folder {}", folder.display())).because(e))?;
    for entry in entries.filter_map(Result::ok) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let wanted = path.starts_with(".github") || path.starts_with("copilot");
        let is_folder = entry.file_type().is_ok_and(|t| t.is_dir());
        if wanted && is_folder && depth < DEPTH {
            collect(root, &path, depth + 1, files)?;
        } else if wanted && manifest::is_manifest(&path) {
            files.insert(path.clone(), read(&root.join(&path))?);
        }
    }
    Ok(())
}

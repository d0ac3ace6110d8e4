//! The manual says what the program does: tables, manifests and the example config are compared with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use liftlock::config::{Config, Environment};
use liftlock::domain::command::VERBS;
use liftlock::domain::manifest::code::Code;
use liftlock::domain::manifest::{self, Sources};
use liftlock::domain::name::RepoName;

const README: &str = include_str!("../../README.md");
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");
const EXAMPLE: &str = include_str!("../../liftlock.example.toml");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or_else(|| panic!("there is no `{from}`"));
    let rest = &text[start..];
    &rest[..rest.find(to).unwrap_or_else(|| panic!("there is no `{to}` after `{from}`"))]
}

/// The insides of fenced blocks of one language, without the indent of a list.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match &mut open {
            None if line.trim() == fence => open = Some((indent, String::new())),
            None => {}
            Some(_) if line.trim() == "```" => blocks.extend(open.take().map(|(_, block)| block)),
            Some((indent, block)) => writeln!(block, "{}", line.get(*indent..).unwrap_or_default()).unwrap(),
        }
    }
    assert!(!blocks.is_empty(), "there is no block of {language}");
    blocks
}

#[test]
fn the_readme_lists_every_verb_as_the_parser_knows_it() {
    let table = between(README, "<!-- verbs", "<!-- /verbs -->");
    let written: Vec<&str> = table.lines().filter(|l| l.starts_with("| `/")).collect();
    let known: Vec<String> =
        // A bar would end the cell, even between backticks.
        VERBS
            .iter()
            .map(|row| format!("| `{}` | {} | {} |", row.usage.replace('|', "\\|"), row.who, row.meaning))
            .collect();
    assert_eq!(written.join("\n"), known.join("\n"));
}

fn load(text: &str) -> manifest::Report {
    let name: RepoName = "acme/shop".parse().unwrap();
    // The files that an example speaks of.
    let spec = "version: 0.2\nphases: {build: {commands: [make smoke]}}\n";
    let around = [
        ("services/orders/manifest.yml", ""),
        ("services/web/manifest.yml", ""),
        ("ci/smoke.yml", spec),
        ("ci/migrate.yml", spec),
    ];
    let around = around.into_iter().filter(|(path, _)| text.contains(path.split('/').next().unwrap()));
    let files = around.chain([(manifest::NATIVE_PATHS[0], text)]);
    manifest::check(&files.map(|(path, text)| (path.to_owned(), text.to_owned())).collect::<Sources>(), &name)
}

#[test]
fn every_manifest_of_the_readme_loads() {
    for block in blocks(README, "yaml") {
        let report = load(&block);
        // The shorthand lets a lone maintainer approve and take back; the README says so, too.
        let short = [Code::SelfApproval, Code::NoRollback];
        let unexpected: Vec<_> = report.problems.iter().filter(|p| !short.contains(&p.code)).collect();
        assert!(unexpected.is_empty(), "{unexpected:?}\n{block}");
        assert!(!report.pipelines.is_empty(), "{block}");
    }
}

#[test]
fn every_sample_project_declares_a_pipeline_that_loads() {
    let samples = root().join("fixtures/samples");
    let mut found = Vec::new();
    for sample in std::fs::read_dir(samples).unwrap() {
        let sample = sample.unwrap().path();
        let name: RepoName = sample.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let paths = [manifest::NATIVE_PATHS[0], manifest::COPILOT_PATH, manifest::COPILOT_BUILDSPEC];
        let files: Sources = paths
            .into_iter()
            .filter_map(|p| Some((p.to_owned(), std::fs::read_to_string(sample.join(p)).ok()?)))
            .collect();
        let report = manifest::check(&files, &name);
        assert!(report.passes(), "{name}: {:?}", report.problems);
        let stages: Vec<String> = report.pipelines[0].stage_names().map(ToString::to_string).collect();
        found.push(format!("{name}: {}", stages.join(", ")));
    }
    found.sort();
    assert_eq!(found, ["copilot-api: test, prod", "hello: test, prod", "invictus: test, prod"]);
}

/// Every file that a config names is in one folder, and holds a secret.
fn any_file(path: &Path) -> Result<String, String> {
    if path.ends_with("authorities.pem") {
        return Ok(include_str!("../../fixtures/authority.pem").to_owned());
    }
    // What others sign with is no secret of ours.
    let whose = match path.file_name().and_then(std::ffi::OsStr::to_str) {
        Some("gitea-webhook-secret") => "fedcba9876543210",
        Some("portal-secret") => "89abcdef01234567",
        _ => "0123456789abcdef",
    };
    let there = path.starts_with("/etc/liftlock").then(|| format!("{whose}0123456789abcdef\n"));
    there.ok_or_else(|| "not there".to_owned())
}

fn read(text: &str) -> Config {
    Config::read(text, &Environment::new(), &any_file).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// The example with every `#setting = …` switched on; prose has a space behind its `#`.
fn switched_on() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(on).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_config_is_read_without_a_problem() {
    let config = read(EXAMPLE);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert!(config.github.is_some() && config.plain.is_some());
}

#[test]
fn the_example_config_shows_the_defaults_and_only_keys_that_exist() {
    let (on, off) = (read(&switched_on()), read(EXAMPLE));
    assert_eq!(on.tokens.len(), 1);
    assert_eq!(on.database, off.database);
    assert_eq!(
        (on.log, on.sandbox, on.builds, on.deploys, on.lease, on.reconcile_every),
        (off.log, off.sandbox, off.builds, off.deploys, off.lease, off.reconcile_every)
    );
}

#[test]
fn the_configs_of_the_readme_are_read_without_a_problem() {
    let blocks = blocks(README, "toml");
    assert_eq!(blocks.len(), 4, "{blocks:?}");
    read(&blocks[0]);
    let all = read(&blocks.concat());
    assert!(all.plain.is_some());
    assert_eq!((all.upstreams.len(), all.targets.len()), (1, 1));
}

#[test]
fn every_variable_that_wins_over_the_config_is_in_the_readme_and_no_other() {
    let table = between(README, "| Variable | Key |", "**Access.**");
    let names: Vec<&str> = table.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
    let values = BTreeMap::from([
        ("LIFTLOCK_LISTEN", "127.0.0.1:9"),
        ("LIFTLOCK_PUBLIC_URL", "https://other.example"),
        ("LIFTLOCK_DATA", "/other"),
        ("LIFTLOCK_DATABASE", "sqlite:/other.db"),
        ("LIFTLOCK_WEBHOOK_SECRETS", "one-0123456789abcdef,two-0123456789abcdef"),
        ("LIFTLOCK_TOKENS", "one-0123456789abcdef,two-0123456789abcdef"),
        ("LIFTLOCK_LOG", "json"),
    ]);
    assert_eq!(
        names,
        [
            "LIFTLOCK_LISTEN",
            "LIFTLOCK_PUBLIC_URL",
            "LIFTLOCK_DATA",
            "LIFTLOCK_DATABASE",
            "LIFTLOCK_WEBHOOK_SECRETS",
            "LIFTLOCK_TOKENS",
            "LIFTLOCK_LOG",
        ]
    );
    let before = format!("{:?}", read(EXAMPLE));
    for name in names {
        let environment = Environment::from([(name.to_owned(), values[name].to_owned())]);
        let config = Config::read(EXAMPLE, &environment, &any_file).unwrap();
        let secrets =
            (config.database.expose().to_owned(), config.webhook_secrets.len(), config.tokens.len());
        let changed = format!("{config:?}") != before
            || secrets != ("sqlite:/var/lib/liftlock/liftlock.db".to_owned(), 1, 0);
        assert!(changed, "{name} changes nothing");
    }
}

#[test]
fn every_module_is_on_the_map_and_every_path_of_the_map_is_there() {
    let map = between(ARCHITECTURE, "## Code map", "## Invariants");
    for entry in std::fs::read_dir(root().join("src")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if entry.path().is_dir() { format!("`src/{name}/`") } else { format!("`src/{name}`") };
        let beside = entry.path().with_extension("rs").exists() && entry.path().is_dir();
        assert!(beside || map.contains(&path), "{path} is not on the code map of ARCHITECTURE.md");
    }
    for word in map.split('`').skip(1).step_by(2).filter(|w| w.contains('/') || w.contains(".rs")) {
        let there =
            ["", "src/", "src/domain/", "src/forge/", "tests/it/"].map(|at| root().join(at).join(word));
        assert!(there.iter().any(|p| p.exists()), "ARCHITECTURE.md names `{word}`, which is not there");
    }
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            let outside = target.starts_with("https://") || path.is_empty();
            assert!(outside || root().join(path).exists(), "{name} links to `{target}`, which is not there");
        }
    }
}

#[test]
fn fly_asks_the_door_that_says_ready_and_never_stops_the_machine() {
    let fly: toml::Table = include_str!("../../fly.toml").parse().unwrap();
    let service = &fly["http_service"];
    assert_eq!(service["checks"][0]["path"].as_str(), Some("/readyz"));
    assert_eq!(service["auto_stop_machines"].as_str(), Some("off"));
    let port = service["internal_port"].as_integer().unwrap();
    assert_eq!(fly["env"]["LIFTLOCK_LISTEN"].as_str(), Some(format!("0.0.0.0:{port}").as_str()));
    assert_eq!(fly["mounts"][0]["destination"], fly["env"]["LIFTLOCK_DATA"]);
}

/// What the program is made of comes from one registry, at versions and with checksums that are written down, and
/// whatever builds it keeps to that.
#[test]
fn t59_everything_that_is_built_in_is_locked() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let lock = read("Cargo.lock");
    let mut foreign = 0;
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| package.lines().find_map(|line| line.strip_prefix(name));
        let Some(source) = field("source = ") else {
            assert_eq!(
                field("name = "),
                Some("\"liftlock\""),
                "it is neither ours nor from a registry: {package}"
            );
            continue;
        };
        assert_eq!(source, "\"registry+https://github.com/rust-lang/crates.io-index\"", "{package}");
        assert!(field("checksum = ").is_some_and(|sum| sum.len() == 66), "{package}");
        foreign += 1;
    }
    assert!(foreign > 100, "{foreign} packages");
    for path in ["Dockerfile", "test"] {
        let text = read(path).replace("\\\n", " ");
        let builds = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let verbs = ["build", "clippy", "test", "doc", "nextest"];
            words.windows(2).any(|pair| pair[0] == "cargo" && verbs.contains(&pair[1]))
                && !line.contains("--version")
        };
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.trim_start().starts_with('#')).filter(builds).collect();
        assert!(!lines.is_empty(), "{path} builds nothing");
        for line in lines {
            assert!(line.contains("--locked"), "{path}: {line}");
        }
    }
    let deny = read("deny.toml");
    for rule in ["unknown-registry = \"deny\"", "unknown-git = \"deny\"", "yanked = \"deny\""] {
        assert!(deny.contains(rule), "{rule}");
    }
    let tools = read("tests/tools/requirements.txt");
    let tools: Vec<&str> = tools.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(!tools.is_empty() && tools.iter().all(|line| line.contains("==")), "{tools:?}");
}

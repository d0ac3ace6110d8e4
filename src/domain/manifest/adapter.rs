//! Steps that are known by name: `uses`, with a `version` and inputs of their own, put into a step's own terms.

use std::collections::BTreeMap;

use crate::domain::document::Document;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::derivation;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::publish;
use crate::domain::manifest::shape::{nearest, quoted_list};
use crate::domain::manifest::step::{arguments, check_script};
use crate::domain::manifest::view::{self, View};
use crate::domain::name::printable;
use crate::domain::pipeline::step::{Action, Hook, Script, Shell};

/// A kind of step.
struct Adapter {
    name: &'static str,
    /// Those that are known, the newest last.
    versions: &'static [&'static str],
    /// Its inputs that it does not do without.
    needs: &'static [&'static str],
    kind: Kind,
}

/// What a step of a kind comes to.
enum Kind {
    /// Azure DevOps' task: a script of the artifact that `pwsh` runs, with a connection.
    AzurePowerShell,
    /// A command that finds its inputs in its environment.
    Command(&'static str),
    /// A job that the target does.
    Hook,
    /// Files of the release are published.
    Publish,
    /// Its repositories are tagged.
    Tags,
    /// The host shows a release of it.
    HostRelease,
    /// A document is made of what is known of it.
    Write(Document),
    /// The checksums of its files are.
    Checksums,
    /// What it is made of is laid out.
    Gather,
}

/// What an image's place must hold, so that a tag that moves cannot change what is deployed (invariant 6).
macro_rules! with_digest {
    ($command:literal) => {
        concat!(
            "case \"$IMAGE\" in *@sha256:*) ;; *) echo \"image $IMAGE has no digest: write name@sha256:…\" >&2; exit 1;; esac\n",
            $command
        )
    };
}

/// What is known.
static ADAPTERS: &[Adapter] = &[
    Adapter {
        name: "azure-powershell",
        versions: &["4"],
        needs: &["script", "subscription"],
        kind: Kind::AzurePowerShell,
    },
    Adapter {
        name: "kubernetes",
        versions: &["1"],
        needs: &["workload", "container", "image"],
        kind: Kind::Command(with_digest!(
            "set -- ${KUBE_CONTEXT:+\"--context=$KUBE_CONTEXT\"} ${KUBE_NAMESPACE:+\"--namespace=$KUBE_NAMESPACE\"}\n\
             kubectl \"$@\" set image \"$WORKLOAD\" \"$CONTAINER=$IMAGE\"\n\
             kubectl \"$@\" rollout status \"$WORKLOAD\""
        )),
    },
    Adapter {
        name: "fly",
        versions: &["1"],
        needs: &["app", "image"],
        kind: Kind::Command(with_digest!("flyctl deploy --app \"$APP\" --image \"$IMAGE\"")),
    },
    Adapter { name: "hook", versions: &["1"], needs: &[], kind: Kind::Hook },
    Adapter { name: "publish", versions: &["1"], needs: &["to"], kind: Kind::Publish },
    Adapter { name: "git-tags", versions: &["1"], needs: &[], kind: Kind::Tags },
    Adapter { name: "github-release", versions: &["1"], needs: &[], kind: Kind::HostRelease },
    Adapter { name: "release-notes", versions: &["1"], needs: &[], kind: Kind::Write(Document::Notes) },
    Adapter { name: "checksums", versions: &["1"], needs: &[], kind: Kind::Checksums },
    Adapter { name: "gather", versions: &["1"], needs: &[], kind: Kind::Gather },
    Adapter { name: "release-metadata", versions: &["1"], needs: &[], kind: Kind::Write(Document::Metadata) },
];

/// Reads a step that uses an adapter; its inputs are taken out of `with`, and a connection may come of them.
pub(super) fn read(
    view: View<'_>,
    uses: &Node,
    (with, connection): (&mut BTreeMap<String, String>, &mut Option<String>),
    findings: &mut Findings<'_>,
) -> Option<Action> {
    let name = view::text(uses)?.trim();
    if name.is_empty() {
        // The walk has told of it.
        return None;
    }
    let Some(adapter) = ADAPTERS.iter().find(|a| a.name == name) else {
        let message = format!("no step is known as `{}`", printable(name));
        let known = ADAPTERS.iter().map(|a| a.name);
        findings.add_near(Code::BadStep, uses.at, message, || nearest(name, known));
        return None;
    };
    check_version(view, adapter, findings);
    for input in adapter.needs.iter().filter(|input| !with.contains_key(**input)) {
        let message = format!("`{name}` needs `{input}` in `with`");
        findings.add(Code::BadStep, uses.at, message);
    }
    match &adapter.kind {
        Kind::AzurePowerShell => azure_powershell(view, (with, connection), findings),
        Kind::Command(text) => Some(Action::Run((*text).to_owned())),
        Kind::Hook => Some(hook(view, findings)),
        Kind::Publish => publish::files(view, with, findings),
        Kind::Tags => Some(publish::tags(view, with, findings)),
        Kind::HostRelease => Some(publish::host_release(view, with, findings)),
        Kind::Write(document) => Some(publish::document(view, with, document.clone(), findings)),
        Kind::Checksums => Some(publish::checksums(view, with, findings)),
        Kind::Gather => Some(derivation::gather(view, with, findings)),
    }
}

fn azure_powershell(
    view: View<'_>,
    (with, connection): (&mut BTreeMap<String, String>, &mut Option<String>),
    findings: &mut Findings<'_>,
) -> Option<Action> {
    let path = with.remove("script");
    *connection = with.remove("subscription").or_else(|| connection.take());
    let path = path?;
    if let Err(reason) = check_script(&path) {
        findings.add(Code::BadText, view.place("with"), format!("`script`: {reason}"));
        return None;
    }
    Some(Action::Script(Script { path, shell: Shell::Pwsh, arguments: arguments(view, findings) }))
}

/// A job that is done elsewhere runs nothing here and is launched once.
fn hook(view: View<'_>, findings: &mut Findings<'_>) -> Action {
    let hint = "the server's config says what is sent there";
    only(view, &["if", "timeout"], ("a job that a target does", hint), findings);
    Action::Hook(Hook {})
}

/// Of a step that runs nothing itself, what is said of commands means nothing.
pub(super) fn only(
    view: View<'_>,
    further: &[&str],
    (whom, hint): (&str, &str),
    findings: &mut Findings<'_>,
) {
    // That it does not run anything as well is said of the keys that exclude each other.
    let always = ["uses", "version", "name", "with", "run", "script", "pause"];
    let means = |key: &str| always.contains(&key) || further.contains(&key);
    for entry in view.entries().iter().filter(|entry| !means(&entry.key)) {
        let message = format!("`{}` says nothing about {whom}", printable(&entry.key));
        findings.add_hinted(Code::BadStep, entry.key_at, message, hint.to_owned());
    }
}

/// A version is pinned so that a newer program cannot give the step another meaning.
fn check_version(view: View<'_>, adapter: &Adapter, findings: &mut Findings<'_>) {
    let Some(node) = view.get("version") else { return };
    let Some(version) = view::text(node) else { return };
    if !adapter.versions.contains(&version) {
        let message = format!("`{}` has no version `{}`", adapter.name, printable(version));
        let hint = format!("write {}", quoted_list(adapter.versions));
        findings.add_hinted(Code::BadStep, node.at, message, hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::{self, NATIVE_PATHS, Sources};

    fn check(version: &str) -> manifest::Report {
        let text = format!(
            "version: 1\nbuild: make\nstages:\n  - name: test\n    deploy:\n      - uses: azure-powershell\n        \
             version: {version}\n        with: {{script: Deploy.ps1, subscription: azure-test}}\n"
        );
        let files = Sources::from([(NATIVE_PATHS[0].to_owned(), text)]);
        manifest::check(&files, &"shop".parse().unwrap())
    }

    #[test]
    fn a25_a_pinned_version_is_known_or_it_is_an_error() {
        let report = check("4");
        assert!(report.passes(), "{:?}", report.problems);
        let step = &report.pipelines[0].stages[0].deploy[0];
        assert_eq!(step.terms.connection.as_deref(), Some("azure-test"));
        assert!(
            matches!(&step.action, Action::Script(s) if s.path == "Deploy.ps1" && s.shell == Shell::Pwsh)
        );
        let report = check("5");
        assert!(!report.passes());
        assert_eq!(report.problems[0].message, "`azure-powershell` has no version `5`");
    }
}

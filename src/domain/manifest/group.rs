//! `groups` → links to variable groups of the server's library.

use std::collections::BTreeSet;

use crate::domain::manifest::node::Entry;
use crate::domain::manifest::order;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::{GroupName, NameError, printable};
use crate::domain::variable::GroupLink;

/// What stands for a macro while the rest of a name is checked.
const SOMETHING: &str = "x";

/// A group's name, in which macros may stand.
pub(super) fn check_name(text: &str) -> Result<(), String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        let (_, behind) = after.split_once(')').ok_or("a `$(` without its `)`")?;
        plain.extend([before, SOMETHING]);
        rest = behind;
    }
    plain.push_str(rest);
    // What stands for the macros is nobody's word: the text is told as it was written.
    let told = |e: NameError| NameError { text: printable(text), ..e }.to_string();
    plain.parse::<GroupName>().map(|_| ()).map_err(told)
}

/// `groups` of a pipeline or stage; `written` are all stages in the file, of which only a pipeline's groups name some.
pub(super) fn of(
    view: View<'_>,
    written: Option<&BTreeSet<&str>>,
    findings: &mut Findings<'_>,
) -> Vec<GroupLink> {
    let mut links = Vec::new();
    for node in view.items("groups") {
        let inner = View::of(node);
        let Some(name) = view::text(node).map(str::to_owned).or_else(|| inner.line("name")) else { continue };
        let secrets = inner.below("secrets");
        let address = |entry: &Entry| Some((entry.key.parse().ok()?, view::parsed(&entry.value)?));
        links.push(GroupLink {
            name,
            write: inner.flag("write").unwrap_or(false),
            secrets: secrets.entries().iter().filter_map(address).collect(),
            stages: written.map(|all| order::named(inner, all, findings)).unwrap_or_default(),
        });
    }
    links
}

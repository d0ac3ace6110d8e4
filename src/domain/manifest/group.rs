//! `groups` → links to variable groups of the server's library.

use std::collections::BTreeSet;

use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::shape::nearest;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::{GroupName, StageName};
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
    plain.parse::<GroupName>().map(|_| ()).map_err(|e| e.rule.to_owned())
}

/// `groups` of a stage.
pub(super) fn of_stage(view: View<'_>) -> Vec<GroupLink> {
    view.items("groups").iter().filter_map(link).collect()
}

/// `groups` of a pipeline, each for all stages or for some; `written` are the names of all stages in the file.
pub(super) fn of_pipeline(
    view: View<'_>,
    written: &BTreeSet<&str>,
    findings: &mut Findings<'_>,
) -> Vec<GroupLink> {
    let nodes = view.items("groups");
    for node in nodes {
        let inner = View::of(node);
        let stages = inner.items("stages");
        if let Some(entry) = inner.entry("stages").filter(|_| stages.is_empty()) {
            let hint = "leave `stages` out for all of them".to_owned();
            findings.add_hinted(Code::NoStages, entry.key_at, "the group is for no stage".to_owned(), hint);
        }
        for stage in stages {
            let Some(name) = view::parsed::<StageName>(stage) else { continue };
            if !written.contains(name.as_str()) {
                let message = format!("there is no stage `{name}`");
                let near = || nearest(name.as_str(), written.iter().copied());
                findings.add_near(Code::UnknownStage, stage.at, message, near);
            }
        }
    }
    nodes.iter().filter_map(link).collect()
}

fn link(node: &Node) -> Option<GroupLink> {
    let inner = View::of(node);
    let name = view::text(node).map(str::to_owned).or_else(|| inner.line("name"))?;
    let stages = inner.all("stages").into_iter().collect();
    Some(GroupLink { name, write: inner.flag("write").unwrap_or(false), stages })
}

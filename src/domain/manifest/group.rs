//! `groups` → links to variable groups of the server's library.

use crate::domain::manifest::view::{self, View};
use crate::domain::name::GroupName;
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

/// `groups` of a pipeline or stage.
pub(super) fn of(view: View<'_>) -> Vec<GroupLink> {
    let link = |node| {
        let inner = View::of(node);
        let name = view::text(node).map(str::to_owned).or_else(|| inner.line("name"))?;
        Some(GroupLink { name, write: inner.flag("write").unwrap_or(false) })
    };
    view.items("groups").iter().filter_map(link).collect()
}

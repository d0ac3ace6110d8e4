//! `additional_policy` → the rights that a hosted service would give a build, said to whoever has to give them (row C40).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::printable;

/// Most rights that are told one by one; a policy with more is read where it is written.
const TOLD: usize = 20;

/// Actions by what they are allowed on, as IAM writes both (the grammar of its policy language: one text or a list).
type Rights = BTreeMap<String, BTreeSet<String>>;

/// Says that the policy gives nothing here, and which rights commands will miss.
pub(super) fn tell(build: View<'_>, findings: &mut Findings<'_>) {
    let Some(entry) = build.entry("additional_policy") else { return };
    let message =
        "`additional_policy` has no effect here: commands use the server's tools and rights".to_owned();
    let asked = asked(View::of(&entry.value).below("PolicyDocument"));
    if asked.is_empty() {
        findings.add(Code::NoEffect, entry.key_at, message);
        return;
    }
    let told: Vec<String> = asked
        .iter()
        .take(TOLD)
        .map(|(resource, actions)| {
            let actions: Vec<String> =
                actions.iter().map(|action| format!("`{}`", printable(action))).collect();
            format!("{} on `{}`", actions.join(", "), printable(resource))
        })
        .collect();
    let more = if asked.len() > TOLD { ", and more" } else { "" };
    let hint = format!("the server's own role is to allow {}{more}", told.join("; "));
    findings.add_hinted(Code::NoEffect, entry.key_at, message, hint);
}

fn asked(policy: View<'_>) -> Rights {
    let mut rights = Rights::new();
    for statement in policy.items("Statement") {
        let statement = View::of(statement);
        if statement.line("Effect").as_deref() != Some("Allow") {
            continue;
        }
        for resource in texts(statement.get("Resource")) {
            rights.entry(resource).or_default().extend(texts(statement.get("Action")));
        }
    }
    rights
}

fn texts(node: Option<&Node>) -> Vec<String> {
    node.map(view::items)
        .unwrap_or_default()
        .iter()
        .filter_map(|node| view::text(node))
        .map(str::to_owned)
        .collect()
}

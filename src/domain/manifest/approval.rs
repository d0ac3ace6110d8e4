//! `approval`, `requires_approval` and their words → who must approve (SEMANTICS §3, MANIFEST §1).

use std::collections::BTreeSet;

use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::{Node, Value};
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::shape::quoted_list;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::{Login, TeamName, printable};
use crate::domain::pipeline::{ApprovalRule, Exclusion, Requirement, Role, Who};
use crate::domain::time::Span;

/// Roles that may be asked to approve; weaker ones would let everyone approve on a public repository.
pub(super) const ROLES: &[&str] = &["triage", "write", "maintain", "admin"];
/// People that may be left out.
pub(super) const EXCLUSIONS: &[&str] = &["initiator", "commit_authors", "pusher"];
/// How long an approval counts by default (SEMANTICS §3).
const VALID_FOR: Span = Span::days(7);
/// How long a stage waits for approvals by default (SEMANTICS §3).
const TIMEOUT: Span = Span::days(7);

pub(super) fn check_who(text: &str) -> Result<(), String> {
    who(text).map(drop)
}

pub(super) fn check_team(text: &str) -> Result<(), String> {
    team(text).map(drop)
}

pub(super) fn check_login(text: &str) -> Result<(), String> {
    login(text).map(drop)
}

fn team(text: &str) -> Result<TeamName, String> {
    text.parse().map_err(|e: crate::domain::name::NameError| e.to_string())
}

fn login(text: &str) -> Result<Login, String> {
    let name = text.strip_prefix('@').unwrap_or(text);
    name.parse().map_err(|e: crate::domain::name::NameError| e.to_string())
}

fn role(text: &str) -> Option<Role> {
    let roles = [Role::Triage, Role::Write, Role::Maintain, Role::Admin];
    roles.into_iter().find(|r| r.word() == text)
}

/// Reads `maintain`, `org/slug` or `@login`.
fn who(text: &str) -> Result<Who, String> {
    if let Some(role) = role(text) {
        return Ok(Who::Role(role));
    }
    let bare = text.strip_prefix('@').unwrap_or(text);
    if bare.contains('/') {
        return team(bare).map(Who::Team);
    }
    if bare.len() < text.len() {
        return login(bare).map(Who::User);
    }
    Err(format!(
        "`{}` is not a role ({}), a team `org/slug` or a person `@login`",
        printable(text),
        quoted_list(ROLES)
    ))
}

/// The rule of a stage, if it asks for approval at all.
pub(super) fn of_stage(stage: View<'_>, findings: &mut Findings<'_>) -> Option<ApprovalRule> {
    let copilot = ["requires_approval", "require_approval"];
    for key in copilot {
        if stage.flag(key) == Some(true) {
            return Some(shorthand(1, stage, key, findings));
        }
    }
    let node = stage.get("approval")?;
    match &node.value {
        Value::Scalar { .. } => match view::count(node) {
            Some(min) if min > 0 => Some(shorthand(min, stage, "approval", findings)),
            Some(_) | None => None,
        },
        Value::Mapping(_) => Some(full(node, findings)),
        Value::Null | Value::Sequence(_) => None,
    }
}

/// So many maintainers, the pusher among them (MANIFEST §1).
fn shorthand(min: u32, stage: View<'_>, key: &str, findings: &mut Findings<'_>) -> ApprovalRule {
    let hint =
        format!("write `approval: {{min: {min}, exclude: [pusher]}}` once a second person can approve");
    findings.add_hinted(
        Code::SelfApproval,
        stage.place(key),
        "whoever pushed may approve it".to_owned(),
        hint,
    );
    ApprovalRule {
        min,
        from: vec![Who::Role(Role::Maintain)],
        require: Vec::new(),
        exclude: BTreeSet::new(),
        distinct: false,
        valid_for: VALID_FOR,
        timeout: TIMEOUT,
    }
}

fn full(node: &Node, findings: &mut Findings<'_>) -> ApprovalRule {
    let rule = View::of(node);
    let require = requirements(rule, findings);
    let from: BTreeSet<Who> = match rule.get("from") {
        Some(_) => rule.items("from").iter().flat_map(everyone).collect(),
        None if require.is_empty() => BTreeSet::from([Who::Role(Role::Maintain)]),
        None => require.iter().map(|r| r.who.clone()).collect(),
    };
    let min = rule.count("min").unwrap_or(1);
    check_possible(rule, (min, "approve", "approvals"), &from, findings);
    ApprovalRule {
        min,
        from: from.into_iter().collect(),
        require,
        exclude: rule.items("exclude").iter().filter_map(exclusion).collect(),
        distinct: rule.flag("distinct").unwrap_or(false),
        valid_for: rule.parsed("valid_for").unwrap_or(VALID_FOR),
        timeout: rule.parsed("timeout").unwrap_or(TIMEOUT),
    }
}

/// The people of one entry of `from`.
pub(super) fn everyone(node: &Node) -> Vec<Who> {
    if let Some(text) = view::text(node) {
        return who(text).ok().into_iter().collect();
    }
    let entry = View::of(node);
    let users =
        entry.items("users").iter().filter_map(view::text).filter_map(|t| login(t).ok()).map(Who::User);
    named(entry).into_iter().chain(users).collect()
}

/// The one `role`, `team` or `user` of an entry.
fn named(entry: View<'_>) -> Option<Who> {
    let text = |key| entry.get(key).and_then(view::text);
    text("role")
        .and_then(role)
        .map(Who::Role)
        .or_else(|| text("team").and_then(|t| team(t).ok()).map(Who::Team))
        .or_else(|| text("user").and_then(|t| login(t).ok()).map(Who::User))
}

fn requirements(rule: View<'_>, findings: &mut Findings<'_>) -> Vec<Requirement> {
    let mut out: Vec<Requirement> = Vec::new();
    for node in rule.items("require") {
        let entry = View::of(node);
        let who = view::text(node).and_then(|t| who(t).ok()).or_else(|| named(entry));
        let Some(who) = who else { continue };
        let min = entry.count("min").unwrap_or(1);
        if matches!(who, Who::User(_)) && min > 1 {
            let message = format!("{who} is one person and cannot approve {min} times");
            findings.add(Code::Impossible, entry.place("min"), message);
        }
        if out.iter().any(|r| r.who == who) {
            findings.add(Code::DuplicateName, node.at, format!("{who} is required twice; use `min`"));
            continue;
        }
        out.push(Requirement { who, min });
    }
    out
}

fn exclusion(node: &Node) -> Option<Exclusion> {
    match view::text(node)? {
        "initiator" => Some(Exclusion::Initiator),
        "commit_authors" => Some(Exclusion::CommitAuthors),
        "pusher" => Some(Exclusion::Pusher),
        _ => None,
    }
}

/// Only persons can be counted beforehand: a team's size is the host's business.
pub(super) fn check_possible(
    rule: View<'_>,
    (min, one, all): (u32, &str, &str),
    from: &BTreeSet<Who>,
    findings: &mut Findings<'_>,
) {
    if rule.get("from").is_some_and(|n| view::items(n).is_empty()) {
        findings.add(Code::Impossible, rule.place("from"), format!("nobody may {one}: `from` is empty"));
        return;
    }
    let persons = from.iter().filter(|w| matches!(w, Who::User(_))).count();
    if persons == 0 || persons < from.len() {
        return;
    }
    if u32::try_from(persons).is_ok_and(|persons| persons < min) {
        let message = format!("{min} {all} are asked for, and only {persons} may give one");
        findings.add(Code::Impossible, rule.place("min"), message);
    }
}

//! `teams`, `approval`, `approvals`, `requires_approval` and their words → who must approve (SEMANTICS §3, MANIFEST
//! §1).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::{Node, Value};
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::shape::{nearest, quoted_list};
use crate::domain::manifest::view::{self, View};
use crate::domain::name::{Login, TeamAlias, TeamName, printable};
use crate::domain::pipeline::{ApprovalRule, Bind, Exclusion, Members, NamedTeam, Requirement, Role, Who};
use crate::domain::time::Span;

/// Roles that may be asked to approve; weaker ones would let everyone approve on a public repository.
pub(super) const ROLES: &[&str] = &["triage", "write", "maintain", "admin"];
/// People that may be left out.
pub(super) const EXCLUSIONS: &[&str] = &["initiator", "commit_authors", "pusher"];
/// What an approval may be given to.
pub(super) const BINDS: &[&str] = &["digest", "version"];
/// How long an approval counts by default (SEMANTICS §3).
const VALID_FOR: Span = Span::days(7);
/// How long a stage waits for approvals by default (SEMANTICS §3).
const TIMEOUT: Span = Span::days(7);
/// Longest instructions; they stand in a comment, and more belongs onto a page that they link to.
const MAX_INSTRUCTIONS_CHARS: usize = 2_000;

/// The teams of the manifest by name.
pub(super) type Teams = BTreeMap<TeamAlias, Members>;

pub(super) fn check_who(text: &str) -> Result<(), String> {
    words(text).map(drop)
}

/// A team of the host, or of the manifest.
pub(super) fn check_any_team(text: &str) -> Result<(), String> {
    if text.contains('/') { team(text).map(drop) } else { check_alias(text) }
}

pub(super) fn check_team(text: &str) -> Result<(), String> {
    team(text).map(drop)
}

pub(super) fn check_login(text: &str) -> Result<(), String> {
    login(text).map(drop)
}

/// A team called `admin` would be taken for the role.
pub(super) fn check_alias(text: &str) -> Result<(), String> {
    if role(text).is_some() {
        return Err(format!("`{}` is a role, not a team", printable(text)));
    }
    text.parse::<TeamAlias>().map(drop).map_err(|e| e.to_string())
}

pub(super) fn check_instructions(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("the text is empty".to_owned());
    }
    if text.chars().count() > MAX_INSTRUCTIONS_CHARS {
        return Err(format!(
            "the text has more than {MAX_INSTRUCTIONS_CHARS} characters; link to a page with the rest"
        ));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err("the text has control characters".to_owned());
    }
    Ok(())
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

/// People as written: those of the host, or the name of a team of the manifest.
enum Written {
    Host(Who),
    Alias(TeamAlias),
}

/// Reads `maintain`, `org/slug`, `@login` or the name of a team.
fn words(text: &str) -> Result<Written, String> {
    if let Some(role) = role(text) {
        return Ok(Written::Host(Who::Role(role)));
    }
    let bare = text.strip_prefix('@').unwrap_or(text);
    if bare.contains('/') {
        return team(bare).map(|team| Written::Host(Who::Team(team)));
    }
    if bare.len() < text.len() {
        return login(bare).map(|login| Written::Host(Who::User(login)));
    }
    text.parse().map(Written::Alias).map_err(|_| {
        format!(
            "`{}` is not a role ({}), a team `org/slug`, a person `@login` or the name of one of `teams`",
            printable(text),
            quoted_list(ROLES)
        )
    })
}

/// The top-level `teams`.
pub(super) fn teams(pipeline: View<'_>) -> Teams {
    let entries = pipeline.below("teams").entries().iter();
    entries
        .filter_map(|entry| {
            let members = View::of(&entry.value);
            let users: BTreeSet<Login> = logins(members.items("users")).collect();
            let members = match members.get("team").and_then(view::text).and_then(|t| team(t).ok()) {
                Some(team) => Members::Team(team),
                None => Members::Users(users),
            };
            Some((entry.key.parse().ok()?, members))
        })
        .collect()
}

fn logins(nodes: &[Node]) -> impl Iterator<Item = Login> {
    nodes.iter().filter_map(view::text).filter_map(|text| login(text).ok())
}

/// Reads the rules of a stage with the teams it may name.
pub(super) struct Reading<'a, 'f> {
    pub(super) teams: &'a Teams,
    pub(super) findings: &'a mut Findings<'f>,
}

impl Reading<'_, '_> {
    /// Who must approve before the deploy, if anybody.
    pub(super) fn before(&mut self, stage: View<'_>) -> Option<ApprovalRule> {
        let copilot = ["requires_approval", "require_approval"];
        for key in copilot {
            if stage.flag(key) == Some(true) {
                return Some(self.shorthand(1, stage, key));
            }
        }
        self.rule(stage, "approval").or_else(|| self.rule(stage.below("approvals"), "pre"))
    }

    /// Who must sign off after the deploy and its tests, if anybody.
    pub(super) fn after(&mut self, stage: View<'_>) -> Option<ApprovalRule> {
        self.rule(stage.below("approvals"), "post")
    }

    /// The rule below a key: a number of maintainers, or all that can be said.
    fn rule(&mut self, view: View<'_>, key: &str) -> Option<ApprovalRule> {
        let node = view.get(key)?;
        match &node.value {
            Value::Scalar { .. } => match view::count(node) {
                Some(min) if min > 0 => Some(self.shorthand(min, view, key)),
                Some(_) | None => None,
            },
            Value::Mapping(_) => Some(self.full(node)),
            Value::Null | Value::Sequence(_) => None,
        }
    }

    /// So many maintainers, the pusher among them (MANIFEST §1).
    fn shorthand(&mut self, min: u32, view: View<'_>, key: &str) -> ApprovalRule {
        let rule = if matches!(key, "pre" | "post") { key } else { "approval" };
        let hint =
            format!("write `{rule}: {{min: {min}, exclude: [pusher]}}` once a second person can approve");
        let message = "whoever pushed may approve it".to_owned();
        self.findings.add_hinted(Code::SelfApproval, view.place(key), message, hint);
        ApprovalRule {
            min,
            from: vec![Who::Role(Role::Maintain)],
            require: Vec::new(),
            exclude: BTreeSet::new(),
            distinct: false,
            valid_for: VALID_FOR,
            timeout: TIMEOUT,
            bind: Bind::Digest,
            instructions: None,
            reuse_from: BTreeSet::new(),
        }
    }

    fn full(&mut self, node: &Node) -> ApprovalRule {
        let rule = View::of(node);
        let require = self.requirements(rule);
        let from: BTreeSet<Who> = match rule.get("from") {
            Some(_) => rule.items("from").iter().flat_map(|node| self.everyone(node)).collect(),
            None if require.is_empty() => BTreeSet::from([Who::Role(Role::Maintain)]),
            None => require.iter().map(|r| r.who.clone()).collect(),
        };
        let min = rule.count("min").unwrap_or(1);
        self.check_possible(rule, (min, "approve", "approvals"), &from);
        ApprovalRule {
            min,
            from: from.into_iter().collect(),
            require,
            exclude: rule.items("exclude").iter().filter_map(exclusion).collect(),
            distinct: rule.flag("distinct").unwrap_or(false),
            valid_for: rule.parsed("valid_for").unwrap_or(VALID_FOR),
            timeout: rule.parsed("timeout").unwrap_or(TIMEOUT),
            bind: match rule.line("bind").as_deref() {
                Some("version") => Bind::Version,
                Some(_) | None => Bind::Digest,
            },
            instructions: rule.get("instructions").and_then(view::text).map(|t| t.trim().to_owned()),
            reuse_from: rule.all("reuse_from").into_iter().collect(),
        }
    }

    /// The people of one entry of `from`.
    pub(super) fn everyone(&mut self, node: &Node) -> Vec<Who> {
        if let Some(text) = view::text(node) {
            return self.who(text, node).into_iter().collect();
        }
        let entry = View::of(node);
        self.named(entry).into_iter().chain(logins(entry.items("users")).map(Who::User)).collect()
    }

    /// People by a text; the name of a team that nobody declared is an error.
    fn who(&mut self, text: &str, node: &Node) -> Option<Who> {
        match words(text).ok()? {
            Written::Host(who) => Some(who),
            Written::Alias(name) => {
                if let Some(members) = self.teams.get(&name) {
                    return Some(Who::Named(NamedTeam { name, members: members.clone() }));
                }
                let message = format!("there is no `{name}` in `teams`");
                let known = ROLES.iter().copied().chain(self.teams.keys().map(TeamAlias::as_str));
                let hint = match nearest(text, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "declare it: `teams: {{{name}: {{team: org/slug}}}}`, or write `@{name}` for the person"
                    ),
                };
                self.findings.add_hinted(Code::UnknownTeam, node.at, message, hint);
                None
            }
        }
    }

    /// The one `role`, `team` or `user` of an entry.
    fn named(&mut self, entry: View<'_>) -> Option<Who> {
        let text = |key| entry.get(key).and_then(view::text);
        if let Some(role) = text("role").and_then(role) {
            return Some(Who::Role(role));
        }
        if let Some(node) = entry.get("team") {
            return view::text(node).filter(|t| check_any_team(t).is_ok()).and_then(|t| self.who(t, node));
        }
        text("user").and_then(|t| login(t).ok()).map(Who::User)
    }

    fn requirements(&mut self, rule: View<'_>) -> Vec<Requirement> {
        let mut out: Vec<Requirement> = Vec::new();
        for node in rule.items("require") {
            let entry = View::of(node);
            let who = match view::text(node) {
                Some(text) => self.who(text, node),
                None => self.named(entry).or_else(|| self.some_persons(entry)),
            };
            let Some(who) = who else { continue };
            let min = entry.count("min").unwrap_or(1);
            let persons = who.persons().map(|persons| persons.len());
            if persons.is_some_and(|persons| u32::try_from(persons).is_ok_and(|persons| persons < min)) {
                let message = match &who {
                    Who::User(login) => format!("{login} is one person and cannot approve {min} times"),
                    who @ (Who::Role(_) | Who::Team(_) | Who::Users(_) | Who::Named(_)) => {
                        format!("{who} has too few people to approve {min} times")
                    }
                };
                self.findings.add(Code::Impossible, entry.place("min"), message);
            }
            if out.iter().any(|r| r.who == who) {
                let message = format!("{who} is required twice; use `min`");
                self.findings.add(Code::DuplicateName, node.at, message);
                continue;
            }
            out.push(Requirement { who, min });
        }
        out
    }

    /// The persons of an entry with `users`, any of whom will do.
    fn some_persons(&mut self, entry: View<'_>) -> Option<Who> {
        let node = entry.get("users")?;
        let users: BTreeSet<Login> = logins(view::items(node)).collect();
        if users.is_empty() {
            self.findings.add(Code::Impossible, entry.place("users"), "`users` names nobody".to_owned());
            return None;
        }
        Some(Who::Users(users))
    }

    /// Only persons can be counted beforehand: a team's size is the host's business.
    pub(super) fn check_possible(
        &mut self,
        rule: View<'_>,
        (min, one, all): (u32, &str, &str),
        from: &BTreeSet<Who>,
    ) {
        let Some(node) = rule.get("from") else { return };
        if view::items(node).is_empty() {
            let message = format!("nobody may {one}: `from` is empty");
            self.findings.add(Code::Impossible, rule.place("from"), message);
            return;
        }
        let persons: Option<Vec<_>> = from.iter().map(Who::persons).collect();
        let Some(persons) = persons.filter(|all| !all.is_empty()) else { return };
        let persons = persons.into_iter().flatten().collect::<BTreeSet<_>>().len();
        if u32::try_from(persons).is_ok_and(|persons| persons < min) {
            let message = format!("{min} {all} are asked for, and only {persons} may give one");
            self.findings.add(Code::Impossible, rule.place("min"), message);
        }
    }
}

fn exclusion(node: &Node) -> Option<Exclusion> {
    match view::text(node)? {
        "initiator" => Some(Exclusion::Initiator),
        "commit_authors" => Some(Exclusion::CommitAuthors),
        "pusher" => Some(Exclusion::Pusher),
        _ => None,
    }
}

//! Who may approve, and whether enough of them have (SEMANTICS §3).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::event::{Approval, RunKind};
use crate::domain::name::{Login, UserId};
use crate::domain::person::{Account, Person, Standing};
use crate::domain::pipeline::{ApprovalRule, Bind, Exclusion, Requirement, Role, Stage, Who};
use crate::domain::release::{Release, StageRun};
use crate::domain::time::{Span, Timestamp};

/// How long an approval and the wait for it last when the manifest does not say (SEMANTICS §3).
pub const DEFAULT_VALID_FOR: Span = Span::days(7);

/// What a set of approvals amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// How many different people count.
    pub have: u32,
    /// How many are needed.
    pub need: u32,
    /// Logins that count, in the order they approved.
    pub by: Vec<String>,
    /// Who or what is missing, for sentences: `1 of acme/qa`.
    pub missing: Vec<String>,
    /// Approvals that do not count, with the reason.
    pub not_counted: Vec<(String, NotCounted)>,
    /// When the first counting approval gets too old.
    pub next_expiry: Option<Timestamp>,
}

/// Why an approval does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotCounted {
    /// The rule leaves this person out of this release.
    Excluded(Exclusion),
    /// The rule leaves authors out, and the host does not know who wrote one of the commits: it could be anybody.
    UnknownAuthor,
    /// The rule names others.
    NotInRule,
    /// It is for other bytes.
    OtherDigest,
    /// It is too old.
    Expired,
    /// Bots never count unless named.
    Bot,
}

impl NotCounted {
    /// The stable code of the refusal.
    pub fn code(self) -> &'static str {
        match self {
            Self::Excluded(_) => "excluded",
            Self::UnknownAuthor => "unknown_author",
            Self::NotInRule => "not_entitled",
            Self::OtherDigest => "other_digest",
            Self::Expired => "expired",
            Self::Bot => "bot",
        }
    }
}

impl std::fmt::Display for NotCounted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Excluded(Exclusion::Initiator) => f.write_str("started this release"),
            Self::Excluded(Exclusion::CommitAuthors) => f.write_str("wrote a commit of this release"),
            Self::Excluded(Exclusion::Pusher) => f.write_str("pushed this release"),
            Self::UnknownAuthor => {
                f.write_str("may be the author of a commit whose author the host does not know")
            }
            Self::NotInRule => f.write_str("is not among its approvers"),
            Self::OtherDigest => f.write_str("approved other bytes"),
            Self::Expired => f.write_str("approved too long ago"),
            Self::Bot => f.write_str("is a bot"),
        }
    }
}

impl Tally {
    /// Whether nothing is missing.
    pub fn complete(&self) -> bool {
        self.missing.is_empty()
    }
}

/// The rule for one run: a rollback has its own number of approvals (SEMANTICS §8).
pub fn rule_for(stage: &Stage, kind: RunKind) -> Option<ApprovalRule> {
    match kind {
        RunKind::Deploy | RunKind::Redeploy | RunKind::Verify => stage.approval.clone(),
        RunKind::Rollback if stage.rollback_approvals == 0 => None,
        RunKind::Rollback => {
            let base = stage.approval.clone().unwrap_or_else(|| default_rule(stage.rollback_approvals));
            let rule = ApprovalRule {
                min: stage.rollback_approvals,
                require: Vec::new(),
                from: approvers(&base),
                // Whoever is on call must be able to put things back alone.
                exclude: BTreeSet::new(),
                ..base
            };
            Some(rule)
        }
    }
}

/// So many people with the maintain role or higher (COMMANDS §3).
pub fn default_rule(min: u32) -> ApprovalRule {
    ApprovalRule {
        min,
        from: vec![Who::Role(Role::Maintain)],
        require: Vec::new(),
        exclude: BTreeSet::new(),
        distinct: false,
        valid_for: DEFAULT_VALID_FOR,
        timeout: DEFAULT_VALID_FOR,
        bind: Bind::Digest,
        instructions: None,
    }
}

/// Everyone whose approval the rule can count: `from`, the required groups, or maintainers when it names nobody.
pub fn approvers(rule: &ApprovalRule) -> Vec<Who> {
    let mut all: Vec<Who> =
        rule.from.iter().cloned().chain(rule.require.iter().map(|r| r.who.clone())).collect();
    if all.is_empty() {
        all.push(Who::Role(Role::Maintain));
    }
    all.sort();
    all.dedup();
    all
}

/// The approvers of a stage for verbs that are theirs (reject, rollback), rule or no rule.
pub fn stage_approvers(stage: &Stage) -> Vec<Who> {
    approvers(stage.approval.as_ref().unwrap_or(&default_rule(1)))
}

/// Whether this person's approval could count for this release, and why not.
pub fn entitled(
    rule: &ApprovalRule,
    release: &Release,
    run: &StageRun,
    standing: &Standing,
) -> Result<(), NotCounted> {
    let all = approvers(rule);
    if standing.kind == Account::Bot && !all.iter().any(|who| standing.is_named_by(who)) {
        return Err(NotCounted::Bot);
    }
    if !all.iter().any(|who| standing.is(who)) {
        return Err(NotCounted::NotInRule);
    }
    rule.exclude.iter().try_for_each(|exclusion| excluded(*exclusion, release, run, standing))
}

fn excluded(
    exclusion: Exclusion,
    release: &Release,
    run: &StageRun,
    standing: &Standing,
) -> Result<(), NotCounted> {
    let login = standing.person.login.as_str();
    let created = &release.created;
    let is = |person: Option<&Person>| person.is_some_and(|p| p.id == standing.person.id);
    let named = |name: Option<&Login>| name.is_some_and(|n| n.as_str().eq_ignore_ascii_case(login));
    let out = match exclusion {
        Exclusion::Initiator => {
            is(run.by.as_ref()) || is(run.promoted.as_ref()) || is(created.initiator.as_ref())
        }
        Exclusion::Pusher => is(created.initiator.as_ref()) || named(created.pusher.as_ref()),
        Exclusion::CommitAuthors => created.changes.iter().any(|c| named(c.author.as_ref())),
    };
    let unknown = exclusion == Exclusion::CommitAuthors && created.changes.iter().any(|c| c.author.is_none());
    match (out, unknown) {
        (true, _) => Err(NotCounted::Excluded(exclusion)),
        // Safer than letting somebody approve their own commit under another mail address (THREATS T27).
        (false, true) => Err(NotCounted::UnknownAuthor),
        (false, false) => Ok(()),
    }
}

/// Counts approvals against the rule.
pub fn tally(rule: &ApprovalRule, release: &Release, run: &StageRun, now: Timestamp) -> Tally {
    let mut not_counted = Vec::new();
    let mut counted: BTreeMap<UserId, &Approval> = BTreeMap::new();
    let mut by = Vec::new();
    for approval in &run.approvals {
        let login = approval.standing.person.login.to_string();
        match counts(rule, release, run, (approval, now)) {
            Ok(()) => {
                if counted.insert(approval.standing.person.id, approval).is_none() {
                    by.push(login);
                }
            }
            Err(why) => not_counted.push((login, why)),
        }
    }
    let people: Vec<&Standing> = counted.values().map(|a| &a.standing).collect();
    let have = u32::try_from(people.len()).unwrap_or(u32::MAX);
    let (need, missing) = (needed(rule), missing(rule, &people));
    let next_expiry = counted.values().map(|a| a.at.plus(rule.valid_for)).min();
    Tally { have, need, by, missing, not_counted, next_expiry }
}

/// Who or what the rule still asks for when these people have agreed, for sentences: `1 of acme/qa`.
pub fn missing(rule: &ApprovalRule, people: &[&Standing]) -> Vec<String> {
    let mut missing = missing_groups(rule, people);
    // `min` counts people of `from` alone; who only belongs to a required group serves that group.
    let from: Vec<Who> = if rule.from.is_empty() { approvers(rule) } else { rule.from.clone() };
    let given = people.iter().filter(|p| from.iter().any(|who| p.is(who))).count();
    let lacks = rule.min.saturating_sub(u32::try_from(given).unwrap_or(u32::MAX));
    if lacks > 0 && (missing.is_empty() || !rule.from.is_empty()) {
        let who: Vec<String> = from.iter().map(ToString::to_string).collect();
        missing.push(format!("{lacks} of {}", who.join(" or ")));
    }
    missing
}

/// How many different people the rule asks for at least.
pub fn needed(rule: &ApprovalRule) -> u32 {
    let groups = rule.require.iter().map(|r| r.min);
    rule.min.max(if rule.distinct { groups.sum() } else { groups.max().unwrap_or(0) })
}

fn counts(
    rule: &ApprovalRule,
    release: &Release,
    run: &StageRun,
    (approval, now): (&Approval, Timestamp),
) -> Result<(), NotCounted> {
    if !same_thing(rule, approval, release) {
        return Err(NotCounted::OtherDigest);
    }
    if approval.at.plus(rule.valid_for) <= now {
        return Err(NotCounted::Expired);
    }
    entitled(rule, release, run, &approval.standing)
}

/// Whether the approval was given to what would start now. One that is bound to the version needs the digest, too:
/// it could outlive a digest only by a derivation that the log links to the old one, and there are none.
fn same_thing(rule: &ApprovalRule, approval: &Approval, release: &Release) -> bool {
    let bytes = Some(&approval.digest) == release.digest.as_ref();
    let version = match rule.bind {
        Bind::Digest => true,
        Bind::Version => approval.version.as_ref() == Some(&release.created.version),
    };
    bytes && version
}

/// The groups that still lack people, as `1 of acme/qa`.
fn missing_groups(rule: &ApprovalRule, people: &[&Standing]) -> Vec<String> {
    let lacking = if rule.distinct {
        unmatched(&rule.require, people)
    } else {
        rule.require
            .iter()
            .map(|r| {
                let given = people.iter().filter(|p| p.is(&r.who)).count();
                r.min.saturating_sub(u32::try_from(given).unwrap_or(u32::MAX))
            })
            .collect()
    };
    rule.require
        .iter()
        .zip(lacking)
        .filter(|(_, lacks)| *lacks > 0)
        .map(|(requirement, lacks)| format!("{lacks} of {}", requirement.who))
        .collect()
}

/// How many people each requirement lacks when one person serves only one of them: maximum bipartite matching by
/// augmenting paths (Kuhn), so that an order of approvals never makes a difference.
fn unmatched(require: &[Requirement], people: &[&Standing]) -> Vec<u32> {
    let seats: Vec<usize> =
        require.iter().enumerate().flat_map(|(index, r)| (0..r.min).map(move |_| index)).collect();
    let fits = |seat: usize, person: usize| {
        let requirement = seats.get(seat).and_then(|index| require.get(*index));
        let person = people.get(person);
        requirement.zip(person).is_some_and(|(r, p)| p.is(&r.who))
    };
    let mut holder: BTreeMap<usize, usize> = BTreeMap::new();
    for seat in 0..seats.len() {
        let mut tried = BTreeSet::new();
        seat_somebody(seat, people.len(), &fits, &mut holder, &mut tried);
    }
    let seated: BTreeSet<usize> = holder.values().copied().collect();
    let mut lacking = vec![0_u32; require.len()];
    for (seat, index) in seats.iter().enumerate() {
        if let (false, Some(count)) = (seated.contains(&seat), lacking.get_mut(*index)) {
            *count = count.saturating_add(1);
        }
    }
    lacking
}

/// Finds a person for the seat, moving others to seats they fit too. Depth is bounded by the number of people.
fn seat_somebody(
    seat: usize,
    people: usize,
    fits: &impl Fn(usize, usize) -> bool,
    holder: &mut BTreeMap<usize, usize>,
    tried: &mut BTreeSet<usize>,
) -> bool {
    for person in 0..people {
        if !fits(seat, person) || !tried.insert(person) {
            continue;
        }
        let free = match holder.get(&person).copied() {
            None => true,
            Some(other) => seat_somebody(other, people, fits, holder, tried),
        };
        if free {
            holder.insert(person, seat);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;

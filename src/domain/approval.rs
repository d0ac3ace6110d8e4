//! Who may approve, and whether enough of them have (SEMANTICS §3).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::event::{Approval, ApprovalSide, Created, RunKind, StartedBy};
use crate::domain::name::{Login, TeamWord, UserId};
use crate::domain::person::{Account, Person, Standing};
use crate::domain::pipeline::{ApprovalRule, Bind, Exclusion, Requirement, Role, Stage, Who};
use crate::domain::release::{Release, StageRun};
use crate::domain::time::{Span, Timestamp};

pub mod brought;
mod matching;

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
    /// The same line by line: who is asked, and who gave it.
    pub seats: Vec<Seat>,
}

/// One thing that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Of whom, in words.
    pub who: String,
    /// What `/signoff` calls them, when they are a team.
    pub team: Option<String>,
    /// How many.
    pub need: u32,
    /// Who gave it.
    pub by: Vec<String>,
}

impl Seat {
    /// How many are missing.
    pub fn lacks(&self) -> u32 {
        self.need.saturating_sub(u32::try_from(self.by.len()).unwrap_or(u32::MAX))
    }
}

/// Why an approval does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotCounted {
    /// The rule leaves this person out of this release.
    Excluded(Exclusion),
    /// The rule leaves authors out, and this person wrote the pull request.
    Proposed,
    /// The rule leaves authors out, and a release before it has a commit of theirs, which the stage gets with this one.
    WroteBefore,
    /// The rule leaves authors out, and the host does not know who wrote one of the commits: it could be anybody.
    UnknownAuthor,
    /// The rule leaves out who pushed, and a release before it is of their push, which the stage gets with this one.
    PushedBefore,
    /// The rule leaves out who pushed, and the push was found, or there was none: nobody told who that was.
    UnknownPusher,
    /// The rule leaves authors out, and there are more than were looked through.
    TooManyAuthors,
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
            Self::Excluded(_) | Self::Proposed | Self::WroteBefore | Self::PushedBefore => "excluded",
            Self::UnknownAuthor => "unknown_author",
            Self::UnknownPusher => "unknown_pusher",
            Self::TooManyAuthors => "too_many_authors",
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
            Self::WroteBefore => f.write_str(
                "wrote a commit of a release before it, which this stage does not have and gets with it",
            ),
            Self::Proposed => f.write_str("wrote the pull request of this release"),
            Self::PushedBefore => f.write_str(
                "pushed a release before it, or had it made, which this stage does not have and gets with it",
            ),
            Self::UnknownAuthor => {
                f.write_str("may be the author of a commit whose author the host does not know")
            }
            Self::UnknownPusher => f.write_str(
                "may have pushed it: no push was told of that brought it, so nobody knows who did; another push makes a \
                 release of which that is known",
            ),
            Self::TooManyAuthors => f.write_str(
                "may have written one of its commits, of which there are more than are looked through: take \
                 `commit_authors` out of `exclude` in the manifest until this stage has had them",
            ),
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

/// The rule for what is asked of people now.
pub fn asked(stage: &Stage, run: &StageRun) -> Option<ApprovalRule> {
    rule_on(stage, run, run.side())
}

/// The rule for one side of the deploy.
pub fn rule_on(stage: &Stage, run: &StageRun, side: ApprovalSide) -> Option<ApprovalRule> {
    match side {
        ApprovalSide::Before => rule_for(stage, run),
        ApprovalSide::After => signoff_for(stage, run.kind),
    }
}

/// The rule for after the deploy. What is put back was good once: a rollback waits for nobody (SEMANTICS §8).
pub fn signoff_for(stage: &Stage, kind: RunKind) -> Option<ApprovalRule> {
    match kind {
        RunKind::Deploy | RunKind::Redeploy | RunKind::Verify => stage.signoff.clone(),
        RunKind::Rollback => None,
    }
}

/// The rule for one run: a rollback has its own number of approvals, and another one when nobody asked for it
/// (SEMANTICS §8).
pub fn rule_for(stage: &Stage, run: &StageRun) -> Option<ApprovalRule> {
    match (run.kind, &run.by) {
        (RunKind::Deploy | RunKind::Redeploy | RunKind::Verify, _) => stage.approval.clone(),
        (RunKind::Rollback, Some(_)) => rollback_rule(stage, stage.rollback_approvals),
        (RunKind::Rollback, None) => rollback_rule(stage, stage.rollback.approvals),
    }
}

/// The rule for putting an older release back.
pub fn rollback_rule(stage: &Stage, min: u32) -> Option<ApprovalRule> {
    let base = stage.approval.clone().unwrap_or_else(|| default_rule(min));
    let rule = ApprovalRule {
        min,
        require: Vec::new(),
        from: approvers(&base),
        // Whoever is on call must be able to put things back alone.
        exclude: BTreeSet::new(),
        // What was said about a deploy was not said about putting it back.
        reuse_from: BTreeSet::new(),
        ..base
    };
    (min > 0).then_some(rule)
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
        reuse_from: BTreeSet::new(),
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

/// The same, for a sign-off of one team: the rule asks for that team, and the person is in it.
pub fn entitled_for(
    rule: &ApprovalRule,
    (release, run): (&Release, &StageRun),
    standing: &Standing,
    team: Option<&TeamWord>,
) -> Result<(), NotCounted> {
    entitled(rule, release, run, standing)?;
    let in_it = |team| approvers(rule).iter().any(|who| who.is_called(team) && standing.is(who));
    if team.is_none_or(in_it) { Ok(()) } else { Err(NotCounted::NotInRule) }
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
    // Whoever started a build that went into it started it, too.
    let initiated =
        is(created.initiator.as_ref()) || created.builds.iter().any(|build| is(build.initiator.as_ref()));
    let out = match exclusion {
        Exclusion::Initiator => is(run.by.as_ref()) || is(run.promoted.as_ref()) || initiated,
        Exclusion::Pusher => {
            initiated
                || named(created.pusher.as_ref())
                || created.builds.iter().any(|build| named(build.pusher.as_ref()))
        }
        Exclusion::CommitAuthors => created.authors().any(|author| named(Some(author))),
    };
    // An address in a commit is its author's word; who opened the pull request is the host's (THREATS T19).
    if exclusion == Exclusion::CommitAuthors && release.proposed_by == Some(standing.person.id) {
        return Err(NotCounted::Proposed);
    }
    if out {
        return Err(NotCounted::Excluded(exclusion));
    }
    let brought = &run.brought;
    match exclusion {
        Exclusion::CommitAuthors if brought.is_by(&standing.person) => return Err(NotCounted::WroteBefore),
        Exclusion::Pusher if brought.is_pushed_by(login) => return Err(NotCounted::PushedBefore),
        Exclusion::Initiator | Exclusion::Pusher | Exclusion::CommitAuthors => {}
    }
    let unknown = created.has_unknown_author() || brought.unknown;
    let left_out = created.unlisted.authors_left_out || brought.left_out;
    // Safer than letting somebody approve their own commit under another mail address (THREATS T27), or one that is
    // too far down to be seen, or their own push that nobody told of.
    match exclusion {
        Exclusion::CommitAuthors if unknown => Err(NotCounted::UnknownAuthor),
        Exclusion::CommitAuthors if left_out => Err(NotCounted::TooManyAuthors),
        Exclusion::Initiator | Exclusion::Pusher if created.unheard => Err(NotCounted::UnknownPusher),
        Exclusion::Pusher if of_no_push(created) && !brought.pushed.of_commit => {
            Err(NotCounted::UnknownPusher)
        }
        Exclusion::Initiator | Exclusion::Pusher | Exclusion::CommitAuthors => Ok(()),
    }
}

/// Whether a release was made at a time, or of what somebody asked for or handed in, so that it says of no push.
fn of_no_push(created: &Created) -> bool {
    matches!(created.started_by, StartedBy::Demand { .. }) && created.pusher.is_none()
}

/// Counts what people gave on the side that is asked for now against its rule.
pub fn tally(rule: &ApprovalRule, release: &Release, run: &StageRun, now: Timestamp) -> Tally {
    count(rule, release, (run, run.side()), now)
}

/// Counts what people gave on one side of the deploy.
pub fn count(
    rule: &ApprovalRule,
    release: &Release,
    (run, side): (&StageRun, ApprovalSide),
    now: Timestamp,
) -> Tally {
    let mut not_counted = Vec::new();
    let mut by: Vec<String> = Vec::new();
    let mut votes: BTreeMap<UserId, Vote<'_>> = BTreeMap::new();
    let mut next_expiry: Option<Timestamp> = None;
    for approval in run.given(side) {
        let login = approval.standing.person.login.to_string();
        match counts(rule, release, run, (approval, now)) {
            Ok(()) => {
                let ends = approval.at.plus(rule.valid_for);
                next_expiry = Some(next_expiry.map_or(ends, |other| other.min(ends)));
                let vote = votes.entry(approval.standing.person.id).or_insert_with(|| Vote::of(approval));
                vote.teams.insert(approval.team.as_ref());
                if !by.contains(&login) {
                    by.push(login);
                }
            }
            Err(why) => not_counted.push((login, why)),
        }
    }
    let votes: Vec<Vote<'_>> = votes.into_values().collect();
    let seats = seats(rule, &votes);
    Tally {
        have: u32::try_from(votes.len()).unwrap_or(u32::MAX),
        need: needed(rule),
        by,
        missing: lacking(&seats),
        not_counted,
        next_expiry,
        seats,
    }
}

/// Who or what the rule still asks for when only these have been given, one of a person, for sentences.
pub fn missing<'a>(rule: &ApprovalRule, given: impl Iterator<Item = &'a Approval>) -> Vec<String> {
    lacking(&seats(rule, &given.map(Vote::given).collect::<Vec<_>>()))
}

/// `1 of acme/qa`
fn lacking(seats: &[Seat]) -> Vec<String> {
    seats.iter().filter(|s| s.lacks() > 0).map(|s| format!("{} of {}", s.lacks(), s.who)).collect()
}

/// What one person gave: for the teams they named, or wherever they count.
struct Vote<'a> {
    standing: &'a Standing,
    teams: BTreeSet<Option<&'a TeamWord>>,
}

impl<'a> Vote<'a> {
    fn of(approval: &'a Approval) -> Self {
        Self { standing: &approval.standing, teams: BTreeSet::new() }
    }

    fn given(approval: &'a Approval) -> Self {
        Self { teams: BTreeSet::from([approval.team.as_ref()]), ..Self::of(approval) }
    }

    /// A sign-off for a team is that team's and nobody else's, whatever other teams its giver is in.
    fn serves(&self, who: &Who) -> bool {
        let meant = |team: Option<&TeamWord>| team.is_none_or(|team| who.is_called(team));
        self.standing.is(who) && self.teams.iter().any(|team| meant(*team))
    }

    fn login(&self) -> String {
        self.standing.person.login.to_string()
    }
}

/// Everything the rule asks for, one line each, with who gave it: the groups, then `min` of `from` unless the groups
/// say it already.
fn seats(rule: &ApprovalRule, votes: &[Vote<'_>]) -> Vec<Seat> {
    let mut seats: Vec<Seat> = if rule.distinct {
        matching::seated(&rule.require, votes)
    } else {
        let all = |r: &Requirement| votes.iter().filter(|v| v.serves(&r.who)).map(Vote::login).collect();
        rule.require
            .iter()
            .map(|r| Seat {
                who: r.who.to_string(),
                team: r.who.word().map(str::to_owned),
                need: r.min,
                by: all(r),
            })
            .collect()
    };
    // `min` counts people of `from` alone; who only belongs to a required group serves that group.
    let from: Vec<Who> = if rule.from.is_empty() { approvers(rule) } else { rule.from.clone() };
    let groups = rule.require.iter().map(|r| r.min);
    let of_groups: u32 = if rule.distinct { groups.sum() } else { groups.max().unwrap_or(0) };
    let implied = from.iter().all(|who| rule.require.iter().any(|r| r.who == *who)) && rule.min <= of_groups;
    if rule.min > 0 && !implied {
        let given = votes.iter().filter(|v| from.iter().any(|who| v.serves(who)));
        let who: Vec<String> = from.iter().map(ToString::to_string).collect();
        let by = given.map(Vote::login).collect();
        seats.push(Seat { who: who.join(" or "), team: None, need: rule.min, by });
    }
    seats
}

/// Everything the rule asks for, with nobody in it yet.
pub fn asked_of(rule: &ApprovalRule) -> Vec<Seat> {
    seats(rule, &[])
}

/// How many different people the rule asks for at least.
pub fn needed(rule: &ApprovalRule) -> u32 {
    let groups = rule.require.iter().map(|r| r.min);
    rule.min.max(if rule.distinct { groups.sum() } else { groups.max().unwrap_or(0) })
}

/// Whether an approval counts now, and why not.
pub fn counts(
    rule: &ApprovalRule,
    release: &Release,
    run: &StageRun,
    (approval, now): (&Approval, Timestamp),
) -> Result<(), NotCounted> {
    if !same_thing(rule, approval, (release, run)) {
        return Err(NotCounted::OtherDigest);
    }
    if approval.at.plus(rule.valid_for) <= now {
        return Err(NotCounted::Expired);
    }
    entitled_for(rule, (release, run), &approval.standing, approval.team.as_ref())
}

/// Whether the approval was given to what would start now. One that is bound to the version needs the digest, too, or
/// one that this was made of anew, as the log has it from step to step (SEMANTICS §3).
fn same_thing(rule: &ApprovalRule, approval: &Approval, (release, run): (&Release, &StageRun)) -> bool {
    let bytes = Some(&approval.digest) == release.digest_for(run, approval.side);
    match rule.bind {
        Bind::Digest => bytes,
        Bind::Version => {
            let version = approval.version.as_ref() == Some(&release.created.version);
            version && (bytes || release.derives_from(&approval.digest, (run, approval.side)))
        }
    }
}

#[cfg(test)]
mod tests;

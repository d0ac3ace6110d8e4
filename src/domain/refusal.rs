//! Why a command was not carried out: one variant per reason, with a stable code and the sentence a person reads.

use std::fmt;

use crate::domain::approval::NotCounted;
use crate::domain::command::Verb;
use crate::domain::effect::Reaction;
use crate::domain::markdown::{escape, inline_code};
use crate::domain::name::{ReleaseNo, StageName, printable};
use crate::domain::pipeline::Role;
use crate::domain::state::Illegal;

mod notes;
mod runbook;
mod start;

pub use notes::NoNotes;
pub use runbook::NoRun;
pub use start::NoStart;

/// A release in a sentence: version and short commit.
pub type Named = (String, String);

/// Why a stage does not go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoWayBack {
    /// Nothing older succeeded there.
    NothingOlder,
    /// The release that was asked for never did.
    Never(String),
    /// It is live there.
    Live(String),
    /// Its artifact was deleted.
    Gone(String),
    /// It may not start there any more, for this reason, and the line that lifts that, if one does.
    Vetoed(String, String, Option<String>),
    /// What it does stays with others.
    Shipped,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The pipeline has no such stage.
    UnknownStage {
        /// What was written.
        stage: String,
        /// What there is.
        stages: Vec<String>,
        /// The command with the nearest stage.
        nearest: Option<String>,
    },
    /// No release is known by that name.
    UnknownRelease {
        /// What was written.
        wanted: String,
        /// The newest ones.
        known: Vec<Named>,
    },
    /// More than one release could be meant.
    WhichRelease {
        /// The verb.
        verb: Verb,
        /// The stage.
        stage: StageName,
        /// Which ones.
        waiting: Vec<Named>,
    },
    /// Nothing is there that the verb could act on.
    Nothing {
        /// The verb.
        verb: Verb,
        /// The stage.
        stage: StageName,
        /// What there is instead.
        instead: String,
    },
    /// A newer release took the place of the offered one.
    Moved {
        /// The offered one.
        old: String,
        /// The newer one.
        new: String,
        /// The stage.
        stage: StageName,
    },
    /// The offer is as young as the comment: nobody can say that it was read.
    TooClose {
        /// The verb.
        verb: Verb,
        /// The stage.
        stage: StageName,
        /// The release.
        release: Named,
    },
    /// The thread has no release.
    NoReleaseHere,
    /// The person's role is too low.
    NeedsRole {
        /// The verb.
        verb: Verb,
        /// The stage, when it is about one.
        stage: Option<StageName>,
        /// What is needed.
        needs: Role,
        /// What the person has.
        has: Role,
    },
    /// The person may not approve this.
    NotEntitled {
        /// The stage.
        stage: StageName,
        /// Whose approval.
        login: String,
        /// Why not.
        why: NotCounted,
        /// Who could.
        who: Vec<String>,
    },
    /// An older release cannot be deployed over a newer one.
    OlderThanLive {
        /// The release.
        release: String,
        /// What is live.
        live: String,
        /// The stage.
        stage: StageName,
    },
    /// The check is not in the way.
    NotInTheWay {
        /// The stage.
        stage: StageName,
        /// The check.
        check: String,
    },
    /// The stage has no check of that name.
    NoCheck {
        /// The stage.
        stage: StageName,
        /// The check.
        check: String,
    },
    /// The manifest says that nobody passes over the check.
    FixedCheck {
        /// The stage.
        stage: StageName,
        /// The check.
        check: String,
    },
    /// Others may override here.
    MayNotOverride {
        /// The stage.
        stage: StageName,
        /// Who may.
        who: String,
    },
    /// The run has begun, and nobody said that it is to be stopped all the same.
    Runs {
        /// The stage, or `build`.
        stage: StageName,
        /// The release.
        release: String,
    },
    /// There is nothing to roll back to.
    NoRollback {
        /// The stage.
        stage: StageName,
        /// Why.
        why: NoWayBack,
    },
    /// Somebody else holds it already.
    OnHold {
        /// The stage, or everything.
        place: String,
        /// The line that lifts the hold.
        lift: String,
        /// Who may write it.
        who: String,
        /// The sentence about the hold.
        hold: String,
    },
    /// Only the holder or a maintainer lifts a hold.
    NotHolder {
        /// Who holds it.
        holder: String,
    },
    /// Nothing is on hold there.
    NotHeld {
        /// The stage; nothing means all.
        stage: Option<StageName>,
        /// What holds everything, when one stage was meant: `held by cy: holidays`.
        beside: Option<String>,
    },
    /// Nothing is frozen there.
    NotFrozen {
        /// The stage; nothing means all.
        stage: Option<StageName>,
        /// What freezes everything, when one stage was meant: `frozen by cy: holidays`.
        beside: Option<String>,
    },
    /// The day a freeze should last until has begun.
    Past {
        /// The day.
        day: String,
    },
    /// There is no approval of this person to take back.
    NoApproval {
        /// The stage.
        stage: StageName,
    },
    /// The comment is older than the attempt it would approve.
    BeforeAttempt {
        /// The stage.
        stage: StageName,
        /// The release.
        release: String,
    },
    /// The comment is older than the deploy it would sign off.
    BeforeDeploy {
        /// The stage.
        stage: StageName,
        /// The release.
        release: String,
    },
    /// The stage asks nothing of this team now.
    NotThisTeam {
        /// The stage.
        stage: StageName,
        /// The team, as it was written.
        team: String,
        /// The teams it asks.
        teams: Vec<String>,
    },
    /// No stage, or more than one, waits for the team.
    WhichStage {
        /// The team, as it was written.
        team: String,
        /// The stages.
        stages: Vec<StageName>,
    },
    /// It is about a runbook.
    Runbook(NoRun),
    /// Nothing is started by hand here.
    NoStart(NoStart),
    /// Notes of a release are not written, or cannot be made.
    Notes(NoNotes),
    /// Nothing has been pushed yet.
    NoPipeline,
    /// Another run has the environment.
    Busy {
        /// The environment.
        environment: String,
        /// The release that has it.
        release: String,
    },
    /// The answer says what was known already: it is asked again in time, and nothing is stored.
    NothingNew,
    /// The work was decided away, or an older lease reports late (ARCHITECTURE invariant 7).
    Stale,
    /// The log and the rules disagree: a mistake of ours.
    Illegal(Illegal),
    /// There is no such release in the pipeline: a mistake of ours.
    Missing(ReleaseNo),
    /// No more numbers: a pipeline has at most 4 294 967 295 releases.
    Full,
    /// A build of another repository is made of builds of this pipeline.
    OwnBuild,
}

impl From<Illegal> for Refusal {
    fn from(illegal: Illegal) -> Self {
        Self::Illegal(illegal)
    }
}

impl Refusal {
    /// The stable code, for audit, log and `--json`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownStage { .. } => "unknown_stage",
            Self::UnknownRelease { .. } => "unknown_release",
            Self::WhichRelease { .. } => "which_release",
            Self::Nothing { .. } => "nothing_there",
            Self::Moved { .. } => "offer_replaced",
            Self::TooClose { .. } => "offer_too_close",
            Self::NoReleaseHere => "no_release_here",
            Self::NeedsRole { .. } => "needs_role",
            Self::NotEntitled { why, .. } => why.code(),
            Self::OlderThanLive { .. } => "older_than_live",
            Self::NotInTheWay { .. } => "not_in_the_way",
            Self::NoCheck { .. } => "no_check",
            Self::FixedCheck { .. } => "fixed_check",
            Self::MayNotOverride { .. } => "may_not_override",
            Self::Runs { .. } => "still_running",
            Self::NoRollback { .. } => "no_rollback",
            Self::OnHold { .. } => "on_hold",
            Self::NotHolder { .. } => "not_holder",
            Self::NotHeld { .. } => "not_held",
            Self::NotFrozen { .. } => "not_frozen",
            Self::Past { .. } => "in_the_past",
            Self::NoApproval { .. } => "no_approval",
            Self::BeforeAttempt { .. } => "before_attempt",
            Self::BeforeDeploy { .. } => "before_deploy",
            Self::NotThisTeam { .. } => "not_this_team",
            Self::WhichStage { .. } => "which_stage",
            Self::Runbook(no) => no.code(),
            Self::NoStart(no) => no.code(),
            Self::Notes(no) => no.code(),
            Self::NoPipeline => "no_pipeline",
            Self::Busy { .. } => "busy",
            Self::NothingNew => "nothing_new",
            Self::Stale => "stale",
            Self::Illegal(_) => "illegal",
            Self::Missing(_) => "missing",
            Self::Full => "full",
            Self::OwnBuild => "own_build",
        }
    }

    /// The reaction a comment gets for it (COMMANDS §2).
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::Runbook(no) => no.reaction(),
            Self::UnknownStage { .. }
            | Self::UnknownRelease { .. }
            | Self::WhichRelease { .. }
            | Self::TooClose { .. }
            | Self::NoReleaseHere
            | Self::NotThisTeam { .. }
            | Self::WhichStage { .. }
            | Self::NoStart(_)
            | Self::Notes(_)
            | Self::NoPipeline => Reaction::Confused,
            Self::Nothing { .. }
            | Self::BeforeAttempt { .. }
            | Self::BeforeDeploy { .. }
            | Self::Moved { .. }
            | Self::NeedsRole { .. }
            | Self::NotEntitled { .. }
            | Self::OlderThanLive { .. }
            | Self::NotInTheWay { .. }
            | Self::NoCheck { .. }
            | Self::FixedCheck { .. }
            | Self::MayNotOverride { .. }
            | Self::Runs { .. }
            | Self::NoRollback { .. }
            | Self::OnHold { .. }
            | Self::NotHolder { .. }
            | Self::NotHeld { .. }
            | Self::NotFrozen { .. }
            | Self::Past { .. }
            | Self::NoApproval { .. }
            | Self::Busy { .. }
            | Self::NothingNew
            | Self::Stale
            | Self::Illegal(_)
            | Self::Missing(_)
            | Self::Full
            | Self::OwnBuild => Reaction::ThumbsDown,
        }
    }

    /// Whether it is about who asked, not what: such answers are given once per person and thread a day (T22).
    pub fn is_about_rights(&self) -> bool {
        matches!(
            self,
            Self::NeedsRole { .. }
                | Self::NotEntitled { .. }
                | Self::MayNotOverride { .. }
                | Self::NotHolder { .. }
                | Self::Runbook(NoRun::NotYours { .. })
        )
    }
}

/// The line that names the release; which team a sign-off was for and what was to be passed over, its writer knows.
fn line_for(verb: Verb, stage: &StageName, version: &str) -> String {
    let team = if verb == Verb::Signoff { " <team>" } else { "" };
    let check = if verb == Verb::Override { " <check>" } else { "" };
    let reason = if verb.needs_reason() { " -- reason" } else { "" };
    format!("/{verb}{team} {stage}{check} {version}{reason}")
}

fn list(names: &[Named]) -> String {
    names.iter().map(|(version, commit)| format!("`{version}` ({commit})")).collect::<Vec<_>>().join(", ")
}

/// Which of several releases is meant, and how to say so.
fn which((verb, stage): (Verb, &StageName), waiting: &[Named]) -> String {
    let what =
        format!("❓ **Which release?** {} could be meant for {stage}: {}.", waiting.len(), list(waiting));
    let Some((version, _)) = waiting.last() else { return what };
    let line = line_for(verb, stage, version);
    let part = if verb == Verb::Retry {
        format!(", or {} for its checks alone", inline_code(&format!("{line} verify")))
    } else {
        String::new()
    };
    format!("{what} Comment {}{part}.", inline_code(&line))
}

/// Markdown in the style of COMMANDS §5: one sign, bold outcome, the next line to type in inline code.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownStage { stage, stages, nearest } => {
                let (stage, stages) = (inline_code(&printable(stage)), stages.join(", "));
                write!(f, "❓ **No stage {stage}.** Stages: {stages}.")?;
                nearest.iter().try_for_each(|line| write!(f, " Did you mean {}?", inline_code(line)))
            }
            Self::UnknownRelease { wanted, known } => {
                write!(f, "❓ **No release {}.**", inline_code(&printable(wanted)))?;
                if known.is_empty() { Ok(()) } else { write!(f, " The newest are {}.", list(known)) }
            }
            Self::WhichRelease { verb, stage, waiting } => f.write_str(&which((*verb, stage), waiting)),
            Self::Nothing { verb, stage, instead } => {
                write!(f, "ℹ️ **Nothing to {verb} in {stage}.** {instead}")
            }
            Self::Moved { old, new, stage } => write!(
                f,
                "🔁 **Not approved: {new} replaced {old} for {stage}.** To ship the new one: {}.",
                inline_code(&format!("/approve {stage} {new}"))
            ),
            Self::TooClose { verb, stage, release } => write!(
                f,
                "❓ **Which release?** {} ({}) was offered in the same second as your comment. Comment {}.",
                release.0,
                release.1,
                inline_code(&line_for(*verb, stage, &release.0))
            ),
            Self::NoCheck { stage, check } => no_check(f, stage, check),
            Self::FixedCheck { stage, check } => {
                write!(f, "🔒 **Not done: {check} of {stage} is declared `overridable: false`.**")
            }
            Self::NoReleaseHere => f.write_str(NO_RELEASE),
            Self::NoApproval { .. }
            | Self::BeforeAttempt { .. }
            | Self::BeforeDeploy { .. }
            | Self::NotThisTeam { .. }
            | Self::WhichStage { .. } => self.fmt_asked(f),
            Self::Runbook(no) => no.fmt(f),
            Self::NoStart(no) => no.fmt(f),
            Self::Notes(no) => no.fmt(f),
            Self::NeedsRole { .. }
            | Self::NotEntitled { .. }
            | Self::OlderThanLive { .. }
            | Self::NotInTheWay { .. }
            | Self::MayNotOverride { .. }
            | Self::Runs { .. }
            | Self::NoRollback { .. }
            | Self::OnHold { .. }
            | Self::NotHolder { .. }
            | Self::NotHeld { .. }
            | Self::NotFrozen { .. }
            | Self::Past { .. }
            | Self::NoPipeline
            | Self::Busy { .. }
            | Self::NothingNew
            | Self::Stale
            | Self::Illegal(_)
            | Self::Missing(_)
            | Self::Full
            | Self::OwnBuild => self.fmt_rest(f),
        }
    }
}

const NO_PIPELINE: &str =
    "ℹ️ **This repository has no release yet.** Push `.github/liftlock.yml` to its default branch.";
const NO_RELEASE: &str =
    "ℹ️ **There is no release to speak about here yet.** A release is made when this is merged.";

fn needs_role(
    f: &mut fmt::Formatter<'_>,
    (verb, stage): (Verb, Option<&StageName>),
    (needs, has): (Role, Role),
) -> fmt::Result {
    let about = stage.map_or_else(String::new, |s| format!(" for {s}"));
    let (needs, has) = (needs.word(), has.word());
    write!(f, "🔒 **Not done: `/{verb}`{about} needs the {needs} role; yours is {has}.**")
}

fn no_rollback(f: &mut fmt::Formatter<'_>, stage: &StageName, why: &NoWayBack) -> fmt::Result {
    match why {
        NoWayBack::Never(wanted) => {
            write!(f, "🔒 **Not done: {} never succeeded in {stage}.**", inline_code(&printable(wanted)))
        }
        NoWayBack::Live(wanted) => {
            write!(f, "ℹ️ **Nothing to do: {} is live in {stage}.**", inline_code(&printable(wanted)))
        }
        NoWayBack::Gone(wanted) => write!(
            f,
            "🔒 **Not done: the artifact of {} was deleted, it was not to be kept any longer.**",
            inline_code(&printable(wanted))
        ),
        NoWayBack::Vetoed(wanted, reason, lift) => {
            let wanted = inline_code(&printable(wanted));
            write!(f, "🔒 **Not done: {wanted} is vetoed in {stage}: {}.** ", escape(reason))?;
            match lift {
                Some(lift) => write!(f, "{} lifts that.", inline_code(lift)),
                None => f.write_str("Nothing lifts that."),
            }
        }
        NoWayBack::NothingOlder => {
            write!(f, "ℹ️ **No older release succeeded in {stage}, so there is nothing to roll back to.**")
        }
        NoWayBack::Shipped => write!(
            f,
            "🔒 **Not done: {stage} ships to others, who keep what they have got.** Push a fix: the next version takes \
             its place."
        ),
    }
}

fn older_than_live(
    f: &mut fmt::Formatter<'_>,
    (release, live): (&str, &str),
    stage: &StageName,
) -> fmt::Result {
    let line = inline_code(&format!("/rollback {stage} {release} -- reason"));
    write!(
        f,
        "🔒 **Not done: {live} is newer than {release} and was live in {stage}.** To put the old one back: {line}."
    )
}

fn no_check(f: &mut fmt::Formatter<'_>, stage: &StageName, check: &str) -> fmt::Result {
    write!(f, "❓ **{stage} has no check called {}.**", inline_code(&printable(check)))
}

fn may_not_override(f: &mut fmt::Formatter<'_>, stage: &StageName, who: &str) -> fmt::Result {
    write!(f, "🔒 **Not done: only {} overrides in {stage}.**", escape(who))
}

fn runs(f: &mut fmt::Formatter<'_>, stage: &StageName, release: &str) -> fmt::Result {
    write!(
        f,
        "🔒 **Not cancelled: {release} runs in {stage}.** `--force` (`?force=true`) stops it all the same."
    )
}

fn not_held(f: &mut fmt::Formatter<'_>, stage: Option<&StageName>, beside: Option<&str>) -> fmt::Result {
    if let Some((stage, beside)) = stage.zip(beside) {
        return not_of_its_own(f, stage, ("hold", "/unhold"), beside);
    }
    let place = stage.map_or("any stage", StageName::as_str);
    write!(f, "ℹ️ **Nothing to lift: {place} is not on hold.**")
}

fn not_frozen(f: &mut fmt::Formatter<'_>, stage: Option<&StageName>, beside: Option<&str>) -> fmt::Result {
    if let Some((stage, beside)) = stage.zip(beside) {
        return not_of_its_own(f, stage, ("freeze", "/unfreeze *"), beside);
    }
    let place = stage.map_or("everything", StageName::as_str);
    write!(f, "ℹ️ **Nothing to lift: {place} is not frozen.** `/why` says what keeps a stage.")
}

/// What stops everything is lifted for everything, and not for one stage.
fn not_of_its_own(
    f: &mut fmt::Formatter<'_>,
    stage: &StageName,
    (what, lift): (&str, &str),
    beside: &str,
) -> fmt::Result {
    let (beside, lift) = (escape(beside), inline_code(lift));
    write!(f, "ℹ️ **{stage} has no {what} of its own; everything is {beside}.** {lift} lifts that.")
}

fn past(f: &mut fmt::Formatter<'_>, day: &str) -> fmt::Result {
    write!(f, "❓ **{day} has begun already.** A freeze lasts until a day begins, in the stage's time zone.")
}

impl Refusal {
    /// Why an answer to a request meant nothing; every other refusal has its words elsewhere.
    fn fmt_asked(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::BeforeDeploy { stage, release } = self {
            write!(
                f,
                "ℹ️ **Not counted: {release} was not in {stage} yet when you wrote.** Look at it, then comment {}.",
                inline_code(&format!("/approve {stage} {release}"))
            )
        } else if let Self::BeforeAttempt { stage, release } = self {
            write!(
                f,
                "ℹ️ **Not counted: {release} is asked for anew in {stage} since you wrote.** To agree to that, comment {}.",
                inline_code(&format!("/approve {stage} {release}"))
            )
        } else if let Self::NotThisTeam { stage, team, teams } = self {
            write!(f, "❓ **{stage} asks nothing of {} now.**", inline_code(&printable(team)))?;
            let lines: Vec<String> =
                teams.iter().map(|team| inline_code(&format!("/signoff {team} {stage}"))).collect();
            if lines.is_empty() { Ok(()) } else { write!(f, " It asks {}.", lines.join(", ")) }
        } else if let Self::WhichStage { team, stages } = self {
            let team_code = inline_code(&printable(team));
            let lines: Vec<String> =
                stages.iter().map(|stage| inline_code(&format!("/signoff {team} {stage}"))).collect();
            if lines.is_empty() {
                write!(f, "ℹ️ **No stage waits for {team_code} now.**")
            } else {
                write!(f, "❓ **Which stage?** {} wait for {team_code}: {}.", stages.len(), lines.join(", "))
            }
        } else if let Self::NoApproval { stage } = self {
            write!(f, "ℹ️ **There is no approval of yours for {stage} to take back.**")
        } else {
            Ok(())
        }
    }

    fn fmt_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsRole { verb, stage, needs, has } => {
                needs_role(f, (*verb, stage.as_ref()), (*needs, *has))
            }
            Self::NotEntitled { stage, login, why, who } => write!(
                f,
                "🔒 **Not counted: {} {why}.** {stage} needs {}.",
                escape(login),
                escape(&who.join(" or "))
            ),
            Self::OlderThanLive { release, live, stage } => older_than_live(f, (release, live), stage),
            Self::NotInTheWay { stage, check } => {
                write!(f, "ℹ️ **Nothing overridden: {check} does not stand in the way of {stage}.**")
            }
            Self::MayNotOverride { stage, who } => may_not_override(f, stage, who),
            Self::Runs { stage, release } => runs(f, stage, release),
            Self::NoRollback { stage, why } => no_rollback(f, stage, why),
            Self::OnHold { place, lift, who, hold } => {
                let (hold, who, lift) = (escape(hold), escape(who), inline_code(lift));
                write!(f, "⛔ **{place} is already {hold}.** {who} releases it with {lift}.")
            }
            Self::NotHolder { holder } => {
                write!(
                    f,
                    "🔒 **Not done: {} holds it; the holder or a maintainer lifts it.**",
                    escape(holder)
                )
            }
            Self::NotHeld { stage, beside } => not_held(f, stage.as_ref(), beside.as_deref()),
            Self::NotFrozen { stage, beside } => not_frozen(f, stage.as_ref(), beside.as_deref()),
            Self::Past { day } => past(f, day),
            Self::NoPipeline => f.write_str(NO_PIPELINE),
            Self::Busy { environment, release } => {
                write!(f, "⏳ **{release} has {environment} just now.** It goes on when that has ended.")
            }
            Self::NothingNew => f.write_str("ℹ️ **Nothing changed by that.**"),
            Self::Stale => f.write_str("ℹ️ **That was decided already.**"),
            Self::Illegal(illegal) => write!(f, "⚠️ **Stopped: {illegal}.** Nothing changed."),
            Self::Missing(no) => {
                write!(f, "⚠️ **Stopped: release {no} is missing from the log.** Nothing changed.")
            }
            Self::Full => f.write_str("⚠️ **Stopped: this pipeline has no release numbers left.**"),
            Self::OwnBuild => {
                f.write_str("ℹ️ **It is made of builds of this pipeline**, and starts none of it again.")
            }
            Self::UnknownStage { .. }
            | Self::UnknownRelease { .. }
            | Self::WhichRelease { .. }
            | Self::Nothing { .. }
            | Self::Moved { .. }
            | Self::TooClose { .. }
            | Self::NoApproval { .. }
            | Self::BeforeAttempt { .. }
            | Self::BeforeDeploy { .. }
            | Self::NotThisTeam { .. }
            | Self::WhichStage { .. }
            | Self::Runbook(_)
            | Self::NoStart(_)
            | Self::Notes(_)
            | Self::NoCheck { .. }
            | Self::FixedCheck { .. }
            | Self::NoReleaseHere => Ok(()),
        }
    }
}

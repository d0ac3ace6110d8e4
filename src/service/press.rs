//! What people press on check runs: read back from the host, and then the same as if they had written it.

use std::sync::Arc;

use crate::domain::decide::{CheckRequest, Command};
use crate::domain::effect::{Button, Detail};
use crate::domain::event;
use crate::domain::name::{CommitSha, RepoId, StageName};
use crate::domain::person::{Account, Person, Standing};
use crate::domain::pipeline::{Pipeline, Role};
use crate::domain::queue::BUILD;
use crate::domain::release::{BuildState, Release, StageState};
use crate::domain::state::{Check, CheckProgress, State};
use crate::domain::view::stage_status;
use crate::forge::OwnCheck;
use crate::forge::fact::{self, CheckAsk};
use crate::service::Service;
use crate::service::intake::{Heard, Taken, teams_of};
use crate::trouble::{Kind, Outcome};

/// What the button "Approve" is called in the host's words.
const APPROVE: &str = "approve";

/// Something pressed on a check, as the host told it.
#[derive(Debug)]
pub(super) struct Pressed {
    pub head: CommitSha,
    pub check: CheckAsk,
    pub run: Option<u64>,
    pub name: Option<String>,
    pub external_id: Option<String>,
    pub sender: Option<fact::Person>,
}

impl Service {
    /// A button or "Re-run". The delivery is a hint: what was pressed is read back, who pressed cannot be.
    pub(super) async fn take_press(&self, repo: &RepoId, pressed: Pressed, cause: &str) -> Outcome<Taken> {
        let Some(sender) = pressed.sender.as_ref().filter(|sender| !sender.bot) else {
            return Ok(Taken::ignored("what is pressed is taken from people, never from bots"));
        };
        if self.configured(repo).await?.is_none() {
            return Ok(Taken::ignored("the server's config does not name this repository"));
        }
        let person = Person { id: sender.id, login: sender.login.clone() };
        let own = match self.pressed_on(repo, &pressed).await? {
            Ok(own) => own,
            Err(why) => {
                tracing::warn!(%repo, head = %pressed.head, why, "something pressed that counts for nothing");
                return Ok(Taken::ignored(why));
            }
        };
        match (&pressed.check, own) {
            (CheckAsk::Button { identifier }, Some(own)) if identifier == APPROVE => {
                self.approve_pressed(repo, &own, &person, cause).await
            }
            (CheckAsk::Button { .. }, _) => Ok(Taken::ignored("a button that is not ours")),
            (CheckAsk::Rerun, own) => {
                self.rerun_pressed(repo, (&pressed.head, own.as_ref()), &person, cause).await
            }
        }
    }

    /// The check run as the host shows it (THREATS T8), nothing where all checks of a commit are meant; the error says
    /// why what was pressed counts for nothing.
    async fn pressed_on(
        &self,
        repo: &RepoId,
        pressed: &Pressed,
    ) -> Outcome<Result<Option<OwnCheck>, String>> {
        let Some(run) = pressed.run else { return Ok(Ok(None)) };
        let own = match self.host(repo)?.own_check(repo, run).await {
            Ok(own) => own,
            Err(trouble) if matches!(trouble.kind(), Kind::NotFound | Kind::Refused) => {
                return Ok(Err(trouble.to_string()));
            }
            Err(trouble) => return Err(trouble),
        };
        let told = (&pressed.head, pressed.name.as_ref(), pressed.external_id.as_ref());
        if told == (&own.commit, Some(&own.name), own.external_id.as_ref()) {
            Ok(Ok(Some(own)))
        } else {
            Ok(Err(format!("the host shows another check run {run} than the one that was told of")))
        }
    }

    /// The button "Approve": the same path as a comment, with the presser as the person (COMMANDS §4).
    async fn approve_pressed(
        &self,
        repo: &RepoId,
        own: &OwnCheck,
        person: &Person,
        cause: &str,
    ) -> Outcome<Taken> {
        let Some(button) = own.external_id.as_deref().and_then(Button::of_id) else {
            return Ok(Taken::ignored(
                "the button does not say whose release it approves: an older version of liftlock showed it; \
                 `/approve` with the stage and the version does it",
            ));
        };
        let states = self.pipelines_of(repo).await?;
        let named = states.iter().find(|state| button.pipeline.as_ref() == Some(&state.id.name));
        let release = named.and_then(|state| state.release(button.gate.release));
        let (Some(state), Some(release)) = (named, release) else {
            return Ok(Taken::ignored("the button is for a release that is not known here"));
        };
        let now = self.store().here();
        let stage = release.rule(&button.gate.stage);
        let shown = stage.map(|stage| stage_status(state, release, stage, now)).filter(|status| {
            status.context == own.name && status.detail.as_ref() == Some(&Detail::Offer(button.clone()))
        });
        if own.over || shown.is_none() || release.created.commit != own.commit {
            tracing::warn!(%repo, gate = ?own.external_id, "a button of a gate that is not open");
            return Ok(Taken::ignored("the button is for a gate that is not open, or not any more"));
        }
        let standing = self.host(repo)?.standing(repo, person, &teams_of(&states)).await?;
        let line = format!("/approve {} {}", button.gate.stage, release.created.version);
        self.say_for(state, line, &standing, cause).await?;
        Ok(Taken::default())
    }

    /// "Re-run": a retry of the release that the check run is about, or of what failed when all checks are meant, else
    /// the quality build once more.
    async fn rerun_pressed(
        &self,
        repo: &RepoId,
        (head, own): (&CommitSha, Option<&OwnCheck>),
        person: &Person,
        cause: &str,
    ) -> Outcome<Taken> {
        let states = self.pipelines_of(repo).await?;
        let lines = |state: &State| match own {
            Some(own) => Vec::from_iter(retry_line(state, own)),
            None => retry_lines(state, head),
        };
        let retries: Vec<(&Arc<State>, String)> =
            states.iter().flat_map(|state| lines(state).into_iter().map(move |line| (state, line))).collect();
        let checks: Vec<(&Arc<State>, &Check)> = states
            .iter()
            .filter_map(|state| Some((state, state.checks.get(head)?)))
            .filter(|(_, check)| own.is_none_or(|own| own.name == check.pipeline.context(BUILD)))
            .collect();
        if retries.is_empty() && checks.is_empty() {
            return Ok(Taken::ignored("nothing here is run again by this check; `/retry` names a stage"));
        }
        let standing = self.host(repo)?.standing(repo, person, &teams_of(&states)).await?;
        let retried = !retries.is_empty();
        for (state, line) in retries {
            self.say_for(state, line, &standing, cause).await?;
        }
        // One check is one thing; all of them are the release's and the pull request's.
        if retried && (own.is_some() || checks.is_empty()) {
            return Ok(Taken::default());
        }
        if !may_build(&standing) {
            return Ok(Taken::ignored(format!(
                "{} may not have anything built here: that takes write",
                person.login
            )));
        }
        let heard = Heard { cause, actor: person.login.to_string() };
        for (state, check) in checks {
            // What was not built for where it comes from is not built for being asked again.
            if !matches!(check.progress, CheckProgress::Refused(_)) {
                let request = once_more(head, check);
                self.tell_pipeline(&state.id, &Command::Check(Box::new(request)), &heard).await?;
            }
        }
        Ok(Taken::default())
    }
}

/// Somebody who could have it built by a push.
fn may_build(standing: &Standing) -> bool {
    standing.kind == Account::Human && standing.role >= Role::Write
}

fn once_more(head: &CommitSha, check: &Check) -> CheckRequest {
    CheckRequest {
        commit: head.clone(),
        thread: check.thread.clone(),
        pipeline: Box::new(Pipeline::clone(&check.pipeline)),
        tree: check.tree.clone(),
        refused: None,
        again: true,
    }
}

/// The commands that "Re-run all checks" stands for: what failed of the newest release of the commit.
fn retry_lines(state: &State, head: &CommitSha) -> Vec<String> {
    let Some(release) = state.releases.values().rev().find(|release| release.created.commit == *head) else {
        return Vec::new();
    };
    // What somebody stopped or refused did not fail.
    let build = matches!(&release.build, BuildState::Failed(how) if !matches!(how, event::Detail::By { .. }));
    let failed = |stage: &&StageName| {
        let state = release.state_in(stage);
        matches!(state, Some(StageState::Failed | StageState::Errored | StageState::TimedOut))
    };
    let stages = release.created.pipeline.stage_names().filter(failed).map(StageName::as_str);
    let what = build.then_some(BUILD).into_iter().chain(stages);
    what.map(|what| format!("/retry {what} {}", release.created.version)).collect()
}

/// The command that a click on "Re-run" stands for: of the newest release of the commit that has such a check.
fn retry_line(state: &State, own: &OwnCheck) -> Option<String> {
    let called = |release: &Arc<Release>| {
        let pipeline = &release.created.pipeline;
        let stages = pipeline.stage_names().map(StageName::as_str);
        let what = stages.chain([BUILD]).find(|what| pipeline.context(what) == own.name)?.to_owned();
        Some(format!("/retry {what} {}", release.created.version))
    };
    state.releases.values().rev().filter(|release| release.created.commit == own.commit).find_map(called)
}

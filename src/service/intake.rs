//! From a stored delivery to commands: translate it, read the truth back, hand it to the pipelines it concerns.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::decide::{CheckRequest, Command};
use crate::domain::effect::{Effect, Place, Status, StatusState};
use crate::domain::event::{StartedBy, Withdrawal};
use crate::domain::join::joined;
use crate::domain::manifest::Loaded;
use crate::domain::markdown::status_line;
use crate::domain::name::{
    CommentId, CommitSha, PipelineId, PipelineName, RefName, RepoId, ThreadId, TreeSha,
};
use crate::domain::person::{Account, Person};
use crate::domain::pipeline::Role;
use crate::domain::plan::{Lane, Owed};
use crate::domain::policy::server::StagePolicy;
use crate::domain::reuse;
use crate::domain::state::State;
use crate::domain::trust::{Distrust, distrust};
use crate::forge::Repository;
use crate::forge::fact::{self, CommentChange, Fact, PullAction, Reference};
use crate::forge::gitea;
use crate::service::Service;
use crate::service::call;
use crate::service::journal::{Around, to_row};
use crate::service::press::Pressed;
use crate::service::worker::{Lease, Result as Worked};
use crate::store::delivery::{Delivery, DeliveryState};
use crate::store::effect::OwedEffect;
use crate::store::model::{PipelineRow, RepositoryRow, Row};
use crate::store::step::Step;
use crate::trouble::{Kind, Outcome, Trouble};

mod tag;

/// Why the head of a fork's pull request is not built, with what gets it built.
const FROM_A_FORK: &str =
    "it comes from a fork; a maintainer pushes it to a branch here and opens a pull request from that";

/// The context of the status about a commit's manifest.
const MANIFEST: &str = "liftlock/manifest";

/// What became of a delivery, beside the commands it gave.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Nothing here concerned us, and why.
    pub(super) ignored: Option<String>,
    /// Effects of its own: a manifest that does not load, a command nobody understood.
    pub(super) owed: Vec<OwedEffect>,
}

impl Taken {
    pub(super) fn ignored(why: impl Into<String>) -> Self {
        Self { ignored: Some(why.into()), owed: Vec::new() }
    }
}

/// The delivery an intake effect is about.
pub fn delivery_seq(desired: &str) -> Outcome<i64> {
    serde_json::from_str::<serde_json::Value>(desired)
        .ok()
        .and_then(|v| v.get("delivery").and_then(serde_json::Value::as_i64))
        .ok_or_else(|| Trouble::bug("an intake effect without a delivery"))
}

/// Which manifest says what a commit of the default branch may be given.
pub(super) enum Governing {
    /// Its own: it is the head.
    Itself,
    /// That of the head.
    Head(Loaded),
    /// The head's does not load.
    Nobody,
}

/// What happened, in whose words, and who says so.
pub(super) struct Heard<'a> {
    /// The delivery, for the log.
    pub cause: &'a str,
    /// Who, for the log.
    pub actor: String,
}

impl Heard<'_> {
    pub(super) fn around(&self) -> Around {
        Around { actor: self.actor.clone(), cause: self.cause.to_owned(), done: None, delivery: None }
    }
}

impl Service {
    /// Takes a delivery in. Every command it gives is safe to give again, so a crash half-way costs nothing.
    pub async fn take_in(&self, lease: &Lease, desired: &str) -> Worked {
        let seq = delivery_seq(desired)?;
        let delivery = self.store().delivery(seq).await?;
        let mut around = lease.done("taken in");
        if delivery.source == call::SOURCE {
            return self.take_in_call(&delivery, around).await;
        }
        if delivery.source == gitea::SOURCE {
            let (state, why) = self.take_in_elsewhere(&delivery, &format!("delivery:{seq}")).await?;
            around.delivery = Some((seq, state, why));
            return self.journal().close(around, Vec::new()).await;
        }
        let facts = match self.facts_of(&delivery) {
            Ok(facts) => facts,
            Err(error) => {
                around.delivery = Some((seq, DeliveryState::Poison, Some(error)));
                return self.journal().close(around, Vec::new()).await;
            }
        };
        let mut owed = Vec::new();
        let mut ignored = None;
        for fact in facts {
            let taken = self.take(fact, &format!("delivery:{seq}")).await?;
            owed.extend(taken.owed);
            ignored = taken.ignored;
        }
        let state = if ignored.is_some() { DeliveryState::Ignored } else { DeliveryState::Done };
        around.delivery = Some((seq, state, ignored));
        self.journal().close(around, owed).await
    }

    fn facts_of(&self, delivery: &Delivery) -> Result<Vec<Fact>, String> {
        let (_, host) = self
            .hosts()
            .find(|(word, _)| *word == delivery.source)
            .ok_or_else(|| format!("the config has no host `{}`", delivery.source))?;
        host.translate(&delivery.event, delivery.body.as_deref().unwrap_or_default())
    }

    async fn take(&self, fact: Fact, cause: &str) -> Outcome<Taken> {
        let heard = |actor: String| Heard { cause, actor };
        match fact {
            Fact::Push { repo, reference, before, after, pusher, sender, .. } => {
                let actor = sender.as_ref().map_or_else(|| "host".to_owned(), |p| p.login.to_string());
                let push = Push { reference, before, after, pusher, sender, unheard: false };
                self.take_push(&repo.id, push, &heard(actor)).await
            }
            Fact::PullRequest { repo, number, action, head, from_fork, base, author, .. } => {
                let wanted =
                    matches!(action, PullAction::Opened | PullAction::Synchronized | PullAction::Reopened);
                if !wanted {
                    return Ok(Taken::ignored("this change of a pull request builds nothing"));
                }
                let author = author.filter(|_| !from_fork);
                let whence = (from_fork, author.as_ref());
                self.take_pull_request(&repo.id, (number, head, base), whence, &heard("host".to_owned()))
                    .await
            }
            Fact::Comment {
                repo, place, comment, change, author, sender, via_app, body, created_at, ..
            } => {
                let place = place_of(place);
                match change {
                    CommentChange::Created => {
                        // A host whose deliveries carry ids alone says neither who nor what.
                        let body = author.is_some().then_some(body);
                        let said = Said { place, comment, author, sender, via_app, body, created_at };
                        Box::pin(self.take_comment(&repo.id, said, cause)).await
                    }
                    CommentChange::Edited { .. } => {
                        self.unspeak(&repo.id, comment, Withdrawal::Edited, cause).await
                    }
                    CommentChange::Deleted => {
                        self.unspeak(&repo.id, comment, Withdrawal::Deleted, cause).await
                    }
                }
            }
            Fact::CheckRequested { repo, head, check, run, name, external_id, sender } => {
                let pressed = Pressed { head, check, run, name, external_id, sender };
                Box::pin(self.take_press(&repo.id, pressed, cause)).await
            }
            Fact::RunOver { repo, run } => self.take_run(&repo.id, &run, &heard("host".to_owned())).await,
            Fact::StatusSeen { repo, commit, context, state, description, .. } => {
                let seen = (context, format!("{state:?}").to_lowercase(), description.unwrap_or_default());
                self.take_status(&repo.id, &commit, seen).await
            }
            Fact::RepositoryRenamed { repo, .. } => {
                self.configured(&repo.id).await?;
                Ok(Taken::default())
            }
            Fact::Installation { .. } | Fact::Ping => Ok(Taken::default()),
            Fact::Unknown { event, action, .. } => {
                let what = action.map_or_else(|| event.clone(), |a| format!("{event}.{a}"));
                Ok(Taken::ignored(format!("{what} means nothing here")))
            }
        }
    }

    /// The repository, when the config names it; events of every other one are stored and left alone (THREATS T9).
    pub(super) async fn configured(&self, repo: &RepoId) -> Outcome<Option<Repository>> {
        match self.host(repo)?.repository(repo).await {
            Ok(repository) => {
                self.remember(&repository).await?;
                Ok(Some(repository))
            }
            Err(trouble) if matches!(trouble.kind(), Kind::Refused | Kind::NotFound) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Keeps the repository's present name for pages; a new one goes into the rows of all its pipelines.
    async fn remember(&self, repository: &Repository) -> Outcome<()> {
        let id = repository.id.as_str();
        let row = RepositoryRow {
            repo_id: id.to_owned(),
            host: id.split(':').next().unwrap_or_default().to_owned(),
            name: repository.name.to_string(),
            default_branch: repository.default_branch.to_string(),
            settings: "{}".to_owned(),
        };
        let before = self.store().repository(id).await?;
        if before.as_ref() == Some(&row) {
            return Ok(());
        }
        let renamed = before.is_some_and(|before| before.name != row.name);
        self.store().commit(Step { rows: vec![Row::Repository(row)], ..Step::default() }).await?;
        self.journal().call(&repository.id, &repository.name);
        if renamed {
            for state in self.pipelines_of(&repository.id).await? {
                self.journal().rebuild(&state.id).await?;
            }
        }
        Ok(())
    }

    async fn take_push(&self, repo: &RepoId, push: Push, heard: &Heard<'_>) -> Outcome<Taken> {
        let Some(repository) = self.configured(repo).await? else {
            return Ok(Taken::ignored("the server's config does not name this repository"));
        };
        match (&push.reference, &push.after) {
            (Reference::Branch(branch), Some(after)) => {
                self.take_branch(&repository, (branch, after), &push, heard).await
            }
            (Reference::Tag(tag), after) => {
                self.take_tag(&repository, (tag, after.as_ref()), &push, heard).await
            }
            (Reference::Branch(_), None) => Ok(Taken::ignored("a branch was deleted")),
            (Reference::Other(name), _) => Ok(Taken::ignored(format!("{name} is neither branch nor tag"))),
        }
    }

    /// A push that no webhook told of.
    pub(super) async fn take_missed_push(
        &self,
        repo: &RepoId,
        reference: Reference,
        (before, after): (Option<CommitSha>, CommitSha),
        heard: &Heard<'_>,
    ) -> Outcome<()> {
        let push = Push { reference, before, after: Some(after), pusher: None, sender: None, unheard: true };
        let taken = self.take_push(repo, push, heard).await?;
        if let Some(why) = taken.ignored {
            tracing::info!(%repo, cause = heard.cause, why, "a push that nobody told of makes no release");
        }
        if !taken.owed.is_empty() {
            self.store().commit(Step { effects: taken.owed, ..Step::default() }).await?;
        }
        Ok(())
    }

    async fn take_branch(
        &self,
        repository: &Repository,
        (branch, after): (&RefName, &CommitSha),
        push: &Push,
        heard: &Heard<'_>,
    ) -> Outcome<Taken> {
        self.fetch(repository, Some(branch), Some(after)).await?;
        let (tip, wanted) = (branch.clone(), after.clone());
        let on_branch = self.mirror(&repository.id, move |mirror| mirror.leads_to(&tip, &wanted)).await?;
        if !on_branch {
            // A later push rewrote the branch, or the commit came from a fork (THREATS T36).
            return Ok(Taken::ignored(format!("{} is not on {branch} any more", after.short())));
        }
        let mut taken = Taken::default();
        if *branch == repository.default_branch {
            self.see_policy(repository, heard).await?;
        }
        let loaded = match self.declared(&repository.id, &repository.name, after).await? {
            Ok(loaded) => loaded,
            Err(problems) => {
                let why = format!("the manifest does not load: {problems}");
                return Self::no_release((repository, after), &problems.to_string(), why);
            }
        };
        let (loaded, refused) = self.trusted(repository, branch, loaded, heard).await?;
        for why in &refused {
            if let Distrust::Wider(why) = why {
                taken.owed = vec![manifest_status((repository, after), (StatusState::Failure, why))?];
            }
        }
        let mut started = Vec::new();
        for pipeline in &loaded.pipelines {
            let Some(trigger) = &pipeline.triggers.push else { continue };
            let wanted = trigger.takes(branch, &repository.default_branch);
            let range = (push.before.clone(), after);
            if wanted && self.touches(&repository.id, range, &trigger.paths).await? {
                started.push(pipeline.name.clone());
            }
        }
        if started.is_empty() {
            let none = || "no pipeline listens to this branch and these paths".to_owned();
            taken.ignored = Some(refused.first().map_or_else(none, ToString::to_string));
        }
        self.expect_builds(repository, (after, branch), (&loaded, &started), heard).await?;
        self.expect_abroad(&repository.id, (after, branch), &started, heard).await?;
        let by_builds = joined(&loaded.pipelines, &started);
        for name in started.into_iter().filter(|name| !by_builds.contains(name)) {
            self.start(repository, (after, branch), (name, &loaded), (push, StartedBy::Push, heard)).await?;
        }
        if !loaded.pipelines.is_empty() {
            // The reconcile round starts from here, or it would take the paths of older pushes for this one's.
            self.store().set_cursor(&head_cursor(repository, branch), after.as_str()).await?;
        }
        Ok(taken)
    }

    /// Of what a commit declares what its branch may release, and what is wrong with the rest (THREATS T29).
    async fn trusted(
        &self,
        repository: &Repository,
        branch: &RefName,
        mut loaded: Loaded,
        heard: &Heard<'_>,
    ) -> Outcome<(Loaded, Vec<Distrust>)> {
        let mut refused = Vec::new();
        if *branch == repository.default_branch {
            return Ok((loaded, refused));
        }
        let Some(head) = self.see_policy(repository, heard).await? else {
            loaded.pipelines.clear();
            let default = &repository.default_branch;
            refused.push(Distrust::Unheard(format!("the manifest on {default} does not load")));
            return Ok((loaded, refused));
        };
        let declared = head.pipelines;
        loaded.pipelines.retain(|pipeline| {
            let why = distrust(pipeline, &declared, (branch, &repository.default_branch));
            let is_trusted = why.is_none();
            refused.extend(why);
            is_trusted
        });
        Ok((loaded, refused))
    }

    /// What the head of the protected branch declares; nothing when it does not load.
    pub(super) async fn declared_at_head(
        &self,
        repository: &Repository,
    ) -> Outcome<Option<(CommitSha, Loaded)>> {
        let branch = repository.default_branch.clone();
        let head = self.mirror(&repository.id, move |mirror| mirror.head_of(&branch)).await?;
        let Some(head) = head else { return Ok(None) };
        let declared = self.declared(&repository.id, &repository.name, &head).await?;
        Ok(declared.ok().map(|loaded| (head, loaded)))
    }

    /// Whose rules a commit of the default branch is held against.
    pub(super) async fn governing(&self, repository: &Repository, commit: &CommitSha) -> Outcome<Governing> {
        let branch = repository.default_branch.clone();
        let tip = self.mirror(&repository.id, move |mirror| mirror.head_of(&branch)).await?;
        if tip.as_ref() == Some(commit) {
            return Ok(Governing::Itself);
        }
        let declared = self.declared_at_head(repository).await?;
        Ok(declared.map_or(Governing::Nobody, |(_, loaded)| Governing::Head(loaded)))
    }

    /// Reads the rules at the head of the protected branch; a head that does not load leaves the last rules in force.
    pub(super) async fn see_policy(
        &self,
        repository: &Repository,
        heard: &Heard<'_>,
    ) -> Outcome<Option<Loaded>> {
        let Some((head, loaded)) = self.declared_at_head(repository).await? else { return Ok(None) };
        for pipeline in &loaded.pipelines {
            let id = PipelineId { repo: repository.id.clone(), name: pipeline.name.clone() };
            self.see_server_policy(&id, heard).await?;
            let command = Command::SeePolicy { commit: head.clone(), pipeline: Box::new(pipeline.clone()) };
            self.tell_pipeline(&id, &command, heard).await?;
        }
        self.see_upstreams(&repository.name, &loaded, heard).await?;
        Ok(Some(loaded))
    }

    /// The server's own policy is on the record before anything it is asked of (SEMANTICS §3).
    pub(super) async fn see_server_policy(&self, id: &PipelineId, heard: &Heard<'_>) -> Outcome<()> {
        let name = self.journal().name_of(&id.repo).await?;
        let asked = self.settings().policy.iter().filter_map(|policy| policy.of(&name, &id.name));
        let policies: Vec<StagePolicy> = asked.cloned().collect();
        if *self.journal().load(id).await?.server_policy == policies {
            return Ok(());
        }
        self.tell_pipeline(id, &Command::SeeServerPolicy { policies }, heard).await
    }

    /// Gives a command to a pipeline; a refusal of the rules is written down and is not an error.
    pub(super) async fn tell_pipeline(
        &self,
        id: &PipelineId,
        command: &Command,
        heard: &Heard<'_>,
    ) -> Outcome<()> {
        if let Err(refusal) = self.journal().decide(id, command, heard.around()).await? {
            tracing::info!(pipeline = %id, code = refusal.code(), cause = heard.cause, "refused");
        }
        Ok(())
    }

    async fn start(
        &self,
        repository: &Repository,
        at: (&CommitSha, &RefName),
        (name, loaded): (PipelineName, &Loaded),
        (push, started_by, heard): (&Push, StartedBy, &Heard<'_>),
    ) -> Outcome<()> {
        let id = PipelineId { repo: repository.id.clone(), name };
        // A pipeline that only an older commit declares has been asked of nothing so far.
        self.see_server_policy(&id, heard).await?;
        let state = self.journal().load(&id).await?;
        let Some(pipeline) = super::repository::named(loaded, &id.name) else { return Ok(()) };
        let mut start = self.gather((repository, &state), at, (pipeline, loaded)).await?;
        start.started_by = started_by;
        start.project = repository.name.to_string();
        start.initiator = push.sender.as_ref().map(|p| Person { id: p.id, login: p.login.clone() });
        start.pusher.clone_from(&push.pusher);
        start.unheard = push.unheard;
        self.tell_pipeline(&id, &Command::Start(Box::new(start)), heard).await
    }

    /// A commit or tag that makes no release: the commit says so, and the delivery is kept with the reason.
    fn no_release(at: (&Repository, &CommitSha), shown: &str, why: String) -> Outcome<Taken> {
        let owed = vec![manifest_status(at, (StatusState::Failure, shown))?];
        Ok(Taken { ignored: Some(why), owed })
    }

    /// Every pipeline of the repository that has a log.
    pub(super) async fn pipelines_of(&self, repo: &RepoId) -> Outcome<Vec<Arc<State>>> {
        self.pipelines(|row| row.repo_id == repo.as_str()).await
    }

    /// Every pipeline that has a log and a row like this; one that cannot be read is an error.
    pub(super) async fn pipelines(&self, wanted: impl Fn(&PipelineRow) -> bool) -> Outcome<Vec<Arc<State>>> {
        let mut states = Vec::new();
        for row in self.store().pipelines().await?.into_iter().filter(|row| wanted(row)) {
            let id = row
                .stream
                .parse()
                .map_err(|e| Trouble::bug("a pipeline row without a pipeline").because(e))?;
            states.push(self.journal().load(&id).await?);
        }
        Ok(states)
    }

    async fn take_pull_request(
        &self,
        repo: &RepoId,
        (number, head, base): (ThreadId, CommitSha, RefName),
        (from_fork, author): (bool, Option<&fact::Person>),
        heard: &Heard<'_>,
    ) -> Outcome<Taken> {
        let Some(repository) = self.configured(repo).await? else {
            return Ok(Taken::ignored("the server's config does not name this repository"));
        };
        self.fetch(&repository, None, (!from_fork).then_some(&head)).await?;
        let Some(loaded) = self.see_policy(&repository, heard).await? else {
            return Ok(Taken::ignored("the protected branch has no manifest that loads"));
        };
        if !from_fork {
            self.propose(&repository, (&number, &head), heard).await?;
        }
        let tree = match author.filter(|_| loaded.pipelines.iter().any(reuse::keeps)) {
            Some(author) => self.tree_of_head(repo, &head, author).await?,
            None => None,
        };
        let branch = base;
        let base = self.mirror(repo, move |mirror| mirror.head_of(&branch)).await?;
        for pipeline in &loaded.pipelines {
            let Some(trigger) = &pipeline.triggers.pull_request else { continue };
            if !from_fork && !self.touches(repo, (base.clone(), &head), &trigger.paths).await? {
                continue;
            }
            let request = CheckRequest {
                commit: head.clone(),
                thread: Some(number.clone()),
                pipeline: Box::new(pipeline.clone()),
                tree: tree.clone(),
                // Code of strangers does not run on this machine at all (THREATS T29).
                refused: from_fork.then(|| FROM_A_FORK.to_owned()),
                again: false,
            };
            let id = PipelineId { repo: repo.clone(), name: pipeline.name.clone() };
            self.tell_pipeline(&id, &Command::Check(Box::new(request)), heard).await?;
        }
        Ok(Taken::default())
    }

    /// The tree of a head whose build may be kept: its author is a person who may write here, asked just now. Bots'
    /// pull requests are built like all others, and what they leave is not kept.
    async fn tree_of_head(
        &self,
        repo: &RepoId,
        head: &CommitSha,
        author: &fact::Person,
    ) -> Outcome<Option<TreeSha>> {
        let author = Person { id: author.id, login: author.login.clone() };
        let standing = self.host(repo)?.standing(repo, &author, &BTreeSet::new()).await?;
        if standing.kind != Account::Human || standing.role < Role::Write {
            return Ok(None);
        }
        let head = head.clone();
        self.mirror(repo, move |mirror| mirror.tree_sha(&head)).await.map(Some)
    }

    async fn unspeak(
        &self,
        repo: &RepoId,
        comment: CommentId,
        why: Withdrawal,
        cause: &str,
    ) -> Outcome<Taken> {
        let heard = Heard { cause, actor: "host".to_owned() };
        for state in self.pipelines_of(repo).await? {
            let command = Command::Unspeak { comment: comment.clone(), why };
            self.tell_pipeline(&state.id, &command, &heard).await?;
        }
        Ok(Taken::default())
    }

    /// The store is the gate, the status only a view: one of ours that says something else is put right (T54).
    async fn take_status(
        &self,
        repo: &RepoId,
        commit: &CommitSha,
        (context, state, description): (String, String, String),
    ) -> Outcome<Taken> {
        if !context.starts_with("liftlock/") {
            return Ok(Taken::ignored("a status of somebody else's"));
        }
        let key = format!("status:{repo}:{commit}:{context}");
        let Some(effect) = self.store().effect(&key).await? else {
            return Ok(Taken::ignored("a status in our name on a commit we know nothing of"));
        };
        let ours = matches!(
            serde_json::from_str::<Effect>(&effect.desired),
            Ok(Effect::Status { status, .. })
                if status.state.word() == state && self.shown(&status.description) == description
        );
        if ours {
            return Ok(Taken::default());
        }
        let settled = effect.state == crate::store::effect::EffectState::Done;
        if settled {
            tracing::warn!(%repo, %commit, context, state, "somebody else wrote our status; it is put right");
            self.store().again(&key).await?;
        }
        Ok(Taken::default())
    }
}

/// Where the store keeps the last head of a branch that was taken in.
pub(super) fn head_cursor(repository: &Repository, branch: &RefName) -> String {
    format!("head:{}:{branch}", repository.id)
}

/// A push, as the host told it.
#[derive(Debug)]
struct Push {
    reference: Reference,
    before: Option<CommitSha>,
    after: Option<CommitSha>,
    pusher: Option<crate::domain::name::Login>,
    sender: Option<fact::Person>,
    /// It was found, and nobody told of it.
    unheard: bool,
}

/// A new comment, as the host told it.
#[derive(Debug)]
pub(super) struct Said {
    pub place: Place,
    pub comment: CommentId,
    pub author: Option<fact::Person>,
    pub sender: Option<fact::Person>,
    pub via_app: bool,
    pub body: Option<String>,
    pub created_at: Option<crate::domain::time::Timestamp>,
}

fn place_of(place: fact::Place) -> Place {
    match place {
        fact::Place::Thread(thread) => Place::Thread(thread),
        fact::Place::Commit(commit) => Place::Commit(commit),
    }
}

fn manifest_key(repo: &RepoId, commit: &CommitSha) -> String {
    format!("status:{repo}:{commit}:{MANIFEST}")
}

/// The status that says why nothing starts: the manifest's first problem, or what is wrong with a tag.
fn manifest_status(
    (repository, commit): (&Repository, &CommitSha),
    (state, text): (StatusState, &str),
) -> Outcome<OwedEffect> {
    let status = Status {
        context: MANIFEST.to_owned(),
        state,
        description: status_line(text),
        path: "/".to_owned(),
        detail: None,
    };
    let owed = Owed {
        key: manifest_key(&repository.id, commit),
        effect: Effect::Status { commit: commit.clone(), status },
        lane: Lane::Host,
        group: None,
        priority: 10,
        not_before: None,
        cancel: false,
    };
    to_row(owed, Some(format!("{}/manifest", repository.id)))
}

/// Teams that any pipeline of the repository names, for one look at a person's standing.
pub(super) fn teams_of(states: &[Arc<State>]) -> BTreeSet<crate::domain::name::TeamName> {
    states.iter().flat_map(|state| state.teams()).collect()
}

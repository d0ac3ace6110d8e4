//! Telling the host: statuses, comments, tags, answers. None of it decides anything (invariant 10).

use crate::domain::decide::{Command, Learned};
use crate::domain::effect::{Effect, Offering, Place, Reaction, Status};
use crate::domain::markdown::status_line;
use crate::domain::name::{CommentId, CommitSha, PipelineId, RefName, ReleaseNo};
use crate::domain::tag::TagNow;
use crate::forge::{Said, Tagged};
use crate::service::Service;
use crate::service::worker::{Lease, Result as Worked};
use crate::trouble::{Kind, Outcome};

impl Service {
    /// Carries out an effect that only tells.
    pub async fn tell(&self, lease: &Lease, effect: Effect) -> Worked {
        match effect {
            Effect::Status { commit, status } => self.tell_status(lease, &commit, &status).await,
            Effect::Tag { release, tag, commit, message } => {
                self.make_tag(lease, release, (&tag, &commit), &message).await
            }
            Effect::Thread { release, commit, title } => {
                self.find_place(lease, release, &commit, &title).await
            }
            Effect::Sticky { release, place, body } => {
                let id = lease.pipeline()?;
                let marker = format!("sticky:{id}:{release}");
                self.say(&id, &place, &marker, &body).await?;
                lease.complete(self, "shown").await
            }
            Effect::Note { marker, place, body, offers } => {
                self.note(lease, (&marker, &place, &body), offers).await
            }
            Effect::Reply { to, place, reaction, body } => {
                self.reply(lease, (&to, &place), reaction, body.as_deref()).await
            }
            Effect::Wake => {
                let id = lease.pipeline()?;
                self.learn(lease, &id, &Command::Tick).await
            }
            Effect::Sources { .. }
            | Effect::Build { .. }
            | Effect::Check { .. }
            | Effect::Deploy { .. }
            | Effect::Confirm { .. }
            | Effect::Notify(_)
            | Effect::Announce { .. }
            | Effect::Attest { .. }
            | Effect::Join { .. }
            | Effect::Start { .. }
            | Effect::Runbook { .. }
            | Effect::Leg { .. }
            | Effect::Gates { .. } => lease.complete(self, "not a thing to tell").await,
        }
    }

    async fn say(&self, id: &PipelineId, place: &Place, marker: &str, body: &str) -> Outcome<Said> {
        let body = self.settings().prefix.show(body);
        self.host(&id.repo)?.say(&id.repo, place, marker, &self.mask().apply(&body)).await
    }

    async fn tell_status(&self, lease: &Lease, commit: &CommitSha, status: &Status) -> Worked {
        let id = lease.pipeline()?;
        let status = Status { description: self.shown(&status.description), ..status.clone() };
        self.host(&id.repo)?.status(&id.repo, commit, &status).await?;
        lease.complete(self, "shown").await
    }

    /// The text of a status as it leaves: with commands as they are typed here, and without what must not be read.
    pub(super) fn shown(&self, description: &str) -> String {
        self.mask().apply(&status_line(&self.settings().prefix.show(description)))
    }

    async fn make_tag(
        &self,
        lease: &Lease,
        release: ReleaseNo,
        (tag, commit): (&RefName, &CommitSha),
        message: &str,
    ) -> Worked {
        let id = lease.pipeline()?;
        let state = self.journal().load(&id).await?;
        let Some(known) = state.release(release) else {
            return lease.complete(self, "there is no such release").await;
        };
        let new = self.tag_of(known, (tag, commit), message).await?;
        let (commit, object) = match self.host(&id.repo)?.tag(&id.repo, &new).await? {
            Tagged::There(object) => match self.is_signed(known, tag, &id.repo).await {
                Ok(()) => (commit.clone(), Some(object)),
                // Somebody was there first: it is not the release's own tag, and people are told.
                Err(trouble) if trouble.kind() == Kind::Refused => {
                    let (code, text) = ("tag_unsigned".to_owned(), format!("{trouble}"));
                    let alarm = Learned::Alarm { release: Some(release), code, text };
                    return self.learn(lease, &id, &Command::Learn(alarm)).await;
                }
                Err(trouble) => return Err(trouble),
            },
            Tagged::Elsewhere(other) => (other, None),
        };
        let now = TagNow { tag: tag.clone(), commit: Some(commit), object };
        let learned = Learned::Tag { release, now };
        self.learn(lease, &id, &Command::Learn(learned)).await
    }

    /// The merged pull request whose merge this is, or a place of the release's own.
    async fn find_place(&self, lease: &Lease, release: ReleaseNo, commit: &CommitSha, title: &str) -> Worked {
        let id = lease.pipeline()?;
        let host = self.host(&id.repo)?;
        let (place, proposed_by) = if let Some(pull) = host.merged_pull_request(&id.repo, commit).await? {
            (Place::Thread(pull.number), pull.author)
        } else {
            let marker = format!("tracking:{id}:{release}");
            (host.tracking_place(&id.repo, commit, title, &marker).await?, None)
        };
        self.learn(lease, &id, &Command::Learn(Learned::Place { release, place, proposed_by })).await
    }

    async fn note(
        &self,
        lease: &Lease,
        (marker, place, body): (&str, &Place, &str),
        offers: Option<Offering>,
    ) -> Worked {
        let id = lease.pipeline()?;
        let said = self.say(&id, place, marker, body).await?;
        let Some(offer) = offers else { return lease.complete(self, "said").await };
        self.learn(lease, &id, &Command::Learn(Learned::offer(&offer, place, said.at))).await
    }

    /// A reaction is decoration: that it failed is worth a line in the log and nothing else.
    async fn reply(
        &self,
        lease: &Lease,
        (to, place): (&CommentId, &Place),
        reaction: Reaction,
        body: Option<&str>,
    ) -> Worked {
        let id = lease.pipeline()?;
        if let Err(trouble) = self.host(&id.repo)?.react(&id.repo, place, to, reaction).await {
            tracing::warn!(error = trouble.chain(), "a comment got no reaction");
        }
        if let Some(body) = body {
            self.say(&id, place, &format!("reply:{id}:{to}"), body).await?;
        }
        lease.complete(self, "answered").await
    }

    /// Lets the pipeline know, and completes the effect with the same step.
    async fn learn(&self, lease: &Lease, id: &PipelineId, command: &Command) -> Worked {
        match self.journal().decide(id, command, lease.done("known")).await? {
            Ok(_) => Ok(()),
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }
}

//! Comments with hidden markers, reactions, tracking issues and the pull request behind a commit.

use std::num::NonZeroU64;
use std::ops::ControlFlow;

use hyper::Method;
use serde_json::json;

use crate::domain::effect::{Place, Reaction};
use crate::domain::name::{CommentId, CommitSha, RepoId, UserId};
use crate::domain::time::Timestamp;
use crate::forge::github::app::Work;
use crate::forge::github::client::GitHub;
use crate::forge::github::dto;
use crate::forge::github::registry::Home;
use crate::forge::github::route::{segment, segments};
use crate::forge::{Comment, PullRequest, Said};
use crate::trouble::{Outcome, Trouble};

/// The hidden line that makes a comment of ours findable; encoding keeps `-->` out of it.
fn hidden(marker: &str) -> String {
    format!("<!-- liftlock:{} -->", segments(marker))
}

/// Where a place's comments are listed and made.
fn thread_path(home: &Home, place: &Place) -> String {
    match place {
        Place::Thread(n) => format!("/repositories/{}/issues/{}/comments", home.id, segment(n.as_str())),
        Place::Commit(sha) => format!("/repositories/{}/commits/{sha}/comments", home.id),
    }
}

/// Where one comment of a place is read and edited.
fn comment_path(home: &Home, place: &Place, id: &CommentId) -> String {
    let kind = match place {
        Place::Thread(_) => "issues/comments",
        Place::Commit(_) => "comments",
    };
    format!("/repositories/{}/{kind}/{}", home.id, segment(id.as_str()))
}

/// Whether GitHub says that the comment is in this place.
fn stands_in(comment: &dto::Comment, place: &Place) -> bool {
    match place {
        Place::Thread(n) => {
            let number = comment.issue_url.as_deref().and_then(|url| url.rsplit('/').next());
            number == Some(n.as_str())
        }
        Place::Commit(sha) => comment.commit_id.as_deref() == Some(sha.as_str()),
    }
}

fn time(text: &str) -> Outcome<Timestamp> {
    Timestamp::parse(text).ok_or_else(|| Trouble::transient("GitHub gave a time that is none"))
}

fn said(comment: &dto::Comment) -> Outcome<Said> {
    let id = comment.id.to_string().parse().map_err(|e| Trouble::bug("number a comment").because(e))?;
    Ok(Said { id, at: time(&comment.updated_at)? })
}

/// GitHub's word for a reaction.
fn word(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Eyes => "eyes",
        Reaction::Rocket => "rocket",
        Reaction::ThumbsUp => "+1",
        Reaction::ThumbsDown => "-1",
        Reaction::Confused => "confused",
    }
}

impl GitHub {
    /// A comment as it is now; one that stands elsewhere is not there (THREATS T8).
    pub(super) async fn read_comment(
        &self,
        repo: &RepoId,
        place: &Place,
        id: &CommentId,
    ) -> Outcome<Comment> {
        let home = self.home(repo).await?;
        let now: dto::Comment = self.get(&home.to(Work::Speak), &comment_path(&home, place, id)).await?;
        if now.id.to_string() != id.as_str() || !stands_in(&now, place) {
            return Err(Trouble::not_found(format!("comment {id} does not stand in {place}")));
        }
        Ok(Comment {
            id: id.clone(),
            author: now.user.as_ref().and_then(dto::User::person),
            created_at: time(&now.created_at)?,
            updated_at: time(&now.updated_at)?,
            via_app: now.performed_via_github_app.is_some(),
            body: now.body.unwrap_or_default(),
        })
    }

    /// Finds our comment with this marker and brings it up to date, or writes it: an answer that was lost after
    /// GitHub applied the call makes no second comment (STORAGE §5 row 7).
    pub(super) async fn write_comment(
        &self,
        repo: &RepoId,
        place: &Place,
        marker: &str,
        body: &str,
    ) -> Outcome<Said> {
        let home = self.home(repo).await?;
        let identity = home.to(Work::Speak);
        let mark = hidden(marker);
        let text = format!("{body}\n\n{mark}");
        let list = thread_path(&home, place);
        let Some(found) = self.our_comment(&home, &list, &mark).await? else {
            let wanted = json!({ "body": text });
            let reply = self.send(identity.content(), Method::POST, &list, Some(&wanted)).await?;
            return said(&dto::read(&list, &reply.body)?);
        };
        if found.body.as_deref().map(|b| b.replace("\r\n", "\n")).as_deref() == Some(text.as_str()) {
            return said(&found);
        }
        let path = comment_path(&home, place, &said(&found)?.id);
        let wanted = json!({ "body": text });
        let reply = self.send(identity.write(), Method::PATCH, &path, Some(&wanted)).await?;
        said(&dto::read(&path, &reply.body)?)
    }

    /// The oldest comment of ours that bears the mark; others may quote it, and theirs is not ours to edit.
    async fn our_comment(&self, home: &Home, list: &str, mark: &str) -> Outcome<Option<dto::Comment>> {
        let me = self.me().await?;
        self.pages(&home.to(Work::Speak), list, |comment: dto::Comment| {
            let ours = comment.user.as_ref().is_some_and(|u| u.login.eq_ignore_ascii_case(me));
            if ours && comment.body.as_deref().is_some_and(|b| b.contains(mark)) {
                ControlFlow::Break(comment)
            } else {
                ControlFlow::Continue(())
            }
        })
        .await
    }

    /// Sets our reaction first and takes away our others then, so that the comment is never without one.
    pub(super) async fn set_reaction(
        &self,
        repo: &RepoId,
        place: &Place,
        comment: &CommentId,
        reaction: Reaction,
    ) -> Outcome<()> {
        let home = self.home(repo).await?;
        let identity = home.to(Work::Speak);
        let path = format!("{}/reactions", comment_path(&home, place, comment));
        let wanted = json!({ "content": word(reaction) });
        self.send(identity.write(), Method::POST, &path, Some(&wanted)).await?;
        let mut others = Vec::new();
        let every: Option<()> = self
            .pages(&identity, &path, |found: dto::Reaction| {
                if found.content != word(reaction) {
                    others.push(found);
                }
                ControlFlow::Continue(())
            })
            .await?;
        debug_assert!(every.is_none(), "nothing breaks the loop");
        for other in others {
            if self.is_mine(other.user.as_ref()).await? {
                let target = format!("{path}/{}", other.id);
                self.send(identity.write(), Method::DELETE, &target, None).await?;
            }
        }
        Ok(())
    }

    /// The merged pull request whose merge made this very commit.
    pub(super) async fn merged_by(&self, repo: &RepoId, commit: &CommitSha) -> Outcome<Option<PullRequest>> {
        let home = self.home(repo).await?;
        let path = format!("/repositories/{}/commits/{commit}/pulls", home.id);
        let found = self
            .pages(&home.to(Work::Speak), &path, |pull: dto::Pull| {
                let made_it = pull.merge_commit_sha.as_deref() == Some(commit.as_str());
                if pull.merged_at.is_some() && made_it {
                    ControlFlow::Break(pull)
                } else {
                    ControlFlow::Continue(())
                }
            })
            .await?;
        let Some(pull) = found else { return Ok(None) };
        Ok(Some(PullRequest {
            number: thread(pull.number)?,
            merge_commit: Some(commit.clone()),
            author: pull.user.and_then(|u| NonZeroU64::new(u.id)).map(UserId),
        }))
    }

    /// Our issue with this marker, or a new one.
    pub(super) async fn tracking_issue(
        &self,
        repo: &RepoId,
        commit: &CommitSha,
        title: &str,
        marker: &str,
    ) -> Outcome<Place> {
        let home = self.home(repo).await?;
        let identity = home.to(Work::Speak);
        let me = self.me().await?;
        let mark = hidden(marker);
        let issues = format!("/repositories/{}/issues", home.id);
        let list = format!("{issues}?state=all&sort=created&direction=desc&creator={}", segment(me));
        let found = self.pages(&identity, &list, |issue: dto::Issue| {
            let ours = issue.user.as_ref().is_some_and(|u| u.login.eq_ignore_ascii_case(me));
            if ours && issue.body.as_deref().is_some_and(|b| b.contains(&mark)) {
                ControlFlow::Break(issue.number)
            } else {
                ControlFlow::Continue(())
            }
        });
        if let Some(number) = found.await? {
            return Ok(Place::Thread(thread(number)?));
        }
        let wanted = json!({ "title": title, "body": format!("This issue tracks the release of {commit}.\n\n{mark}") });
        let reply = self.send(identity.content(), Method::POST, &issues, Some(&wanted)).await?;
        let made: dto::Issue = dto::read(&issues, &reply.body)?;
        Ok(Place::Thread(thread(made.number)?))
    }
}

fn thread(number: u64) -> Outcome<crate::domain::name::ThreadId> {
    number.to_string().parse().map_err(|e| Trouble::bug("number a thread").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_cannot_end_its_comment() {
        assert_eq!(hidden("note/web/12/a--b"), "<!-- liftlock:note/web/12/a--b -->");
        assert_eq!(hidden("x --> <b>"), "<!-- liftlock:x%20--%3E%20%3Cb%3E -->");
    }
}

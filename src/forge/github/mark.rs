//! What we put on commits: statuses or check runs, and tags.

// Objects of git are called by it, and nothing rests on it: what is signed is signed over SHA-512.
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use hyper::Method;
use serde_json::{Map, Value, json};

use crate::domain::effect::{Detail, Status, StatusState};
use crate::domain::event::ApprovalSide;
use crate::domain::name::{CommitSha, ObjectId, RefName, RepoId};
use crate::domain::tag::{TAGGER, Tag};
use crate::domain::time::Timestamp;
use crate::forge::github::app::{Identity, Work};
use crate::forge::github::client::GitHub;
use crate::forge::github::dto;
use crate::forge::github::registry::Home;
use crate::forge::github::route::{segment, segments};
use crate::forge::{OwnCheck, Tagged};
use crate::trouble::{Kind, Outcome, Trouble};

/// A tag may point at a tag; more than this is a joke.
const MAX_PEELS: usize = 5;

impl GitHub {
    fn page(&self, path: &str) -> String {
        format!("{}/{}", self.settings.public_url.trim_end_matches('/'), path.trim_start_matches('/'))
    }

    /// A commit status.
    pub(super) async fn show_status(
        &self,
        repo: &RepoId,
        commit: &CommitSha,
        status: &Status,
    ) -> Outcome<()> {
        let home = self.home(repo).await?;
        let path = format!("/repositories/{}/statuses/{commit}", home.id);
        let body = json!({
            "state": status.state.word(),
            "target_url": self.page(&status.path),
            "description": status.description,
            "context": status.context,
        });
        self.send(home.to(Work::Speak).write(), Method::POST, &path, Some(&body)).await.map(|_| ())
    }

    /// Our check run of this name on this commit, brought up to date or made anew.
    pub(super) async fn show_check(&self, repo: &RepoId, commit: &CommitSha, status: &Status) -> Outcome<()> {
        let home = self.home(repo).await?;
        let identity = home.to(Work::Speak);
        let body = check_body(commit, status, &self.page(&status.path));
        let runs = format!("/repositories/{}/check-runs", home.id);
        let done = body.contains_key("conclusion");
        let body = Value::Object(body);
        let (method, call, path) = match self.our_check(&home, commit, &status.context).await? {
            // A completed run stays as it is: what starts again is a new run, as with GitHub's own re-runs.
            Some(run) if done || run.status != "completed" => {
                (Method::PATCH, identity.write(), format!("{runs}/{}", run.id))
            }
            Some(_) | None => (Method::POST, identity.content(), runs),
        };
        self.send(call, method, &path, Some(&body)).await.map(|_| ())
    }

    /// The newest run of this name made by this very app: another app's run with our name is not ours (T55).
    async fn our_check(&self, home: &Home, commit: &CommitSha, name: &str) -> Outcome<Option<dto::CheckRun>> {
        let app = self.stack.keys().app_id().unwrap_or_default();
        let path = format!(
            "/repositories/{}/commits/{commit}/check-runs?check_name={}&app_id={app}&filter=latest&per_page=100",
            home.id,
            segment(name)
        );
        let found: dto::CheckRuns = self.get(&home.to(Work::Speak), &path).await?;
        let ours = |run: &dto::CheckRun| run.name == name && run.app.as_ref().is_some_and(|a| a.id == app);
        Ok(found.check_runs.into_iter().filter(ours).max_by_key(|run| run.id))
    }

    /// A check run of this very app as it is now; another app's is not there (THREATS T8, T55).
    pub(super) async fn read_check(&self, repo: &RepoId, run: u64) -> Outcome<OwnCheck> {
        let Some(app) = self.stack.keys().app_id().filter(|_| self.settings.checks) else {
            return Err(Trouble::refused(
                "this server shows no check runs, so none of their buttons is its own",
            ));
        };
        let home = self.home(repo).await?;
        let path = format!("/repositories/{}/check-runs/{run}", home.id);
        let now: dto::CheckRun = self.get(&home.to(Work::Speak), &path).await?;
        if now.id != run || now.app.as_ref().is_none_or(|of| of.id != app) {
            return Err(Trouble::not_found(format!("check run {run} is none of this app's")));
        }
        let commit = now.head_sha.parse();
        Ok(OwnCheck {
            commit: commit.map_err(|e| Trouble::refused("GitHub names a commit oddly").because(e))?,
            name: now.name,
            external_id: now.external_id.filter(|id| !id.is_empty()),
            over: now.status == "completed",
        })
    }

    /// An annotated tag: looks first, then makes the tag object and the reference that names it.
    pub(super) async fn make_tag(&self, repo: &RepoId, tag: &Tag) -> Outcome<Tagged> {
        let home = self.home(repo).await?;
        let identity = home.to(Work::Tag);
        if let Some(there) = self.tag_target(&home, &tag.name).await? {
            return Ok(compared(there, &tag.commit));
        }
        let objects = format!("/repositories/{}/git/tags", home.id);
        let reply = self.send(identity.write(), Method::POST, &objects, Some(&tag_body(tag))).await?;
        let made: dto::Tag = dto::read(&objects, &reply.body)?;
        if !as_signed(tag, &made.sha) {
            return Err(Trouble::refused(format!(
                "GitHub wrote the tag `{}` otherwise than it was signed, so nothing was made to name it; take \
                 `sign_tags` out of the manifest's `release`, and release a new version",
                tag.name
            )));
        }
        let refs = format!("/repositories/{}/git/refs", home.id);
        let reference = json!({"ref": format!("refs/tags/{}", tag.name), "sha": made.sha});
        match self.send(identity.write(), Method::POST, &refs, Some(&reference)).await {
            Ok(_) => object_id(&made.sha).map(Tagged::There),
            Err(trouble) if trouble.kind() == Kind::Conflict => {
                let there = self.tag_target(&home, &tag.name).await?;
                there.map(|there| compared(there, &tag.commit)).ok_or(trouble)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// The object that a tag's name stands for, and the commit that it leads to.
    async fn tag_target(&self, home: &Home, tag: &RefName) -> Outcome<Option<(ObjectId, CommitSha)>> {
        let identity: Identity = home.to(Work::Tag);
        let path = format!("/repositories/{}/git/ref/tags/{}", home.id, segments(tag.as_str()));
        let mut object = match self.get::<dto::Pointer>(&identity, &path).await {
            Ok(pointer) => pointer.object,
            Err(trouble) if trouble.kind() == Kind::NotFound => return Ok(None),
            Err(trouble) => return Err(trouble),
        };
        let first = object_id(&object.sha)?;
        for _ in 0..MAX_PEELS {
            if object.kind != "tag" {
                break;
            }
            let path = format!("/repositories/{}/git/tags/{}", home.id, segment(&object.sha));
            object = self.get::<dto::Pointer>(&identity, &path).await?.object;
        }
        if object.kind == "commit" {
            let commit = object.sha.parse().map(|commit| Some((first, commit)));
            return commit.map_err(|e| Trouble::refused("GitHub names a commit oddly").because(e));
        }
        Err(Trouble::refused(format!(
            "tag `{tag}` exists and leads to a {}, not to a commit; delete it or release under another version",
            object.kind
        )))
    }
}

/// A signed tag has its own tagger and time, because they are signed; GitHub puts in its app's and now without.
fn tag_body(tag: &Tag) -> Value {
    let message = if tag.signed.is_some() { tag.message() } else { tag.message.clone() };
    let tagger = tag.signed.as_ref().map(|signed| {
        let (name, email) = TAGGER;
        let whole = Timestamp(signed.at.0.div_euclid(1_000).saturating_mul(1_000));
        json!({"name": name, "email": email, "date": whole.rfc3339()})
    });
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    set("tag", json!(tag.name.as_str()));
    set("message", json!(message));
    set("object", json!(tag.commit.as_str()));
    set("type", json!("commit"));
    if let Some(tagger) = tagger {
        set("tagger", tagger);
    }
    Value::Object(body)
}

/// Whether the object that GitHub made is the one that was signed; line ends behind the signature are nothing to it.
fn as_signed(tag: &Tag, made: &str) -> bool {
    let Some(object) = tag.object() else { return true };
    [object.as_str(), object.trim_end()].into_iter().any(|object| {
        let text = format!("tag {}\0{object}", object.len());
        hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes())) == made
    })
}

fn compared((object, there): (ObjectId, CommitSha), wanted: &CommitSha) -> Tagged {
    if there == *wanted { Tagged::There(object) } else { Tagged::Elsewhere(there) }
}

fn object_id(text: &str) -> Outcome<ObjectId> {
    text.parse().map_err(|e| Trouble::refused("GitHub names an object oddly").because(e))
}

fn check_body(commit: &CommitSha, status: &Status, page: &str) -> Map<String, Value> {
    let conclusion = match (&status.detail, status.state) {
        (Some(Detail::Superseded), StatusState::Pending) => Some("neutral"),
        (_, StatusState::Pending) => None,
        (_, StatusState::Success) => Some("success"),
        (_, StatusState::Failure | StatusState::Error) => Some("failure"),
    };
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    set("name", json!(status.context));
    set("head_sha", json!(commit.as_str()));
    set("details_url", json!(page));
    set("output", json!({"title": status.description, "summary": status.description}));
    set("status", json!(conclusion.map_or("in_progress", |_| "completed")));
    if let Some(conclusion) = conclusion {
        set("conclusion", json!(conclusion));
    }
    // An empty list takes the button of an earlier value away.
    set("actions", json!([]));
    let button = match &status.detail {
        Some(Detail::Offer(button)) => button.id().map(|id| (id, button.gate.side)),
        Some(Detail::Superseded) | None => None,
    };
    if let Some((id, side)) = button {
        // What a click must match: the pipeline, release, stage and attempt it was offered for (T34).
        set("external_id", json!(id));
        set(
            "actions",
            json!([{
                "label": match side {
                    ApprovalSide::Before => "Approve",
                    ApprovalSide::After => "Sign off",
                },
                "description": match side {
                    ApprovalSide::Before => "Approve this release here",
                    ApprovalSide::After => "Say that it is good here",
                },
                "identifier": "approve",
            }]),
        );
    }
    body
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::domain::effect::{Button, Offering};
    use crate::domain::name::ReleaseNo;
    use crate::domain::tag::Signed;

    #[test]
    fn d41_t45_a_signed_tag_is_the_one_that_was_signed_or_none() {
        let signature = "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n".to_owned();
        let tag = Tag {
            name: "v1.0.0".parse().unwrap(),
            commit: "a".repeat(40).parse().unwrap(),
            message: "v1.0.0\n\nArtifact: sha256:1".to_owned(),
            signed: Some(Signed { at: Timestamp(1_700_000_000_999), signature }),
        };
        let body = tag_body(&tag);
        assert_eq!(body["tagger"]["date"], "2023-11-14T22:13:20Z");
        assert!(body["message"].as_str().unwrap().starts_with("v1.0.0\n\nArtifact: sha256:1\n-----BEGIN"));
        let id =
            |text: &str| git2::Oid::hash_object(git2::ObjectType::Tag, text.as_bytes()).unwrap().to_string();
        let object = tag.object().unwrap();
        assert!(as_signed(&tag, &id(&object)) && as_signed(&tag, &id(object.trim_end())));
        assert!(!as_signed(&tag, &id(&object.replace("+0000", "+0100"))));
        assert!(!as_signed(&tag, &id(&object.replace("Artifact", "artifact"))));
        assert!(as_signed(&Tag { signed: None, ..tag }, "anything"), "nobody signed it");
    }

    #[test]
    fn t34_a_button_names_what_it_was_offered_for_and_fits_githubs_limits() {
        let release = ReleaseNo(NonZeroU32::new(12).unwrap());
        let gate =
            Offering { release, stage: "prod".parse().unwrap(), attempt: 2, side: ApprovalSide::Before };
        let offer = Button { pipeline: Some("shop".parse().unwrap()), gate };
        let status = Status {
            context: "liftlock/prod".to_owned(),
            state: StatusState::Pending,
            description: "Waits for approval".to_owned(),
            path: "/r/12".to_owned(),
            detail: Some(Detail::Offer(offer.clone())),
        };
        let body = check_body(&"a".repeat(40).parse().unwrap(), &status, "https://lift.example/r/12");
        assert_eq!(body["external_id"], "shop/12/prod/2");
        assert_eq!(body["status"], "in_progress");
        let action = &body["actions"][0];
        assert!(action["label"].as_str().unwrap().len() <= 20);
        assert!(action["description"].as_str().unwrap().len() <= 40);
        assert!(action["identifier"].as_str().unwrap().len() <= 20);
        let nameless = Some(Detail::Offer(Button { pipeline: None, ..offer }));
        let nameless = Status { detail: nameless, ..status.clone() };
        let body = check_body(&"a".repeat(40).parse().unwrap(), &nameless, "https://lift.example/r/12");
        assert_eq!(
            (&body["actions"], body.get("external_id")),
            (&json!([]), None),
            "nobody could say whose it is"
        );
        let superseded = Status { detail: Some(Detail::Superseded), ..status };
        let body = check_body(&"a".repeat(40).parse().unwrap(), &superseded, "https://lift.example/r/12");
        assert_eq!((&body["status"], &body["conclusion"]), (&json!("completed"), &json!("neutral")));
        assert_eq!(body["actions"], json!([]));
    }
}

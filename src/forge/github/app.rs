//! Our credentials: a GitHub App with short, narrow tokens minted on demand, or one personal access token.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use hyper::Method;
use octocrab::auth::{EncodingKey, create_jwt};
use octocrab::models::AppId;
use serde_json::{Value, json};

use crate::clock;
use crate::domain::time::{Span, Timestamp};
use crate::forge::github::answer::{Seen, Verdict, date};
use crate::forge::github::dto;
use crate::forge::github::limits::{Lane, Weight};
use crate::forge::github::settings::Credentials;
use crate::forge::github::stack::Call;
use crate::forge::github::transport::{Answer, Ask, Transport};
use crate::secret::Secret;
use crate::trouble::{Kind, Outcome, Trouble};

/// The app's own token lives 9 minutes (GitHub allows 10); a new one is signed well before.
const JWT_USE: Span = Span::minutes(5);

/// A token with less time left is replaced, so that a fetch started with it can end.
const LEAST_LEFT: Span = Span::minutes(5);

/// GitHub's life of an installation token, for an answer that does not say.
const TOKEN_LIFE: Span = Span::hours(1);

/// On whose behalf a request is sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identity {
    /// The app itself; a personal token stands in for it.
    App,
    /// One repository of an installation, for one kind of work (THREATS T53).
    Installation {
        /// The installation; 0 with a personal token.
        id: u64,
        /// The one repository the token is good for.
        scope: Scope,
        /// What the token is good for.
        work: Work,
    },
}

/// A repository that a token is narrowed to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// By its name without the owner, before its number is known.
    Name(String),
    /// By its number.
    Id(u64),
}

/// What a token is minted for: never more rights than this (COMMANDS §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// Read the repository's facts and people's roles.
    Look,
    /// Read and write comments, issues, reactions and statuses.
    Speak,
    /// Fetch objects.
    Fetch,
    /// Make tags and releases.
    Tag,
    /// What a stage's own steps do with it: read the repository.
    Step,
    /// Read memberships in teams.
    Members,
    /// Read what others say about a commit in statuses.
    Statuses,
    /// Read what others say about a commit in check runs.
    Checks,
    /// Count issues and pull requests.
    Issues,
    /// Read runs of workflows and fetch what they left.
    Actions,
}

/// A token and the lane its requests go in.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    /// The token.
    pub(super) token: Secret,
    /// The installation, or 0.
    pub(super) installation: u64,
}

/// A token with the end of its use on the monotonic clock, which GitHub's and ours need not agree on.
#[derive(Debug, Clone)]
struct Held {
    token: Secret,
    until: Instant,
}

/// One kind of token; its lock makes ten first callers mint once.
type Slot = Arc<tokio::sync::Mutex<Option<Held>>>;

/// All tokens of this process.
pub(super) struct Keys {
    source: KeySource,
    checks: bool,
    slots: Mutex<BTreeMap<Identity, Slot>>,
    /// GitHub limits how many tokens an app may ask for, too.
    lane: Lane,
    gone: Mutex<BTreeSet<u64>>,
}

enum KeySource {
    App { id: u64, key: EncodingKey },
    Token(Secret),
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("is_app", &self.is_app()).finish_non_exhaustive()
    }
}

impl Identity {
    /// A read on its behalf.
    pub(super) fn read(&self) -> Call {
        Call { identity: self.clone(), weight: Weight::Read }
    }

    /// A write that creates no content.
    pub(super) fn write(&self) -> Call {
        Call { identity: self.clone(), weight: Weight::Write }
    }

    /// A write that creates content.
    pub(super) fn content(&self) -> Call {
        Call { identity: self.clone(), weight: Weight::Content }
    }
}

impl Work {
    fn permissions(self, checks: bool) -> Value {
        match self {
            Self::Look => json!({"metadata": "read"}),
            Self::Speak => {
                let light = if checks { "checks" } else { "statuses" };
                json!({
                    "contents": "read",
                    "issues": "write",
                    "metadata": "read",
                    "pull_requests": "write",
                    light: "write",
                })
            }
            Self::Fetch | Self::Step => json!({"contents": "read", "metadata": "read"}),
            Self::Tag => json!({"contents": "write", "metadata": "read"}),
            Self::Members => json!({"members": "read", "metadata": "read"}),
            Self::Statuses => json!({"metadata": "read", "statuses": "read"}),
            Self::Checks => json!({"checks": "read", "metadata": "read"}),
            Self::Issues => json!({"issues": "read", "metadata": "read", "pull_requests": "read"}),
            Self::Actions => json!({"actions": "read", "metadata": "read"}),
        }
    }
}

impl Keys {
    /// Checks the private key's form; nothing is asked of GitHub yet.
    pub(super) fn new(credentials: &Credentials, checks: bool) -> Outcome<Self> {
        let source = match credentials {
            Credentials::App { id, private_key } => {
                // The cause is left out: it may quote the key.
                let key = EncodingKey::from_rsa_pem(private_key.expose().as_bytes()).map_err(|_| {
                    Trouble::refused(
                        "the GitHub App's private key is not an RSA key in PEM; download it again from the app's \
                         settings page",
                    )
                })?;
                KeySource::App { id: *id, key }
            }
            Credentials::Token(_) if checks => {
                return Err(Trouble::refused(
                    "check runs need a GitHub App; with a personal access token set `checks` to false",
                ));
            }
            Credentials::Token(token) => KeySource::Token(token.clone()),
        };
        Ok(Self {
            source,
            checks,
            slots: Mutex::default(),
            lane: Lane::new(Span::ZERO),
            gone: Mutex::default(),
        })
    }

    /// Whether we are an app.
    pub(super) fn is_app(&self) -> bool {
        self.app_id().is_some()
    }

    /// The app's number.
    pub(super) fn app_id(&self) -> Option<u64> {
        match &self.source {
            KeySource::App { id, .. } => Some(*id),
            KeySource::Token(_) => None,
        }
    }

    /// A token for this identity, from memory or minted now; concurrent callers share one mint.
    pub(super) async fn grant(
        &self,
        identity: &Identity,
        transport: &Transport,
        seen: &Seen,
    ) -> Outcome<Grant> {
        let (app, key) = match &self.source {
            KeySource::Token(token) => return Ok(Grant { token: token.clone(), installation: 0 }),
            KeySource::App { id, key } => (*id, key),
        };
        let installation = match identity {
            Identity::App => 0,
            Identity::Installation { id, .. } => *id,
        };
        let slot = self.slot(identity);
        let held = tokio::time::timeout(transport.deadline().as_std(), slot.lock()).await;
        let mut held = held.map_err(|_| Trouble::transient("GitHub takes too long to give out a token"))?;
        if let Some(held) = held.as_ref().filter(|held| clock::monotonic() < held.until) {
            return Ok(Grant { token: held.token.clone(), installation });
        }
        let fresh = match identity {
            Identity::App => sign(app, key)?,
            Identity::Installation { id, scope, work } => {
                let jwt = Box::pin(self.grant(&Identity::App, transport, seen)).await?.token;
                self.mint(*id, scope, *work, &Minting { jwt: &jwt, transport, seen }).await?
            }
        };
        let token = fresh.token.clone();
        *held = Some(fresh);
        Ok(Grant { token, installation })
    }

    /// A token that was never given to anybody else and is not remembered, so that it can be revoked.
    pub(super) async fn fresh(
        &self,
        identity: &Identity,
        transport: &Transport,
        seen: &Seen,
    ) -> Outcome<Secret> {
        let (true, Identity::Installation { id, scope, work }) = (self.is_app(), identity) else {
            return Err(Trouble::bug("only an app makes tokens for others"));
        };
        let jwt = self.grant(&Identity::App, transport, seen).await?.token;
        Ok(self.mint(*id, scope, *work, &Minting { jwt: &jwt, transport, seen }).await?.token)
    }

    /// Forgets a token that GitHub did not take; false when there is no other to be had.
    pub(super) async fn forget(&self, identity: &Identity, token: &Secret) -> bool {
        if !self.is_app() {
            return false;
        }
        let slot = self.slot(identity);
        let mut held = slot.lock().await;
        // Somebody may have replaced it meanwhile; theirs is as fresh as ours would be.
        if held.as_ref().is_some_and(|held| held.token == *token) {
            *held = None;
        }
        true
    }

    /// Whether GitHub said since the last call that this installation is no more.
    pub(super) fn is_gone(&self, installation: u64) -> bool {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).remove(&installation)
    }

    fn slot(&self, identity: &Identity) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(identity.clone()).or_default())
    }

    async fn mint(&self, id: u64, scope: &Scope, work: Work, with: &Minting<'_>) -> Outcome<Held> {
        let permissions = work.permissions(self.checks);
        let wanted = match scope {
            Scope::Name(name) => json!({"repositories": [name], "permissions": permissions}),
            Scope::Id(repo) => json!({"repository_ids": [repo], "permissions": permissions}),
        };
        let target = format!("/app/installations/{id}/access_tokens");
        let what = format!("POST {target}");
        let ask =
            Ask { method: Method::POST, target, body: Bytes::from(wanted.to_string()), bearer: with.jwt };
        let turn = self.lane.enter(Weight::Read, with.transport.deadline()).await?;
        with.seen.mint();
        let answer = with.transport.exchange(&ask).await?;
        drop(turn);
        let now = clock::now();
        with.seen.note(0, &answer.headers, now);
        match answer.judge(&what, with.jwt, now) {
            Verdict::Fine => {
                self.lane.fine();
                held(&answer, now)
            }
            Verdict::Unauthorized(trouble) => {
                Err(Trouble::refused(format!("{trouble}{}", with.seen.skew_hint())))
            }
            Verdict::Limited(asked, text) => {
                let kind = Kind::Transient { retry_after: Some(self.lane.limited(asked)) };
                Err(Trouble::new(kind, text))
            }
            Verdict::Failed(trouble) if trouble.kind() == Kind::NotFound => {
                self.gone.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                Err(Trouble::transient(format!("{trouble}; the app's installation will be looked up again")))
            }
            Verdict::Failed(trouble) => Err(explained(trouble, work)),
        }
    }
}

/// What a mint needs besides its request.
struct Minting<'a> {
    jwt: &'a Secret,
    transport: &'a Transport,
    seen: &'a Seen,
}

/// `iat` is a minute in the past and `exp` nine minutes ahead, for clocks that differ.
fn sign(app: u64, key: &EncodingKey) -> Outcome<Held> {
    let token = create_jwt(AppId(app), key)
        .map_err(|e| Trouble::refused("sign the GitHub App's token").because(e))?;
    Ok(Held { token: Secret::new(token), until: clock::monotonic() + JWT_USE.as_std() })
}

fn held(answer: &Answer, now: Timestamp) -> Outcome<Held> {
    let minted: dto::Token = dto::read("the new installation token", &answer.body)?;
    let by = date(&answer.headers).unwrap_or(now);
    let life = Timestamp::parse(&minted.expires_at).map_or(TOKEN_LIFE, |at| at.since(by));
    let usable = life.as_millis().saturating_sub(LEAST_LEFT.as_millis());
    let until = clock::monotonic() + Span::millis(usable).min(TOKEN_LIFE).as_std();
    Ok(Held { token: Secret::new(minted.token), until })
}

/// Adds to GitHub's refusal which permissions were asked for, since its own words do not say.
fn explained(trouble: Trouble, work: Work) -> Trouble {
    let needs = match work {
        Work::Look => "metadata: read",
        Work::Speak => {
            "contents: read, issues: write, pull requests: write, commit statuses (or checks): write"
        }
        Work::Fetch | Work::Step => "contents: read",
        Work::Tag => "contents: write",
        Work::Members => "organization members: read",
        Work::Statuses => "commit statuses: read",
        Work::Checks => "checks: read",
        Work::Issues => "issues: read, pull requests: read",
        Work::Actions => "actions: read",
    };
    match trouble.kind() {
        Kind::Refused | Kind::Conflict => Trouble::refused(format!(
            "{trouble}; the app must be installed on this repository, under this name, with the permissions {needs}"
        )),
        Kind::Transient { .. } | Kind::NotFound | Kind::Bug => trouble,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t53_no_work_asks_for_administration_workflows_or_secrets() {
        for checks in [false, true] {
            let reads = [
                Work::Look,
                Work::Fetch,
                Work::Step,
                Work::Members,
                Work::Statuses,
                Work::Checks,
                Work::Issues,
                Work::Actions,
            ];
            for work in reads {
                let asked = work.permissions(checks).to_string();
                assert!(!asked.contains("write"), "{work:?}: {asked}");
            }
            for work in reads.into_iter().chain([Work::Speak, Work::Tag]) {
                let asked = work.permissions(checks).to_string();
                for never in ["administration", "workflows", "secrets", "admin"] {
                    assert!(!asked.contains(never), "{work:?}: {asked}");
                }
            }
            let speak = Work::Speak.permissions(checks);
            assert_eq!(speak.get("checks").is_some(), checks);
            assert_eq!(speak.get("statuses").is_some(), !checks);
        }
    }

    #[test]
    fn a_bad_key_is_refused_without_quoting_it() {
        let private_key = Secret::new("-----BEGIN canary");
        let error = Keys::new(&Credentials::App { id: 1, private_key }, false).unwrap_err();
        assert!(error.chain().contains("is not an RSA key in PEM"));
        assert!(!error.chain().contains("canary"));
        let error = Keys::new(&Credentials::Token(Secret::new("x")), true).unwrap_err();
        assert!(error.to_string().contains("check runs need a GitHub App"));
    }
}

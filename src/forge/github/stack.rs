//! The service under octocrab: takes a request without credential, sends it with one, at the allowed pace.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response};
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};

use crate::clock;
use crate::domain::time::Span;
use crate::forge::github::answer::{Rate, Seen, Verdict};
use crate::forge::github::app::{Identity, Keys};
use crate::forge::github::limits::{Lane, Weight};
use crate::forge::github::settings::Settings;
use crate::forge::github::transport::{Answer, Ask, Counts, Transport, shown};
use crate::https::pieces::Content;
use crate::trouble::{Kind, Outcome, Trouble};

/// What a request carries beside HTTP, as an extension.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// On whose behalf.
    pub(super) identity: Identity,
    /// What it costs.
    pub(super) weight: Weight,
}

/// The parts that every clone of the client shares.
#[derive(Debug)]
pub(super) struct Stack {
    transport: Transport,
    keys: Keys,
    seen: Seen,
    lanes: Mutex<BTreeMap<u64, Arc<Lane>>>,
    pause: Span,
}

/// The tower service: nothing but a shared [`Stack`].
#[derive(Debug, Clone)]
struct Service(Arc<Stack>);

impl tower::Service<Request<OctoBody>> for Service {
    type Response = Response<Full<Bytes>>;
    type Error = Trouble;
    type Future = BoxFuture<'static, Outcome<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Outcome<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<OctoBody>) -> Self::Future {
        let stack = Arc::clone(&self.0);
        Box::pin(async move { stack.call(request).await })
    }
}

impl Stack {
    /// Prepares everything; nothing is sent yet.
    pub(super) fn new(settings: &Settings) -> Outcome<Self> {
        Ok(Self {
            transport: Transport::new(settings)?,
            keys: Keys::new(&settings.credentials, settings.checks)?,
            seen: Seen::default(),
            lanes: Mutex::default(),
            pause: settings.pause_between_writes,
        })
    }

    /// octocrab on top of this stack, without any of its own authentication, retries or redirects. Must be called
    /// on a runtime: octocrab starts a task.
    pub(super) fn octocrab(self: &Arc<Self>) -> Octocrab {
        let service = Service(Arc::clone(self));
        let built = OctocrabBuilder::new_empty().with_service(service).with_auth(AuthState::None).build();
        match built {
            Ok(octocrab) => octocrab,
            Err(never) => {
                let never: Infallible = never;
                match never {}
            }
        }
    }

    /// The credentials.
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A token for use outside the API.
    pub(super) async fn token(&self, identity: &Identity) -> Outcome<crate::secret::Secret> {
        Ok(self.keys.grant(identity, &self.transport, &self.seen).await?.token)
    }

    /// A token of its own, which nobody else is given.
    pub(super) async fn fresh_token(&self, identity: &Identity) -> Outcome<crate::secret::Secret> {
        self.keys.fresh(identity, &self.transport, &self.seen).await
    }

    /// Ends the life of a token.
    pub(super) async fn revoke(&self, token: &crate::secret::Secret) -> Outcome<()> {
        let target = "/installation/token".to_owned();
        let what = format!("DELETE {target}");
        let ask = Ask { method: Method::DELETE, target, body: Bytes::new(), bearer: token };
        let answer = self.transport.exchange(&ask).await?;
        match answer.judge(&what, token, clock::now()) {
            // It had run out, or somebody else was first.
            Verdict::Fine | Verdict::Unauthorized(_) => Ok(()),
            Verdict::Limited(_, text) => Err(Trouble::transient(text)),
            Verdict::Failed(trouble) => Err(trouble),
        }
    }

    /// How often GitHub answered since the start.
    pub(super) fn answers(&self) -> Counts {
        self.transport.answers()
    }

    /// Installation tokens asked for since the start.
    pub(super) fn mints(&self) -> u64 {
        self.seen.mints()
    }

    /// The last rate-limit figures.
    pub(super) fn rates(&self) -> Vec<Rate> {
        self.seen.rates()
    }

    /// Our clock minus GitHub's, in milliseconds.
    pub(super) fn skew_ms(&self) -> i64 {
        self.seen.skew_ms()
    }

    /// For how much longer GitHub wants silence, for each installation that we have asked as.
    pub(super) fn silences(&self) -> Vec<(u64, Span)> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().map(|(installation, lane)| (*installation, lane.silence())).collect()
    }

    /// Asks nothing as this installation for so long.
    pub(super) fn keep_silent(&self, installation: u64, span: Span) {
        self.lane(installation).limited(Some(span));
    }

    fn lane(&self, installation: u64) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(installation).or_insert_with(|| Arc::new(Lane::new(self.pause))))
    }

    /// Sends a file to where GitHub takes files.
    pub(super) async fn upload(&self, identity: &Identity, target: &str, content: Content) -> Outcome<()> {
        let grant = self.keys.grant(identity, &self.transport, &self.seen).await?;
        let lane = self.lane(grant.installation);
        let turn = lane.enter(Weight::Content, self.transport.deadline()).await?;
        let answer = self.transport.upload(target, &grant.token, content).await?;
        drop(turn);
        let now = clock::now();
        self.seen.note(grant.installation, &answer.headers, now);
        let verdict = answer.judge(&format!("POST {}", shown(target)), &grant.token, now);
        if let Some(trouble) = self.refusal(verdict, (identity, &grant.token), &lane).await {
            return Err(trouble);
        }
        lane.fine();
        Ok(())
    }

    /// What a verdict means to whoever sends nothing again; nothing when it is fine.
    async fn refusal(
        &self,
        verdict: Verdict,
        (identity, token): (&Identity, &crate::secret::Secret),
        lane: &Lane,
    ) -> Option<Trouble> {
        match verdict {
            Verdict::Fine => None,
            Verdict::Limited(asked, text) => {
                Some(Trouble::new(Kind::Transient { retry_after: Some(lane.limited(asked)) }, text))
            }
            Verdict::Unauthorized(trouble) if self.keys.forget(identity, token).await => {
                // The next try has a new token.
                Some(Trouble::transient(trouble.to_string()))
            }
            Verdict::Unauthorized(trouble) | Verdict::Failed(trouble) => Some(trouble),
        }
    }

    /// Writes what GitHub keeps elsewhere to a new file of at most so many bytes.
    pub(super) async fn download(&self, identity: &Identity, target: &str, to: (&Path, u64)) -> Outcome<()> {
        let grant = self.keys.grant(identity, &self.transport, &self.seen).await?;
        let lane = self.lane(grant.installation);
        let turn = lane.enter(Weight::Read, self.transport.deadline()).await?;
        let ask =
            Ask { method: Method::GET, target: target.to_owned(), body: Bytes::new(), bearer: &grant.token };
        let answer = self.transport.ask_once(&ask).await?;
        drop(turn);
        let now = clock::now();
        self.seen.note(grant.installation, &answer.headers, now);
        if answer.status.is_redirection() {
            lane.fine();
            return self.transport.download(&ask, &answer, to).await;
        }
        let verdict = answer.judge(&format!("GET {target}"), &grant.token, now);
        let refusal = self.refusal(verdict, (identity, &grant.token), &lane).await;
        Err(refusal.unwrap_or_else(|| {
            Trouble::refused(format!("GET {target}: GitHub does not say where the file is"))
        }))
    }

    async fn call(&self, request: Request<OctoBody>) -> Outcome<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let Some(call) = parts.extensions.get::<Call>().cloned() else {
            return Err(Trouble::bug("a request to GitHub says neither for whom nor what it costs"));
        };
        let body = body.collect().await.map_err(|e| Trouble::bug("read our own request").because(e))?;
        let body = body.to_bytes();
        let target = parts.uri.to_string();
        let what = format!("{} {}", parts.method, shown(&target));
        let mut replayed = false;
        loop {
            let grant = self.keys.grant(&call.identity, &self.transport, &self.seen).await?;
            let lane = self.lane(grant.installation);
            let turn = lane.enter(call.weight, self.transport.deadline()).await?;
            let ask = Ask {
                method: parts.method.clone(),
                target: target.clone(),
                body: body.clone(),
                bearer: &grant.token,
            };
            let answer = self.transport.exchange(&ask).await?;
            drop(turn);
            let now = clock::now();
            self.seen.note(grant.installation, &answer.headers, now);
            match answer.judge(&what, &grant.token, now) {
                Verdict::Fine => {
                    lane.fine();
                    return Ok(response(answer));
                }
                // A refused credential means that nothing was applied, so even a write may be sent again.
                Verdict::Unauthorized(_)
                    if !replayed && self.keys.forget(&call.identity, &grant.token).await =>
                {
                    replayed = true;
                }
                Verdict::Unauthorized(trouble) => {
                    let hint = self.seen.skew_hint();
                    return Err(Trouble::refused(format!(
                        "{trouble}; check the credentials in the server's config{hint}"
                    )));
                }
                Verdict::Limited(asked, text) => {
                    let kind = Kind::Transient { retry_after: Some(lane.limited(asked)) };
                    return Err(Trouble::new(kind, text));
                }
                Verdict::Failed(trouble) => return Err(trouble),
            }
        }
    }
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// The failure that octocrab carried up, as we made it.
pub(super) fn unwrapped(error: octocrab::Error) -> Trouble {
    if let octocrab::Error::Service { source, .. } = error {
        return match source.downcast::<Trouble>() {
            Ok(trouble) => *trouble,
            Err(other) => Trouble::transient("ask GitHub").because(other),
        };
    }
    Trouble::bug("ask GitHub").because(error)
}

//! Webhooks made from the state, signed as GitHub signs them.

use base64::Engine as _;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::Full;
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sha2::Sha256;

use super::state::{APP_ID, APP_SLUG, Delivery, INSTALLATION, Spot, State};
use super::{FakeGitHub, show};

/// A delivery, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) event: String,
    pub(crate) guid: String,
    pub(crate) body: String,
}

/// `sha256=<hex>` over the body.
pub(crate) fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl Webhook {
    /// The headers that GitHub sends with it.
    pub(crate) fn headers(&self, secret: &str) -> Vec<(&'static str, String)> {
        vec![
            ("content-type", "application/json".to_owned()),
            ("user-agent", "GitHub-Hookshot/0000000".to_owned()),
            ("x-github-delivery", self.guid.clone()),
            ("x-github-event", self.event.clone()),
            ("x-github-hook-id", "1".to_owned()),
            ("x-hub-signature-256", signature(secret, &self.body)),
        ]
    }

    /// Sends it; 0 when there was no answer.
    async fn post(&self, url: &str, secret: &str) -> u16 {
        let mut request = Request::post(url);
        for (name, value) in self.headers(secret) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(self.body.clone()))).expect("a request");
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        client.request(request).await.map_or(0, |answer| answer.status().as_u16())
    }
}

impl State {
    fn webhook(&mut self, event: &str, repo: u64, sender: u64, mut payload: Value) -> Webhook {
        let id = self.fresh_id();
        payload["repository"] = self.show_repo(&self.repos[&repo]);
        payload["sender"] = self.show_user(sender);
        payload["installation"] = json!({
            "id": INSTALLATION,
            "node_id": base64::prelude::BASE64_STANDARD.encode(format!("Integration{INSTALLATION}")),
        });
        let guid = format!("{id:08x}-1000-4000-8000-{id:012x}");
        Webhook { event: event.to_owned(), guid, body: payload.to_string() }
    }

    /// A push of these commits (id, message), the last of which is the new head.
    pub(crate) fn push(
        &mut self,
        repo: u64,
        reference: &str,
        pusher: u64,
        commits: &[(&str, &str)],
    ) -> Webhook {
        let at = self.now().rfc3339();
        let who = self.users[&pusher].clone();
        let person = json!({"name": who.login, "email": "nobody@example.invalid", "username": who.login});
        let shown: Vec<Value> = commits
            .iter()
            .map(|(id, message)| {
                json!({
                    "id": id, "tree_id": "c".repeat(40), "message": message, "timestamp": at, "distinct": true,
                    "url": format!("https://payload-address.invalid/commit/{id}"), "author": person,
                    "committer": person, "added": [], "removed": [], "modified": ["README.md"],
                })
            })
            .collect();
        let after = commits.last().map_or_else(|| "0".repeat(40), |(id, _)| (*id).to_owned());
        let payload = json!({
            "ref": reference, "before": "b".repeat(40), "after": after, "created": false,
            "deleted": commits.is_empty(), "forced": false, "base_ref": null, "commits": shown,
            "compare": "https://payload-address.invalid/compare", "head_commit": shown.last(), "pusher": person,
        });
        self.webhook("push", repo, pusher, payload)
    }

    /// `opened`, `closed`, `synchronize` of a pull request.
    pub(crate) fn pull_request(&mut self, repo: u64, number: u64, action: &str, sender: u64) -> Webhook {
        let home = &self.repos[&repo];
        let pull = self.show_pull(home, &home.issues[&number]);
        let payload = json!({"action": action, "number": number, "pull_request": pull});
        self.webhook("pull_request", repo, sender, payload)
    }

    /// `created`, `edited` or `deleted` of a comment on a thread; `created` of one on a commit.
    pub(crate) fn comment_event(&mut self, repo: u64, comment: u64, action: &str) -> Webhook {
        let home = &self.repos[&repo];
        let comment = &home.comments[&comment];
        let sender = comment.author;
        let mut payload = json!({"action": action, "comment": self.show_comment(home, comment)});
        let event = match &comment.spot {
            Spot::Thread(n) => {
                payload["issue"] = self.show_issue(home, &home.issues[n]);
                "issue_comment"
            }
            Spot::Commit(_) => "commit_comment",
        };
        if action == "edited" {
            payload["changes"] = json!({"body": {"from": "the text before"}});
        }
        self.webhook(event, repo, sender, payload)
    }

    /// `completed` of a run of a workflow.
    pub(crate) fn run_event(&mut self, repo: u64, run: u64) -> Webhook {
        let run = self.repos[&repo].runs[&run].clone();
        let shown = super::actions::show(self, repo, &run);
        let payload =
            json!({"action": "completed", "workflow": {"id": 1, "name": "CI"}, "workflow_run": shown});
        self.webhook("workflow_run", repo, run.by, payload)
    }

    /// `create` or `delete` of a tag or branch.
    pub(crate) fn reference_event(
        &mut self,
        repo: u64,
        event: &str,
        (kind, name): (&str, &str),
        sender: u64,
    ) -> Webhook {
        let mut payload = json!({"ref": name, "ref_type": kind, "pusher_type": "user"});
        if event == "create" {
            payload["master_branch"] = json!(self.repos[&repo].default_branch);
            payload["description"] = json!(null);
        }
        self.webhook(event, repo, sender, payload)
    }

    /// The newest status of a context on a commit, reported as set by this sender.
    pub(crate) fn status_event(&mut self, repo: u64, sha: &str, context: &str, sender: u64) -> Webhook {
        let statuses = self.repos[&repo].statuses.iter().rev();
        let newest = statuses.clone().find(|s| s.sha == sha && s.context == context).expect("a status");
        let at = self.now().rfc3339();
        let payload = json!({
            "id": 1, "sha": sha, "name": self.repos[&repo].name, "context": context, "state": newest.state,
            "description": newest.description, "target_url": newest.target_url, "avatar_url": null,
            "commit": {"sha": sha}, "branches": [], "created_at": at, "updated_at": at,
        });
        self.webhook("status", repo, sender, payload)
    }

    /// Somebody clicks "Re-run" on a check run.
    pub(crate) fn rerequested(&mut self, repo: u64, check: u64, sender: u64) -> Webhook {
        let shown = show::check(check, &self.repos[&repo].checks[&check]);
        self.webhook("check_run", repo, sender, json!({"action": "rerequested", "check_run": shown}))
    }

    /// Somebody clicks "Re-run all checks" on a commit.
    pub(crate) fn all_rerequested(&mut self, repo: u64, sha: &str, sender: u64) -> Webhook {
        let shown = json!({
            "id": 1, "head_sha": sha, "head_branch": "main", "status": "queued", "conclusion": null,
            "app": {"id": APP_ID, "slug": APP_SLUG}, "pull_requests": [], "latest_check_runs_count": 3,
        });
        self.webhook("check_suite", repo, sender, json!({"action": "rerequested", "check_suite": shown}))
    }

    /// Somebody clicks a button of a check run.
    pub(crate) fn requested_action(
        &mut self,
        repo: u64,
        check: u64,
        identifier: &str,
        sender: u64,
    ) -> Webhook {
        let payload = json!({
            "action": "requested_action", "requested_action": {"identifier": identifier},
            "check_run": show::check(check, &self.repos[&repo].checks[&check]),
        });
        self.webhook("check_run", repo, sender, payload)
    }
}

impl FakeGitHub {
    /// Sends a webhook and keeps the outcome among the deliveries; answers with the status, 0 when there was none.
    pub(crate) async fn deliver(&self, hook: &Webhook, url: &str, secret: &str) -> u16 {
        let status_code = hook.post(url, secret).await;
        self.keep(hook, status_code);
        status_code
    }

    /// Sends the redeliveries that were asked for, and answers with their number.
    pub(crate) async fn deliver_asked(&self, url: &str, secret: &str) -> usize {
        let asked: Vec<Delivery> = self.state().deliveries.iter().filter(|d| d.asked).cloned().collect();
        for delivery in &asked {
            let Delivery { event, guid, body, .. } = delivery.clone();
            let status_code = Webhook { event, guid, body }.post(url, secret).await;
            let mut state = self.state();
            let kept = state.deliveries.iter_mut().find(|d| d.id == delivery.id).expect("never removed");
            (kept.asked, kept.status_code) = (false, status_code);
        }
        asked.len()
    }

    /// Keeps a webhook among the deliveries with what its receiver answered.
    pub(crate) fn keep(&self, hook: &Webhook, status_code: u16) {
        let mut state = self.state();
        let (id, at) = (state.fresh_id(), state.now());
        let (guid, body) = (hook.guid.clone(), hook.body.clone());
        state.deliveries.push(Delivery {
            id,
            guid,
            event: hook.event.clone(),
            body,
            at,
            status_code,
            asked: false,
        });
    }
}

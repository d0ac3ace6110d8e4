//! The state in GitHub's JSON, for answers and webhooks alike.

use serde_json::{Value, json};

use super::state::{APP_ID, APP_SLUG, Check, Comment, Issue, Repo, Spot, State, User};

/// Addresses in payloads lead to a host that does not exist: nobody may follow them (THREATS T52).
const WEB: &str = "https://payload-address.invalid";

pub(crate) fn user(user: &User) -> Value {
    let api = format!("{WEB}/users/{}", user.login);
    json!({
        "login": user.login, "id": user.id, "node_id": format!("U_{}", user.id), "type": user.kind,
        "site_admin": false, "gravatar_id": "", "avatar_url": format!("{WEB}/a/{}", user.id),
        "url": api, "html_url": format!("{WEB}/{}", user.login), "followers_url": format!("{api}/followers"),
        "following_url": format!("{api}/following"), "gists_url": format!("{api}/gists"),
        "starred_url": format!("{api}/starred"), "subscriptions_url": format!("{api}/subscriptions"),
        "organizations_url": format!("{api}/orgs"), "repos_url": format!("{api}/repos"),
        "events_url": format!("{api}/events"), "received_events_url": format!("{api}/received_events"),
    })
}

impl State {
    /// A user by id; null for one that was deleted.
    pub(crate) fn show_user(&self, id: u64) -> Value {
        self.users.get(&id).map_or(Value::Null, user)
    }

    pub(crate) fn show_repo(&self, repo: &Repo) -> Value {
        let (owner, name) = repo.name.split_once('/').unwrap_or_default();
        let visibility = if repo.private { "private" } else { "public" };
        json!({
            "id": repo.id, "node_id": format!("R_{}", repo.id), "name": name, "full_name": repo.name,
            "private": repo.private, "fork": false, "default_branch": repo.default_branch, "visibility": visibility,
            "owner": self.user_by_login(owner).map_or(Value::Null, user),
            "html_url": format!("{WEB}/{}", repo.name), "url": format!("{WEB}/repos/{}", repo.name),
            "clone_url": format!("{WEB}/{}.git", repo.name), "description": null,
        })
    }

    pub(crate) fn show_issue(&self, repo: &Repo, issue: &Issue) -> Value {
        let api = format!("{WEB}/repos/{}/issues/{}", repo.name, issue.number);
        let mut shown = json!({
            "id": 700_000 + issue.number, "node_id": format!("I_{}", issue.number), "number": issue.number,
            "title": issue.title, "body": issue.body, "user": self.show_user(issue.author), "state": "open",
            "url": api, "repository_url": format!("{WEB}/repos/{}", repo.name),
            "labels_url": format!("{api}/labels"), "comments_url": format!("{api}/comments"),
            "events_url": format!("{api}/events"), "html_url": format!("{WEB}/{}/issues/{}", repo.name, issue.number),
            "labels": [], "assignees": [], "assignee": null, "milestone": null, "locked": false, "comments": 0,
            "author_association": "NONE", "created_at": issue.created.rfc3339(),
            "updated_at": issue.created.rfc3339(), "closed_at": null,
        });
        if issue.pull.is_some() {
            let pull = format!("{WEB}/repos/{}/pulls/{}", repo.name, issue.number);
            shown["pull_request"] =
                json!({"url": pull, "html_url": pull, "diff_url": pull, "patch_url": pull});
        }
        shown
    }

    pub(crate) fn show_pull(&self, repo: &Repo, issue: &Issue) -> Value {
        let pull = issue.pull.as_ref().expect("a pull request");
        let side = |name: &str, sha: &str| {
            let label = format!("{}:{name}", repo.name.split('/').next().unwrap_or_default());
            json!({"label": label, "ref": name, "sha": sha, "user": null, "repo": self.show_repo(repo)})
        };
        let merged_at = pull.merged.as_ref().map(|_| self.now().rfc3339());
        let state = if pull.merged.is_some() { "closed" } else { "open" };
        json!({
            "id": 800_000 + issue.number, "node_id": format!("PR_{}", issue.number), "number": issue.number,
            "url": format!("{WEB}/repos/{}/pulls/{}", repo.name, issue.number), "state": state, "locked": false,
            "title": issue.title, "body": issue.body, "user": self.show_user(issue.author),
            "merged": pull.merged.is_some(), "merged_at": merged_at, "draft": false,
            "merge_commit_sha": pull.merged.clone().unwrap_or_else(|| "e".repeat(40)),
            "head": side("topic", &pull.head), "base": side(&repo.default_branch, &"b".repeat(40)),
            "created_at": issue.created.rfc3339(), "updated_at": self.now().rfc3339(),
        })
    }

    pub(crate) fn show_comment(&self, repo: &Repo, comment: &Comment) -> Value {
        let via = json!({"id": APP_ID, "slug": APP_SLUG, "node_id": "A_1", "name": APP_SLUG});
        let mut shown = json!({
            "id": comment.id, "node_id": format!("IC_{}", comment.id), "body": comment.body,
            "url": format!("{WEB}/repos/{}/issues/comments/{}", repo.name, comment.id),
            "html_url": format!("{WEB}/{}#{}", repo.name, comment.id), "user": self.show_user(comment.author),
            "author_association": "CONTRIBUTOR", "created_at": comment.created.rfc3339(),
            "updated_at": comment.updated.rfc3339(),
            "performed_via_github_app": if comment.via_app { via } else { json!(null) },
        });
        match &comment.spot {
            Spot::Thread(n) => shown["issue_url"] = json!(format!("{WEB}/repos/{}/issues/{n}", repo.name)),
            Spot::Commit(sha) => {
                shown["commit_id"] = json!(sha);
                for key in ["path", "position", "line"] {
                    shown[key] = json!(null);
                }
            }
        }
        shown
    }
}

pub(crate) fn check(id: u64, check: &Check) -> Value {
    let text = |key: &str| check.body.get(key).cloned().unwrap_or_default();
    json!({
        "id": id, "node_id": format!("CR_{id}"), "name": check.name, "head_sha": check.sha,
        "external_id": text("external_id"), "status": text("status"), "conclusion": text("conclusion"),
        "url": format!("{WEB}/check-runs/{id}"), "html_url": format!("{WEB}/check-runs/{id}"),
        "details_url": text("details_url"), "started_at": null, "completed_at": null,
        "output": {"title": null, "summary": null, "text": null, "annotations_count": 0, "annotations_url": WEB},
        "app": {"id": check.app, "slug": APP_SLUG}, "check_suite": {"id": 1}, "pull_requests": [],
    })
}

//! What a person may do, freshly asked and by id: roles, teams, kinds of account (THREATS T25, T26, T28).

use std::collections::BTreeSet;

use crate::domain::name::{CommitSha, Login, RepoId, TeamName};
use crate::domain::person::{Account, Person, Standing};
use crate::domain::pipeline::Role;
use crate::forge::github::app::Work;
use crate::forge::github::client::GitHub;
use crate::forge::github::dto;
use crate::forge::github::registry::Home;
use crate::forge::github::route::segment;
use crate::trouble::{Kind, Outcome, Trouble};

impl GitHub {
    /// A person's role and teams; whoever GitHub does not know by this id has neither.
    pub(super) async fn standing_of(
        &self,
        repo: &RepoId,
        person: &Person,
        teams: &BTreeSet<TeamName>,
    ) -> Outcome<Standing> {
        let home = self.home(repo).await?;
        let path =
            format!("/repositories/{}/collaborators/{}/permission", home.id, segment(person.login.as_str()));
        let found: Outcome<dto::Permission> = self.get(&home.to(Work::Look), &path).await;
        let permission = match found {
            Ok(permission) => permission,
            Err(trouble) if trouble.kind() == Kind::NotFound => return Ok(nobody(person)),
            Err(trouble) => return Err(trouble),
        };
        // The login may belong to somebody else by now: only the id counts.
        let same = permission.user.as_ref().filter(|user| user.id == person.id.0.get());
        let Some((user, known)) = same.and_then(|user| Some((user, user.person()?))) else {
            return Ok(nobody(person));
        };
        let mut standing = Standing {
            role: role(&permission.role_name, &permission.base),
            kind: account(user),
            person: known,
            teams: BTreeSet::new(),
        };
        for team in teams {
            if self.is_active_member(&home, team, &standing.person).await? {
                standing.teams.insert(team.clone());
            }
        }
        Ok(standing)
    }

    /// The account behind a login, as the repository's permissions tell it.
    pub(super) async fn account_of(&self, repo: &RepoId, login: &Login) -> Outcome<Option<Person>> {
        let home = self.home(repo).await?;
        let path = format!("/repositories/{}/collaborators/{}/permission", home.id, segment(login.as_str()));
        let found: Outcome<dto::Permission> = self.get(&home.to(Work::Look), &path).await;
        match found {
            Ok(permission) => Ok(permission.user.as_ref().and_then(dto::User::person)),
            Err(trouble) if trouble.kind() == Kind::NotFound => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Pending invitations are no membership; members of child teams are members (COMMANDS §3).
    async fn is_active_member(&self, home: &Home, team: &TeamName, person: &Person) -> Outcome<bool> {
        let (org, slug) = team.as_str().split_once('/').unwrap_or_default();
        let login = segment(person.login.as_str());
        let path = format!("/orgs/{}/teams/{}/memberships/{login}", segment(org), segment(slug));
        let found: Outcome<dto::Membership> = self.get(&home.to(Work::Members), &path).await;
        match found {
            Ok(membership) => Ok(membership.state == "active"),
            Err(trouble) if trouble.kind() == Kind::NotFound => Ok(false),
            Err(trouble) if trouble.kind() == Kind::Refused => Err(Trouble::refused(format!(
                "membership in @{team} cannot be read; give the GitHub App the organization permission `members: read`"
            ))
            .because(trouble)),
            Err(trouble) => Err(trouble),
        }
    }
}

fn nobody(person: &Person) -> Standing {
    Standing { person: person.clone(), role: Role::None, teams: BTreeSet::new(), kind: Account::Human }
}

/// The five roles by name; a custom role counts as the base permission it is made of, and so does a name that
/// does not fit its permission.
fn role(name: &str, permission: &str) -> Role {
    match (name, permission) {
        ("maintain", "write") => Role::Maintain,
        ("triage", "read") => Role::Triage,
        (_, "admin") => Role::Admin,
        (_, "write") => Role::Write,
        (_, "read") => Role::Read,
        (_, _) => Role::None,
    }
}

/// Bots, and every kind of account that is not known to be a person's.
fn account(user: &dto::User) -> Account {
    if user.kind == "User" && !user.login.ends_with("[bot]") { Account::Human } else { Account::Bot }
}

/// The end of addresses that GitHub gives to people who hide theirs: `<id>+<login>@…`.
const HIDDEN_ADDRESS: &str = "@users.noreply.github.com";

/// The login in an address that GitHub itself gave; anybody may write one, so it only ever excludes (THREATS T27).
fn hidden_login(email: &str) -> Option<Login> {
    let local = email.strip_suffix(HIDDEN_ADDRESS)?;
    local.rsplit_once('+').map_or(local, |(_, login)| login).parse().ok()
}

impl GitHub {
    /// The account GitHub links the commit's author to.
    pub(super) async fn author_of(
        &self,
        repo: &RepoId,
        commit: &CommitSha,
        email: &str,
    ) -> Outcome<Option<Login>> {
        if let Some(login) = hidden_login(email) {
            return Ok(Some(login));
        }
        let home = self.home(repo).await?;
        let path = format!("/repositories/{}/commits/{commit}", home.id);
        let found: Outcome<dto::Authored> = self.get(&home.to(Work::Look), &path).await;
        match found {
            Ok(authored) => Ok(authored.author.and_then(|user| user.login.parse().ok())),
            Err(trouble) if trouble.kind() == Kind::NotFound => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t25_roles_follow_the_name_only_where_the_permission_agrees() {
        let rows = [
            ("admin", "admin", Role::Admin),
            ("maintain", "write", Role::Maintain),
            ("write", "write", Role::Write),
            ("triage", "read", Role::Triage),
            ("read", "read", Role::Read),
            ("none", "none", Role::None),
            ("release-captain", "write", Role::Write),
            ("auditor", "read", Role::Read),
            ("maintain", "read", Role::Read),
            ("admin", "read", Role::Read),
            ("", "owner", Role::None),
            ("", "", Role::None),
        ];
        for (name, permission, expected) in rows {
            assert_eq!(role(name, permission), expected, "{name} {permission}");
        }
    }
}

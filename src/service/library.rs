//! The library of variable groups as releases and people use it: read, changed under its version, never unguarded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::clock;
use crate::domain::group::access::{Asker, GroupRole, Principal};
use crate::domain::group::{
    Author, Change, Entry, Group, GroupSnapshot, Refused, SecretRef, Value, template,
};
use crate::domain::name::{GroupName, Login, PipelineId, SecretAddress, TeamName, VariableName};
use crate::forge::Forge;
use crate::secret::Secret;
use crate::service::journal::Journal;
use crate::store::Store;
use crate::store::library::{GroupRow, GroupWrite, HistoryRow};
use crate::trouble::{Outcome, Trouble};
use crate::vault::{Fetched, SEALED, Vault, seal, usable};

/// How often a change is decided again when somebody else was first; two that write one group again and again
/// meet less often than this.
const TRIES: u32 = 8;

/// The groups of a server; clones share it.
#[derive(Clone)]
pub struct Library(Arc<Inner>);

struct Inner {
    store: Store,
    vault: Vault,
    hosts: BTreeMap<&'static str, Arc<dyn Forge>>,
    admins: BTreeSet<Principal>,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("admins", &self.0.admins).finish_non_exhaustive()
    }
}

/// Somebody who came in by a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Who they are, when that was proven.
    pub login: Option<Login>,
    /// The name of their token, or `loopback`.
    pub name: String,
}

/// A value as somebody gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewValue {
    /// A text that everybody may see.
    Plain(String),
    /// A secret to seal; it can be used, replaced and taken out, never read.
    Secret(Secret),
    /// A password that nobody knows, to seal.
    Generated,
    /// Where a secret is kept.
    At(SecretAddress),
}

/// What is to be different in a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Variables to set.
    pub set: BTreeMap<VariableName, NewValue>,
    /// Variables to take out.
    pub unset: BTreeSet<VariableName>,
    /// Roles to give.
    pub grant: BTreeMap<Principal, GroupRole>,
    /// Roles to take away.
    pub revoke: BTreeSet<Principal>,
    /// Only from this version.
    pub expect: Option<u32>,
}

/// What a change made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The group as it is now.
    pub group: Group,
    /// What was different; nothing when it was so already.
    pub changes: Vec<Change>,
}

/// An answer of the rules, or a failure of an edge.
pub type Answer<T> = Outcome<Result<T, Refused>>;

/// New secrets of a group: the variable in small letters, and the sealed bytes.
type Sealed = Vec<(String, Vec<u8>)>;

/// Leaves a function with a refusal of the rules.
macro_rules! allowed {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(refused) => return Ok(Err(refused)),
        }
    };
}

impl Library {
    /// The library in this store; `admins` may create groups and administer every one.
    pub fn new(
        store: Store,
        vault: Vault,
        hosts: BTreeMap<&'static str, Arc<dyn Forge>>,
        admins: BTreeSet<Principal>,
    ) -> Self {
        Self(Arc::new(Inner { store, vault, hosts, admins }))
    }

    /// Where its secrets are.
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// What a release of this pipeline takes of a group; it needs the role of a user on it.
    pub async fn snapshot(&self, pipeline: &PipelineId, name: &GroupName) -> Answer<GroupSnapshot> {
        let group = allowed!(self.find(name).await?);
        allowed!(group.authorize(&Asker::Pipeline(pipeline.clone()), GroupRole::User));
        if group.values.is_empty() {
            return Ok(Err(Refused::Empty(name.clone())));
        }
        Ok(Ok(group.snapshot()))
    }

    /// Whether who asks may change a group.
    pub async fn may_write(&self, name: &GroupName, asker: &Asker) -> Answer<()> {
        let group = allowed!(self.find(name).await?);
        Ok(group.authorize(asker, GroupRole::Administrator))
    }

    /// A secret's value, for the step that starts now. What may pass is transient.
    pub async fn fetch(&self, at: &SecretAddress, file: &[u8]) -> Outcome<Fetched> {
        if at.store() != SEALED {
            return self.0.vault.fetch(at, file, clock::now()).await;
        }
        let (group, variable) = at.path().split_once('/').unwrap_or_default();
        let row = self.0.store.sealed(group, variable).await?;
        let row = row.ok_or_else(|| Trouble::refused(format!("the secret {at} was taken out")))?;
        let value = self.0.vault.key().open(at.path(), &row.body)?;
        Ok(Fetched { value, version: format!("version {}", row.version) })
    }

    /// A group and what this visitor may do with it; who has no role on it does not learn that it is there.
    pub async fn see(&self, visitor: &Visitor, name: &GroupName) -> Answer<(Group, GroupRole)> {
        let group = allowed!(self.find(name).await?);
        let asker = self.asker(visitor, &group.access.teams()).await?;
        Ok(match group.access.role_of(&asker) {
            Some(role) => Ok((group, role)),
            None => Err(Refused::Missing(name.clone())),
        })
    }

    /// Groups after `after` in the order of their names that this visitor has a role on, and the role; and the name
    /// to go on after.
    pub async fn list(
        &self,
        visitor: &Visitor,
        after: &str,
        limit: u32,
    ) -> Outcome<(Vec<(Group, GroupRole)>, Option<String>)> {
        let rows = self.0.store.groups(after, limit).await?;
        let full = u32::try_from(rows.len()).is_ok_and(|count| count >= limit);
        let next = rows.last().filter(|_| full).map(|row| row.name.clone());
        let groups = rows.iter().map(read).collect::<Outcome<Vec<Group>>>()?;
        let teams: BTreeSet<TeamName> = groups.iter().flat_map(|group| group.access.teams()).collect();
        let asker = self.asker(visitor, &teams).await?;
        let seen = groups.into_iter().filter_map(|group| {
            let role = group.access.role_of(&asker)?;
            Some((group, role))
        });
        Ok((seen.collect(), next))
    }

    /// A group's history below version `before`, newest first; for who may see the group.
    pub async fn history(
        &self,
        visitor: &Visitor,
        name: &GroupName,
        (before, limit): (u32, u32),
    ) -> Answer<Vec<Entry>> {
        allowed!(self.see(visitor, name).await?);
        let rows = self.0.store.group_history(name.as_str(), before, limit).await?;
        Ok(Ok(rows.iter().map(read_entry).collect::<Outcome<_>>()?))
    }

    /// Creates a group; who creates it administers it.
    pub async fn create(&self, visitor: &Visitor, name: &GroupName, edit: &Edit) -> Answer<Group> {
        let asker = self.asker(visitor, &BTreeSet::new()).await?;
        let Asker::Person { login, admin: true, .. } = &asker else {
            return Ok(Err(Refused::Create { who: asker.to_string() }));
        };
        let creator = Principal::from(login);
        let nothing = Group { version: 0, ..Group::create(name.clone(), Some(creator)) };
        let (changes, sealed) = allowed!(self.changes(&nothing, edit)?);
        let (mut group, made) = allowed!(nothing.changed(changes));
        group.version = 1;
        let made: Vec<Change> = std::iter::once(Change::Created).chain(made).collect();
        let author = Author::Person { name: login.to_string() };
        let new = self.0.store.write_group(written(&nothing, &group, &made, (&author, sealed))?).await?;
        Ok(if new { Ok(group) } else { Err(Refused::Exists(name.clone())) })
    }

    /// Creates the groups of a pipeline's stages that are not there yet, each with the pipeline as its user
    /// (CHECKLIST A06); the names, and whether each is new.
    pub async fn create_for_stages(
        &self,
        visitor: &Visitor,
        pipeline: &PipelineId,
        (text, with): (&str, &BTreeMap<String, String>),
    ) -> Answer<Vec<(GroupName, bool)>> {
        let state = Journal::new(self.0.store.clone()).load(pipeline).await?;
        let declared = state.head.as_ref().map(|(_, pipeline)| Arc::clone(pipeline));
        let declared =
            declared.or_else(|| state.in_order().last().map(|r| Arc::new(*r.created.pipeline.clone())));
        let declared = declared.ok_or_else(|| {
            Trouble::not_found(format!("there is no pipeline {pipeline}; push its manifest first"))
        })?;
        let names = allowed!(template::names(text, &declared, with).map_err(Refused::BadTemplate));
        let user = [(Principal::Pipeline(pipeline.clone()), GroupRole::User)];
        let edit = Edit { grant: user.into(), ..Edit::default() };
        let mut made = Vec::with_capacity(names.len());
        for name in names {
            let new = match self.create(visitor, &name, &edit).await? {
                Ok(_) => true,
                Err(Refused::Exists(_)) => false,
                Err(refused) => return Ok(Err(refused)),
            };
            made.push((name, new));
        }
        Ok(Ok(made))
    }

    /// Changes a group for a visitor who administers it.
    pub async fn edit(&self, visitor: &Visitor, name: &GroupName, edit: &Edit) -> Answer<Changed> {
        let group = allowed!(self.find(name).await?);
        let asker = self.asker(visitor, &group.access.teams()).await?;
        if group.access.role_of(&asker).is_none() {
            return Ok(Err(Refused::Missing(name.clone())));
        }
        let author = Author::Person { name: asker.to_string() };
        self.change(name, &asker, edit, &author).await
    }

    /// Changes a group for somebody who must administer it, decided again when somebody else was first.
    pub async fn change(
        &self,
        name: &GroupName,
        asker: &Asker,
        edit: &Edit,
        author: &Author,
    ) -> Answer<Changed> {
        for _ in 0..TRIES {
            let group = allowed!(self.find(name).await?);
            allowed!(group.authorize(asker, GroupRole::Administrator));
            if edit.expect.is_some_and(|expect| expect != group.version) {
                return Ok(Err(Refused::Stale { group: name.clone(), now: group.version }));
            }
            let (changes, sealed) = allowed!(self.changes(&group, edit)?);
            let (next, made) = allowed!(group.changed(changes));
            let nothing = made.is_empty();
            if nothing || self.0.store.write_group(written(&group, &next, &made, (author, sealed))?).await? {
                return Ok(Ok(Changed { group: next, changes: made }));
            }
        }
        Err(Trouble::conflict(format!("the group `{name}` changes all the time; change it again")))
    }

    /// An edit as changes of this group, and the secrets it seals.
    fn changes(&self, group: &Group, edit: &Edit) -> Answer<(Vec<Change>, Sealed)> {
        let mut changes = Vec::new();
        let mut sealed = Vec::new();
        for (name, value) in &edit.set {
            let generated;
            let value = match value {
                NewValue::Plain(text) => Value::Plain(text.clone()),
                NewValue::At(at) => {
                    self.0.vault.check(at)?;
                    Value::Secret(SecretRef { at: at.clone(), version: 0 })
                }
                NewValue::Secret(_) | NewValue::Generated => {
                    let secret = if let NewValue::Secret(secret) = value {
                        secret
                    } else {
                        generated = seal::generate()?;
                        &generated
                    };
                    let bad = |why: &str| Refused::BadSecret(name.clone(), why.to_owned());
                    allowed!(usable(secret.expose()).map_err(bad));
                    let at = address(&group.name, name)?;
                    sealed.push((own(name), self.0.vault.key().seal(at.path(), secret)?));
                    Value::Secret(SecretRef { at, version: 0 })
                }
            };
            changes.push(Change::Set { name: name.clone(), value });
        }
        changes.extend(edit.unset.iter().map(|name| Change::Unset { name: name.clone() }));
        changes.extend(edit.grant.iter().map(|(to, role)| Change::Granted { to: to.clone(), role: *role }));
        changes.extend(edit.revoke.iter().map(|from| Change::Revoked { from: from.clone() }));
        Ok(Ok((changes, sealed)))
    }

    async fn find(&self, name: &GroupName) -> Answer<Group> {
        match self.0.store.group(name.as_str()).await? {
            Some(row) => Ok(Ok(read(&row)?)),
            None => Ok(Err(Refused::Missing(name.clone()))),
        }
    }

    /// Whether the server's own token may speak for this person: on a plain host it does so in comments, too.
    pub async fn speaks_for(&self, login: &Login) -> Outcome<bool> {
        let Some(host) = self.0.hosts.get("plain") else { return Ok(false) };
        let Some(repo) = host.configured().await?.into_iter().next() else { return Ok(false) };
        Ok(host.person_called(&repo, login).await?.is_some())
    }

    /// Who a visitor is, with those of these teams they are in; a host that does not answer lets nobody in.
    async fn asker(&self, visitor: &Visitor, teams: &BTreeSet<TeamName>) -> Outcome<Asker> {
        let Some(login) = &visitor.login else { return Ok(Asker::Server { name: visitor.name.clone() }) };
        let named = |who: &Principal| is_user(who, login);
        let of_admins: BTreeSet<TeamName> = self.0.admins.iter().filter_map(team).collect();
        let mut found = BTreeSet::new();
        if !self.0.admins.iter().any(named) {
            let asked: BTreeSet<TeamName> = teams.union(&of_admins).cloned().collect();
            if !asked.is_empty() {
                found = self.teams(login, &asked).await?;
            }
        }
        let admin = self.0.admins.iter().any(named) || of_admins.iter().any(|team| found.contains(team));
        Ok(Asker::Person { login: login.clone(), teams: found, admin })
    }

    async fn teams(&self, login: &Login, teams: &BTreeSet<TeamName>) -> Outcome<BTreeSet<TeamName>> {
        let mut found = BTreeSet::new();
        for host in self.0.hosts.values() {
            for repo in host.configured().await? {
                let left: BTreeSet<TeamName> = teams.difference(&found).cloned().collect();
                if left.is_empty() {
                    return Ok(found);
                }
                if let Some(person) = host.person_called(&repo, login).await? {
                    found.extend(host.standing(&repo, &person, &left).await?.teams);
                }
            }
        }
        Ok(found)
    }
}

fn is_user(who: &Principal, login: &Login) -> bool {
    matches!(who, Principal::User(known) if known.as_str().eq_ignore_ascii_case(login.as_str()))
}

fn team(who: &Principal) -> Option<TeamName> {
    match who {
        Principal::Team(team) => Some(team.clone()),
        Principal::User(_) | Principal::Pipeline(_) => None,
    }
}

/// A variable as the sealed secrets are kept by: case does not tell two apart.
fn own(name: &VariableName) -> String {
    name.as_str().to_ascii_lowercase()
}

/// Where a sealed secret of a group is kept.
fn address(group: &GroupName, name: &VariableName) -> Outcome<SecretAddress> {
    let text = format!("{SEALED}:{group}/{}", own(name));
    text.parse().map_err(|e| Trouble::bug("a sealed secret has no address").because(Box::new(e)))
}

fn read(row: &GroupRow) -> Outcome<Group> {
    serde_json::from_str(&row.body)
        .map_err(|e| Trouble::bug(format!("the stored group `{}` does not read", row.name)).because(e))
}

fn read_entry(row: &HistoryRow) -> Outcome<Entry> {
    let bad =
        |e: serde_json::Error| Trouble::bug("a stored entry of a group's history does not read").because(e);
    Ok(Entry {
        version: row.version,
        at: row.at,
        by: serde_json::from_str(&row.author).map_err(bad)?,
        changes: serde_json::from_str(&row.changes).map_err(bad)?,
    })
}

fn text(value: &impl serde::Serialize) -> Outcome<String> {
    serde_json::to_string(value).map_err(|e| Trouble::bug("write a group as JSON").because(e))
}

/// The addresses of a group's sealed secrets.
fn seals(group: &Group) -> BTreeSet<String> {
    let sealed = |(name, value): (&VariableName, &Value)| match value {
        Value::Secret(secret) if secret.at.store() == SEALED => Some(own(name)),
        Value::Secret(_) | Value::Plain(_) => None,
    };
    group.values.iter().filter_map(sealed).collect()
}

fn written(
    old: &Group,
    next: &Group,
    made: &[Change],
    (author, sealed): (&Author, Sealed),
) -> Outcome<GroupWrite> {
    let author = text(author)?;
    let entry = HistoryRow { version: next.version, at: clock::now(), author, changes: text(&made)? };
    Ok(GroupWrite {
        name: next.name.to_string(),
        expect: old.version,
        body: text(next)?,
        entry,
        sealed,
        unsealed: seals(old).difference(&seals(next)).cloned().collect(),
    })
}

//! Putting a tag into another repository, by the same hardened program; a tag that is there is never moved.

use std::process::Command;

use super::fetch::{Remote, harden, run, shortened};
use super::repo::{Mirror, failed};
use super::write::{NewTag, annotation};
use crate::domain::time::Span;
use crate::trouble::{Outcome, Trouble};

impl Mirror {
    /// Makes an annotated tag and puts it there; a conflict when something has its name.
    ///
    /// Without force the other side takes it only as long as nothing has the name (THREATS T35).
    pub fn push_tag(&self, remote: &Remote, new: NewTag<'_>, deadline: Span) -> Outcome<()> {
        let what = format!("put the tag {} into {}", new.name, remote.url());
        let alone = self.alone()?;
        let made = annotation(&self.repo, &new, &self.commit(new.commit)?);
        let id = made.map_err(|e| failed(what.clone(), e))?;
        drop(alone);
        let mut command = Command::new("git");
        command
            .current_dir(self.path())
            .args(["--git-dir=.", "push", "--quiet", "--no-verify", "--", remote.url()])
            .arg(format!("{id}:refs/tags/{}", new.name));
        harden(&mut command, remote);
        let (status, complaint) = run(command, deadline)?;
        if status.success() {
            return Ok(());
        }
        let text = shortened(remote, &complaint);
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
        let trouble = if says(&["already exists", "rejected", "reference already"]) {
            Trouble::conflict(what)
        } else if says(&["could not read Username", "Authentication failed", "error: 401", "error: 403"]) {
            Trouble::refused(format!(
                "{what}: the host does not let us write; the token of its [[repository]] has to"
            ))
        } else {
            Trouble::transient(what)
        };
        Err(trouble.because(text))
    }
}

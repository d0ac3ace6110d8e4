//! What is checked of the promotion chain: that links are signed, of their steps, about these files, and by so many
//! people.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Checked, folder};
use crate::domain::evidence::chain::{LINK, Linked, forms, read};
use crate::domain::evidence::claim::{Claim, of_another};
use crate::domain::name::printable;
use crate::sign::Public;
use crate::trouble::{Outcome, Trouble};

/// Every link in a folder, all of one release when one was asked for.
pub(super) fn links(
    folder: &Path,
    names: &BTreeSet<String>,
    (keys, of): (&[Public], Option<&str>),
) -> Outcome<Vec<Linked>> {
    let mut all = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(LINK)) {
        let path = folder.join(name);
        let unproven =
            |why: String| Trouble::refused(format!("{} is not proven: {name}: {why}", folder.display()));
        for link in folder::opened(&folder::text(&path)?, keys).map_err(unproven)? {
            if let Some(other) = of.and_then(|of| of_another(&link, &[], of)) {
                return Err(unproven(format!("it is of {}", printable(other))));
            }
            all.push(read(name, &link).map_err(unproven)?);
        }
    }
    let mut people = BTreeSet::new();
    let counted = all.iter().filter_map(|linked| linked.counted().zip(linked.person.as_ref()));
    for (stage, (id, login)) in counted {
        if !people.insert((stage, id)) {
            let what = format!("{} counts {} twice in {stage}", folder.display(), printable(login));
            return Err(Trouble::refused(what));
        }
    }
    Ok(all)
}

impl Checked {
    /// Adds the steps that the file went through, which all left the bytes that it has, or those that a later one made
    /// it of.
    pub(super) fn went_through(&mut self, links: &[Linked]) -> Result<(), String> {
        let forms = forms(links, &self.file, self.digest.hex());
        for linked in links {
            if !forms.contains(&linked.products.get(&self.file).map(String::as_str)) {
                return Err(format!("the step {} left other bytes", printable(&linked.step)));
            }
            let by = linked.person.as_ref().map(|(_, login)| login.clone());
            self.claims.push(Claim::Linked { step: linked.step.clone(), by });
        }
        Ok(())
    }
}

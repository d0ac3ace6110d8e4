//! `asset`: what a release promises is there, not empty, of the size and kind that it says, and in a list of checksums.
//!
//! Without a contract what is promised is what its artifacts are: each has something in it, and what a file's name says
//! that it is, it is.

use std::path::PathBuf;

use super::checksum::{self, Lists};
use super::{Item, Promise, Verdict, kind, signing};
use crate::domain::contract::{Asset, FileKind};
use crate::trouble::{Outcome, Trouble};

/// Looks at every file that is promised.
pub(super) fn look(items: &[Item], promise: &Promise<'_>) -> Outcome<Verdict> {
    let mut verdict = Verdict::default();
    match promise.contract {
        Some(contract) => {
            let lists = Lists::of(items)?;
            for asset in &contract.assets {
                look_at(asset, (items, &lists), &mut verdict)?;
            }
        }
        None => look_at_all(items, promise.roots, &mut verdict)?,
    }
    Ok(verdict)
}

/// The files of an asset; for an artifact as a whole all of its files.
pub(super) fn files<'i>(asset: &Asset, items: &'i [Item]) -> Vec<&'i Item> {
    let fits = |item: &&Item| {
        let Some(path) = item.below(asset.artifact.as_str()) else { return false };
        asset.files.as_ref().is_none_or(|files| files.matches(path))
    };
    items.iter().filter(fits).collect()
}

fn look_at(asset: &Asset, (items, lists): (&[Item], &Lists<'_>), verdict: &mut Verdict) -> Outcome<()> {
    let found = files(asset, items);
    let whole = asset.files.is_none();
    let is_folder = whole && found.iter().any(|item| item.shown.contains('/'));
    if found.is_empty() {
        verdict.tell(match &asset.files {
            Some(files) => format!("{}: it has no file `{files}`", asset.artifact),
            None => format!("{}: it has no file", asset.artifact),
        });
        return Ok(());
    }
    if is_folder && asset.kind != Some(FileKind::Image) && asset.kind.is_some() {
        verdict.tell(format!("{}: it is a folder, not a file", asset.artifact));
        return Ok(());
    }
    let mut filled = false;
    for item in found {
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let bytes = size(item)?;
        filled |= bytes > 0;
        // A folder may have empty files; its own size is the seal's to say.
        let wrong = if whole { None } else { asset.wrong_size(bytes) };
        let wrong = match wrong {
            None if bytes > 0 => kind::wrong(item, asset.kind)?,
            other => other,
        };
        if let Some(wrong) = wrong {
            verdict.problem(item, wrong);
        }
        let is_extra = checksum::is_list(&item.path) || signing::is_signature(item);
        if asset.checksum
            && !is_extra
            && let Some(why) = lists.wrong(item)?
        {
            verdict.problem(item, why);
        }
    }
    if !filled {
        verdict.tell(format!("{}: it is empty", asset.artifact));
    }
    Ok(())
}

fn look_at_all(items: &[Item], roots: &[PathBuf], verdict: &mut Verdict) -> Outcome<()> {
    for root in roots {
        let name = super::shown(root);
        let mut filled = false;
        for item in items.iter().filter(|item| item.below(&name).is_some()) {
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            if size(item)? == 0 {
                continue;
            }
            filled = true;
            if let Some(wrong) = kind::wrong(item, None)? {
                verdict.problem(item, wrong);
            }
        }
        if !filled {
            verdict.tell(format!("{name}: it is empty"));
        }
    }
    Ok(())
}

fn size(item: &Item) -> Outcome<u64> {
    let meta = std::fs::symlink_metadata(&item.path);
    Ok(meta.map_err(|e| Trouble::transient(format!("read {}", item.shown)).because(e))?.len())
}

//! `signing`: what is to be signed is signed, by whom the release's contract says.
//!
//! A signature beside a file is *verified* when the contract names keys: those of OpenSSH (`.sig`, namespace `file`)
//! and of minisign (`.minisig`). What is inside a file (Authenticode, Apple's code signature, RPM's header, `NuGet`,
//! Debian) and what GPG leaves beside one is *present*: it is read, and where it lists digests of the file's bytes
//! these must be right, but who made it is not looked at. What is missing or cannot be read is a problem (THREATS T45).

use std::collections::{BTreeMap, BTreeSet};

use super::asset::files;
use super::embedded::{self, Inside};
use super::{Item, Promise, Verdict, whole};
use crate::trouble::Outcome;

/// How a signature beside a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// As `ssh-keygen -Y sign -n file` does.
    Ssh,
    /// As `minisign -S` does.
    Minisign,
    /// As `gpg --detach-sign` does.
    Gpg,
}

/// How well a file is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Signed {
    /// There is a signature, and nobody here knows whose.
    Present,
    /// One of the contract's keys made it.
    Verified,
}

/// Endings of files with signatures, in small letters.
const ENDINGS: [(&str, Seal); 5] = [
    (".minisig", Seal::Minisign),
    (".sshsig", Seal::Ssh),
    (".sig", Seal::Ssh),
    (".asc", Seal::Gpg),
    (".gpg", Seal::Gpg),
];
/// What OpenSSH's and GPG's signatures begin with.
const SSH_BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const GPG_BEGIN: &str = "-----BEGIN PGP SIGNATURE-----";

/// Signatures by the file that each is of, as it is told.
type Beside<'i> = BTreeMap<&'i str, Vec<(&'i Item, Seal)>>;

/// Looks at everything that is signed or has to be.
pub(super) fn look(items: &[Item], promise: &Promise<'_>) -> Outcome<Verdict> {
    look_at_those(items, promise, false)
}

/// Looks at what the contract says is signed, and at nothing else.
pub(super) fn promised(items: &[Item], promise: &Promise<'_>) -> Outcome<Verdict> {
    look_at_those(items, promise, true)
}

fn look_at_those(items: &[Item], promise: &Promise<'_>, only_promised: bool) -> Outcome<Verdict> {
    let mut verdict = Verdict::default();
    let (mut present, mut verified) = (0_usize, 0_usize);
    let promised = promise.contract.iter().flat_map(|contract| &contract.assets);
    let promised = promised.filter(|asset| asset.signed).flat_map(|asset| files(asset, items));
    let promised: BTreeSet<&str> = promised.map(|item| item.shown.as_str()).collect();
    let mut beside = Beside::new();
    for item in items {
        if let Some((of, seal)) = signed_by(item) {
            beside.entry(of).or_default().push((item, seal));
        }
    }
    for item in items.iter().filter(|item| !is_signature(item)) {
        let seals = beside.remove(item.shown.as_str()).unwrap_or_default();
        let is_promised = promised.contains(item.shown.as_str());
        if only_promised && !is_promised {
            continue;
        }
        match look_at(item, &seals, (promise, is_promised))? {
            Ok(None) => continue,
            Ok(Some(Signed::Present)) => present = present.saturating_add(1),
            Ok(Some(Signed::Verified)) => verified = verified.saturating_add(1),
            Err(why) => verdict.problem(item, why),
        }
        verdict.looked_at = verdict.looked_at.saturating_add(1);
    }
    for (item, _) in beside.into_values().flatten().filter(|_| !only_promised) {
        verdict.problem(item, "what it signs is not beside it");
    }
    if present > 0 || verified > 0 {
        verdict.notes.push(format!(
            "{verified} signed by keys of the contract, {present} by somebody who is not known here"
        ));
    }
    Ok(verdict)
}

/// Whether a file is a signature of another one.
pub(super) fn is_signature(item: &Item) -> bool {
    signed_by(item).is_some()
}

/// The file that a signature is of, as it is told.
fn signed_by(item: &Item) -> Option<(&str, Seal)> {
    let lower = item.shown.to_ascii_lowercase();
    let (ending, seal) = ENDINGS.into_iter().find(|(ending, _)| lower.ends_with(ending))?;
    Some((item.shown.get(..item.shown.len().checked_sub(ending.len())?)?, seal))
}

/// How one file is signed; nothing when it is not and need not be. The inner error is what is wrong.
fn look_at(
    item: &Item,
    seals: &[(&Item, Seal)],
    (promise, is_promised): (&Promise<'_>, bool),
) -> Outcome<Result<Option<Signed>, String>> {
    let mut best = None;
    for (beside, seal) in seals {
        match beside_it(item, (beside, *seal), promise)? {
            Ok(signed) => best = best.max(Some(signed)),
            Err(why) => return Ok(Err(format!("{}: {why}", beside.name()))),
        }
    }
    match embedded::inside(item)? {
        Inside::Signed => best = best.max(Some(Signed::Present)),
        Inside::Wrong(why) => return Ok(Err(why)),
        // What systems refuse to run unsigned is to be signed whether anybody promised it or not.
        Inside::Unsigned { must: true } if best.is_none() => return Ok(Err("it is not signed".to_owned())),
        Inside::Unsigned { .. } | Inside::Unknown => {}
    }
    let known = promise.contract.is_some_and(|contract| contract.keys.is_some());
    Ok(match best {
        None if is_promised => Err("it is not signed".to_owned()),
        // With keys to check with, a signature that nobody can check is not what was promised.
        Some(Signed::Present) if is_promised && known => {
            Err("none of the contract's keys signed it".to_owned())
        }
        best => Ok(best),
    })
}

/// What a signature beside a file says of it.
fn beside_it(
    item: &Item,
    (signature, seal): (&Item, Seal),
    promise: &Promise<'_>,
) -> Outcome<Result<Signed, String>> {
    let Some(bytes) = whole(signature)? else { return Ok(Err("it is too large".to_owned())) };
    let text = String::from_utf8(bytes);
    let is_gpg = matches!(&text, Ok(text) if text.trim_start().starts_with(GPG_BEGIN));
    if seal == Seal::Gpg || is_gpg {
        // Unarmored, it begins with the tag of a signature packet (RFC 9580, 4.2).
        let binary = text.as_ref().err().and_then(|e| e.as_bytes().first().copied());
        let is_packet = binary.is_some_and(|first| matches!(first, 0xC2 | 0x88..=0x8B));
        let good = is_gpg || is_packet;
        return Ok(if good { Ok(Signed::Present) } else { Err("it is no signature of GPG".to_owned()) });
    }
    let Ok(text) = text else { return Ok(Err("it is no signature".to_owned())) };
    if promise.contract.is_none_or(|contract| contract.keys.is_none()) {
        let begins = match seal {
            Seal::Ssh => text.trim_start().starts_with(SSH_BEGIN),
            Seal::Minisign => text.starts_with("untrusted comment: "),
            Seal::Gpg => false,
        };
        return Ok(if begins { Ok(Signed::Present) } else { Err("it is no signature".to_owned()) });
    }
    let Some(file) = whole(item)? else { return Ok(Err("the file is too large to be checked".to_owned())) };
    Ok((promise.proof)(seal, &text, &file).map(|()| Signed::Verified))
}

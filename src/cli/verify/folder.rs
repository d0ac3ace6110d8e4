//! What is checked of files that are here: every signature, every digest, every statement, and that none is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::{Checked, chain};
use crate::artifact::hashing::{Sum512, copy, digest_of};
use crate::domain::evidence::chain::LINK;
use crate::domain::evidence::claim::{
    belonging, claim, is_about, is_of, named, of_another, one_release, said_at,
};
use crate::domain::evidence::{
    BUNDLE_FILE, ENVELOPE, PAYLOAD_TYPE, PROVENANCE_FILE, SHA256SUMS, SHA512SUMS, STATEMENTS,
};
use crate::domain::name::{Digest, is_file_name, printable};
use crate::sign::{Envelope, Public, minisign, ssh};
use crate::trouble::{Outcome, Trouble};

/// Largest file of statements or keys that is read: a statement has some kilobytes.
pub(super) const MAX_TEXT_BYTES: u64 = 16 * 1024 * 1024;
/// Most files of a folder that are looked at.
const MAX_FILES: usize = 10_000;

/// One file by the statements about it.
pub(super) fn file(path: &Path, statements: &Path, keys: &[Public]) -> Outcome<Checked> {
    let unproven = |why: &str| {
        Trouble::refused(format!("{} is not proven by {}: {why}", path.display(), statements.display()))
    };
    let digest = hashed(path)?;
    let all = opened(&text(statements)?, keys).map_err(|why| unproven(&why))?;
    let about = |statement: &&Value| named(statement, &digest).is_some();
    let all: Vec<Value> = all.iter().filter(about).cloned().collect();
    let release = one_release(&all).map_err(|why| unproven(&why))?.map(str::to_owned);
    let file = path.display().to_string();
    let mut checked = Checked { file, digest, release, sums: Vec::new(), claims: Vec::new() };
    checked.take(&all).map_err(|why| unproven(&why))?;
    if checked.is_proven() { Ok(checked) } else { Err(unproven(&unsaid(&checked.digest))) }
}

fn unsaid(digest: &Digest) -> String {
    format!("it is not about a file with the digest {digest}")
}

/// All files of a release: of this one, when one was asked for by its place on a server.
pub(super) fn release(folder: &Path, keys: &[Public], of: Option<&str>) -> Outcome<Vec<Checked>> {
    let unproven = |why: String| Trouble::refused(format!("{} is not proven: {why}", folder.display()));
    let names = names(folder)?;
    let sums = sums(folder, &names, keys)?;
    let mut all = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(STATEMENTS) || name.ends_with(ENVELOPE)) {
        let lines = text(&folder.join(name))?;
        all.extend(opened(&lines, keys).map_err(|why| unproven(format!("{name}: {why}")))?);
    }
    bundle(folder, &names, keys).map_err(unproven)?;
    let of = match of {
        Some(of) => Some(of),
        None => one_release(&all).map_err(unproven)?,
    };
    if let Some((other, of)) = of.and_then(|of| Some((all.iter().find_map(|s| of_another(s, &all, of))?, of)))
    {
        return Err(unproven(format!("what is signed is of {}, and {of} was asked for", printable(other))));
    }
    let links = chain::links(folder, &names, (keys, of))?;
    let files: BTreeSet<&String> = sums.values().flat_map(BTreeMap::keys).collect();
    let mut checked = Vec::new();
    for file in files {
        if !is_file_name(file) || !names.contains(file) {
            return Err(unproven(format!("{} is listed and not there", printable(file))));
        }
        let because = |why: String| unproven(format!("{file}: {why}"));
        let mut one = listed(folder, file, (&sums, &all)).map_err(because)?;
        one.release = of.map(str::to_owned);
        one.went_through(&links).map_err(because)?;
        if let Some(of) = of {
            let says = |said: &Value| named(said, &one.digest).is_some() && is_of(said, of);
            if !all.iter().any(says) {
                return Err(because(format!("nothing that is signed says that it is of {of}")));
            }
        }
        checked.push(one);
    }
    others(folder, &names, (&sums, &all)).map_err(unproven)?;
    Ok(checked)
}

/// What is in the folder beside the files of the lists: what a statement says belongs to them is there, and nothing is
/// there that nobody signed.
fn others(folder: &Path, names: &BTreeSet<String>, (sums, all): (&Sums, &[Value])) -> Result<(), String> {
    let hashed = |name: &str| hashed(&folder.join(name)).map_err(|trouble| trouble.chain());
    let mut known: BTreeSet<&str> = sums.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
    for (name, sha256) in all.iter().flat_map(belonging) {
        if !is_file_name(name) || !names.contains(name) {
            return Err(format!("{} belongs to it and is not there", printable(name)));
        }
        if hashed(name)?.hex() != sha256 {
            return Err(format!("{name} is not what belongs to it"));
        }
        known.insert(name);
    }
    for name in names.iter().filter(|name| !known.contains(name.as_str()) && !is_proof(name, sums)) {
        let digest = hashed(name)?;
        if !all.iter().any(|statement| is_about(statement, name, &digest)) {
            let name = printable(name);
            return Err(format!("nobody signed {name}: take it away if it is no file of the release"));
        }
    }
    Ok(())
}

/// Whether a file is one of those that are checked for their signatures.
fn is_proof(name: &str, sums: &Sums) -> bool {
    let list = name.strip_suffix(".sig").or_else(|| name.strip_suffix(".minisig")).unwrap_or(name);
    [STATEMENTS, ENVELOPE, LINK].iter().any(|ending| name.ends_with(ending))
        || name == BUNDLE_FILE
        || sums.contains_key(list)
}

/// The bundle of Sigstore's is what was made of the provenance beside it, and nothing else.
fn bundle(folder: &Path, names: &BTreeSet<String>, keys: &[Public]) -> Result<(), String> {
    if !names.contains(BUNDLE_FILE) {
        return Ok(());
    }
    let because = |why: String| format!("{BUNDLE_FILE}: {why}");
    let read = |name: &str| text(&folder.join(name)).map_err(|trouble| because(trouble.chain()));
    let said: Value = serde_json::from_str(&read(BUNDLE_FILE)?).map_err(|e| because(e.to_string()))?;
    let envelope = said.get("dsseEnvelope").cloned().unwrap_or_default();
    let envelope: Envelope = serde_json::from_value(envelope).map_err(|e| because(e.to_string()))?;
    statement(&envelope, keys).map_err(because)?;
    if said != envelope.bundle() {
        return Err(because("it was changed since it was made".to_owned()));
    }
    let provenance = read(PROVENANCE_FILE)?;
    let mut lines = provenance.lines().filter_map(|line| serde_json::from_str::<Envelope>(line).ok());
    if lines.any(|line| line == envelope) {
        Ok(())
    } else {
        Err(because(format!("it is not what {PROVENANCE_FILE} has")))
    }
}

type Sums = BTreeMap<&'static str, BTreeMap<String, String>>;

fn listed(folder: &Path, file: &str, (sums, all): (&Sums, &[Value])) -> Result<Checked, String> {
    let path = folder.join(file);
    let digest = hashed(&path).map_err(|trouble| trouble.chain())?;
    let file_name = file.to_owned();
    let mut checked =
        Checked { file: file_name, digest, release: None, sums: Vec::new(), claims: Vec::new() };
    for (list, lines) in sums {
        let found = match *list {
            SHA256SUMS => checked.digest.hex().to_owned(),
            _ => sum_of(&path).map_err(|trouble| trouble.chain())?,
        };
        if lines.get(file) != Some(&found) {
            return Err(format!("its bytes are not those of {list}"));
        }
        checked.sums.push((*list).to_owned());
    }
    checked.take(all)?;
    if checked.is_proven() { Ok(checked) } else { Err("no statement says where it comes from".to_owned()) }
}

/// The signed lists: at least one, and whatever signature is there is good.
fn sums(folder: &Path, names: &BTreeSet<String>, keys: &[Public]) -> Outcome<Sums> {
    let mut all = Sums::new();
    for list in [SHA256SUMS, SHA512SUMS].into_iter().filter(|list| names.contains(*list)) {
        let lines = text(&folder.join(list))?;
        let unproven = |what: &str| Trouble::refused(format!("{}: {what}", folder.join(list).display()));
        let mut signatures = 0;
        let tools: [(&str, Verify); 2] = [("sig", ssh::verify), ("minisig", minisign::verify)];
        for (ending, verify) in tools {
            let name = format!("{list}.{ending}");
            if names.contains(&name) {
                let signature = text(&folder.join(&name))?;
                verify(&signature, lines.as_bytes(), keys)
                    .map_err(|why| unproven(&format!("{name}: {why}")))?;
                signatures += 1;
            }
        }
        if signatures == 0 {
            return Err(unproven("no signature is beside it"));
        }
        let line = |line: &str| line.split_once("  ").map(|(sum, name)| (name.to_owned(), sum.to_owned()));
        let read: Option<BTreeMap<String, String>> = lines.lines().map(line).collect();
        let read =
            read.filter(|read| !read.is_empty()).ok_or_else(|| unproven("it is no list of checksums"))?;
        all.insert(list, read);
    }
    if all.is_empty() {
        let what = format!("{} has neither {SHA256SUMS} nor {SHA512SUMS}", folder.display());
        return Err(Trouble::refused(what));
    }
    Ok(all)
}

type Verify = fn(&str, &[u8], &[Public]) -> Result<(), String>;

impl Checked {
    /// Adds what statements claim about the file, each thing once.
    fn take(&mut self, statements: &[Value]) -> Result<(), String> {
        for statement in statements.iter().filter(|statement| named(statement, &self.digest).is_some()) {
            let claim = claim(statement)?;
            if !self.claims.contains(&claim) {
                self.claims.push(claim);
            }
        }
        Ok(())
    }
}

/// The statements of a file, one a line; one that these keys did not sign makes all of it worth nothing.
pub(super) fn opened(lines: &str, keys: &[Public]) -> Result<Vec<Value>, String> {
    let one = |line: &str| {
        let envelope: Envelope =
            serde_json::from_str(line).map_err(|_| "a line of it is no signed statement".to_owned())?;
        statement(&envelope, keys)
    };
    let all: Vec<Value> =
        lines.lines().filter(|line| !line.trim().is_empty()).map(one).collect::<Result<_, String>>()?;
    if all.is_empty() { Err("there is no statement in it".to_owned()) } else { Ok(all) }
}

/// What one of these keys signed while it did, under its own name.
fn statement(envelope: &Envelope, keys: &[Public]) -> Result<Value, String> {
    let (payload, signer) = envelope.open(PAYLOAD_TYPE, keys)?;
    if envelope.key() != signer.id {
        return Err("it names another key than the one that signed it".to_owned());
    }
    let said: Value =
        serde_json::from_slice(&payload).map_err(|_| "what is signed is no statement".to_owned())?;
    said_at(&said).map_or(Ok(()), |at| signer.still_signed(at))?;
    Ok(said)
}

fn names(folder: &Path) -> Outcome<BTreeSet<String>> {
    let fail = |e| Trouble::refused(format!("read {}", folder.display())).because(e);
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(fail)?.take(MAX_FILES) {
        names.extend(entry.map_err(fail)?.file_name().into_string().ok());
    }
    Ok(names)
}

fn hashed(path: &Path) -> Outcome<Digest> {
    let fail = |e| Trouble::refused(format!("read {}", path.display())).because(e);
    let mut file = File::open(path).map_err(fail)?;
    digest_of(&mut file).map(|(digest, _)| digest).map_err(fail)
}

fn sum_of(path: &Path) -> Outcome<String> {
    let fail = |e| Trouble::refused(format!("read {}", path.display())).because(e);
    let mut sum = Sum512::default();
    copy(&mut File::open(path).map_err(fail)?, &mut sum).map_err(fail)?;
    Ok(sum.hex())
}

pub(in crate::cli) fn text(path: &Path) -> Outcome<String> {
    let fail = |e| Trouble::refused(format!("read {}", path.display())).because(e);
    let mut text = String::new();
    File::open(path).map_err(fail)?.take(MAX_TEXT_BYTES).read_to_string(&mut text).map_err(fail)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::time::{Span, Timestamp};
    use crate::sign::Keys;

    #[test]
    fn what_nobody_checks_is_no_proof() {
        let sums: Sums = BTreeMap::from([("SHA256SUMS", BTreeMap::new())]);
        for (name, is) in [
            ("SHA256SUMS", true),
            ("SHA256SUMS.sig", true),
            ("SHA256SUMS.minisig", true),
            ("SHA256SUMS.sig.sig", false),
            ("SHA256SUMS.minisig.sig", false),
            ("app", false),
        ] {
            assert_eq!(is_proof(name, &sums), is, "{name}");
        }
    }

    /// The same bytes in two releases, one of which never came to production.
    #[test]
    fn t45_a_stages_word_about_another_release_with_the_same_bytes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::of_folder(folder.path(), Timestamp(0)).unwrap();
        let public = keys.public().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            crate::artifact::file::write_synced(&path, text.as_bytes(), 0o644).unwrap();
            path
        };
        let app = write("app", "the same bytes");
        let subject = json!([{"name": "app", "digest": {"sha256": Digest::of_text("the same bytes").hex()}}]);
        let passed = |no: u32, stage: &str| {
            let said = json!({
                "_type": "https://in-toto.io/Statement/v1", "subject": subject,
                "predicateType": "https://slsa.dev/verification_summary/v1",
                "predicate": {
                    "verificationResult": "PASSED", "verifiedLevels": [format!("stage:{stage}")],
                    "verifier": {"id": "https://releases.example"}, "timeVerified": "2026-01-01T00:00:00Z",
                    "resourceUri": format!("https://releases.example/releases/github:7/shop/{no}"),
                },
            });
            let envelope = keys.sign(PAYLOAD_TYPE, said.to_string().as_bytes()).unwrap();
            serde_json::to_string(&envelope).unwrap() + "\n"
        };
        let lines = |all: &[String]| file(&app, &write("app.intoto.jsonl", &all.concat()), &public);
        let good = lines(&[passed(1, "test"), passed(1, "prod")]).unwrap();
        assert_eq!((good.stages(), good.release.as_deref()), (vec!["test", "prod"], Some("github:7/shop/1")));
        let why = lines(&[passed(1, "test"), passed(2, "prod")]).unwrap_err().chain();
        assert!(why.contains("what is signed is of github:7/shop/1 and of github:7/shop/2"), "{why}");
    }

    /// Whoever still has the old key, and is honest about the time.
    #[test]
    fn t58_what_an_old_key_says_of_a_time_after_it_was_rotated_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let begun = Timestamp::parse("2026-03-01T12:00:30Z").unwrap();
        let rotated = begun.plus(Span::days(30));
        let old = Keys::of_folder(folder.path(), begun).unwrap();
        let new = Keys::rotate(folder.path(), rotated).unwrap();
        let pem: String = new.public().unwrap().iter().map(ToString::to_string).collect();
        let keys = Public::all_of_pem(&pem).unwrap();
        let says = |keys: &Keys, at: Timestamp| {
            let said = json!({"predicate": {"timeVerified": at.rfc3339()}}).to_string();
            serde_json::to_string(&keys.sign(PAYLOAD_TYPE, said.as_bytes()).unwrap()).unwrap()
        };
        assert_eq!(opened(&says(&old, begun), &keys).unwrap().len(), 1);
        assert_eq!(opened(&says(&old, rotated), &keys).unwrap().len(), 1, "they are known to the minute");
        // What became true before a key was there may be signed by it.
        assert_eq!(opened(&says(&new, begun), &keys).unwrap().len(), 1);
        let late = rotated.plus(Span::minutes(1));
        assert_eq!(opened(&says(&new, late), &keys).unwrap().len(), 1);
        let why = opened(&says(&old, late), &keys).unwrap_err();
        assert!(
            why.contains("it says 2026-03-31T12:01:30Z") && why.contains("until 2026-03-31 12:00"),
            "{why}"
        );
        let list = |keys: &Keys, at| keys.sign_minisign("SHA256SUMS", b"sums", at).unwrap();
        minisign::verify(&list(&old, rotated), b"sums", &keys).unwrap();
        assert!(
            minisign::verify(&list(&old, late), b"sums", &keys).unwrap_err().contains("until 2026-03-31")
        );
        // Without the times between the keys, all that one of them signed is good.
        let bare: String = new.public().unwrap().iter().map(Public::pem).collect();
        assert_eq!(opened(&says(&old, late), &Public::all_of_pem(&bare).unwrap()).unwrap().len(), 1);
        let torn = pem.replace(" until 2026", " until the end of 2026");
        assert!(Public::all_of_pem(&torn).unwrap_err().contains("no time in which a key signed"));
    }
}

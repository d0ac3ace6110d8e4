//! An OCI image layout that a build left: which image it holds, checked against its own digests.
//!
//! The folder is a stranger's, so nothing is read through a link and nothing beyond a bound.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, openat};
use serde::Deserialize;

use super::pack::{READ, descend};
use crate::domain::name::Digest;
use crate::trouble::{Outcome, Trouble};

/// Largest `index.json` or manifest; registries take 4 MiB.
const DOCUMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Most blobs of an image and of all images of an index together; a bound against a manifest that names millions.
const BLOBS: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutFile {
    image_layout_version: String,
}

/// What an index or a manifest names.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: Digest,
    size: u64,
}

/// The digest of the one image in the layout at `path` of a workspace; everything that the image names is there.
pub fn read(workspace: &Path, path: &Path) -> Outcome<Digest> {
    let root = descend(workspace, path)?;
    let layout: LayoutFile = parse("oci-layout", &document(&root, &["oci-layout"])?)?;
    if !layout.image_layout_version.starts_with("1.") {
        return Err(refused("its `imageLayoutVersion` is not 1"));
    }
    let index: Document = parse("index.json", &document(&root, &["index.json"])?)?;
    let [image] = index.manifests.as_slice() else {
        let count = index.manifests.len();
        return Err(refused(&format!(
            "its `index.json` names {count} images, and a release has one of an alias"
        )));
    };
    let mut left = BLOBS;
    check(&root, image, &mut left, Depth::Top)?;
    Ok(image.digest.clone())
}

/// An index of platforms names manifests; these name no further ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Top,
    Platform,
}

/// Whether a manifest is what its digest says, and all it names is there.
fn check(root: &OwnedFd, manifest: &Descriptor, left: &mut usize, depth: Depth) -> Outcome<()> {
    let hex = manifest.digest.hex().to_owned();
    let text = document(root, &["blobs", "sha256", &hex])?;
    let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if size != manifest.size || Digest::of_bytes(&text) != manifest.digest {
        return Err(refused(&format!("its blob {} is not what its digest says", manifest.digest.short())));
    }
    let named: Document = parse("manifest", &text)?;
    let (blobs, platforms) = (named.config.iter().chain(&named.layers), &named.manifests);
    if (named.config.is_none() && platforms.is_empty()) || (depth == Depth::Platform && !platforms.is_empty())
    {
        return Err(refused("its manifest is neither of an image nor an index of images"));
    }
    for blob in blobs {
        spend(left)?;
        let file = open(root, &["blobs", "sha256", blob.digest.hex()])?;
        let stat = rustix::fs::fstat(&file).map_err(|e| unreadable("a blob", e))?;
        if u64::try_from(stat.st_size).ok() != Some(blob.size) {
            return Err(refused(&format!(
                "its blob {} has not the size that the manifest says",
                blob.digest.short()
            )));
        }
    }
    for platform in platforms {
        spend(left)?;
        check(root, platform, left, Depth::Platform)?;
    }
    Ok(())
}

fn spend(left: &mut usize) -> Outcome<()> {
    *left = left.checked_sub(1).ok_or_else(|| refused(&format!("it names more than {BLOBS} blobs")))?;
    Ok(())
}

fn refused(why: &str) -> Trouble {
    Trouble::refused(format!("this is no OCI image layout that can be released: {why}"))
}

fn unreadable(what: &str, e: rustix::io::Errno) -> Trouble {
    match e {
        rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => {
            refused(&format!("`{what}` is not there as a file"))
        }
        other => Trouble::transient(format!("read `{what}`")).because(std::io::Error::from(other)),
    }
}

fn open(root: &OwnedFd, path: &[&str]) -> Outcome<OwnedFd> {
    let mut at = None;
    for part in path {
        let from = at.as_ref().unwrap_or(root);
        let next = openat(from, *part, READ, Mode::empty()).map_err(|e| unreadable(&path.join("/"), e))?;
        at = Some(next);
    }
    at.ok_or_else(|| Trouble::bug("no path to open"))
}

fn document(root: &OwnedFd, path: &[&str]) -> Outcome<Vec<u8>> {
    let name = path.join("/");
    let mut text = Vec::new();
    let file = File::from(open(root, path)?);
    let read = file.take(DOCUMENT_BYTES + 1).read_to_end(&mut text);
    let read = read.map_err(|_| refused(&format!("`{name}` is not a file")))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > DOCUMENT_BYTES {
        return Err(refused(&format!("`{name}` has more than {DOCUMENT_BYTES} bytes")));
    }
    Ok(text)
}

fn parse<T: for<'de> Deserialize<'de>>(what: &str, text: &[u8]) -> Outcome<T> {
    serde_json::from_slice(text).map_err(|e| refused(&format!("its {what} cannot be read: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut File::create(path).unwrap(), text.as_bytes()).unwrap();
    }

    fn blob(root: &Path, text: &str) -> String {
        let digest = Digest::of_text(text);
        put(root, &format!("blobs/sha256/{}", digest.hex()), text);
        format!("{{\"digest\":\"{digest}\",\"size\":{}}}", text.len())
    }

    /// A layout of one image in a folder, and the digest it has.
    fn layout(root: &Path) -> Digest {
        put(root, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
        let (config, layer) = (blob(root, "{}"), blob(root, "a layer"));
        let manifest = format!("{{\"schemaVersion\":2,\"config\":{config},\"layers\":[{layer}]}}");
        let described = blob(root, &manifest);
        put(root, "index.json", &format!("{{\"schemaVersion\":2,\"manifests\":[{described}]}}"));
        Digest::of_text(&manifest)
    }

    #[test]
    fn b17_an_image_is_known_by_the_digest_of_its_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let digest = layout(&dir.path().join("out"));
        assert_eq!(read(dir.path(), Path::new("out")).unwrap(), digest);
    }

    #[test]
    fn t41_t44_a_layout_that_is_not_whole_or_leads_elsewhere_is_refused() {
        let broken = |change: &dyn Fn(&Path, &Digest)| {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("out");
            let digest = layout(&root);
            change(&root, &digest);
            read(dir.path(), Path::new("out")).unwrap_err().chain()
        };
        let of = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
        let layer = Digest::of_text("a layer");
        assert!(broken(&|root, digest| put(root, &of(digest), "{}")).contains("not what its digest says"));
        assert!(broken(&|root, _| put(root, &of(&layer), "longer than it was")).contains("not the size"));
        assert!(
            broken(&|root, _| std::fs::remove_file(root.join(of(&layer))).unwrap()).contains("not there")
        );
        assert!(broken(&|root, _| put(root, "index.json", "{\"manifests\":[]}")).contains("names 0 images"));
        assert!(broken(&|root, _| put(root, "oci-layout", "{}")).contains("cannot be read"));
        let link = broken(&|root, digest| {
            let at = root.join(of(digest));
            std::fs::rename(&at, root.join("elsewhere")).unwrap();
            std::os::unix::fs::symlink(root.join("elsewhere"), at).unwrap();
        });
        assert!(link.contains("not there as a file"), "{link}");
    }
}

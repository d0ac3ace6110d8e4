//! What an OCI image layout says of the artifacts of a release, so that tools which know nothing of liftlock find them.
//!
//! Documents and their names are those of <https://github.com/opencontainers/image-spec/tree/v1.1.0>: `manifest.md`,
//! `config.md`, `image-index.md`. A folder is an image of one layer, whose configuration has the digest of the tar inside
//! (`diff_ids`); a file is an artifact of one blob.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::event::{Form, Sealed};
use crate::domain::evidence::file_name;
use crate::domain::name::{Digest, PipelineId, ReleaseNo};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// What stands where a manifest has to name a configuration and there is none.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const BYTES: &str = "application/octet-stream";

/// The documents of a layout, and what they are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// `index.json`: a manifest for each artifact, called as the artifact is.
    pub index: String,
    /// Manifests and configurations by their digests.
    pub documents: BTreeMap<Digest, String>,
    /// The stored bytes.
    pub blobs: Vec<Digest>,
}

/// The folder of a release's layout below that of all: `github-1001/shop/141`. A colon would end the path for those who
/// read layouts.
pub fn folder(id: &PipelineId, no: ReleaseNo) -> String {
    format!("{}/{}/{no}", id.repo.as_str().replace(':', "-"), id.name)
}

/// The layout of these artifacts.
pub fn layout(artifacts: &[Sealed]) -> Layout {
    let mut documents = BTreeMap::new();
    let mut keep = |kind: &str, document: &Value, annotations: Value| {
        let text = document.to_string();
        let digest = Digest::of_text(&text);
        let descriptor =
            json!({"mediaType": kind, "digest": digest, "size": text.len(), "annotations": annotations});
        documents.insert(digest, text);
        descriptor
    };
    let mut manifests = Vec::new();
    for sealed in artifacts {
        let blob = |kind: &str| {
            json!({
                "mediaType": kind, "digest": sealed.digest, "size": sealed.size,
                "annotations": {"org.opencontainers.image.title": file_name(sealed)},
            })
        };
        let manifest = match sealed.form {
            Form::Folder => json!({
                "schemaVersion": 2, "mediaType": MANIFEST, "config": keep(CONFIG, &config(sealed), json!({})),
                "layers": [blob(LAYER)],
            }),
            Form::File | Form::Program => json!({
                "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BYTES, "config": keep(EMPTY, &json!({}), json!({})),
                "layers": [blob(BYTES)],
            }),
        };
        manifests.push(keep(MANIFEST, &manifest, json!({"org.opencontainers.image.ref.name": sealed.alias})));
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let blobs = artifacts.iter().map(|sealed| sealed.digest.clone()).collect();
    Layout { index: index.to_string(), documents, blobs }
}

/// Nobody said which machine a folder is for.
fn config(sealed: &Sealed) -> Value {
    json!({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [sealed.content]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(alias: &str, form: Form) -> Sealed {
        Sealed {
            alias: alias.parse().unwrap(),
            digest: Digest::of_text(alias),
            content: Digest::of_text("inside"),
            size: 7,
            form,
            image: None,
        }
    }

    #[test]
    fn a_folder_is_an_image_of_one_layer_and_a_file_an_artifact_of_one_blob() {
        let artifacts =
            [sealed("web", Form::Folder), sealed("tool", Form::Program), sealed("list", Form::File)];
        let layout = layout(&artifacts);
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let find = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
            let (digest, text) = layout.documents.get_key_value(&digest).unwrap();
            assert_eq!(
                (digest, descriptor["size"].as_u64()),
                (&Digest::of_text(text), u64::try_from(text.len()).ok())
            );
            read(text)
        };
        let index = read(&layout.index);
        for (sealed, manifest) in artifacts.iter().zip(index["manifests"].as_array().unwrap()) {
            assert_eq!(manifest["annotations"]["org.opencontainers.image.ref.name"], sealed.alias.as_str());
            let manifest = find(manifest);
            assert_eq!(manifest["layers"][0]["digest"], sealed.digest.as_str());
            let config = find(&manifest["config"]);
            let inside = config["rootfs"]["diff_ids"][0].as_str();
            assert_eq!(inside, (sealed.form == Form::Folder).then_some(sealed.content.as_str()));
        }
        assert_eq!(layout.documents.len(), 5, "a configuration, the empty one, three manifests");
        assert_eq!(layout.blobs.len(), 3);
    }

    #[test]
    fn a_layout_has_no_colon_in_its_path() {
        let id: PipelineId = "github:1001/shop".parse().unwrap();
        assert_eq!(folder(&id, ReleaseNo(std::num::NonZeroU32::MIN)), "github-1001/shop/1");
    }
}

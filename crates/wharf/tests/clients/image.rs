//! Images as a registry stores them: descriptors, manifests and blobs, with computed digests.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testkit::{Entry, archive};

use crate::archive::{compress, write_large_layer};

pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Content with its descriptor.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) media_type: &'static str,
    pub(crate) digest: String,
    pub(crate) size: u64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Blob {
    pub(crate) fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        let digest = digest(&mut bytes.as_slice());
        Self { media_type, digest, size: bytes.len() as u64, content: Content::Bytes(bytes) }
    }

    pub(crate) fn from_file(media_type: &'static str, path: &Path) -> Self {
        let mut file = File::open(path).expect("the content is opened");
        let size = file.metadata().expect("the content has a size").len();
        Self { media_type, digest: digest(&mut file), size, content: Content::File(path.to_owned()) }
    }

    /// The digest without its algorithm.
    pub(crate) fn hex(&self) -> &str {
        self.digest.trim_start_matches("sha256:")
    }

    /// The content from its first byte.
    pub(crate) fn open(&self) -> Box<dyn Read + '_> {
        match &self.content {
            Content::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            Content::File(path) => Box::new(File::open(path).expect("the content is opened")),
        }
    }

    /// The whole content.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.open().read_to_end(&mut bytes).expect("the content is read");
        bytes
    }

    pub(crate) fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size })
    }
}

/// The SHA-256 digest of the rest of `content`.
pub(crate) fn digest(content: &mut dyn Read) -> String {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => panic!("the content cannot be read: {error}"),
        }
    }
    let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A manifest and the blobs it names, the config first.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) manifest: Blob,
    pub(crate) blobs: Vec<Blob>,
    diff_ids: Vec<String>,
}

impl Image {
    pub(crate) fn config(&self) -> &Blob {
        &self.blobs[0]
    }

    /// The image with another command.
    pub(crate) fn with_command(&self, words: &[&str]) -> Self {
        let rewrite = |blob: &Blob, change: &dyn Fn(&mut Value)| {
            let mut document: Value = serde_json::from_slice(&blob.bytes()).expect("it is JSON");
            change(&mut document);
            Blob::new(blob.media_type, document.to_string().into_bytes())
        };
        let config = rewrite(self.config(), &|config| config["config"]["Cmd"] = json!(words));
        let manifest = rewrite(&self.manifest, &|manifest| manifest["config"] = config.descriptor());
        let blobs = std::iter::once(config).chain(self.blobs[1..].iter().cloned()).collect();
        Self { manifest, blobs, diff_ids: self.diff_ids.clone() }
    }

    /// The image with one more layer, an incompressible file of `size` bytes.
    pub(crate) fn with_large_layer(&self, directory: &Path, size: usize) -> Self {
        let path = directory.join(format!("{}-large.tar", self.config().hex()));
        write_large_layer(&path, size);
        let large = Blob::from_file("application/vnd.oci.image.layer.v1.tar", &path);
        let mut layers = self.blobs[1..].to_vec();
        let mut diff_ids = self.diff_ids.clone();
        diff_ids.push(large.digest.clone());
        layers.push(large);
        assemble(OCI_MANIFEST, "amd64", layers, diff_ids)
    }
}

/// The form of an image's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Docker's media types, gzip.
    Docker,
    /// OCI media types, gzip.
    Oci,
    /// OCI media types, zstd.
    OciZstd,
}

/// An image that runs: busybox in one layer, and a file that holds `marker` in another. Its command prints
/// that file, so its output tells which registry it came from. Images with two markers share no layer,
/// because clients do not fetch a layer that they already have.
pub(crate) fn runnable(form: Form, marker: &str) -> Image {
    on_platform(form, marker, "amd64")
}

/// An image of one layer, in which `/etc/marker` is [`marked`]: about `size` incompressible bytes.
pub(crate) fn noisy(marker: &str, size: usize) -> Image {
    let archive = archive(&[Entry::Directory("etc/"), Entry::File("etc/marker", &marked(marker, size))]);
    let diff_ids = vec![digest(&mut archive.as_slice())];
    assemble(DOCKER_MANIFEST, "amd64", vec![stored(Form::Docker, &archive)], diff_ids)
}

/// `marker` followed by random bytes, `size` bytes in all.
pub(crate) fn marked(marker: &str, size: usize) -> Vec<u8> {
    let mut content = marker.as_bytes().to_vec();
    let mut block = Sha256::digest(marker);
    while content.len() < size {
        block = Sha256::digest(block);
        content.extend_from_slice(&block);
    }
    content.truncate(size);
    content
}

/// The runnable image for two platforms, under one index.
pub(crate) fn for_two_platforms(marker: &str) -> (Blob, Vec<Image>) {
    let images: Vec<Image> = ["amd64", "arm64"].map(|name| on_platform(Form::Oci, marker, name)).into();
    let manifests: Vec<Value> = images
        .iter()
        .zip(["amd64", "arm64"])
        .map(|(image, architecture)| {
            let mut descriptor = image.manifest.descriptor();
            descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
            descriptor
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
    (Blob::new(OCI_INDEX, index.to_string().into_bytes()), images)
}

/// A signature of `subject` as cosign stores it, under the tag `sha256-<hex>.sig`.
pub(crate) fn signature_of(subject: &Blob) -> Image {
    let payload = json!({ "critical": { "type": "cosign container image signature",
        "image": { "docker-manifest-digest": subject.digest } } });
    let simple = "application/vnd.dev.cosign.simplesigning.v1+json";
    let layer = Blob::new(simple, payload.to_string().into_bytes());
    let diff_id = layer.digest.clone();
    let annotation = json!({ "dev.cosignproject.cosign/signature": "bm90IHZlcmlmaWVkIGhlcmU=" });
    assemble_annotated(OCI_MANIFEST, "", vec![layer], vec![diff_id], Some(annotation))
}

/// A software bill of materials for `subject`, and the index of referrers that a registry without the
/// referrers API keeps under the tag `sha256-<hex>`.
pub(crate) fn bill_of_materials_of(subject: &Blob) -> (Image, Blob) {
    let kind = "application/spdx+json";
    let document = Blob::new(kind, br#"{"spdxVersion":"SPDX-2.3","name":"app"}"#.to_vec());
    let empty = Blob::new("application/vnd.oci.empty.v1+json", b"{}".to_vec());
    let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": kind,
        "config": empty.descriptor(), "layers": [document.descriptor()], "subject": subject.descriptor() });
    let manifest = Blob::new(OCI_MANIFEST, manifest.to_string().into_bytes());
    let mut descriptor = manifest.descriptor();
    descriptor["artifactType"] = json!(kind);
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor] });
    let index = Blob::new(OCI_INDEX, index.to_string().into_bytes());
    (Image { manifest, blobs: vec![empty, document], diff_ids: Vec::new() }, index)
}

fn on_platform(form: Form, marker: &str, architecture: &str) -> Image {
    let busybox = std::fs::read("/bin/busybox").expect("busybox is installed");
    let marked = format!("{marker}\n");
    let archives = [
        archive(&[
            Entry::Directory("bin/"),
            Entry::Program("bin/busybox", &busybox),
            Entry::Link("bin/sh", "busybox"),
            Entry::Link("bin/cat", "busybox"),
            Entry::File("bin/marker", marked.as_bytes()),
        ]),
        archive(&[Entry::Directory("etc/"), Entry::File("etc/marker", marked.as_bytes())]),
        archive(&[
            Entry::Directory(&format!("{}/", marker.replace(' ', "-"))),
            Entry::File("for", architecture.as_bytes()),
        ]),
    ];
    let diff_ids = archives.iter().map(|archive| digest(&mut archive.as_slice())).collect();
    let layers = archives.iter().map(|archive| stored(form, archive)).collect();
    let manifest = if form == Form::Docker { DOCKER_MANIFEST } else { OCI_MANIFEST };
    assemble(manifest, architecture, layers, diff_ids)
}

fn stored(form: Form, archive: &[u8]) -> Blob {
    let gzip = || compress("gzip", &["-n1"], archive);
    match form {
        Form::Docker => Blob::new("application/vnd.docker.image.rootfs.diff.tar.gzip", gzip()),
        Form::Oci => Blob::new("application/vnd.oci.image.layer.v1.tar+gzip", gzip()),
        Form::OciZstd => {
            let content = compress("zstd", &["-q", "-1"], archive);
            Blob::new("application/vnd.oci.image.layer.v1.tar+zstd", content)
        }
    }
}

fn assemble(manifest: &'static str, architecture: &str, layers: Vec<Blob>, diff_ids: Vec<String>) -> Image {
    assemble_annotated(manifest, architecture, layers, diff_ids, None)
}

fn assemble_annotated(
    manifest_type: &'static str,
    architecture: &str,
    layers: Vec<Blob>,
    diff_ids: Vec<String>,
    annotations: Option<Value>,
) -> Image {
    let history: Vec<Value> = diff_ids.iter().map(|_| json!({ "created_by": "test" })).collect();
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["/bin/cat", "/etc/marker"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    });
    let docker = manifest_type == DOCKER_MANIFEST;
    let config_type = if docker { "application/vnd.docker.container.image.v1+json" } else { OCI_CONFIG };
    let config = Blob::new(config_type, config.to_string().into_bytes());
    let descriptors: Vec<Value> = layers
        .iter()
        .map(|layer| {
            let mut descriptor = layer.descriptor();
            if let Some(annotations) = &annotations {
                descriptor["annotations"] = annotations.clone();
            }
            descriptor
        })
        .collect();
    let manifest = json!({ "schemaVersion": 2, "mediaType": manifest_type, "config": config.descriptor(),
        "layers": descriptors });
    let manifest = Blob::new(manifest_type, manifest.to_string().into_bytes());
    Image { manifest, blobs: std::iter::once(config).chain(layers).collect(), diff_ids }
}

//! The images that a command line names: as arguments, in files, or on standard input.

use std::io::{self, Read as _};
use std::path::PathBuf;

use oci::Platforms;
use serde_json::json;
use url::Url;

use crate::admin_listener::admin_url;
use crate::references::{References, TEXT_BYTES_MAX};
use crate::warming::add_file;

/// Options of commands about many images.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageList {
    /// alpine, docker.io/library/alpine:3.20, ghcr.io/org/app@sha256:...; `-` reads standard input
    #[arg(required_unless_present = "files", value_name = "IMAGE")]
    images: Vec<String>,
    /// A file with images: a list with one on each line, Kubernetes manifests in YAML or JSON, the output of
    /// `helm template` or `kubectl get pods -o json`, a compose file; `-` is standard input
    #[arg(short = 'f', long = "file", visible_alias = "list", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// linux/amd64,linux/arm64, or all; by default linux on the architecture of the machine that wharf runs
    /// on
    #[arg(long, value_name = "PLATFORMS")]
    platform: Option<Platforms>,
    /// Print one JSON document on each line, for scripts
    #[arg(long)]
    pub(super) json: bool,
    /// Its admin listener, http://HOST:PORT or unix:/PATH; by default the one in the configuration
    #[arg(long, value_name = "URL", value_parser = admin_url)]
    pub(super) url: Option<Url>,
}

impl ImageList {
    /// Reads the references, from files too.
    pub(super) fn read(&self) -> References {
        let mut references = References::default();
        for image in &self.images {
            if image == "-" {
                add_standard_input(&mut references);
            } else {
                references.add_argument(image);
            }
        }
        for file in &self.files {
            if file.as_os_str() == "-" {
                add_standard_input(&mut references);
            } else {
                add_file(&mut references, file);
            }
        }
        references
    }

    /// The content of the request for these images.
    pub(super) fn content(&self, references: &References, with_referrers: bool) -> String {
        let images: Vec<String> = references.images.iter().map(ToString::to_string).collect();
        let platforms = self.platform.as_ref().map(ToString::to_string);
        json!({ "images": images, "platforms": platforms, "referrers": with_referrers }).to_string()
    }
}

fn add_standard_input(references: &mut References) {
    let mut text = Vec::new();
    match io::stdin().lock().take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut text) {
        Ok(_) => references.add_text("standard input", &text, &|name| std::env::var(name).ok()),
        Err(error) => references.add_mistake(format!("standard input: cannot be read: {error}")),
    }
}

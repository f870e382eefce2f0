//! The keys of `[warm]`.

use std::time::Duration;

use super::super::form::{self, Form, Shape};
use super::super::key::{Group, Key, Preset, Section};
use super::super::reader::Text;

pub(crate) static IMAGES: Key<Vec<Text>> = Key {
    name: "images",
    form: form::TEXTS,
    default: Preset::Absent,
    reloadable: true,
    doc: "Images of configured registries, as people write them: `[\"alpine:3.20\", \"ghcr.io/org/app:v1\"]`.",
};

pub(crate) static FILES: Key<Vec<Text>> = Key {
    name: "files",
    form: Form { shape: Shape::List(&Shape::Path), ..form::TEXTS },
    default: Preset::Absent,
    reloadable: true,
    doc: "Files with further images: lists, Kubernetes manifests or compose files. wharf reads them at each run. \
          See [Warm a cache](../how-to/warm-a-cache.md).",
};

pub(crate) static EVERY: Key<Duration> = Key {
    name: "every",
    form: form::TIMEOUT,
    default: Preset::Value(Duration::from_secs(6 * 3600)),
    reloadable: true,
    doc: "The time between two runs, which is up to a twentieth shorter or longer. Each run checks all tags again \
          and fetches what is missing. At least `1m`.",
};

pub(crate) static PLATFORMS: Key<Vec<Text>> = Key {
    name: "platforms",
    form: form::TEXTS,
    default: Preset::Computed("`linux` on the architecture of this machine"),
    reloadable: true,
    doc: "The platforms whose images are fetched: `[\"linux/amd64\", \"linux/arm64\"]`, or `\"all\"`.",
};

pub(crate) static REFERRERS: Key<bool> = Key {
    name: "referrers",
    form: form::FLAG,
    default: Preset::Value(false),
    reloadable: true,
    doc: "Whether to fetch what is attached to the images too: signatures, attestations and SBOMs. It costs at \
          least five more requests for each manifest.",
};

pub(crate) static WARM: Section = Section {
    name: "warm",
    doc: "Images that wharf fetches before a client pulls them, at its start and on a schedule.",
    groups: &[Group { is_shared: false, keys: &[&IMAGES, &FILES, &EVERY, &PLATFORMS, &REFERRERS] }],
    subsections: &[],
};

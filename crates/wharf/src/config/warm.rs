//! Reads `[warm]`: the images that wharf fetches without a client, on a schedule.

use std::path::PathBuf;
use std::time::Duration;

use oci::Platforms;

use super::keys::warm as keys;
use super::reader::Reader;
use super::table::Table;

/// The shortest time between two runs: each of them asks the upstream about every tag.
const EVERY_MIN: Duration = Duration::from_secs(60);

/// The images to keep warm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Warm {
    /// References, as people write them.
    pub(crate) images: Vec<String>,
    /// Files with references.
    pub(crate) files: Vec<PathBuf>,
    /// The time from the end of one run to the start of the next.
    pub(crate) every: Duration,
    /// `None`: the platform of this machine.
    pub(crate) platforms: Option<Platforms>,
    /// Whether what is attached to the images is fetched too.
    pub(crate) with_referrers: bool,
}

impl Warm {
    /// Whether it names nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.images.is_empty() && self.files.is_empty()
    }
}

pub(crate) fn read(reader: &mut Reader<'_>, table: &Table<'_>) -> Warm {
    let images = keys::IMAGES.read(reader, table).unwrap_or_default();
    for image in
        images.iter().filter(|image| image.value.is_empty() || image.value.contains(char::is_whitespace))
    {
        let wrong = "is no image; write one such as \"alpine:3.20\" or \"ghcr.io/org/app:v1\"";
        reader.refuse(&image.place, wrong);
    }
    let files = keys::FILES.read(reader, table).unwrap_or_default();
    let every = keys::EVERY.value(reader, table);
    if every < EVERY_MIN {
        let place = reader.place(table, keys::EVERY.name);
        reader.refuse(&place, "is too often, because each run asks the upstreams; write at least \"1m\"");
    }
    let platforms = keys::PLATFORMS.read(reader, table).filter(|texts| !texts.is_empty());
    let platforms = platforms.and_then(|texts| {
        let joined: Vec<&str> = texts.iter().map(|text| text.value.as_str()).collect();
        let parsed = joined.join(",").parse();
        if parsed.is_err() {
            let wrong = "name platforms such as [\"linux/amd64\", \"linux/arm64\"], or only \"all\"";
            reader.refuse(&texts[0].place, wrong);
        }
        parsed.ok()
    });
    Warm {
        images: images.into_iter().map(|text| text.value).collect(),
        files: files.into_iter().map(|text| PathBuf::from(text.value)).collect(),
        every,
        platforms,
        with_referrers: keys::REFERRERS.value(reader, table),
    }
}

//! Images in a store, written past wharf: pulling a million blobs would take hours.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Blobs that each image alone needs.
pub(super) const BLOBS_PER_IMAGE: u64 = 8;

/// Images in each repository, with a tag each.
const IMAGES_PER_REPOSITORY: u64 = 25;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The first number of the old images.
const OLD: u64 = 1 << 32;

/// The last use of an old image lies so far back.
const OLD_FOR: Duration = Duration::from_secs(2 * 365 * 86_400);

/// The images of one store.
pub(super) struct Images {
    root: PathBuf,
    count: u64,
    directories: HashSet<PathBuf>,
}

impl Images {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), count: 0, directories: HashSet::new() }
    }

    /// Adds images up to this number.
    pub(super) fn grow_to(&mut self, count: u64) -> io::Result<()> {
        self.put(self.count..count, None)?;
        self.count = count;
        Ok(())
    }

    /// Adds images that were not used for two years; the last ones of them have gone.
    pub(super) fn put_old(&mut self, count: u64) -> io::Result<()> {
        // The directories of repositories that had nothing else have gone, too.
        self.directories.retain(|directory| directory.exists());
        self.put(OLD..OLD + count, SystemTime::now().checked_sub(OLD_FOR))
    }

    fn put(&mut self, numbers: Range<u64>, used: Option<SystemTime>) -> io::Result<()> {
        for number in numbers {
            self.put_one(number, used)?;
        }
        Ok(())
    }

    fn put_one(&mut self, number: u64, used: Option<SystemTime>) -> io::Result<()> {
        let layers: Vec<_> = (0..BLOBS_PER_IMAGE)
            .map(|at| format!("blob {at} of image {number}, as small as a blob can be\n"))
            .map(|content| (hex_of(&content), content))
            .collect();
        for (hex, content) in &layers {
            self.write(&format!("blobs/sha256/{}/{hex}", &hex[..2]), content, used)?;
        }
        let described =
            layers.iter().map(|(hex, content)| json!({ "digest": digest(hex), "size": content.len() }));
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST,
            "layers": described.collect::<Vec<_>>() })
        .to_string();
        let hex = hex_of(&manifest);
        self.write(&format!("manifests/sha256/{}/{hex}", &hex[..2]), &manifest, used)?;
        let repository = format!("repositories/stored/number-{}", number / IMAGES_PER_REPOSITORY);
        let record = json!({ "media_type": MANIFEST }).to_string();
        self.write(&format!("{repository}/_manifests/sha256/{hex}"), &record, used)?;
        let tag = format!("v{number}");
        let record = json!({ "tag": tag, "digest": digest(&hex), "media_type": MANIFEST,
            "size": manifest.len(), "checked_at": "2026-01-01T00:00:00Z" });
        self.write(&format!("{repository}/_tags/{tag}"), &record.to_string(), used)
    }

    fn write(&mut self, path: &str, content: &str, used: Option<SystemTime>) -> io::Result<()> {
        let path = self.root.join(path);
        let directory = path.parent().expect("a file is in a directory");
        if !self.directories.contains(directory) {
            fs::create_dir_all(directory)?;
            self.directories.insert(directory.to_owned());
        }
        let mut file = File::create(&path)?;
        file.write_all(content.as_bytes())?;
        used.map_or(Ok(()), |used| file.set_modified(used))
    }
}

fn hex_of(content: &str) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(hex: &str) -> String {
    format!("sha256:{hex}")
}

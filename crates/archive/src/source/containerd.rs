//! The root directory of containerd, or its content store.
//!
//! ```text
//! io.containerd.content.v1.content/blobs/<algorithm>/<hex>   content
//! io.containerd.metadata.v1.bolt/meta.db                     a bolt database with the names:
//!     v1/<namespace>/images/<name>/updatedat                 a time, as Go writes it
//!     v1/<namespace>/images/<name>/target/digest             the digest of its manifest
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oci::Digest;

use super::bolt::{Bolt, Bucket, Value};
use super::named::Named;
use crate::confined::Confined;

/// The directories below containerd's root.
pub(super) const CONTENT: &str = "io.containerd.content.v1.content";
const METADATA: &str = "io.containerd.metadata.v1.bolt";

/// Reads while containerd writes are tried this often.
const ATTEMPT_COUNT_MAX: usize = 20;

/// The seconds from the beginning of year 1, with which Go's times begin, to 1970.
const YEAR_1_SECONDS: u64 = 62_135_596_800;

/// The content store in this directory, which may be containerd's root or the content store itself.
pub(super) fn content_store(path: &Path, root: &Confined) -> io::Result<Option<Confined>> {
    if let Some(content) = root.directory(&[CONTENT])? {
        return Ok(content.directory(&["blobs"])?.map(|_| content));
    }
    let is_store = root.directory(&["blobs"])?.is_some()
        && (root.directory(&["ingest"])?.is_some() || path.file_name().is_some_and(|name| name == CONTENT));
    if is_store { root.directory(&[]) } else { Ok(None) }
}

/// containerd's database beside the content store at `path`; `None`: there is none.
pub(super) fn database(path: &Path, root: &Confined) -> io::Result<Option<File>> {
    if let Some((file, _)) = root.file(&[METADATA, "meta.db"])? {
        return Ok(Some(file));
    }
    let beside = Confined::open(&path.join(".."))?;
    Ok(beside.file(&[METADATA, "meta.db"])?.map(|(file, _)| file))
}

/// The images of all namespaces. containerd may run.
///
/// # Errors
/// I/O errors; it is no database of containerd.
pub(super) fn images(file: &File) -> io::Result<Vec<Named>> {
    for _ in 0..ATTEMPT_COUNT_MAX {
        let mut database = Bolt::open(file)?;
        let images = read(&mut database);
        if database.is_current()? {
            return images;
        }
    }
    Err(io::Error::other("containerd changes its database all the time; try again later"))
}

fn read(database: &mut Bolt<'_>) -> io::Result<Vec<Named>> {
    let root = database.root();
    let version = database.bucket(&root, "v1")?;
    let version = version.ok_or_else(|| io::Error::other("it is no database of containerd"))?;
    let mut found = Vec::new();
    for (_, namespace) in database.entries(&version)? {
        let Value::Bucket(namespace) = namespace else { continue };
        let Some(images) = database.bucket(&namespace, "images")? else { continue };
        for (name, image) in database.entries(&images)? {
            let (Ok(name), Value::Bucket(image)) = (String::from_utf8(name), image) else { continue };
            if let Some((digest, updated_at)) = target(database, &image)? {
                found.push(Named { name, digest, at: updated_at.unwrap_or(UNIX_EPOCH) });
            }
        }
    }
    Ok(found)
}

/// The digest of an image's manifest, and when it last changed.
fn target(database: &mut Bolt<'_>, image: &Bucket) -> io::Result<Option<(Digest, Option<SystemTime>)>> {
    let mut parts: BTreeMap<_, _> = database.entries(image)?.into_iter().collect();
    let updated_at = match parts.remove(b"updatedat".as_slice()) {
        Some(Value::Bytes(bytes)) => time(&bytes),
        _ => None,
    };
    let Some(Value::Bucket(target)) = parts.remove(b"target".as_slice()) else { return Ok(None) };
    let digest = database.entries(&target)?.into_iter().find_map(|(key, value)| match value {
        Value::Bytes(bytes) if key == b"digest" => std::str::from_utf8(&bytes).ok()?.parse().ok(),
        _ => None,
    });
    Ok(digest.map(|digest| (digest, updated_at)))
}

/// A time in Go's binary form: a version, the seconds since year 1, nanoseconds, and the minutes from UTC.
fn time(bytes: &[u8]) -> Option<SystemTime> {
    if !matches!(bytes.first(), Some(1 | 2)) {
        return None;
    }
    let seconds = u64::from_be_bytes(bytes.get(1..9)?.try_into().ok()?);
    let nanos = u32::from_be_bytes(bytes.get(9..13)?.try_into().ok()?);
    let since =
        Duration::from_secs(seconds.checked_sub(YEAR_1_SECONDS)?) + Duration::from_nanos(nanos.into());
    UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_go_writes_it() {
        // 2024-05-06T07:08:09.123456789Z by time.MarshalBinary.
        let seconds: u64 = YEAR_1_SECONDS + 1_714_979_289;
        let bytes =
            [&[1][..], &seconds.to_be_bytes(), &123_456_789_u32.to_be_bytes(), &[0xff, 0xff]].concat();
        assert_eq!(time(&bytes), Some(UNIX_EPOCH + Duration::new(1_714_979_289, 123_456_789)));
        for wrong in
            [&bytes[..12], &[][..], &[&[3][..], &bytes[1..]].concat(), &[&[1][..], &[0; 14]].concat()]
        {
            assert_eq!(time(wrong), None, "{wrong:?}");
        }
    }
}

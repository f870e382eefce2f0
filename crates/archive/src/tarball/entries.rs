//! The entries of a tar archive (POSIX ustar and pax, GNU long names), read one after the other.
//!
//! Only files and symbolic links pass, under relative names without `..`, each name once. A link is reported
//! and never followed here. Each extension header has a bound, so no archive makes this reader take memory.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tar::{EntryType, Header};

use super::header::{BLOCK_BYTES, padding_after};
use super::pax::{self, Extended};

/// The longest name of an entry or of a link's target, in bytes.
const NAME_BYTES_MAX: usize = 4096;

/// The largest extension header, in bytes.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;

/// The most extension headers before one entry.
const EXTENSION_COUNT_MAX: usize = 8;

/// The most entries of one archive: the names of all are in memory, with 8 bytes each.
const ENTRY_COUNT_MAX: usize = 2_000_000;

/// The most bytes that are read after the end of the archive.
const TAIL_BYTES_MAX: u64 = 1 << 20;

/// The reasons to refuse an archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// Reading failed, also in a compressed stream that is damaged.
    #[error("the archive cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It ends before its end.
    #[error("the archive ends early; its last part is missing")]
    Short,
    /// Bytes that are no header of an entry.
    #[error("the archive is no tar archive, or is damaged: {0}")]
    Malformed(&'static str),
    /// An entry that no image archive has.
    #[error("the archive has an entry that wharf does not take: {name:?} {reason}")]
    Refused {
        /// Its name, shortened.
        name: String,
        /// The reason, as the rest of a sentence.
        reason: &'static str,
    },
    /// Too many entries.
    #[error("the archive has more than {ENTRY_COUNT_MAX} entries")]
    Count,
}

/// The kinds of entries that pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    /// A symbolic link to this name, as the archive writes it.
    Link(String),
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name: relative, with single slashes, without `.` and `..`.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Bytes of content, as the header claims. A link has none.
    pub(crate) size: u64,
    /// The time that the header gives.
    pub(crate) modified_at: SystemTime,
}

/// Reads entries.
#[derive(Debug)]
pub(crate) struct Entries<R> {
    input: R,
    /// Bytes of the entry's content that are not read yet.
    left: u64,
    padding: u64,
    /// A header was read.
    is_begun: bool,
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl<R: Read> Entries<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0, is_begun: false, seen: HashSet::new(), hasher: RandomState::new() }
    }

    /// The next entry; `None`: the archive ends as it should. Content of the entry before that was not read
    /// is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip()?;
        let mut extended = Extended::default();
        let mut extension_count = 0;
        loop {
            let Some(block) = self.header()? else { return Ok(None) };
            let header = Header::from_byte_slice(&block);
            let size = header.entry_size().map_err(|_| TarError::Malformed("a size is not a number"))?;
            let kind = header.entry_type();
            if matches!(
                kind,
                EntryType::GNULongName
                    | EntryType::GNULongLink
                    | EntryType::XHeader
                    | EntryType::XGlobalHeader
            ) {
                extension_count += 1;
                if extension_count > EXTENSION_COUNT_MAX {
                    return Err(TarError::Malformed("an entry has too many extension headers"));
                }
                self.extension(kind, size, &mut extended)?;
                continue;
            }
            let given = std::mem::take(&mut extended);
            extension_count = 0;
            self.left = given.size.unwrap_or(size);
            self.padding = padding_after(self.left);
            let name = given.name.unwrap_or_else(|| header.path_bytes().into_owned());
            if let Some(entry) = self.entry(header, name, given.link)? {
                return Ok(Some(entry));
            }
            self.skip()?;
        }
    }

    /// Up to `len_max` bytes of the entry's content; fewer only at its end, and none after it.
    pub(crate) fn read(&mut self, len_max: usize) -> Result<Bytes, TarError> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(len_max);
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        self.left -= len as u64;
        Ok(bytes.into())
    }

    fn entry(
        &mut self,
        header: &Header,
        name: Vec<u8>,
        link: Option<Vec<u8>>,
    ) -> Result<Option<Entry>, TarError> {
        let shown = shortened(&name);
        let refused = |reason| TarError::Refused { name: shown.clone(), reason };
        if name.len() > NAME_BYTES_MAX {
            return Err(refused("has too long a name"));
        }
        let is_old_directory = header.entry_type() == EntryType::Regular && name.ends_with(b"/");
        let name = relative(&name).map_err(refused)?;
        let is_directory = is_old_directory || header.entry_type() == EntryType::Directory;
        if self.left > 0 && (is_directory || header.entry_type() == EntryType::Symlink) {
            // Some readers skip such bytes, and others read them as the next header.
            return Err(refused("claims content, and is a link or a directory"));
        }
        let kind = match header.entry_type() {
            _ if is_directory => return Ok(None),
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Symlink => {
                let target = link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
                let target = String::from_utf8(target.unwrap_or_default()).unwrap_or_default();
                if target.len() > NAME_BYTES_MAX {
                    return Err(refused("links to too long a name"));
                }
                Kind::Link(target)
            }
            EntryType::Link => return Err(refused("is a hard link")),
            EntryType::GNUSparse => return Err(refused("is a sparse file")),
            EntryType::Char | EntryType::Block => return Err(refused("is a device")),
            EntryType::Fifo => return Err(refused("is a named pipe")),
            _ => return Err(refused("is of an unknown kind")),
        };
        if name.is_empty() {
            return Err(refused("has no name"));
        }
        if !self.seen.insert(self.hasher.hash_one(&name)) {
            return Err(refused("comes twice"));
        }
        if self.seen.len() > ENTRY_COUNT_MAX {
            return Err(TarError::Count);
        }
        let since = Duration::from_secs(header.mtime().unwrap_or(0).min(u64::from(u32::MAX)));
        Ok(Some(Entry { name, kind, size: self.left, modified_at: UNIX_EPOCH + since }))
    }

    fn extension(&mut self, kind: EntryType, size: u64, into: &mut Extended) -> Result<(), TarError> {
        if size > EXTENSION_BYTES_MAX {
            return Err(TarError::Malformed("an extension header is too large"));
        }
        self.left = size;
        self.padding = padding_after(size);
        let bytes = self.read(usize::try_from(size).expect("an extension header fits into memory"))?;
        self.skip()?;
        match kind {
            EntryType::GNULongName => into.name = Some(until_nul(&bytes)),
            EntryType::GNULongLink => into.link = Some(until_nul(&bytes)),
            EntryType::XGlobalHeader => {
                let mut global = Extended::default();
                pax::read(&bytes, &mut global).map_err(TarError::Malformed)?;
                if global != Extended::default() {
                    return Err(TarError::Malformed("a header for all entries names or measures one"));
                }
            }
            _ => pax::read(&bytes, into).map_err(TarError::Malformed)?,
        }
        Ok(())
    }

    /// The next header; `None`: the archive is over.
    fn header(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, TarError> {
        let mut block = [0; BLOCK_BYTES];
        self.fill(&mut block).map_err(|error| match error {
            TarError::Short if !self.is_begun => TarError::Malformed("it ends within its first header"),
            error => error,
        })?;
        self.is_begun = true;
        if block == [0; BLOCK_BYTES] {
            self.end()?;
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block);
        let claimed = header.cksum().map_err(|_| TarError::Malformed("a header has no checksum"))?;
        let plain = block.iter().enumerate().map(|(at, byte)| match at {
            // The checksum's own place counts as spaces.
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        });
        if plain.sum::<u32>() != claimed {
            return Err(TarError::Malformed("the checksum of a header is wrong"));
        }
        Ok(Some(block))
    }

    /// Reads what follows the first block of zeros, so that a compressed stream checks its own end.
    fn end(&mut self) -> Result<(), TarError> {
        let mut tail = self.input.by_ref().take(TAIL_BYTES_MAX);
        io::copy(&mut tail, &mut io::sink()).map_err(TarError::Read)?;
        Ok(())
    }

    fn skip(&mut self) -> Result<(), TarError> {
        let wanted = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut self.input.by_ref().take(wanted), &mut io::sink());
        (self.left, self.padding) = (0, 0);
        if skipped.map_err(TarError::Read)? < wanted { Err(TarError::Short) } else { Ok(()) }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), TarError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TarError::Short,
            _ => TarError::Read(error),
        })
    }
}

/// A name without `.` components and doubled slashes.
fn relative(name: &[u8]) -> Result<String, &'static str> {
    let name = std::str::from_utf8(name).map_err(|_| "has a name that is no UTF-8")?;
    if name.starts_with('/') {
        return Err("has an absolute name");
    }
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err("has a name with `..`"),
            part if part.contains('\0') => return Err("has a name with a zero byte"),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn shortened(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(100)]).into_owned()
}

#[cfg(test)]
mod tests;

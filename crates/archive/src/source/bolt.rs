//! Reads a bolt database (`bbolt`), as containerd keeps one, also while another program writes to it.
//!
//! The file consists of pages. Two of them describe the database, in turns: the one with the higher number of
//! a transaction counts. The others form a tree of buckets. A transaction writes pages that the newest
//! description does not reach, and then a description. So whatever was reached from a description that is
//! still the newest one afterwards belongs together. Numbers are little-endian, as on all machines for which
//! wharf is built.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The largest part of a database that is read, in bytes: the names of 100,000 images take less.
const READ_BYTES_MAX: u64 = 256 << 20;

/// The deepest tree of pages; each level has at least two entries.
const DEPTH_MAX: usize = 32;

/// The sizes of pages that bolt uses: those of machines' memory.
const PAGE_BYTES_MIN: u64 = 1 << 10;
const PAGE_BYTES_MAX: u64 = 64 << 10;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

const PAGE_HEADER_BYTES: usize = 16;
const ELEMENT_BYTES: usize = 16;
const BUCKET_HEADER_BYTES: usize = 16;

/// The bytes of a description before its checksum.
const META_BYTES: usize = 56;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;

/// The newest state of a database.
#[derive(Debug)]
pub(super) struct Bolt<'f> {
    file: &'f File,
    meta: Meta,
    /// The bytes that may still be read: a tree has each page once, so no more than the file has.
    left: u64,
    /// The bytes that were read.
    read: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meta {
    page_bytes: u64,
    root: u64,
    transaction: u64,
}

/// A bucket: entries by their keys.
#[derive(Clone, Debug)]
pub(super) enum Bucket {
    /// Its entries begin on this page.
    Page(u64),
    /// Its entries are in this page.
    Inline(Vec<u8>),
}

/// The value of an entry.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Bytes(Vec<u8>),
    Bucket(Bucket),
}

impl<'f> Bolt<'f> {
    /// The newest state of the database in `file`. Blocks, as all methods do.
    ///
    /// # Errors
    /// I/O errors; it is no database.
    pub(super) fn open(file: &'f File) -> io::Result<Self> {
        let meta = newest_meta(file)?;
        // The file grows before a description says so.
        Ok(Self { file, meta, left: file.metadata()?.len(), read: 0 })
    }

    /// Whether it is the newest state still. If it is not, entries that were read may not belong together.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn is_current(&self) -> io::Result<bool> {
        Ok(newest_meta(self.file)? == self.meta)
    }

    pub(super) fn root(&self) -> Bucket {
        Bucket::Page(self.meta.root)
    }

    /// The bucket of this name in `bucket`; `None`: there is none.
    ///
    /// # Errors
    /// I/O errors; the database is damaged.
    pub(super) fn bucket(&mut self, bucket: &Bucket, key: &str) -> io::Result<Option<Bucket>> {
        let found = self.entries(bucket)?.into_iter().find(|(name, _)| name == key.as_bytes());
        Ok(found.and_then(|(_, value)| if let Value::Bucket(bucket) = value { Some(bucket) } else { None }))
    }

    /// All entries of a bucket, in the order of their keys.
    ///
    /// # Errors
    /// I/O errors; the database is damaged.
    pub(super) fn entries(&mut self, bucket: &Bucket) -> io::Result<Vec<(Vec<u8>, Value)>> {
        let mut entries = Vec::new();
        match bucket {
            Bucket::Page(number) => self.collect(*number, 0, &mut entries)?,
            Bucket::Inline(page) => leaf(page, &mut entries)?,
        }
        Ok(entries)
    }

    fn collect(&mut self, number: u64, depth: usize, entries: &mut Vec<(Vec<u8>, Value)>) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(damaged());
        }
        let page = self.page(number)?;
        match u16_at(&page, 8)? {
            LEAF => leaf(&page, entries),
            BRANCH => {
                for at in elements(&page)? {
                    // An element: the key's place and length, then the number of a page.
                    self.collect(u64_at(&page, at + 8)?, depth + 1, entries)?;
                }
                Ok(())
            }
            _ => Err(damaged()),
        }
    }

    /// The bytes of a page, with those that continue it.
    fn page(&mut self, number: u64) -> io::Result<Vec<u8>> {
        let start = number.checked_mul(self.meta.page_bytes).ok_or_else(damaged)?;
        let mut header = [0; PAGE_HEADER_BYTES];
        self.file.read_exact_at(&mut header, start)?;
        let count = 1 + u64::from(u32_at(&header, 12)?);
        let len = count * self.meta.page_bytes;
        if u64_at(&header, 0)? != number {
            return Err(damaged());
        }
        self.left = self.left.checked_sub(len).ok_or_else(damaged)?;
        self.read = self.read.saturating_add(len);
        if self.read > READ_BYTES_MAX {
            return Err(io::Error::other(format!("its names take more than {READ_BYTES_MAX} bytes")));
        }
        let mut page = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut page, start)?;
        Ok(page)
    }
}

/// Adds the entries of a leaf page. They do not overlap, so they have no more bytes than the page.
fn leaf(page: &[u8], entries: &mut Vec<(Vec<u8>, Value)>) -> io::Result<()> {
    const IS_BUCKET: u32 = 1;
    let mut left = page.len();
    for at in elements(page)? {
        // An element: flags, the key's place behind the element, the lengths of key and value.
        let [flags, place, key_len, value_len] = [0, 4, 8, 12].map(|offset| u32_at(page, at + offset));
        let key_at = at.checked_add(place? as usize).ok_or_else(damaged)?;
        let key = part(page, key_at, key_len? as usize)?;
        let value = part(page, key_at + key.len(), value_len? as usize)?;
        left = left.checked_sub(key.len() + value.len()).ok_or_else(damaged)?;
        let value = match flags? & IS_BUCKET {
            0 => Value::Bytes(value.to_vec()),
            // The root's page, and a sequence; without a page, the bucket's only page follows.
            _ => Value::Bucket(match u64_at(value, 0)? {
                0 => Bucket::Inline(value.get(BUCKET_HEADER_BYTES..).ok_or_else(damaged)?.to_vec()),
                number => Bucket::Page(number),
            }),
        };
        entries.push((key.to_vec(), value));
    }
    Ok(())
}

/// The places of the elements in a page.
fn elements(page: &[u8]) -> io::Result<impl Iterator<Item = usize> + use<>> {
    let count = usize::from(u16_at(page, 10)?);
    part(page, PAGE_HEADER_BYTES, count * ELEMENT_BYTES)?;
    Ok((0..count).map(|number| PAGE_HEADER_BYTES + number * ELEMENT_BYTES))
}

/// The description with the higher number among those whose checksum is right.
fn newest_meta(file: &File) -> io::Result<Meta> {
    let first = meta_at(file, 0);
    // Without the first one, the place of the second is not known.
    let sizes = match first {
        Some(meta) => vec![meta.page_bytes],
        None => {
            let sizes = std::iter::successors(Some(PAGE_BYTES_MIN), |size| Some(size * 2));
            sizes.take_while(|size| *size <= PAGE_BYTES_MAX).collect()
        }
    };
    let second = sizes.into_iter().find_map(|size| meta_at(file, size).filter(|it| it.page_bytes == size));
    let newest = first.into_iter().chain(second).max_by_key(|meta| meta.transaction);
    newest.ok_or_else(|| io::Error::other("it is no bolt database"))
}

fn meta_at(file: &File, start: u64) -> Option<Meta> {
    let mut page = [0; PAGE_HEADER_BYTES + META_BYTES + 8];
    file.read_exact_at(&mut page, start).ok()?;
    let meta = &page[PAGE_HEADER_BYTES..];
    let is_meta = u16_at(&page, 8).ok()? == META
        && u32_at(meta, 0).ok()? == MAGIC
        && u32_at(meta, 4).ok()? == VERSION
        && u64_at(meta, META_BYTES).ok()? == checksum(&meta[..META_BYTES]);
    let page_bytes = u64::from(u32_at(meta, 8).ok()?);
    let is_size = page_bytes.is_power_of_two() && (PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&page_bytes);
    (is_meta && is_size).then_some(Meta {
        page_bytes,
        root: u64_at(meta, 16).ok()?,
        transaction: u64_at(meta, 48).ok()?,
    })
}

/// FNV-1a of 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn part(bytes: &[u8], at: usize, len: usize) -> io::Result<&[u8]> {
    at.checked_add(len).and_then(|end| bytes.get(at..end)).ok_or_else(damaged)
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    Ok(u16::from_le_bytes(part(bytes, at, 2)?.try_into().expect("two bytes")))
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    Ok(u32::from_le_bytes(part(bytes, at, 4)?.try_into().expect("four bytes")))
}

fn u64_at(bytes: &[u8], at: usize) -> io::Result<u64> {
    Ok(u64::from_le_bytes(part(bytes, at, 8)?.try_into().expect("eight bytes")))
}

fn damaged() -> io::Error {
    io::Error::other("the bolt database is damaged")
}

#[cfg(test)]
mod tests;

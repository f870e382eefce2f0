//! A small writer of the format, and what the reader makes of it.

use std::io::Write;
use std::os::unix::fs::FileExt;

use super::*;

const PAGE: usize = 4096;

/// An entry that the writer writes.
enum Entry<'e> {
    Bytes(&'e [u8]),
    Inline(&'e [(&'e str, Entry<'e>)]),
    Page(u64),
}

fn leaf_page(number: u64, entries: &[(&str, Entry<'_>)]) -> Vec<u8> {
    let (mut elements, mut contents) = (Vec::new(), Vec::new());
    for (index, (key, entry)) in entries.iter().enumerate() {
        let place = (entries.len() - index) * ELEMENT_BYTES + contents.len();
        let (flags, value) = match entry {
            Entry::Bytes(bytes) => (0_u32, bytes.to_vec()),
            Entry::Inline(entries) => (1, [&[0; BUCKET_HEADER_BYTES][..], &leaf_page(0, entries)].concat()),
            Entry::Page(number) => (1, [number.to_le_bytes(), [0; 8]].concat()),
        };
        for number in [flags, place as u32, key.len() as u32, value.len() as u32] {
            elements.extend(number.to_le_bytes());
        }
        contents.extend(key.as_bytes());
        contents.extend(value);
    }
    page(number, LEAF, entries.len(), &[elements, contents].concat())
}

fn branch_page(number: u64, children: &[u64]) -> Vec<u8> {
    let elements = children.iter().flat_map(|child| [[0; 8], child.to_le_bytes()].concat());
    page(number, BRANCH, children.len(), &elements.collect::<Vec<_>>())
}

fn page(number: u64, flags: u16, count: usize, content: &[u8]) -> Vec<u8> {
    let overflow = (PAGE_HEADER_BYTES + content.len()).div_ceil(PAGE) as u32 - 1;
    let count = (count as u16).to_le_bytes();
    [&number.to_le_bytes()[..], &flags.to_le_bytes(), &count, &overflow.to_le_bytes(), content].concat()
}

fn meta_page(number: u64, root: u64, transaction: u64) -> Vec<u8> {
    let mut meta = [MAGIC, VERSION, PAGE as u32, 0].map(u32::to_le_bytes).concat();
    meta.extend([root, 0, 2, 99, transaction].map(u64::to_le_bytes).concat());
    meta.extend(checksum(&meta).to_le_bytes());
    page(number, META, 0, &meta)
}

/// A file with these pages, each at its number.
fn file(pages: &[(u64, Vec<u8>)]) -> File {
    let file = tempfile::tempfile().unwrap();
    for (number, page) in pages {
        let padding = vec![0; page.len().next_multiple_of(PAGE) - page.len()];
        file.write_all_at(&[&page[..], &padding].concat(), number * PAGE as u64).unwrap();
    }
    file
}

/// A database with a bucket of two pages, an inline bucket and a long value.
fn database() -> Vec<(u64, Vec<u8>)> {
    let long = vec![7; 3 * PAGE];
    let inner = [("a", Entry::Bytes(b"1")), ("b", Entry::Inline(&[("c", Entry::Bytes(b"2"))]))];
    vec![
        (0, meta_page(0, 3, 8)),
        (1, meta_page(1, 3, 7)),
        (3, branch_page(3, &[4, 5])),
        (4, leaf_page(4, &[("inline", Entry::Inline(&inner)), ("long", Entry::Bytes(&long))])),
        (5 + 4, leaf_page(9, &[("x", Entry::Bytes(b"y"))])),
        (5 + 3, leaf_page(8, &[("paged", Entry::Page(9))])),
        (5, leaf_page(5, &[])),
    ]
}

/// Everything in a bucket, as text.
fn shown(bolt: &mut Bolt<'_>, bucket: &Bucket) -> io::Result<String> {
    let mut text = String::new();
    for (key, value) in bolt.entries(bucket)? {
        text += &String::from_utf8_lossy(&key);
        text += &match value {
            Value::Bytes(bytes) if bytes.len() > 9 => format!("={} ", bytes.len()),
            Value::Bytes(bytes) => format!("={} ", String::from_utf8_lossy(&bytes)),
            Value::Bucket(bucket) => format!("{{ {}}} ", shown(bolt, &bucket)?),
        };
    }
    Ok(text)
}

fn read(file: &File) -> io::Result<String> {
    let mut bolt = Bolt::open(file)?;
    let root = bolt.root();
    shown(&mut bolt, &root)
}

#[test]
fn buckets_are_read_over_branches_inline_pages_and_long_values() {
    let mut pages = database();
    // The long value takes the pages up to 7, so the second leaf moves behind it.
    pages[2].1 = branch_page(3, &[4, 8]);
    pages.pop();
    let text = read(&file(&pages)).unwrap();
    assert_eq!(text, "inline{ a=1 b{ c=2 } } long=12288 paged{ x=y } ");
}

#[test]
fn the_newest_description_whose_checksum_is_right_counts() {
    let state = |first: Vec<u8>, second: Vec<u8>| {
        let one = leaf_page(3, &[("one", Entry::Bytes(b"1"))]);
        let two = leaf_page(4, &[("two", Entry::Bytes(b"2"))]);
        read(&file(&[(0, first), (1, second), (3, one), (4, two)]))
    };
    let broken = |mut page: Vec<u8>| {
        page[PAGE_HEADER_BYTES + 20] ^= 1;
        page
    };
    assert_eq!(state(meta_page(0, 3, 8), meta_page(1, 4, 9)).unwrap(), "two=2 ");
    assert_eq!(state(meta_page(0, 3, 10), meta_page(1, 4, 9)).unwrap(), "one=1 ");
    assert_eq!(state(meta_page(0, 3, 8), broken(meta_page(1, 4, 9))).unwrap(), "one=1 ");
    assert_eq!(state(broken(meta_page(0, 3, 10)), meta_page(1, 4, 9)).unwrap(), "two=2 ");
    assert!(state(broken(meta_page(0, 3, 8)), broken(meta_page(1, 4, 9))).is_err());
}

#[test]
fn a_transaction_that_ends_meanwhile_is_noticed() {
    let file = file(&[(0, meta_page(0, 3, 8)), (1, meta_page(1, 3, 7)), (3, leaf_page(3, &[]))]);
    let bolt = Bolt::open(&file).unwrap();
    assert!(bolt.is_current().unwrap());
    file.write_all_at(&meta_page(1, 3, 9), PAGE as u64).unwrap();
    assert!(!bolt.is_current().unwrap());
}

#[test]
fn a_damaged_database_is_an_error_and_no_endless_work() {
    let with = |page: Vec<u8>| read(&file(&[(0, meta_page(0, 3, 8)), (3, page)]));
    // A circle, a page elsewhere, a page of another kind, and one that claims the rest of the disk.
    for page in [
        branch_page(3, &[3, 3]),
        branch_page(3, &[u64::MAX]),
        leaf_page(4, &[]),
        page(3, 0x10, 0, &[]),
        leaf_page(3, &[("loop", Entry::Page(1 << 40))]),
    ] {
        assert!(with(page).is_err());
    }
    let mut huge = leaf_page(3, &[]);
    huge[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(with(huge).unwrap_err().to_string().contains("damaged"));
    let mut beyond = leaf_page(3, &[("a", Entry::Bytes(b"b"))]);
    beyond[PAGE_HEADER_BYTES + 12] = 0xff;
    beyond[PAGE_HEADER_BYTES + 14] = 0xff;
    assert!(with(beyond).unwrap_err().to_string().contains("damaged"));
    let mut short = tempfile::tempfile().unwrap();
    short.write_all(&meta_page(0, 3, 8)).unwrap();
    assert!(read(&short).is_err());
    assert!(read(&tempfile::tempfile().unwrap()).is_err());
}

#[test]
fn pages_that_overlap_are_damage_and_are_not_read_again_and_again() {
    // Each of two hundred pages claims all that follow.
    const COUNT: u64 = 200;
    let children: Vec<u64> = (4..4 + COUNT).collect();
    let mut pages = vec![(0, meta_page(0, 3, 8)), (3, branch_page(3, &children))];
    for number in children {
        let mut page = leaf_page(number, &[]);
        page[12..16].copy_from_slice(&((4 + COUNT - number - 1) as u32).to_le_bytes());
        pages.push((number, page));
    }
    let error = read(&file(&pages)).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn entries_that_overlap_are_damage_and_do_not_multiply_the_bytes() {
    // Each of a thousand entries claims the rest of a page with a million bytes.
    const COUNT: usize = 1000;
    let mut elements = Vec::new();
    for index in 0..COUNT {
        let place = (COUNT - index) * ELEMENT_BYTES;
        for number in [0, place as u32, 0, 1_000_000] {
            elements.extend(number.to_le_bytes());
        }
    }
    elements.resize(COUNT * ELEMENT_BYTES + 1_000_000, 0);
    let overlapping = page(3, LEAF, COUNT, &elements);
    let error = read(&file(&[(0, meta_page(0, 3, 8)), (3, overlapping)])).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn whatever_bytes_change_the_reader_ends() {
    let mut pages = database();
    pages[2].1 = branch_page(3, &[4, 8]);
    pages.pop();
    for seed in 0..2000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let file = file(&pages);
        // A wrong description is refused by its checksum, so these changes are behind it.
        for _ in 0..random.usize(1..8) {
            let offset = if random.bool() { 3 * PAGE..3 * PAGE + 200 } else { 3 * PAGE..10 * PAGE };
            file.write_all_at(&[random.u8(..)], random.usize(offset) as u64).unwrap();
        }
        // Either is right; it must not panic, and not go on for ever.
        let _ = read(&file);
    }
}

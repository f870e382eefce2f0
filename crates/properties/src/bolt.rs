//! containerd's database of names, which is a bolt database.

use archive::fuzzing::names;

/// The smallest page, so that short inputs have several.
const PAGE: usize = 1024;

const LEAF: u16 = 2;
const META: u16 = 4;

/// Checks that a damaged database gives no more bytes than it has, and that the names can be written and
/// read again. The input is the pages after the two descriptions, the root first, and then once more a whole
/// database.
pub fn check(input: &[u8]) {
    let found = names(input).unwrap_or_default();
    assert!(found.iter().map(|(name, _)| name.len()).sum::<usize>() <= input.len());
    let database = database(input);
    let mut found = names(&database).unwrap_or_default();
    assert!(found.iter().map(|(name, _)| name.len()).sum::<usize>() <= database.len());
    found.sort_unstable();
    // Several namespaces may have a name; they become one here.
    found.dedup_by(|one, other| one.0 == other.0);
    let entry = |(name, digest): &'_ (String, oci::Digest)| (name.clone(), image(&digest.to_string()));
    let images: Vec<_> = found.iter().map(entry).collect();
    let root = bucket(&[("v1", bucket(&[("default", bucket(&[("images", bucket(&images))]))]))]);
    // The root is a page of its own, not in another page.
    let again = names(&self::database(&numbered(&root.content[16..], 2)));
    assert_eq!(again, Some(found));
}

/// The value of an entry.
struct Value {
    is_bucket: bool,
    content: Vec<u8>,
}

fn image(digest: &str) -> Value {
    let digest = Value { is_bucket: false, content: digest.as_bytes().to_vec() };
    bucket(&[("target", bucket(&[("digest", digest)]))])
}

/// A bucket that is in the page of the bucket above it: no page of its own, a sequence, and its only page.
fn bucket<K: AsRef<str>>(entries: &[(K, Value)]) -> Value {
    let (len, mut elements, mut contents) = (entries.len(), Vec::new(), Vec::new());
    for (index, (key, value)) in entries.iter().enumerate() {
        let key = key.as_ref();
        let place = (len - index) * 16 + contents.len();
        for number in [usize::from(value.is_bucket), place, key.len(), value.content.len()] {
            elements.extend(u32::try_from(number).expect("short inputs").to_le_bytes());
        }
        contents.extend(key.as_bytes());
        contents.extend(&value.content);
    }
    let count = u16::try_from(len).expect("short inputs");
    let page = [page(0, LEAF, count, 0), elements, contents].concat();
    Value { is_bucket: true, content: [vec![0; 16], page].concat() }
}

/// The head of a page: its number, kind, number of elements, and number of pages that continue it.
fn page(number: u64, kind: u16, count: u16, continued: u32) -> Vec<u8> {
    let parts =
        [&number.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &continued.to_le_bytes()];
    parts.concat()
}

/// The same page as one of the file, with the right number of pages that continue it.
fn numbered(bytes: &[u8], number: u64) -> Vec<u8> {
    let continued = u32::try_from(bytes.len().div_ceil(PAGE) - 1).expect("short inputs");
    let count = u16::from_le_bytes([bytes[10], bytes[11]]);
    [&page(number, LEAF, count, continued), &bytes[16..]].concat()
}

/// The file with these pages behind a description that begins with the first of them.
fn database(pages: &[u8]) -> Vec<u8> {
    let (magic, version, page_bytes, root, transaction) = (0xED0C_DAED_u32, 2_u32, 1024_u32, 2_u64, 7_u64);
    let mut meta = [magic, version, page_bytes, 0].map(u32::to_le_bytes).concat();
    meta.extend([root, 0, 0, 0, transaction].map(u64::to_le_bytes).concat());
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for byte in &meta {
        sum ^= u64::from(*byte);
        sum = sum.wrapping_mul(0x0000_0100_0000_01b3);
    }
    let mut file = [page(0, META, 0, 0), meta, sum.to_le_bytes().to_vec()].concat();
    file.resize(2 * PAGE, 0);
    file.extend(pages);
    file.resize(file.len().next_multiple_of(PAGE), 0);
    file
}

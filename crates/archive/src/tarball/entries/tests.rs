use std::io::Cursor;

use tar::{EntryType, Header};

use super::super::header::{END, comment, header_of};
use super::*;

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    entry(&header_of(name, content.len() as u64), content)
}

fn entry(header: &[u8], content: &[u8]) -> Vec<u8> {
    let padding = usize::try_from(padding_after(content.len() as u64)).unwrap();
    [header, content, &vec![0; padding]].concat()
}

/// A header that no library would write: the name goes in as it is.
fn raw(name: &[u8], kind: EntryType, size: u64, link: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn pax(key: &str, value: &str) -> Vec<u8> {
    let body = format!(" {key}={value}\n");
    let digits = (1..5).find(|digits| (body.len() + digits).to_string().len() == *digits).unwrap();
    let record = format!("{}{body}", body.len() + digits);
    entry(&raw(b"pax", EntryType::XHeader, record.len() as u64, b""), record.as_bytes())
}

fn read_all(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, TarError> {
    let mut entries = Entries::new(Cursor::new(archive));
    let mut read = Vec::new();
    while let Some(entry) = entries.next()? {
        let content = match &entry.kind {
            Kind::File => entries.read(usize::MAX)?.to_vec(),
            Kind::Link(target) => format!("-> {target}").into_bytes(),
        };
        read.push((entry.name, content));
    }
    Ok(read)
}

fn refusal(parts: &[&[u8]]) -> String {
    read_all(&[&parts.concat()[..], &END].concat()).unwrap_err().to_string()
}

#[test]
fn files_and_links_are_read_and_directories_are_skipped() {
    let archive = [
        raw(b"blobs/", EntryType::Directory, 0, b""),
        file("./blobs//a", &[7; 1000]),
        raw(b"b/layer.tar", EntryType::Symlink, 0, b"../a/layer.tar"),
        file("empty", b""),
        END.to_vec(),
        vec![0; 9000],
    ]
    .concat();
    let expected = [
        ("blobs/a".to_owned(), vec![7; 1000]),
        ("b/layer.tar".to_owned(), b"-> ../a/layer.tar".to_vec()),
        ("empty".to_owned(), vec![]),
    ];
    assert_eq!(read_all(&archive).unwrap(), expected);
}

#[test]
fn content_that_is_not_read_is_skipped() {
    let archive = [file("a", &[1; 5000]), file("b", b"b"), END.to_vec()].concat();
    let mut entries = Entries::new(Cursor::new(archive));
    assert_eq!(entries.next().unwrap().unwrap().name, "a");
    assert_eq!(entries.read(10).unwrap().len(), 10);
    assert_eq!(entries.next().unwrap().unwrap().name, "b");
    assert_eq!(entries.read(10).unwrap(), b"b".as_slice());
    assert_eq!(entries.next().unwrap(), None);
}

#[test]
fn extension_headers_give_names_and_sizes() {
    let long = "d/".repeat(100) + "x";
    let with_nul = [long.as_bytes(), b"\0"].concat();
    let archive = [
        entry(&raw(b"l", EntryType::GNULongName, with_nul.len() as u64, b""), &with_nul),
        file("short", b"one"),
        pax("path", &long.replace('x', "y")),
        pax("size", "3"),
        entry(&raw(b"short", EntryType::Regular, 0, b""), b"two"),
        END.to_vec(),
    ]
    .concat();
    let read = read_all(&archive).unwrap();
    assert_eq!(read[0], (long.clone(), b"one".to_vec()));
    assert_eq!(read[1], (long.replace('x', "y"), b"two".to_vec()));
}

#[test]
fn headers_that_wharf_writes_are_read() {
    let long = format!("blobs/sha512/{}", "a".repeat(128));
    let archive =
        [comment("nothing"), file(&long, b"x"), file("y", b""), comment("end"), END.to_vec()].concat();
    let expected = [(long, b"x".to_vec()), ("y".to_owned(), vec![])];
    assert_eq!(read_all(&archive).unwrap(), expected);
}

/// A reader that skips such bytes sees other entries than a reader that takes them for the next header.
#[test]
fn links_and_directories_that_claim_content_are_refused() {
    for (name, kind) in
        [("a", EntryType::Symlink), ("d/", EntryType::Directory), ("old/", EntryType::Regular)]
    {
        let hidden = file("hidden", b"x");
        let claims = raw(name.as_bytes(), kind, hidden.len() as u64, b"target");
        let text = refusal(&[&claims, &hidden]);
        assert!(text.contains("content") && text.contains(name), "{text}");
        let extended = refusal(&[&pax("size", "512"), &raw(name.as_bytes(), kind, 0, b"target"), &hidden]);
        assert!(extended.contains("content"), "{extended}");
    }
}

#[test]
fn entries_that_no_image_archive_has_are_refused_by_name() {
    for (kind, reason) in [
        (EntryType::Link, "hard link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "pipe"),
        (EntryType::GNUSparse, "sparse"),
        (EntryType::new(b'Z'), "unknown kind"),
    ] {
        let text = refusal(&[&raw(b"some/name", kind, 0, b"")]);
        assert!(text.contains(reason) && text.contains("some/name"), "{text}");
    }
    for (name, reason) in [
        (&b"../etc/passwd"[..], "`..`"),
        (b"a/../../b", "`..`"),
        (b"/etc/passwd", "absolute"),
        (b"\xff\xfe", "UTF-8"),
        (b".", "no name"),
    ] {
        let text = refusal(&[&raw(name, EntryType::Regular, 0, b"")]);
        assert!(text.contains(reason), "{text}");
    }
    let text = refusal(&[&pax("GNU.sparse.major", "1"), &file("a", b"")]);
    assert!(text.contains("sparse"), "{text}");
    let text = refusal(&[&file("a", b"1"), &file("./a", b"2")]);
    assert!(text.contains("twice"), "{text}");
}

#[test]
fn nothing_takes_memory_because_a_header_claims_a_size() {
    let huge = raw(b"l", EntryType::GNULongName, 1 << 40, b"");
    assert!(refusal(&[&huge]).contains("extension header is too large"));
    let many = pax("comment", "x").repeat(EXTENSION_COUNT_MAX + 1);
    assert!(refusal(&[&many, &file("a", b"")]).contains("too many extension headers"));
    let mut entries = Entries::new(Cursor::new(raw(b"huge", EntryType::Regular, 1 << 60, b"")));
    assert_eq!(entries.next().unwrap().unwrap().size, 1 << 60);
    assert!(matches!(entries.read(1 << 20), Err(TarError::Short)));
}

#[test]
fn an_archive_that_is_cut_anywhere_or_changed_in_a_header_is_refused() {
    let archive = [file("a", &[1; 600]), file("b", b"b"), END.to_vec()].concat();
    assert_eq!(read_all(&archive).unwrap().len(), 2);
    // The second block of zeros is a convention that some writers leave out.
    for end in 0..archive.len() - END.len() + BLOCK_BYTES {
        let error = read_all(&archive[..end]).unwrap_err();
        // So little may be the beginning of any file.
        assert_eq!(matches!(error, TarError::Malformed(_)), end < BLOCK_BYTES, "{end}: {error}");
        assert_eq!(matches!(error, TarError::Short), end >= BLOCK_BYTES, "{end}: {error}");
    }
    for at in 0..148 {
        let mut changed = archive.clone();
        changed[at] ^= 1;
        assert!(read_all(&changed).is_err(), "{at}");
    }
}

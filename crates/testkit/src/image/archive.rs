//! Layers before compression: tar archives in the ustar format (POSIX.1-1988), written by hand, because forty
//! lines that give equal bytes for equal entries are simpler than a dependency with such settings.

use std::io::Write as _;

const BLOCK: usize = 512;

/// An entry of a layer; paths are relative to the root, at most 100 bytes long.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// A directory; its path ends in a slash.
    Directory(&'a str),
    /// A file of mode 0755 with its content.
    Program(&'a str, &'a [u8]),
    /// A file of mode 0644 with its content.
    File(&'a str, &'a [u8]),
    /// A symbolic link and its target.
    Link(&'a str, &'a str),
}

/// The archive of `entries`, which are owned by root and dated 1970.
///
/// # Panics
/// When a path or a target is longer than 100 bytes.
pub fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for entry in entries {
        let (header, content) = match *entry {
            Entry::Directory(path) => (header(path, 0o755, 0, b'5', ""), &[][..]),
            Entry::Program(path, content) => (header(path, 0o755, content.len(), b'0', ""), content),
            Entry::File(path, content) => (file_header(path, content.len()), content),
            Entry::Link(path, target) => (header(path, 0o777, 0, b'2', target), &[][..]),
        };
        archive.extend_from_slice(&header);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    // Two empty blocks end an archive.
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

/// Returns the header of a file of mode 0644 and this many bytes: for archives too large for memory. The
/// content is filled up to a multiple of the header's length, and two empty blocks of that length end the
/// archive.
///
/// # Panics
/// When the path is longer than 100 bytes.
pub fn file_header(path: &str, size: usize) -> [u8; BLOCK] {
    header(path, 0o644, size, b'0', "")
}

fn header(path: &str, mode: u32, size: usize, kind: u8, target: &str) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    put(&mut header[0..100], path);
    put(&mut header[100..108], format_args!("{mode:07o}"));
    put(&mut header[108..116], format_args!("{:07o}", 0));
    put(&mut header[116..124], format_args!("{:07o}", 0));
    put(&mut header[124..136], format_args!("{size:011o}"));
    put(&mut header[136..148], format_args!("{:011o}", 0));
    // The checksum is the sum of all bytes while its own field is blank.
    put(&mut header[148..156], "        ");
    header[156] = kind;
    put(&mut header[157..257], target);
    put(&mut header[257..265], "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut header[148..156], format_args!("{sum:06o}\0 "));
    header
}

fn put(mut field: &mut [u8], value: impl std::fmt::Display) {
    write!(field, "{value}").expect("the value fits its field of the header");
}

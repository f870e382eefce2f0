//! Layers: tar archives built entry by entry, equal input giving equal bytes, and their compressed forms.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const BLOCK: usize = 512;

/// An entry of a layer.
pub(crate) enum Entry<'a> {
    Directory(&'a str),
    Program(&'a str, &'a [u8]),
    File(&'a str, &'a [u8]),
    Link(&'a str, &'a str),
}

/// The tar archive of `entries`.
pub(crate) fn layer(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for entry in entries {
        let (header, content) = match *entry {
            Entry::Directory(path) => (header(path, 0o755, 0, b'5', ""), &[][..]),
            Entry::Program(path, content) => (header(path, 0o755, content.len(), b'0', ""), content),
            Entry::File(path, content) => (header(path, 0o644, content.len(), b'0', ""), content),
            Entry::Link(path, to) => (header(path, 0o777, 0, b'2', to), &[][..]),
        };
        archive.extend_from_slice(&header);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

/// Writes a tar archive to `path` that holds one file of `size` bytes, no two of its blocks alike.
pub(crate) fn write_large_layer(path: &Path, size: usize) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("the layer is created"));
    let mut block = vec![0_u8; 1 << 20];
    // A multiplicative generator: cheap, and nothing that a file system or a proxy could squeeze.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for word in block.chunks_exact_mut(8) {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        word.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    file.write_all(&header("large", 0o644, size, b'0', "")).expect("the header is written");
    assert_eq!(size % block.len(), 0, "a large layer is made of whole blocks");
    for number in 0..size / block.len() {
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block).expect("a block is written");
    }
    file.write_all(&[0; 2 * BLOCK]).expect("the end is written");
    file.flush().expect("the layer is written");
}

/// `content` as the standard output of `program`, which compresses its standard input.
pub(crate) fn compress(program: &str, arguments: &[&str], content: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the compressor starts");
    let mut input = child.stdin.take().expect("standard input is a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(content).expect("the compressor reads"));
        child.wait_with_output().expect("the compressor ends")
    });
    assert!(output.status.success(), "{program} ended with {}", output.status);
    output.stdout
}

/// A ustar header, without owner and time: they would differ from run to run.
fn header(path: &str, mode: u32, size: usize, kind: u8, link: &str) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    // The checksum is taken over a header whose checksum field is blank.
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

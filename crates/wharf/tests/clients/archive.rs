//! Layers that are too large for memory, and the compressed forms of others.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::file_header;

/// Writes a tar archive to `path` with one file of `size` bytes, whose blocks all differ.
pub(crate) fn write_large_layer(path: &Path, size: usize) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("the layer is created"));
    let mut block = vec![0_u8; 1 << 20];
    // A multiplicative generator: cheap, and no file system or proxy can compress it.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for word in block.chunks_exact_mut(8) {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        word.copy_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    file.write_all(&file_header("large", size)).expect("the header is written");
    assert_eq!(size % block.len(), 0, "a large layer is made of whole blocks");
    for number in 0..size / block.len() {
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block).expect("a block is written");
    }
    file.write_all(&[0; 1024]).expect("the end is written");
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

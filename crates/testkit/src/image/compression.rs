//! The compression of a layer. Equal archives give equal bytes.

use std::io::Write as _;

use flate2::GzBuilder;

use super::Format;

/// The most that one block of a zstd frame holds (RFC 8878 section 3.1.1.2.4).
const ZSTD_BLOCK_MAX: usize = 128 << 10;

/// The form in which a layer is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// The bare archive.
    None,
    /// RFC 1952.
    #[default]
    Gzip,
    /// RFC 8878: a valid frame of raw blocks. It is as large as the archive, and every decoder accepts it; an
    /// encoder would need a C library.
    Zstd,
}

impl Compression {
    /// The stored form of `archive`.
    pub(crate) fn apply(self, archive: &[u8]) -> Vec<u8> {
        match self {
            Self::None => archive.to_vec(),
            Self::Gzip => {
                // Without name and time in the header, only the archive decides the bytes.
                let mut encoder = GzBuilder::new().write(Vec::new(), flate2::Compression::fast());
                encoder.write_all(archive).expect("memory takes every byte");
                encoder.finish().expect("memory takes every byte")
            }
            Self::Zstd => zstd_frame(archive),
        }
    }

    /// The media type of a layer stored so. Docker has none for zstd, and there the OCI one is used.
    pub(crate) fn media_type(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::None, Format::Oci) => "application/vnd.oci.image.layer.v1.tar",
            (Self::Gzip, Format::Oci) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Self::Zstd, _) => "application/vnd.oci.image.layer.v1.tar+zstd",
            (Self::None, Format::Docker) => "application/vnd.docker.image.rootfs.diff.tar",
            (Self::Gzip, Format::Docker) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        }
    }
}

/// One frame of raw blocks, without checksum (RFC 8878 section 3.1.1).
fn zstd_frame(content: &[u8]) -> Vec<u8> {
    const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
    // Frame_Header_Descriptor: an eight-byte content size; no single segment, so a window follows.
    const DESCRIPTOR: u8 = 0b1100_0000;
    // Window_Descriptor: exponent 7, mantissa 0, which is 128 KiB: one block.
    const WINDOW: u8 = 7 << 3;
    let mut frame = MAGIC.to_vec();
    frame.extend_from_slice(&[DESCRIPTOR, WINDOW]);
    frame.extend_from_slice(&(content.len() as u64).to_le_bytes());
    let mut rest = content;
    loop {
        let (block, after) = rest.split_at(rest.len().min(ZSTD_BLOCK_MAX));
        rest = after;
        let is_last = rest.is_empty();
        // Block_Header: last block, type (0: raw), size; three bytes, little-endian.
        let header = u32::from(is_last) | (block.len() as u32) << 3;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
        if is_last {
            return frame;
        }
    }
}

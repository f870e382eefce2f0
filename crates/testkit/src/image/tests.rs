use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::{Artifact, Blob, Compression, Entry, Format, Image, Index, archive};
use crate::{TempStore, digest_of};

fn document(blob: &Blob) -> Value {
    serde_json::from_slice(&blob.bytes()).unwrap()
}

/// Expects that every descriptor is that of its blob.
fn check_whole(image: &Image) {
    let manifest = document(&image.manifest);
    assert_eq!(manifest["mediaType"], image.manifest.media_type.as_str());
    assert_eq!(manifest["config"], image.config.descriptor());
    let layers: Vec<Value> = image.layers.iter().map(Blob::descriptor).collect();
    assert_eq!(manifest["layers"], Value::Array(layers));
    for blob in image.blobs().chain([&image.manifest]) {
        assert_eq!(blob.digest, digest_of(&blob.bytes()));
        assert_eq!(blob.size(), blob.bytes().len() as u64);
    }
}

fn gunzip(stored: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(stored).read_to_end(&mut plain).unwrap();
    plain
}

/// Parses a frame of raw blocks by RFC 8878, independently of the code that wrote it.
fn unzstd(stored: &[u8]) -> Vec<u8> {
    assert_eq!(stored[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    assert_eq!(stored[4] >> 6, 3, "an eight-byte content size");
    assert_eq!(stored[4] & 0b0011_1111, 0, "a window, no checksum, no dictionary");
    let window = 1_usize << (10 + (stored[5] >> 3));
    let size = u64::from_le_bytes(stored[6..14].try_into().unwrap());
    let (mut plain, mut at) = (Vec::new(), 14);
    loop {
        let header = u32::from_le_bytes([stored[at], stored[at + 1], stored[at + 2], 0]);
        let len = (header >> 3) as usize;
        assert_eq!((header >> 1) & 3, 0, "a raw block");
        assert!(len <= window);
        plain.extend_from_slice(&stored[at + 3..at + 3 + len]);
        at += 3 + len;
        if header & 1 == 1 {
            break;
        }
    }
    assert_eq!((at, plain.len() as u64), (stored.len(), size));
    plain
}

#[test]
fn an_archive_describes_each_entry() {
    let content = [7; 600];
    let bytes = archive(&[
        Entry::Directory("bin/"),
        Entry::Program("bin/tool", &content),
        Entry::Link("bin/other", "tool"),
        Entry::File("empty", b""),
    ]);
    // Four headers, two blocks of content, two at the end.
    assert_eq!(bytes.len(), 8 * 512);
    let header = |block: usize| &bytes[block * 512..(block + 1) * 512];
    let text = |block: usize, from: usize, to: usize| {
        String::from_utf8_lossy(&header(block)[from..to]).trim_end_matches(['\0', ' ']).to_owned()
    };
    let entries =
        [(0, "bin/", '5', "0000755"), (1, "bin/tool", '0', "0000755"), (4, "bin/other", '2', "0000777")];
    for (block, path, kind, mode) in entries {
        assert_eq!((text(block, 0, 100).as_str(), text(block, 100, 108).as_str()), (path, mode));
        assert_eq!(header(block)[156] as char, kind);
        assert_eq!(&header(block)[257..263], b"ustar\0");
        let blank = 8 * u32::from(b' ');
        let sum: u32 = header(block).iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = header(block)[148..156].iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(u32::from_str_radix(&text(block, 148, 156), 8).unwrap(), sum - own + blank);
    }
    assert_eq!(u64::from_str_radix(&text(1, 124, 136), 8).unwrap(), 600);
    assert_eq!(text(4, 157, 257), "tool");
    assert_eq!(bytes[2 * 512..2 * 512 + 600], content);
    assert!(bytes[6 * 512..].iter().all(|byte| *byte == 0));
}

#[test]
fn compressed_layers_contain_the_archive_that_the_config_names() {
    let large = vec![b'x'; 300 << 10];
    let entries = [Entry::File("large", &large)];
    let plain = archive(&entries);
    for format in [Format::Oci, Format::Docker] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let image = Image::builder(format).compression(compression).layer(&entries).build();
            check_whole(&image);
            let stored = image.layers[0].bytes();
            let unpacked = match compression {
                Compression::None => stored.to_vec(),
                Compression::Gzip => gunzip(&stored),
                Compression::Zstd => unzstd(&stored),
            };
            assert_eq!(unpacked, plain);
            let config = document(&image.config);
            assert_eq!(config["rootfs"]["diff_ids"][0], digest_of(&plain));
            assert_eq!(config["history"].as_array().unwrap().len(), 1);
        }
    }
}

#[test]
fn formats_keep_to_their_own_media_types() {
    for (format, word) in [(Format::Oci, "vnd.oci."), (Format::Docker, "vnd.docker.")] {
        let image = Image::builder(format).layer(&[]).annotation("a", "b").build();
        let index = Index::of(format, std::slice::from_ref(&image));
        for blob in image.blobs().chain([&image.manifest, &index.manifest]) {
            assert!(blob.media_type.contains(word), "{}", blob.media_type);
        }
        let has_annotations = document(&image.manifest).get("annotations").is_some();
        assert_eq!(has_annotations, format == Format::Oci);
    }
}

#[test]
fn equal_images_are_equal_and_others_share_nothing() {
    assert_eq!(Image::small("a"), Image::small("a"));
    let (one, two) = (Image::small("a"), Image::small("b"));
    assert_ne!(one.digest(), two.digest());
    assert!(one.blobs().all(|blob| two.blobs().all(|other| blob.digest != other.digest)));
}

#[test]
fn generated_images_have_the_requested_size() {
    let image = Image::generated(5, &[1, 0, 70_000]);
    check_whole(&image);
    assert_eq!(image.layers.iter().map(Blob::size).collect::<Vec<_>>(), [1, 0, 70_000]);
    assert_ne!(Image::generated(6, &[70_000]).layers[0], Image::generated(5, &[70_000]).layers[0]);
}

#[test]
fn a_runnable_image_holds_the_program_and_the_marker() {
    let store = TempStore::new();
    let busybox = store.path().join("busybox");
    std::fs::write(&busybox, b"\x7fELF and so on").unwrap();
    let image = Image::runnable(&busybox, Format::Docker, Compression::Gzip, "from here").unwrap();
    check_whole(&image);
    let system = gunzip(&image.layers[0].bytes());
    assert!(system.windows(15).any(|window| window == b"\x7fELF and so on\0"));
    let marked = gunzip(&image.layers[1].bytes());
    assert!(marked.windows(9).any(|window| window == b"from here"));
    assert_eq!(document(&image.config)["config"]["Cmd"][1], "/etc/marker");
    Image::runnable(Path::new("/nowhere"), Format::Oci, Compression::None, "").unwrap_err();
}

#[test]
fn an_index_names_each_image_with_its_platform() {
    let images = ["amd64", "arm64"]
        .map(|architecture| Image::builder(Format::Oci).platform("linux", architecture).layer(&[]).build());
    let index = Index::of(Format::Oci, &images);
    let manifests = document(&index.manifest)["manifests"].clone();
    for (place, image) in images.iter().enumerate() {
        assert_eq!(manifests[place]["digest"], image.digest());
        assert_eq!(manifests[place]["size"], image.manifest.size());
    }
    assert_eq!(manifests[1]["platform"]["architecture"], "arm64");
    assert_eq!(document(&images[1].config)["architecture"], "arm64");
    assert_ne!(index.digest(), images[0].digest());
}

#[test]
fn an_artifact_is_about_its_subject() {
    let image = Image::small("subject");
    let artifact = Artifact::about(&image.manifest, "application/spdx+json", b"{}");
    let manifest = document(&artifact.manifest);
    assert_eq!(manifest["subject"], image.manifest.descriptor());
    assert_eq!(manifest["artifactType"], "application/spdx+json");
    assert_eq!(manifest["layers"][0], artifact.layer.descriptor());
    let (tag, fallback) = Artifact::fallback(&image.manifest, std::slice::from_ref(&artifact));
    assert_eq!(tag, format!("sha256-{}", image.manifest.hex()));
    assert_eq!(document(&fallback)["manifests"][0]["digest"], artifact.manifest.digest.as_str());
}

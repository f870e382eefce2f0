//! Archives and directories that are made to take a server's memory or time.

use std::io::{Cursor, Read};
use std::sync::Arc;

use archive::{ImportError, OpenTargets, Source, import};
use storage::{MemoryStore, Space, Store};
use tar::{EntryType, Header};

use super::carry::{Holder, try_import};
use super::pack::carry;
use super::{digest, image, options, target, write};

/// A tar archive of files without content, whose names are as long as they may be.
struct LongNames {
    is_link: bool,
    number: u64,
    block: Cursor<Vec<u8>>,
}

impl LongNames {
    fn new(is_link: bool) -> Self {
        Self { is_link, number: 0, block: Cursor::default() }
    }

    fn next(&mut self) -> Vec<u8> {
        self.number += 1;
        let name = format!("{}{:08}.json", "n".repeat(4000), self.number);
        let header = |kind, size: usize| {
            let mut header = Header::new_gnu();
            header.set_path("name").unwrap();
            header.set_entry_type(kind);
            header.set_size(size as u64);
            header.set_cksum();
            header.as_bytes().to_vec()
        };
        let mut bytes = header(EntryType::GNULongName, name.len());
        bytes.extend(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        let kind = if self.is_link { EntryType::Symlink } else { EntryType::Regular };
        bytes.extend(header(kind, 0));
        bytes
    }
}

impl Read for LongNames {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.block.position() == self.block.get_ref().len() as u64 {
            self.block = Cursor::new(self.next());
        }
        self.block.read(buffer)
    }
}

#[tokio::test]
async fn an_archive_without_end_whose_names_are_long_is_refused() {
    let quay = Holder::new("quay.io");
    for is_link in [false, true] {
        let archive = LongNames::new(is_link).take(1 << 30);
        let error = try_import(archive, &[&quay], None).await.unwrap_err();
        assert!(matches!(error, ImportError::Bound(_)), "{error}");
        assert!(error.to_string().contains("names of its files"), "{error}");
    }
}

#[tokio::test]
async fn a_sparse_file_that_claims_more_than_the_store_can_take_is_not_read() {
    let registry = super::Registry::new();
    registry.blob(b"{}");
    let manifest = registry.manifest("org/app", &image(b"{}", b"layer"));
    write(&registry.v2().join("repositories/org/app/_manifests/tags/v1/current/link"), manifest.to_string());
    let layer = registry.data(&digest(b"layer"));
    write(&layer, b"");
    std::fs::File::options().write(true).open(&layer).unwrap().set_len(1 << 42).unwrap();
    let quay = Holder::new("quay.io");
    let source = Source::open(registry.0.path(), None).unwrap();
    let targets = [quay.walked().await];
    // Through a server: what is sent has the size that the manifest claims.
    let (report, _, bytes) = carry(&source, Some("quay.io"), &targets).await;
    assert_eq!((report.images, report.incomplete, report.refused), (1, 1, 1), "{report:?}");
    assert!(bytes < 100_000, "{bytes}");
    let targets = OpenTargets(targets.into());
    let report = import(Arc::new(source), &targets, &options(Some("quay.io")), |_| {}).await.unwrap();
    assert_eq!((report.images, report.incomplete, report.refused), (1, 1, 1), "{report:?}");
    assert!(report.refusals[0].reason.contains("claims 5"), "{report:?}");
}

#[tokio::test]
async fn a_sparse_file_that_is_larger_than_the_file_system_of_the_store_is_not_read() {
    let layer = vec![0; 100_000];
    for (total, is_imported) in [(99_999, false), (100_000, true)] {
        let registry = super::Registry::new();
        registry.blob(b"{}");
        let manifest = registry.manifest("org/app", &image(b"{}", &layer));
        registry.tag("org/app", "1", &manifest.to_string());
        registry.blob(&layer);
        let memory = MemoryStore::new();
        memory.set_space(Some(Space::new(total, total)));
        let store: Arc<dyn Store> = Arc::new(memory);
        let source = Arc::new(Source::open(registry.0.path(), None).unwrap());
        let targets = OpenTargets(vec![target("quay.io", &store, false)]);
        let report = import(source, &targets, &options(Some("quay.io")), |_| {}).await.unwrap();
        assert_eq!((report.images, report.incomplete), (1, u64::from(!is_imported)), "{report:?}");
        assert_eq!(store.open(&digest(&layer)).await.unwrap().is_some(), is_imported);
    }
}

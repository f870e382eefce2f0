use std::path::Path;

use oci::{Algorithm, Digest};

use super::{Counted, Kind};
use crate::fs::layout::Layout;

#[test]
fn a_file_counts_where_the_store_puts_it_and_nowhere_else() {
    let layout = Layout::new(Path::new("/srv/a store"));
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for number in 0..100_u32 {
            let digest = Digest::of(algorithm, &number.to_le_bytes());
            for (path, kind) in
                [(layout.blob(&digest), Kind::Blob), (layout.manifest(&digest), Kind::Manifest)]
            {
                let counted = Counted::of(&layout, &path).expect("it counts");
                assert_eq!((counted.kind(), counted.path(&layout).as_path()), (kind, path.parent().unwrap()));
                assert!(counted.number() < Counted::COUNT);
            }
        }
    }
    let hex = "0".repeat(64);
    let quarantine = Counted::of(&layout, Path::new("/srv/a store/quarantine/17-x")).unwrap();
    assert_eq!((quarantine.kind(), quarantine.path(&layout)), (Kind::Damaged, layout.quarantine()));
    for path in [
        format!("/srv/a store/blobs/sha256/01/{hex}"),
        format!("/srv/a store/blobs/sha256/00/{hex}0"),
        format!("/srv/a store/blobs/sha256/00/{hex}/x"),
        format!("/srv/a store/blobs/sha384/00/{hex}"),
        format!("/srv/a store/blobs/sha256/+0/{hex}"),
        format!("/srv/a store/blobs/sha256/{hex}"),
        format!("/srv/other/blobs/sha256/00/{hex}"),
        format!("/srv/a store/partial/sha256-{hex}"),
        "/srv/a store/quarantine".to_owned(),
        "/srv/a store/quarantine/a/b".to_owned(),
        "/srv/a store".to_owned(),
    ] {
        assert_eq!(Counted::of(&layout, Path::new(&path)), None, "{path}");
    }
}

#[test]
fn every_directory_has_its_own_path() {
    let layout = Layout::new(Path::new("/srv"));
    let paths: std::collections::HashSet<_> = Counted::from(0).map(|counted| counted.path(&layout)).collect();
    assert_eq!(paths.len(), Counted::COUNT);
    assert_eq!(Counted::from(0).count(), 2 * 2 * 256 + 1);
}

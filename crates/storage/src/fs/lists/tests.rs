use std::fs;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use oci::Repository;
use telemetry::Metrics;

use crate::fs::open;
use crate::record_store::StoredList;

/// After a flip of any bit of a page's file, or a cut anywhere, the page is not returned, and is quarantined.
#[test]
fn client_f4_a_damaged_list_is_quarantined() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), Metrics::new(&["test".to_owned()]).registry("test")).unwrap();
    let repository: Repository = "a".parse().unwrap();
    let list = StoredList {
        bytes: Bytes::from_static(b"{\"tags\":[\"1\"]}"),
        media_type: "application/json".to_owned(),
        next: None,
        filters_applied: None,
        seen_at: UNIX_EPOCH,
    };
    let path = store.root().layout().list(&repository, "tags");
    store.put_list_blocking(&repository, "tags", &list).unwrap();
    let right = fs::read(&path).unwrap();
    let mut wrong = vec![right[..0].to_vec(), right[..20].to_vec(), right[..right.len() - 1].to_vec()];
    // The page is after the line; a flipped bit of the line may change the metadata, but never the page.
    wrong.extend((right.len() - list.bytes.len()..right.len()).map(|place| {
        let mut bytes = right.clone();
        bytes[place] ^= 1;
        bytes
    }));
    for bytes in wrong {
        fs::write(&path, &bytes).unwrap();
        assert_eq!(store.list_blocking(&repository, "tags").unwrap(), None, "{bytes:?}");
        assert!(!path.exists(), "it is quarantined");
    }
    fs::write(&path, &right).unwrap();
    assert_eq!(store.list_blocking(&repository, "tags").unwrap(), Some(list.clone()));
    assert_eq!(store.list_blocking(&repository, "other").unwrap(), None);
}

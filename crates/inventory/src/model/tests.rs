use oci::Algorithm;

use super::*;

fn digest(name: &str) -> Digest {
    Digest::of(Algorithm::Sha256, name.as_bytes())
}

fn tags(model: &Model) -> Vec<(Tag, Digest)> {
    let images = model.images.read();
    let (rows, _) = images.rows(0, usize::MAX);
    rows.iter()
        .flat_map(|row| images.tags_of(row.slot).into_iter().map(|tag| (tag, row.digest.clone())))
        .collect()
}

/// The walk reads a record, the record changes, the walk goes on with what it has read.
#[test]
fn a_report_is_newer_than_what_the_walk_has_read() {
    let model = Model::new();
    let (app, gone, moved): (Repository, Tag, Tag) =
        ("app".parse().unwrap(), "gone".parse().unwrap(), "moved".parse().unwrap());
    model.remove_tag(&app, &gone);
    model.find_tag(&app, &gone, &digest("old"), 1);
    model.set_tag(&app, &moved, &digest("new"), 2);
    model.find_tag(&app, &moved, &digest("old"), 1);
    assert_eq!(tags(&model), [(moved.clone(), digest("new"))]);
    // A tag that comes back is found again.
    model.set_tag(&app, &gone, &digest("new"), 3);
    model.find_tag(&app, &gone, &digest("old"), 1);
    assert_eq!(tags(&model).len(), 2);

    let (removed, stored) = (digest("removed"), digest("stored again"));
    model.remove_blob(&removed);
    model.find_blob(&removed, 1);
    assert!(!model.blobs.get(key_of(&removed)).is_held);
    model.remove_blob(&stored);
    model.store_blob(&stored, 2);
    model.find_blob(&stored, 1);
    assert!(model.blobs.get(key_of(&stored)).is_held);
}

#[test]
fn what_was_removed_is_remembered_until_the_walk_is_over() {
    let model = Model::new();
    model.remove_blob(&digest("blob"));
    model.walk_ended();
    assert!(model.removed.lock().is_none());
    model.remove_blob(&digest("blob"));
    model.store_blob(&digest("blob"), 1);
    assert_eq!(model.orphans.lock().oldest(), Some(1));
}

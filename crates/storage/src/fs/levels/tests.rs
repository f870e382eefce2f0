use super::{KEPT_BYTES_MAX, LEVEL_BYTES_MAX, Levels};

fn read(levels: &Levels, prefix: &str, name_count: usize) {
    let mut builder = levels.builder("", 7);
    (0..name_count).for_each(|number| builder.add(format!("{prefix}{number:0100}")));
    levels.keep(prefix, builder.finish());
}

#[test]
fn t08_many_large_levels_stay_within_the_bound() {
    let levels = Levels::default();
    for prefix in ["a/", "b/", "c/", "d/"] {
        read(&levels, prefix, LEVEL_BYTES_MAX / 200);
        let kept: usize = levels.kept.lock().values().map(|level| level.bytes).sum();
        assert!((LEVEL_BYTES_MAX / 2..=KEPT_BYTES_MAX).contains(&kept), "{kept}");
        assert!(levels.get(prefix, "", 7).is_some(), "the latest is kept");
    }
    assert!(levels.get("a/", "", 7).is_none());
    assert!(levels.get("d/", "", 8).is_none(), "a directory was made");
    read(&levels, "small/", 10);
    assert!(levels.get("small/", "", 7).is_none(), "not worth it");
}

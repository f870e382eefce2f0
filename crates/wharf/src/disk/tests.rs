use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_directory_that_everyone_may_rename_in_is_found_above_the_root() {
    let directory = tempfile::tempdir().unwrap();
    let above = directory.path().join("above");
    let root = above.join("wharf-data/docker.io");
    fs::create_dir_all(&root).unwrap();
    for (mode, expected) in [(0o755, None), (0o777, Some(above.clone())), (0o1777, None), (0o770, None)] {
        fs::set_permissions(&above, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(open_to_everyone(&root), expected, "{mode:o}");
        assert_eq!(open_to_everyone(&above.join("not/yet/there")), expected, "{mode:o}");
    }
}

#[test]
fn the_directory_to_change_is_the_nearest_that_exists() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(existing(&directory.path().join("a/b/c")), directory.path());
    fs::write(directory.path().join("file"), "").unwrap();
    assert_eq!(existing(&directory.path().join("file")), directory.path());
}

#[test]
fn a_disk_that_can_be_written_to_gets_no_notice() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(read_only_notice(&[("docker.io", directory.path())]), None);
    assert_eq!(read_only_notice(&[("docker.io", Path::new("/nonexistent"))]), None);
}

/// Containers and most machines have a mount that can only be read.
#[test]
fn a_disk_that_can_only_be_read_gets_one_notice_for_all_registries() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let read_only =
        fields.into_iter().find(|it| it[5].split(',').any(|option| option == "ro") && !it[4].contains('\\'));
    let Some(read_only) = read_only else { return };
    let root = Path::new(read_only[4]);
    let notice = read_only_notice(&[("docker.io", root), ("ghcr.io", root)]);
    let expected =
        "all registries: the disk is read-only: stored content is served, and nothing new is stored";
    assert_eq!(notice.as_deref(), Some(expected), "{}", root.display());
}

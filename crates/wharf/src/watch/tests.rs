use std::fs;
use std::os::unix::fs::symlink;

use tokio::time::{Instant, timeout};

use super::*;

fn watch(paths: &[PathBuf]) -> Watch {
    Watch { read: FileStates::of(paths), seen: None }
}

#[test]
fn f41_a_change_is_acted_on_once_it_has_settled() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wharf.toml");
    fs::write(&path, "one").unwrap();
    let paths = [path.clone()];
    let mut watched = watch(&paths);
    let mut observe = || watched.observe(FileStates::of(&paths));
    assert!(!observe());
    fs::write(&path, "half a fi").unwrap();
    assert!(!observe(), "it may still be written");
    fs::write(&path, "half a file, and the rest").unwrap();
    assert!(!observe(), "it was");
    assert!(observe());
    // It stays a change until the file is read.
    assert!(observe());
    assert!(!watch(&paths).observe(FileStates::of(&paths)));
}

#[test]
fn f41_a_change_that_is_taken_back_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    let paths = [path.clone()];
    let mut watch = watch(&paths);
    fs::write(&path, "a key").unwrap();
    assert!(!watch.observe(FileStates::of(&paths)));
    fs::remove_file(&path).unwrap();
    assert!(!watch.observe(FileStates::of(&paths)));
    fs::write(&path, "a key").unwrap();
    assert!(!watch.observe(FileStates::of(&paths)), "two polls have to agree again");
    assert!(watch.observe(FileStates::of(&paths)));
}

/// Files as Kubernetes mounts them: `wharf.toml` -> `..data/wharf.toml`, `..data` -> `..1`.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new() -> Self {
        let mount = Self(tempfile::tempdir().unwrap());
        for version in ["..1", "..2"] {
            fs::create_dir(mount.at(version)).unwrap();
            fs::write(mount.at(version).join("wharf.toml"), "the same text").unwrap();
        }
        symlink("..1", mount.at("..data")).unwrap();
        symlink("..data/wharf.toml", mount.at("wharf.toml")).unwrap();
        mount
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces one link; the watched path and its other links stay.
    fn swap(&self) {
        symlink("..2", self.at("..data_tmp")).unwrap();
        fs::rename(self.at("..data_tmp"), self.at("..data")).unwrap();
    }
}

#[test]
fn f41_a_swapped_link_is_a_change_and_a_file_that_takes_another_s_place_as_well() {
    let mount = Mount::new();
    let paths = [mount.at("wharf.toml")];
    let before = FileStates::of(&paths);
    mount.swap();
    assert_ne!(FileStates::of(&paths), before);
    let before = FileStates::of(&paths);
    fs::write(mount.at("new"), "the same text").unwrap();
    fs::rename(mount.at("new"), mount.at("..2/wharf.toml")).unwrap();
    assert_ne!(FileStates::of(&paths), before);
}

type Change = fn(&Mount);

/// Time for many polls; none of them is due at its end.
const LONG: Duration = Duration::from_secs(601);

/// Returns how long the poll loop takes to report a change, as the configuration's reader uses it, or `None`
/// if it reports none.
async fn next_change(watcher: &mut Watcher) -> Option<Duration> {
    let began = Instant::now();
    timeout(LONG, watcher.changed()).await.ok()?;
    watcher.have_read(FileStates::of(&watcher.paths()));
    Some(began.elapsed())
}

/// The loop runs on paused time: it polls whenever the test waits.
#[tokio::test(start_paused = true)]
async fn f41_the_poll_loop_reports_each_change_once_and_nothing_else() {
    let mount = Mount::new();
    let mut watcher = Watcher::new(FileStates::of(&[mount.at("wharf.toml"), mount.at("key.pem")]));
    assert_eq!(next_change(&mut watcher).await, None, "nothing has changed");
    let changes: [(&str, Change); 5] = [
        ("a swapped link", Mount::swap),
        ("a written file", |mount| fs::write(mount.at("..2/wharf.toml"), "another text").unwrap()),
        ("a replaced file", |mount| {
            fs::write(mount.at("new"), "another text").unwrap();
            fs::rename(mount.at("new"), mount.at("..2/wharf.toml")).unwrap();
        }),
        ("a new file", |mount| fs::write(mount.at("key.pem"), "a key").unwrap()),
        ("a removed file", |mount| fs::remove_file(mount.at("key.pem")).unwrap()),
    ];
    for (what, change) in changes {
        change(&mount);
        let after = next_change(&mut watcher).await.expect(what);
        assert!(after <= 3 * POLL_INTERVAL, "{what} was reported after {after:?}");
        assert_eq!(next_change(&mut watcher).await, None, "{what} was read");
    }
}

/// A request for a reload that comes between two polls cancels the wait.
#[tokio::test(start_paused = true)]
async fn f41_a_cancelled_wait_neither_loses_a_change_nor_polls_more_often() {
    let mount = Mount::new();
    let mut watcher = Watcher::new(FileStates::of(&[mount.at("wharf.toml")]));
    assert_eq!(next_change(&mut watcher).await, None);
    mount.swap();
    let began = Instant::now();
    while timeout(POLL_INTERVAL / 4, watcher.changed()).await.is_err() {
        assert!(began.elapsed() < LONG, "the change was never reported");
    }
    let after = began.elapsed();
    assert!(after > POLL_INTERVAL && after <= 3 * POLL_INTERVAL, "two polls, and no more: {after:?}");
}

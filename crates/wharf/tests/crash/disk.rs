//! A file system on a disk that can lose its power: a file behind a loop device.
//!
//! The ioctl that shuts a file system down without flushing its log is what xfstests cuts the power with.
//! From then on nothing reaches the disk, and what was in memory alone is lost; mounting again replays the
//! journal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fastrand::Rng;
use rustix::process::geteuid;
use tempfile::TempDir;

/// What the kernel calls this start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// No smaller XFS can be made.
const DISK_BYTES: u64 = 300 << 20;

const PROGRAMS: [&str; 6] = ["losetup", "mkfs.ext4", "mkfs.xfs", "mount", "unshare", "xfs_io"];

/// A kind of file system and the ways to mount it, taken in turn.
pub(crate) struct FileSystem {
    pub(crate) name: &'static str,
    pub(crate) options: &'static [&'static str],
}

/// The second way takes off what ext4 does for programs that forget to sync.
pub(crate) const EXT4: FileSystem =
    FileSystem { name: "ext4", options: &["data=ordered", "data=writeback,noauto_da_alloc"] };

pub(crate) const XFS: FileSystem = FileSystem { name: "xfs", options: &["attr2"] };

/// A disk with a file system. Everything is undone when the mount namespace ends, at the latest.
pub(crate) struct Disk {
    directory: TempDir,
    kind: FileSystem,
    mount_count: usize,
}

impl Disk {
    /// Makes the file system, which is not mounted yet. In memory where there is such a place.
    pub(crate) fn new(kind: FileSystem) -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let disk = Self { directory: directory.expect("a directory"), kind, mount_count: 0 };
        fs::create_dir(disk.mount_point()).expect("made");
        fs::File::create(disk.image()).and_then(|file| file.set_len(DISK_BYTES)).expect("a sparse file");
        run(Command::new(format!("mkfs.{}", disk.kind.name)).arg("-q").arg(disk.image()));
        fs::write(disk.boot_id(), "").expect("written");
        run(Command::new("mount").arg("--bind").arg(disk.boot_id()).arg(BOOT_ID));
        disk
    }

    /// Turns the machine on: the file system is mounted, and the machine's start has a new name.
    ///
    /// The cut stops the file system alone, so the kernel would go on under the same name. The program takes
    /// that for the promise that what a killed process wrote is still in the kernel's memory, which here it
    /// is not. So in this mount namespace the kernel's name for its start is a file that changes.
    pub(crate) fn turn_on(&mut self, rng: &mut Rng) {
        let options = self.kind.options[self.mount_count % self.kind.options.len()];
        self.mount_count += 1;
        let options = format!("loop,{options}");
        run(Command::new("mount").args(["-o", &options]).arg(self.image()).arg(self.mount_point()));
        let boot_id = format!("{:032x}\n", rng.u128(..));
        fs::write(self.boot_id(), &boot_id).expect("written");
        assert_eq!(fs::read_to_string(BOOT_ID).expect("a name"), boot_id);
    }

    /// Cuts the power. Whoever has files open gets errors from here on. With `flushes_log`, what the file
    /// system knows of its names and sizes gets to the disk at the last moment, and the bytes do not.
    pub(crate) fn cut(&self, flushes_log: bool) {
        let shutdown = if flushes_log { "shutdown -f" } else { "shutdown" };
        run(Command::new("xfs_io").args(["-x", "-c", shutdown]).arg(self.mount_point()));
    }

    /// Takes the dead file system away, and with it whatever the kernel remembers of it. Nobody may use it.
    pub(crate) fn take_away(&self) {
        run(Command::new("umount").arg(self.mount_point()));
    }

    /// Where the file system is mounted.
    pub(crate) fn mount_point(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    /// A directory that no power cut touches.
    pub(crate) fn elsewhere(&self) -> &Path {
        self.directory.path()
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn boot_id(&self) -> PathBuf {
        self.directory.path().join("boot_id")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A failing test may leave it mounted, or in use until its process is gone: then it goes with that.
        let _ = command("umount").arg("--lazy").arg(self.mount_point()).output();
    }
}

/// Runs a test of this binary, which is otherwise ignored, where its mounts and processes end with it. Prints
/// what is skipped where that is not possible; that is a failure where `WHARF_REQUIRE_CLIENTS` is set, unless
/// the kernel has no such file system or no loop devices.
pub(crate) fn run_apart(test: &str, kind: &FileSystem) {
    if let Some((obstacle, is_kernel)) = obstacle(kind) {
        let is_required = std::env::var_os("WHARF_REQUIRE_CLIENTS").is_some();
        assert!(is_kernel || !is_required, "power cuts are required: {obstacle}");
        eprintln!("skipped: {test}: {obstacle}");
        return;
    }
    let this = std::env::current_exe().expect("a test has a binary");
    let output = command("unshare")
        .args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"])
        .arg(this)
        .args(["--ignored", "--exact", test, "--nocapture", "--test-threads=1"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .expect("unshare starts");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success() && text.contains("1 passed"), "{test}: {}", output.status);
}

/// Why power cannot be cut here, and whether that is for want of something in the kernel.
fn obstacle(kind: &FileSystem) -> Option<(String, bool)> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known.lines().any(|line| line.trim_start() == kind.name) {
        return Some((format!("the kernel has no {}", kind.name), true));
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some(("the kernel has no loop devices".to_owned(), true));
    }
    if !geteuid().is_root() {
        return Some(("not root".to_owned(), false));
    }
    let is_missing = |name: &&&str| command(name).arg("--version").output().is_err();
    let missing: Vec<_> = PROGRAMS.iter().filter(is_missing).collect();
    if !missing.is_empty() {
        return Some((format!("not installed: {missing:?}"), false));
    }
    let unshared = command("unshare").args(["--mount", "--pid", "--fork", "true"]).status();
    let may = unshared.is_ok_and(|status| status.success());
    (!may).then(|| ("no namespaces can be made".to_owned(), false))
}

/// A program of the system, wherever the caller's path leads.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

fn run(command: &mut Command) {
    let Output { status, stdout, stderr } = command
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [stdout, stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(status.success(), "{command:?}: {status}\n{said}");
}

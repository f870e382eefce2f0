//! A file system on a disk that can lose its power: a file behind a loop device.
//!
//! Like xfstests, it cuts the power by the ioctl that shuts a file system down without flushing its log. From
//! then on nothing reaches the disk, and content only in memory is lost; the next mount replays the journal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fastrand::Rng;
use rustix::process::geteuid;
use tempfile::TempDir;

/// The kernel's identifier of this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The smallest XFS.
const DISK_BYTES: u64 = 300 << 20;

const PROGRAMS: [&str; 6] = ["losetup", "mkfs.ext4", "mkfs.xfs", "mount", "unshare", "xfs_io"];

/// A kind of file system and the ways to mount it, taken in turn.
pub(crate) struct FileSystem {
    pub(crate) name: &'static str,
    pub(crate) options: &'static [&'static str],
}

/// The second way turns off ext4's help for programs that forget to sync.
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
    /// Makes the file system, which is not mounted yet. In memory if possible.
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

    /// Turns the machine on: mounts the file system, and gives the boot a new identifier.
    ///
    /// The cut stops only the file system, so the kernel's boot identifier would stay the same. The program
    /// would conclude that the bytes of a killed process are still in the kernel's memory, which is wrong
    /// here. So in this mount namespace the boot identifier is a file that changes.
    pub(crate) fn turn_on(&mut self, rng: &mut Rng) {
        let options = self.kind.options[self.mount_count % self.kind.options.len()];
        self.mount_count += 1;
        let options = format!("loop,{options}");
        run(Command::new("mount").args(["-o", &options]).arg(self.image()).arg(self.mount_point()));
        let boot_id = format!("{:032x}\n", rng.u128(..));
        fs::write(self.boot_id(), &boot_id).expect("written");
        assert_eq!(fs::read_to_string(BOOT_ID).expect("a name"), boot_id);
    }

    /// Cuts the power. Open files return errors from here on. With `flushes_log`, the names and sizes of
    /// files reach the disk at the last moment, and their bytes do not.
    pub(crate) fn cut(&self, flushes_log: bool) {
        let shutdown = if flushes_log { "shutdown -f" } else { "shutdown" };
        run(Command::new("xfs_io").args(["-x", "-c", shutdown]).arg(self.mount_point()));
    }

    /// Unmounts the dead file system, and so drops the kernel's memory of it. It must not be in use.
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
        // After a failed test it may still be mounted or in use; then it ends with the process.
        let _ = command("umount").arg("--lazy").arg(self.mount_point()).output();
    }
}

/// Runs a test of this binary, which is otherwise ignored, in namespaces that end with it. If that is not
/// possible, prints that the test is skipped; with `WHARF_REQUIRE_CLIENTS` set it fails, unless the kernel
/// lacks the file system or loop devices.
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

/// Why the power cannot be cut here, and whether the kernel lacks a feature.
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

/// A program of the system, independent of the caller's path.
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

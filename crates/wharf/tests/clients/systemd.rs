//! The unit of `deploy/systemd`: wharf accepts the commands that it runs.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const WHARF: &str = env!("CARGO_BIN_EXE_wharf");
const ANALYZE: &str = "/usr/bin/systemd-analyze";

#[test]
fn the_unit_starts_commands_that_wharf_accepts() {
    let line = exec_start();
    let (program, arguments) = line.split_once(' ').expect("there are arguments");
    assert_eq!(program, "/usr/local/bin/wharf");
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let ["serve", "--config", settings] = arguments[..] else { panic!("{line}") };
    // Unknown arguments are refused before `--help` takes effect.
    let mut command = Command::new(WHARF);
    assert_runs(command.args(&arguments).arg("--help"));
    // The file at that path, without the credentials and with them.
    assert_eq!(Path::new(settings).file_name(), Some("wharf.toml".as_ref()));
    for credentials in [&[][..], &[("DOCKERHUB_USERNAME", "someone"), ("DOCKERHUB_PASSWORD", "canary")]] {
        let mut command = Command::new(WHARF);
        command.args(["check", "--config"]).arg(shipped("wharf.toml")).env_clear();
        let text = assert_runs(command.envs(credentials.iter().copied()));
        let row = text.lines().find(|line| line.starts_with("docker.io ")).expect("docker.io is served");
        assert_eq!(row.contains(" password "), !credentials.is_empty(), "{text}");
        let state = state_directory();
        assert!(row.contains(&state), "{row:?} is in {state}, which the unit can write to");
    }
}

/// The reload command addresses the wharf of the same configuration, and wharf accepts it.
#[test]
fn f41_the_unit_reloads_with_the_configuration_that_it_starts_with() {
    let start = exec_start();
    let line = value_of("ExecReload");
    let settings = |line: &str| line.split_once(" --config ").map(|(_, path)| path.to_owned());
    assert_eq!(settings(&line), settings(&start));
    let arguments = line.strip_prefix("/usr/local/bin/wharf reload ").expect("it runs `wharf reload`");
    let mut command = Command::new(WHARF);
    assert_runs(command.arg("reload").args(arguments.split(' ')).arg("--help"));
}

#[test]
fn systemd_accepts_the_unit() {
    let Some(directory) = place_of_the_unit() else { return };
    let mut command = Command::new(ANALYZE);
    command.args(["verify", "--man=no", "--recursive-errors=no"]).arg(directory.path().join("wharf.service"));
    assert_eq!(assert_runs(&mut command), "", "a key that systemd does not know is only mentioned");
}

/// systemd rates a unit from 0 (confined) to 100 (exposed). The unit's 14 is for what a cache needs: the
/// network, the calls that raise the limit of open files, the facts in `/proc`, and port 443 on request.
#[test]
fn s38_systemd_rates_the_unit_as_confined() {
    let Some(directory) = place_of_the_unit() else { return };
    let mut command = Command::new(ANALYZE);
    command.args(["security", "--offline=true", "--no-pager", "--threshold=14"]);
    assert_runs(command.arg(directory.path().join("wharf.service")));
}

/// A directory with the unit; `None` where no systemd can read it.
fn place_of_the_unit() -> Option<TempDir> {
    if !Path::new(ANALYZE).exists() {
        // Bypasses the capture of the test runner, so that its output shows skipped tests.
        writeln!(io::stderr(), "skipped: systemd is not installed").expect("standard error can be written");
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory is created");
    // It checks that the program exists, which has another path on this machine.
    let text = fs::read_to_string(shipped("wharf.service")).expect("the unit is read");
    let text = text.replace("/usr/local/bin/wharf", WHARF);
    fs::write(directory.path().join("wharf.service"), text).expect("the unit is written");
    Some(directory)
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd").join(name)
}

/// The one value that `key` has in the unit.
fn value_of(key: &str) -> String {
    let text = fs::read_to_string(shipped("wharf.service")).expect("the unit is read");
    let values: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect();
    let [value] = values[..] else { panic!("{key} is set {} times", values.len()) };
    value.to_owned()
}

fn exec_start() -> String {
    value_of("ExecStart")
}

fn state_directory() -> String {
    format!("/var/lib/{}", value_of("StateDirectory"))
}

/// The output of `command`.
fn assert_runs(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("it writes text");
    assert!(output.status.success(), "{command:?}\n{text}");
    text
}

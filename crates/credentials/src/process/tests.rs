use std::path::Path;

use super::*;

/// A program of these lines, run by a shell that the test names itself.
fn program(directory: &Path, lines: &str) -> ProcessSettings {
    let path = directory.join("program");
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).unwrap();
    ProcessSettings {
        program: path,
        arguments: Vec::new(),
        variables: Variables::of(["PATH", "ASKED"], |name| match name {
            "ASKED" => Some("yes".to_owned()),
            name => std::env::var(name).ok(),
        }),
        timeout: Duration::from_secs(30),
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.expose().clone()).unwrap()
}

#[tokio::test]
async fn a_program_gets_its_input_and_only_its_own_variables() {
    let directory = tempfile::tempdir().unwrap();
    let settings = program(directory.path(), "cat; echo; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= | sort");
    let output = run(&settings, b"question".to_vec()).await.unwrap();
    let text = text(&output);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("question"));
    let names: Vec<_> = lines.filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert_eq!(names, ["ASKED", "PATH"]);
}

#[tokio::test]
async fn arguments_never_pass_through_a_shell() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = program(directory.path(), "printf '%s|' \"$@\"");
    settings.arguments = vec!["$(id)".to_owned(), "; echo wrong".to_owned(), "`id`".to_owned()];
    assert_eq!(text(&run(&settings, Vec::new()).await.unwrap()), "$(id)|; echo wrong|`id`|");
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_all_that_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let note = directory.path().join("pid");
    let lines = format!("sleep 1000 & echo $! > {}; wait", note.display());
    let settings =
        ProcessSettings { timeout: Duration::from_millis(300), ..program(directory.path(), &lines) };
    let failure = run(&settings, Vec::new()).await.unwrap_err();
    assert!(failure.to_string().contains("did not end within"), "{failure}");
    let pid = std::fs::read_to_string(&note).unwrap();
    let about = format!("/proc/{}/cmdline", pid.trim());
    // A process that was killed has no command line any more, even before it is taken out of the table.
    while std::fs::read(&about).is_ok_and(|line| !line.is_empty()) {
        tokio::task::yield_now().await;
    }
}

/// The write of a longer one would never end, and neither would the program, which reads nothing.
#[tokio::test]
async fn an_input_that_a_pipe_may_not_take_starts_no_program() {
    let directory = tempfile::tempdir().unwrap();
    let note = directory.path().join("started");
    let settings = program(directory.path(), &format!("echo > {}; exec sleep 1000", note.display()));
    let failure = run(&settings, vec![b'/'; 1024 * 1024]).await.unwrap_err();
    assert!(failure.to_string().contains("more than 4 KiB"), "{failure}");
    assert!(!note.exists());
}

#[tokio::test]
async fn an_endless_output_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let failure = run(&program(directory.path(), "exec yes"), Vec::new()).await.unwrap_err();
    assert!(failure.to_string().contains("more than 256 KiB"), "{failure}");
}

#[tokio::test]
async fn s28_no_failure_quotes_the_output_of_a_program() {
    let directory = tempfile::tempdir().unwrap();
    let settings = program(directory.path(), "echo canary-word; echo canary-word >&2; exit 3");
    let failure = run_to_success(&settings, b"canary-word".to_vec()).await.unwrap_err();
    assert!(failure.to_string().contains("exit status: 3"), "{failure}");
    assert!(!format!("{failure} {failure:?} {settings:?}").contains("canary-word"));
    let missing = ProcessSettings { program: "/nonexistent/program".into(), ..settings };
    let failure = run(&missing, Vec::new()).await.unwrap_err();
    assert!(failure.to_string().contains("cannot start /nonexistent/program"), "{failure}");
}

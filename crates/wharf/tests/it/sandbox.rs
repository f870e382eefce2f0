//! The rights that a running wharf has given up.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::sync::Arc;

use testkit::FakeRegistry;

use crate::program::{Program, UNPRIVILEGED, configuration, copied_program, registry, run};

/// The values of `field` in the status of each thread, as the kernel writes them (proc_pid_status(5)).
fn of_threads(program: &Program, field: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
    let statuses = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
    let value = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap().to_owned();
        line.trim_start_matches(':').trim().to_owned()
    };
    statuses.map(value).collect()
}

fn is_each(values: &[String], expected: &str) -> bool {
    !values.is_empty() && values.iter().all(|value| value == expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn s38_a_server_confines_itself_and_says_so() {
    let hub = FakeRegistry::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let text = configuration(&registry("docker.io", &hub));
    let program = Program::start(&text);

    let calls = program.wait_for_line("system call");
    if calls.contains("not limited") {
        println!("skipped: {calls}");
    } else {
        assert!(is_each(&of_threads(&program, "Seccomp"), "2"), "a filter in each thread");
        assert!(is_each(&of_threads(&program, "NoNewPrivs"), "1"));
    }
    let files = program.wait_for_line("write");
    if files.contains("not limited") {
        println!("skipped: {files}");
        return;
    }
    assert!(files.contains("writes files only below ./wharf-data"), "{files}");
    let root = elsewhere.path().join("store");
    let further = format!("{text}[[registry]]\nname = \"ghcr.io\"\nroot = {root:?}\n");
    fs::write(program.directory.path().join("wharf.toml"), further).unwrap();
    let url = format!("http://{}", program.admin);
    let (code, _, complained) = run(program.directory.path(), &["reload", "--url", &url]);
    assert_eq!(code, Some(1), "{complained}");
    let expected = format!(
        "ghcr.io: cannot store in {}: since its start, wharf can write only below ./wharf-data (`sandbox` of \
         [server]); restart it",
        root.display()
    );
    assert!(complained.contains(&expected), "{complained}");
}

/// The kernel gives the files of `/proc` to root once a process cannot be dumped (PR_SET_DUMPABLE, prctl(2)).
#[test]
fn s28_other_processes_of_its_user_cannot_read_its_memory_and_environment() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can start a process of another user");
        return;
    }
    for (sandbox, owner) in [("true", 0), ("false", UNPRIVILEGED)] {
        let directory = tempfile::tempdir().unwrap();
        let program = copied_program(directory.path());
        std::os::unix::fs::chown(directory.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
        fs::write(directory.path().join("wharf.toml"), configuration("")).unwrap();
        let mut command = std::process::Command::new(program);
        command.arg("serve").current_dir(directory.path()).env_clear();
        command.env("WHARF_SERVER_SANDBOX", sandbox).uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        let program = Program::run(Arc::new(directory), command);
        let environment = format!("/proc/{}/environ", program.id());
        assert_eq!(fs::metadata(environment).unwrap().uid(), owner, "sandbox = {sandbox}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_is_declined_is_off() {
    let text = configuration("").replacen("[server]\n", "[server]\nsandbox = false\n", 1);
    let program = Program::start(&text);
    program.wait_for_line("sandbox: off: declined");
    assert!(is_each(&of_threads(&program, "Seccomp"), "0"));
}

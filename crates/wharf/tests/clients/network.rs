//! A private network of a test, isolated from the machine. In it a test may use a fixed port of a shipped
//! file, and dockerd may make bridges.

use std::io::{self, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Process, Surroundings};

/// Set for the test that runs inside.
const INSIDE: &str = "WHARF_TEST_NETWORK";
/// Namespaces for network, processes and mounts. All processes inside end with the first one.
const UNSHARE: [&str; 9] = [
    "--pdeathsig",
    "KILL",
    "/usr/bin/unshare",
    "--net",
    "--pid",
    "--fork",
    "--kill-child=KILL",
    "--mount",
    "--mount-proc",
];
const DNS_PORT: u16 = 53;

/// Returns true inside. Outside, runs the test called `name` inside to its end, and returns false.
///
/// # Panics
/// As [`run_inside`].
pub(crate) fn enter(name: &str) -> bool {
    if is_inside() {
        return true;
    }
    run_inside(name);
    false
}

/// Whether this is a test inside its own network.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs the test called `name` inside, and returns its output.
///
/// # Panics If the test fails, with its output.
pub(crate) fn run_inside(name: &str) -> String {
    let test = std::env::current_exe().expect("the test knows its program");
    let mut command = inside("/bin/busybox ip link set lo up; exec \"$0\" \"$@\"");
    command.arg(test).args(["--exact", name, "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
    let output = command.stdin(Stdio::null()).output().expect("the test starts again");
    let written = [output.stdout, output.stderr].concat();
    let written = String::from_utf8_lossy(&written).into_owned();
    assert!(output.status.success(), "inside its own network:\n{written}");
    // A wrong name would select no test, and pass.
    assert!(written.contains("1 passed"), "{name} ran inside its own network:\n{written}");
    written
}

/// The reason if no such network can be made here.
pub(crate) fn obstacle() -> Option<String> {
    let output = inside("/bin/busybox brctl addbr bridge").stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => None,
        _ => Some("no network namespace with a bridge can be made".to_owned()),
    }
}

fn inside(script: &str) -> Command {
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(UNSHARE).args(["sh", "-ceu", script]);
    command
}

/// Forwards connections to `port`, from anywhere in this network, to `to` on loopback.
pub(crate) fn forward(surroundings: &Surroundings, port: u16, to: u16, directory: &Path) -> Process {
    let mut command = surroundings.command("/bin/busybox");
    command.args(["nc", "-ll", "-p", &port.to_string(), "-e", "/bin/busybox", "nc", "127.0.0.1"]);
    Process::start(command.arg(to.to_string()), directory.join(format!("forward-{port}.log")))
}

/// Starts a name server until the end of the test, which resolves every name to `address`.
pub(crate) fn serve_names(address: Ipv4Addr) {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, DNS_PORT)).expect("port 53 is free in here");
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        loop {
            if let Err(error) = answer_one(&socket, address, &mut buffer) {
                // Bypasses the capture of the test runner. The client repeats the query.
                writeln!(io::stderr(), "a question for a name stays open: {error}").ok();
            }
        }
    });
}

/// RFC 1035 section 4: the answer repeats the query, and for a query of type A adds an address.
fn answer_one(socket: &UdpSocket, address: Ipv4Addr, buffer: &mut [u8]) -> io::Result<()> {
    const HEADER_LEN: usize = 12;
    const TYPE_A: [u8; 4] = [0, 1, 0, 1];
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not a question");
    let (length, peer) = socket.recv_from(buffer)?;
    let name = buffer[..length].get(HEADER_LEN..).ok_or_else(malformed)?;
    let name_length = name.iter().position(|byte| *byte == 0).ok_or_else(malformed)? + 1;
    let question = name.get(..name_length + TYPE_A.len()).ok_or_else(malformed)?;
    let is_address = question.ends_with(&TYPE_A);
    // A response to a recursive query, without error; one query, and an answer or none.
    let mut answer = [&buffer[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]].concat();
    answer.extend_from_slice(question);
    if is_address {
        // A pointer to the name in the query, type and class, a minute, four bytes.
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend_from_slice(&address.octets());
    }
    socket.send_to(&answer, peer)?;
    Ok(())
}

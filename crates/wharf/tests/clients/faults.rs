//! Every client against every fault: the right image, or a clean way to the real registry, or a clear error;
//! never a wrong image, and an end within the client's patience. Afterwards the same pull through wharf
//! brings the image.
//!
//! The daemons are started once for all rows, in a network where the real registry has its real name and
//! port. The rows are met there by [`every_client_meets_every_fault`]; the tests named after the faults each
//! look at their own rows. `WHARF_FAULTS` selects the rows whose names start with its value.

mod bench;
mod client;
mod column;
mod row;
mod table;

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError};

use rcgen::generate_simple_self_signed;
use serde_json::Value;
use testkit::Identity;

use crate::lab::TURN;
use crate::network;
use crate::process::{Surroundings, available};
use crate::registry::{Access, Registry};

use bench::TAG;
use column::images_of;
use row::{Afterwards, CLIENTS, Expected, Row};

const REAL_NAME: &str = "registry-1.docker.io";
const PROGRAMS: [&str; 8] =
    ["/usr/bin/docker", "dockerd", "containerd", "ctr", "podman", "runc", "skopeo", "busybox"];
/// The start of the line that reports the results inside to the tests outside.
const REPORT: &str = "met: ";
const FILTER: &str = "WHARF_FAULTS";

#[test]
fn every_client_meets_every_fault() {
    if network::is_inside() {
        println!("{REPORT}{}", Value::from(meet_all()));
    } else {
        met("");
    }
}

/// Asserts that the results of the rows whose names start with `id` are those of the table.
fn met(id: &str) {
    static REPORTED: OnceLock<Option<Vec<Value>>> = OnceLock::new();
    let Some(cells) = REPORTED.get_or_init(meet_all_inside) else { return };
    let of_this = cells.iter().filter(|cell| cell["row"].as_str().is_some_and(|name| name.starts_with(id)));
    let mut seen = 0;
    let mut complaints = Vec::new();
    for cell in of_this {
        seen += 1;
        println!("{}", line(cell));
        if let Some(complaint) = cell["complaint"].as_str() {
            complaints.push(format!("{} with {}: {complaint}", cell["client"], cell["row"]));
        }
    }
    assert!(seen > 0 || std::env::var_os(FILTER).is_some(), "no row is called {id}");
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

/// The result of a cell, for people.
fn line(cell: &Value) -> String {
    let [row, client, got] = ["row", "client", "got"].map(|key| cell[key].as_str().unwrap_or_default());
    let [took, recovery] = ["took", "recovery"].map(|key| cell[key].as_f64().unwrap_or_default());
    format!("{row:22} {client:10} {took:5.1} s, again {recovery:5.1} s: {got}")
}

/// Nothing where the clients are not installed.
fn meet_all_inside() -> Option<Vec<Value>> {
    if !available(&PROGRAMS) {
        return None;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let written = network::run_inside("faults::every_client_meets_every_fault");
    let report =
        written.lines().find_map(|line| line.split_once(REPORT)).expect("what was met is reported").1;
    Some(serde_json::from_str(report).expect("the report is JSON"))
}

/// Fills the matrix, all clients at the same time.
fn meet_all() -> Vec<Value> {
    let wanted = std::env::var(FILTER).unwrap_or_default();
    let mut rows = table::rows();
    rows.retain(|row| row.name.starts_with(&wanted));
    let images: Vec<_> = rows.iter().map(images_of).collect();
    let directory = tempfile::tempdir().expect("a directory is created");
    let identity = real_identity();
    let surroundings = column_surroundings(directory.path(), &rows, &identity);
    let real = directory.path().join("real");
    let pushed = Registry::start(&surroundings, real.clone(), Access::Anonymous);
    for (row, images) in rows.iter().zip(&images) {
        pushed.push(&row.repository(), TAG, &images.image);
    }
    let real = Registry::start_tls(&surroundings, &real, &identity);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    std::thread::scope(|scope| {
        let columns: Vec<_> = (0..CLIENTS.len())
            .map(|number| {
                let (rows, images, runtime, real) = (&rows, &images, &runtime, &real);
                let directory = directory.path().join(CLIENTS[number]);
                fs::create_dir(&directory).expect("the directory is created");
                let surroundings = Arc::new(column_surroundings(&directory, rows, &identity));
                scope
                    .spawn(move || column::run(number, rows, images, surroundings, &directory, runtime, real))
            })
            .collect();
        columns.into_iter().flat_map(|column| column.join().expect("a column is filled")).collect()
    })
}

/// Every name leads to this machine, and the real registry is the only one that can be trusted.
fn column_surroundings(directory: &Path, rows: &[Row], identity: &Identity) -> Surroundings {
    let hosts: Vec<String> = rows.iter().map(Row::host).collect();
    let mut names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    names.push(REAL_NAME);
    let authority = directory.join("authority.pem");
    fs::write(&authority, &identity.certificate_pem).expect("the certificate is written");
    Surroundings::new(directory, &names).trusting(&authority)
}

fn real_identity() -> Identity {
    let signed = generate_simple_self_signed([REAL_NAME.to_owned()]).expect("a name can be signed for");
    Identity { certificate_pem: signed.cert.pem(), key_pem: signed.signing_key.serialize_pem() }
}

#[test]
fn the_documented_matrix_is_the_one_that_is_tested() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/clients-under-faults.md");
    let page = fs::read_to_string(page).expect("the page is read");
    let documented: Vec<&str> = page.lines().filter(|line| line.starts_with("| F")).collect();
    let tested: Vec<String> = table::rows().iter().map(document).collect();
    assert_eq!(documented, tested, "the table of the page must be\n{}", tested.join("\n"));
}

/// The line of a row in the page about it.
fn document(row: &Row) -> String {
    let cells = row.expected.map(|expected| match expected {
        Expected::Image => "image".to_owned(),
        Expected::RealRegistry => "image, from the real registry".to_owned(),
        Expected::Error(says) => format!("error: `{}`", says.replace('|', "`, `")),
        Expected::ImageOr(says) => format!("image, or error: `{}`", says.replace('|', "`, `")),
    });
    let afterwards = match row.afterwards {
        Afterwards::Served => "at once",
        Afterwards::ServedAfterAMinute => "after a minute",
        Afterwards::ServedInTheEnd => "at once; containerd when it has dropped the wrong bytes",
        Afterwards::NotAsked => "-",
    };
    format!("| {} | {} | {} | {afterwards} |", row.id().to_uppercase(), row.what, cells.join(" | "))
}

#[test]
fn f01_real_clients_get_what_is_held_of_an_upstream_that_is_gone() {
    met("f01");
}

#[test]
fn f02_real_clients_go_on_or_say_so_when_the_upstream_is_gone() {
    met("f02");
}

#[test]
fn f03_real_clients_do_not_wait_for_a_silent_upstream() {
    met("f03");
}

#[test]
fn f04_real_clients_do_not_notice_a_stall() {
    met("f04");
}

#[test]
fn f05_real_clients_do_not_notice_a_cut_that_can_be_resumed() {
    met("f05");
}

#[test]
fn f06_real_clients_do_not_take_a_short_body_of_unknown_length() {
    met("f06");
}

#[test]
fn f07_real_clients_do_not_take_a_body_of_another_length() {
    met("f07");
}

#[test]
fn f08_real_clients_do_not_take_wrong_bytes() {
    met("f08");
}

#[test]
fn f09_real_clients_live_through_bursts_of_failures() {
    met("f09");
}

#[test]
fn f10_real_clients_live_through_a_throttled_upstream() {
    met("f10");
}

#[test]
fn f11_real_clients_do_not_notice_a_token_that_expires() {
    met("f11");
}

#[test]
fn f12_real_clients_are_told_of_refusals() {
    met("f12");
}

#[test]
fn f13_real_clients_get_the_old_or_the_new_image_of_a_tag_that_moves() {
    met("f13");
}

#[test]
fn f14_real_clients_live_through_dead_networks_and_stale_signatures() {
    met("f14");
}

#[test]
fn f15_real_clients_do_not_notice_a_resumption_answered_wrongly() {
    met("f15");
}

#[test]
fn f17_real_clients_get_right_bytes_whatever_encoding_they_are_called() {
    met("f17");
}

#[test]
fn f18_real_clients_do_not_take_a_portal_for_a_registry() {
    met("f18");
}

#[test]
fn f19_real_clients_go_on_or_say_so_when_a_certificate_has_expired() {
    met("f19");
}

#[test]
fn f22_real_clients_do_not_notice_dead_connections() {
    met("f22");
}

#[test]
fn f29_real_clients_do_not_notice_a_full_disk() {
    met("f29");
}

#[test]
fn f32_real_clients_do_not_take_damaged_files() {
    met("f32");
}

#[test]
fn f33_real_clients_live_through_a_kill_in_the_middle() {
    met("f33");
}

#[test]
fn f35_real_clients_do_not_notice_a_root_that_is_gone() {
    met("f35");
}

#[test]
fn f40_real_clients_finish_while_wharf_stops() {
    met("f40");
}

#[test]
fn f49_real_clients_do_not_notice_a_neighbour_that_hangs() {
    met("f49");
}

//! One client through all rows, with a wharf and an upstream that no other client uses.

use std::any::Any;
use std::fs;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Behaviour, Certificate, Endpoint, FakeRegistry, Tls};
use tokio::runtime::Runtime;

use crate::image::noisy;
use crate::lab::{DOMAIN, free_address};
use crate::process::{Ran, Surroundings, wait_until};
use crate::registry::Registry;

use super::bench::{Bench, FILE_BYTES, Images, NEIGHBOUR, Wharf, small_disk};
use super::client::{Client, ContainerdClient, DockerClient, PodmanClient, SkopeoClient};
use super::row::{Afterwards, CLIENTS, Expected, Place, Row};

/// The longest time of a pull, with any fault.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest time until wharf serves again after a fault.
const RECOVERY: Duration = Duration::from_secs(20);
/// The longest time until wharf fetches again a blob that had a wrong digest.
const LONG_RECOVERY: Duration = Duration::from_secs(75);

/// containerd's message about wrong bytes that it has kept.
const WRONG_BYTES: &str = "unexpected commit digest";

/// The results of one client.
struct Column<'a> {
    number: usize,
    client: Box<dyn Client + 'a>,
    wharf: Wharf,
    directory: PathBuf,
    runtime: &'a Runtime,
    real: &'a Registry,
    upstreams: Upstreams,
}

struct Upstreams {
    usual: FakeRegistry,
    expired: FakeRegistry,
    neighbour: FakeRegistry,
}

/// The end of a pull.
enum Outcome {
    Image,
    RealRegistry,
    Error(String),
    Hang,
}

/// Runs `rows` with the client of this number, and prints the result of each row.
pub(crate) fn run(
    number: usize,
    rows: &[Row],
    images: &[Images],
    surroundings: Arc<Surroundings>,
    directory: &Path,
    runtime: &Runtime,
    real: &Registry,
) -> Vec<Value> {
    let public = free_address();
    let store = directory.join("client");
    fs::create_dir(&store).expect("the directory is created");
    let expired = Tls { certificate: Certificate::Expired, client_certificate: false };
    let upstreams = Upstreams {
        usual: runtime.block_on(FakeRegistry::start()),
        expired: runtime.block_on(FakeRegistry::start_tls(Behaviour::default(), expired)),
        neighbour: runtime.block_on(FakeRegistry::start()),
    };
    fs::write(directory.join("wharf.toml"), settings(rows, directory, public, &upstreams))
        .expect("the settings are written");
    let wharf = Wharf::new(surroundings.clone(), directory, public);
    let client: Box<dyn Client + '_> = match CLIENTS[number] {
        "docker" => Box::new(DockerClient::start(&surroundings, &store)),
        "containerd" => Box::new(ContainerdClient::start(&surroundings, &store)),
        "podman" => Box::new(PodmanClient::new(&surroundings, &store)),
        _ => Box::new(SkopeoClient::new(&surroundings, &store, public.port())),
    };
    let directory = directory.to_owned();
    let mut column = Column { number, client, wharf, directory, runtime, real, upstreams };
    column.wharf.start();
    let mut met: Vec<Value> = rows.iter().zip(images).map(|(row, images)| column.meet(row, images)).collect();
    for ((row, images), cell) in rows.iter().zip(images).zip(&mut met) {
        if row.afterwards == Afterwards::ServedAfterAMinute {
            column.note_recovery(row, images, cell);
        }
    }
    met
}

impl Column<'_> {
    /// Fills one cell.
    fn meet(&mut self, row: &Row, images: &Images) -> Value {
        let began = Instant::now();
        let outcome = caught(|| self.pull_under_fault(row, images));
        let took = began.elapsed();
        let (got, complaint) = match outcome {
            Err(panic) => (panic.clone(), Some(panic)),
            Ok(outcome) => (describe(&outcome), complain(row.expected[self.number], &outcome)),
        };
        let mut cell = json!({
            "row": row.name,
            "client": CLIENTS[self.number],
            "got": got,
            "took": took.as_secs_f64(),
        });
        if let Some(complaint) = complaint {
            cell["complaint"] = json!(format!("{complaint}\n{}", self.wharf.lines_about(row.name)));
        }
        if matches!(row.afterwards, Afterwards::Served | Afterwards::ServedInTheEnd) {
            self.note_recovery(row, images, &mut cell);
        }
        cell
    }

    fn pull_under_fault(&mut self, row: &Row, images: &Images) -> Outcome {
        let asked = self.asked_of_real(row);
        self.aim(row);
        let root = root_of(row, &self.directory);
        let upstream = match row.place {
            Place::ExpiredCertificate => &self.upstreams.expired,
            Place::Usual | Place::SmallDisk => &self.upstreams.usual,
        };
        let neighbour = &self.upstreams.neighbour;
        let mut bench = Bench::new(row, images, &mut self.wharf, root, self.runtime, upstream, neighbour);
        (row.begin)(&mut bench);
        let client = &self.client;
        let ran = std::thread::scope(|scope| {
            let pull = scope.spawn(|| client.pull(row, PATIENCE));
            if let Some(during) = row.during {
                during(&mut bench);
            }
            pull.join().expect("a pull that fails is no panic")
        });
        let may_be_other = bench.may_be_other();
        bench.undo();
        self.judge(row, images, may_be_other, &ran, asked)
    }

    /// # Panics If the client has a wrong image.
    fn judge(&self, row: &Row, images: &Images, may_be_other: bool, ran: &Ran, asked: usize) -> Outcome {
        let Some(status) = ran.status else { return Outcome::Hang };
        if !status.success() {
            return Outcome::Error(ran.stderr.trim().to_owned());
        }
        let is_other =
            may_be_other && caught(|| self.client.check(row, &images.other, &other_marker(row))).is_ok();
        if !is_other {
            self.client.check(row, &images.image, row.name);
        }
        if self.asked_of_real(row) == asked { Outcome::Image } else { Outcome::RealRegistry }
    }

    /// The client tries the host of this row first from now on.
    fn aim(&self, row: &Row) {
        self.client.aim(row, &format!("{}:{}", row.host(), self.wharf.public.port()));
    }

    fn asked_of_real(&self, row: &Row) -> usize {
        self.client.agent().map_or(0, |agent| self.real.requests_of(agent, &row.repository()))
    }

    /// Records whether the same pull gets the image through wharf after the fault.
    fn note_recovery(&mut self, row: &Row, images: &Images, cell: &mut Value) {
        let began = Instant::now();
        if let Err(panic) = caught(|| self.pull_again(row, images)) {
            let before = cell["complaint"].as_str().unwrap_or_default();
            let said = self.wharf.lines_about(row.name);
            cell["complaint"] = json!(format!("{before}\nafterwards: {panic}\n{said}"));
        }
        cell["recovery"] = json!(began.elapsed().as_secs_f64());
    }

    fn pull_again(&mut self, row: &Row, images: &Images) {
        let is_suspect = row.afterwards == Afterwards::ServedAfterAMinute;
        let (wharf, within) = (&self.wharf, if is_suspect { LONG_RECOVERY } else { RECOVERY });
        wait_until("wharf serves again", within, || wharf.serves(row, &images.image).then_some(()));
        if is_suspect {
            // Other rows ran in between.
            self.aim(row);
        }
        // After a failed pull there is nothing to remove.
        caught(|| self.client.forget(row)).ok();
        let asked = self.asked_of_real(row);
        let outcome = wait_until("the pull ends well or for good", RECOVERY, || {
            let ran = self.client.pull(row, PATIENCE);
            let is_wrong = ran.stderr.contains(WRONG_BYTES) && row.afterwards != Afterwards::Served;
            (!is_wrong).then(|| self.judge(row, images, false, &ran, asked))
        });
        assert!(matches!(outcome, Outcome::Image), "{}", describe(&outcome));
        caught(|| self.client.forget(row)).ok();
    }
}

/// The fault of `outcome`, if it has one.
fn complain(expected: Expected, outcome: &Outcome) -> Option<String> {
    let is_as_expected = match (expected, outcome) {
        (Expected::Image, Outcome::Image) | (Expected::RealRegistry, Outcome::RealRegistry) => true,
        (Expected::ImageOr(_), Outcome::Image | Outcome::RealRegistry) => true,
        (Expected::Error(says) | Expected::ImageOr(says), Outcome::Error(said)) => {
            says.split('|').any(|says| said.contains(says))
        }
        _ => false,
    };
    (!is_as_expected).then(|| format!("expected {expected:?}, got {}", describe(outcome)))
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Image => "image".to_owned(),
        Outcome::RealRegistry => "image, from the real registry".to_owned(),
        Outcome::Error(said) => format!("error: {said}"),
        Outcome::Hang => "no end".to_owned(),
    }
}

/// The message of a panic in `action` as an error.
fn caught<T>(action: impl FnOnce() -> T) -> Result<T, String> {
    let message = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => {
            panic.downcast::<&str>().map_or_else(|_| "a panic".to_owned(), |text| (*text).to_owned())
        }
    };
    catch_unwind(AssertUnwindSafe(action)).map_err(message)
}

/// The two images of a row, which differ only in their file.
pub(crate) fn images_of(row: &Row) -> Images {
    Images { image: noisy(row.name, FILE_BYTES), other: noisy(&other_marker(row), FILE_BYTES) }
}

fn other_marker(row: &Row) -> String {
    format!("{}, moved", row.name)
}

fn root_of(row: &Row, directory: &Path) -> PathBuf {
    match row.place {
        Place::SmallDisk => small_disk(directory),
        Place::Usual | Place::ExpiredCertificate => directory.join("cache").join(row.registry()),
    }
}

/// Every row has its own registry: no breaker or pause of one row affects another.
fn settings(rows: &[Row], directory: &Path, public: SocketAddr, upstreams: &Upstreams) -> String {
    let authority = directory.join("expired.pem");
    let pem = upstreams.expired.authority().expect("there is one under TLS").pem();
    fs::write(&authority, pem).expect("the authority is written");
    let usual = &upstreams.usual;
    let mut text = format!(
        "[server]\nlisten = [\"{public}\"]\ndomain = \"{DOMAIN}\"\nshutdown_grace = \"20s\"\n\
         [admin]\nlisten = \"off\"\n[storage]\nroot = \"{}\"\n\
         [defaults]\nconnect_timeout = \"2s\"\nheader_timeout = \"2s\"\nidle_timeout = \"2s\"\n\
         trusted_hosts = [\"{}\", \"{}\"]\n\
         [[registry]]\nname = \"{NEIGHBOUR}\"\nupstream = \"{}\"\n",
        directory.join("cache").display(),
        usual.host_of(Endpoint::Token),
        usual.host_of(Endpoint::Cdn),
        upstreams.neighbour.url(),
    );
    for row in rows {
        let url = match row.place {
            Place::ExpiredCertificate => upstreams.expired.url(),
            Place::Usual | Place::SmallDisk => usual.url(),
        };
        text.push_str(&format!(
            "[[registry]]\nname = \"{}\"\nupstream = \"{url}\"\nroot = \"{}\"\nca_file = \"{}\"\n",
            row.registry(),
            root_of(row, directory).display(),
            authority.display(),
        ));
    }
    text
}

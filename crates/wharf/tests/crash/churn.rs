//! Stores that are always over their caps, under clients that pull images with shared layers, and `kill -9`
//! at any instant.
//!
//! Between two lives of the program the files are made to look old, so that everything may go that the rule
//! about the last ten minutes would keep.

pub(crate) mod crowd;
pub(crate) mod ledger;
pub(crate) mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;
use testkit::client;
use testkit::{Door, Program, Starting, TempStore};

use crate::WHARF;
use crate::schedule::{Cycle, Schedule};
use crowd::Crowd;
use ledger::{KINDS, Ledger};
use shelf::{NAMES, Room, Shelf};

/// Cycles of a normal run; `WHARF_CHURN_MINUTES` makes it last so long.
const CYCLES: u64 = 12;

const ROOM: Room = Room { caps: [Some(16_000_000), Some(12_000_000)], common: Some(22_000_000), floor: None };

/// The longest life of a process under load.
const LIFE_MAX: Duration = Duration::from_millis(1_500);

/// The longest time that a program takes to keep to its caps and to the floor, with nothing else to do.
/// A pause of a minute is a fault.
const SETTLE_MAX: Duration = Duration::from_secs(45);

/// After so many looks in a row that see the same, no removal is under way: one takes images down to less
/// than the caps.
const SAME_COUNT: usize = 10;

/// The stores and what is known about them.
pub(crate) struct Churn {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) room: Room,
    /// Further lines in the configuration of each registry.
    pub(crate) lines: &'static str,
    directory: TempStore,
    data: PathBuf,
    /// The stores' content when the last process had ended.
    before: [Ledger; 2],
    /// Images that an operator has pinned, with the blobs that they had then.
    pinned: [BTreeMap<(String, String), BTreeSet<String>>; 2],
    told: Told,
}

/// Counts for the report.
#[derive(Debug, Default)]
struct Told {
    pulled_count: u64,
    listed_count: usize,
    incomplete_count: usize,
    pulled_alone_count: usize,
    slowest_settling: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_churn_at_the_cap_with_kills_leaves_exact_usage_and_whole_images() {
    let schedule = Schedule::lasting("churn", "WHARF_CHURN_MINUTES", CYCLES);
    let mut churn = Churn::new(ROOM, None, &mut schedule.rng()).await;
    for mut cycle in schedule.cycles() {
        churn.live(&mut cycle).await;
    }
    schedule.finish(&churn.report());
}

impl Churn {
    /// Empty stores below `data`, or in a directory of their own.
    pub(crate) async fn new(room: Room, data: Option<PathBuf>, rng: &mut Rng) -> Self {
        let directory = TempStore::new();
        Self {
            shelf: Arc::new(Shelf::new(rng).await),
            room,
            lines: "",
            data: data.unwrap_or_else(|| directory.path().join("data")),
            directory,
            before: Default::default(),
            pinned: Default::default(),
            told: Told::default(),
        }
    }

    /// What happened; something did.
    pub(crate) fn report(&self) -> String {
        assert!(self.told.pulled_count > 0, "{:?}", self.told);
        format!("{:?}", self.told)
    }

    /// One life of the program, from its start to its kill.
    pub(crate) async fn live(&mut self, cycle: &mut Cycle<'_>) {
        // Some of the files stay young in one cycle of four.
        let is_all_old = cycle.rng.u8(..4) > 0;
        self.age(&mut cycle.rng, |rng| is_all_old || rng.bool());
        let mut program = self.start();
        if cycle.rng.bool() {
            let begun = Instant::now();
            let ledgers = self.settled(&program, is_all_old).await;
            self.told.slowest_settling = self.told.slowest_settling.max(begun.elapsed());
            self.expect_no_hole(ledgers);
            // Below the caps nothing leaves meanwhile.
            if is_all_old {
                self.pin_one(&program, cycle).await;
                self.pull_alone(program).await;
                program = self.start();
            }
        }
        let mut crowd = Crowd::start(&program, &self.shelf, &mut cycle.rng);
        crowd.run_for(cycle.instant(LIFE_MAX)).await;
        if cycle.rng.u8(..4) == 0 {
            // All clients finish, and the figures are those of the files while the program lives on.
            self.told.pulled_count += crowd.finish().await;
            program.settle().await;
            let ledgers = self.settled(&program, false).await;
            self.expect_no_hole(ledgers);
            program.kill();
        } else {
            crowd.expect_the_worst();
            program.kill();
            self.told.pulled_count += crowd.finish().await;
        }
        let ledgers = NAMES.map(|name| Ledger::of(&self.root(name)));
        self.expect_no_hole(ledgers);
    }

    /// Makes files look old.
    pub(crate) fn age(&self, rng: &mut Rng, is_to_age: impl Fn(&mut Rng) -> bool) {
        for name in NAMES {
            ledger::age(&self.root(name), rng, &is_to_age);
        }
    }

    pub(crate) fn start(&self) -> Program {
        let configuration = self.shelf.configuration(&self.data, &self.room, self.lines);
        Starting::configured(WHARF, self.directory.path(), &configuration).ready()
    }

    /// Writes the configuration anew, for a reload.
    pub(crate) fn configure(&self) {
        let configuration = self.shelf.configuration(&self.data, &self.room, self.lines);
        std::fs::write(self.directory.path().join("wharf.toml"), configuration).expect("written");
    }

    pub(crate) fn root(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    fn expect_no_hole(&mut self, now: [Ledger; 2]) {
        for ((now, before), pinned) in now.iter().zip(&self.before).zip(&self.pinned) {
            now.expect_no_hole_since(before);
            pinned.iter().for_each(|(image, blobs)| now.expect_kept(image, blobs));
        }
        self.before = now;
    }

    /// Waits until the program counts and lists what the files are, and keeps to the caps if nothing hinders
    /// it.
    pub(crate) async fn settled(&self, program: &Program, is_all_old: bool) -> [Ledger; 2] {
        let (begun, mut last, mut same_count) = (Instant::now(), (Figures::new(), BTreeSet::new()), 0);
        loop {
            let told = stats(program).await;
            let ledgers = NAMES.map(|name| Ledger::of(&self.root(name)));
            let is_counted = told == figures(&ledgers);
            let is_kept = !is_all_old || self.is_kept_to(&ledgers);
            let images = listed(program).await;
            let is_listed = images == images_of(&ledgers);
            if is_counted && is_kept && is_listed && last == (told.clone(), images.clone()) {
                same_count += 1;
                if same_count == SAME_COUNT {
                    return ledgers;
                }
                continue;
            }
            same_count = 0;
            assert!(
                begun.elapsed() < SETTLE_MAX,
                "exact: {is_counted}, below the caps: {is_kept}, listed: {is_listed}\n{told:#?}\n{:#?}",
                figures(&ledgers)
            );
            last = (told, images);
        }
    }

    fn is_kept_to(&self, ledgers: &[Ledger; 2]) -> bool {
        let total: u64 = ledgers.iter().map(Ledger::bytes).sum();
        let is_free = |floor: u64| {
            let space = rustix::fs::statvfs(&self.data).expect("the file system tells its size");
            space.f_bavail * space.f_frsize >= floor
        };
        self.room.common.is_none_or(|cap| total <= cap)
            && self.room.floor.is_none_or(is_free)
            && ledgers.iter().zip(self.room.caps).all(|(one, cap)| cap.is_none_or(|cap| one.bytes() <= cap))
    }

    /// Pulls every whole image that is listed, by tag and by digest, while the upstreams are gone. The
    /// program does nothing else: it would ask them more and more seldom.
    async fn pull_alone(&mut self, program: Program) {
        self.shelf.set_doors(Door::Refuse).await;
        let images = api(&program, "/api/images").await;
        for image in images["images"].as_array().expect("a list") {
            self.told.listed_count += 1;
            let [registry, repository, digest] = KEYS.map(|key| image[key].as_str().expect("a text"));
            let at = NAMES.iter().position(|name| *name == registry).expect("one of ours");
            let Some((manifests, blobs)) = self.before[at].whole(repository, digest) else {
                self.told.incomplete_count += 1;
                continue;
            };
            for tag in image["tags"].as_array().expect("tags") {
                let tag = tag.as_str().expect("a text");
                let body = program.open(registry, &format!("/v2/{repository}/manifests/{tag}")).await;
                assert_eq!(body.read_digest().await.expect("a clean end"), digest, "{repository}:{tag}");
            }
            let manifests = manifests.iter().map(|digest| ("manifests", digest));
            for (kind, digest) in manifests.chain(blobs.iter().map(|digest| ("blobs", digest))) {
                let body = program.open(registry, &format!("/v2/{repository}/{kind}/{digest}")).await;
                assert_eq!(body.read_digest().await.expect("a clean end"), *digest, "{repository}");
            }
            self.told.pulled_alone_count += 1;
        }
        program.kill();
        self.shelf.set_doors(Door::Open).await;
    }

    /// Pins a whole image, up to two in a registry.
    async fn pin_one(&mut self, program: &Program, cycle: &mut Cycle<'_>) {
        let at = cycle.rng.usize(..NAMES.len());
        let images = self.before[at].images();
        let whole = |(repository, digest): &(String, String)| self.before[at].whole(repository, digest);
        let mut found = images.iter().filter_map(|image| Some((image, whole(image)?.1)));
        let Some(((repository, digest), blobs)) = found.next() else { return };
        if self.pinned[at].len() < 2 {
            let target = format!("/api/pins?registry={}&repository={repository}&digest={digest}", NAMES[at]);
            let answer = client::request("PUT", program.admin, "localhost", &target, &[]).await;
            let answer = answer.expect("an answer");
            // A pin is a file, too.
            if answer.status == 500 && answer.text().contains("No space left") {
                return;
            }
            assert_eq!(answer.status, 200, "{}", answer.text());
            self.pinned[at].insert((repository.clone(), digest.clone()), blobs);
        }
    }
}

/// The names of an image in a list.
const KEYS: [&str; 3] = ["registry", "repository", "digest"];

/// The listed images; none until all are known.
pub(crate) async fn listed(program: &Program) -> BTreeSet<[String; 3]> {
    let listed = api(program, "/api/images").await;
    let images = listed["images"].as_array().filter(|_| listed["complete"] == true);
    let named = |image: &Value| KEYS.map(|key| image[key].as_str().expect("a text").to_owned());
    images.into_iter().flatten().map(named).collect()
}

fn images_of(ledgers: &[Ledger; 2]) -> BTreeSet<[String; 3]> {
    let all = NAMES.iter().zip(ledgers);
    let named = |name: &str, (repository, digest)| [name.to_owned(), repository, digest];
    all.flat_map(|(name, ledger)| ledger.images().into_iter().map(|image| named(name, image))).collect()
}

pub(crate) async fn api(program: &Program, target: &str) -> Value {
    let answer = client::get(program.admin, "localhost", target, &[]).await.expect("an answer");
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// Bytes and objects by registry and kind.
type Figures = BTreeMap<(&'static str, &'static str), (u64, u64)>;

/// The figures of the admin API; none until they are exact.
async fn stats(program: &Program) -> Figures {
    let told = api(program, "/api/stats").await;
    let mut figures = Figures::new();
    for registry in told["registries"].as_array().expect("registries") {
        if registry["counting"] == true {
            return Figures::new();
        }
        let name = NAMES.into_iter().find(|name| registry["registry"] == **name).expect("one of ours");
        for kind in KINDS {
            let number = |key: &str| registry[kind][key].as_u64().expect("a number");
            figures.insert((name, kind), (number("bytes"), number("objects")));
        }
    }
    figures
}

fn figures(ledgers: &[Ledger; 2]) -> Figures {
    let all = NAMES.iter().zip(ledgers);
    all.flat_map(|(name, ledger)| KINDS.map(|kind| ((*name, kind), ledger.held[kind]))).collect()
}

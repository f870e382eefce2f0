//! A seeded simulation of a backend on paused time: clients come, leave, read slowly and request ranges while
//! the upstream misbehaves, tags move and the process restarts. A failure names its seed; `WHARF_SEED`
//! replays one, and `WHARF_SEEDS` sets their number.
//!
//! In half of the runs the upstream is only slow or breaks off: there no byte is fetched twice, except those
//! in flight when a transfer is left.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use cache::{PullError, Want};
use fastrand::Rng;
use futures_util::future::join_all;
use oci::{Digest, Reference};
use upstream::ErrorKind;

use crate::upstream::{Drip, Manner, PIECE};
use crate::world::{World, next, noise, read, repository};

const SEEDS_DEFAULT: u64 = 3_000;

/// The length of a blob that several transfers share if it is slow.
const SHARED: usize = 5_000_000;

#[test]
fn no_seed_makes_a_wrong_body_or_a_lost_one() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("WHARF_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WHARF_SEEDS").unwrap_or(SEEDS_DEFAULT),
    };
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_time().start_paused(true).build().unwrap().block_on(live(seed));
        });
        assert!(lived.is_ok(), "replay with WHARF_SEED={seed}");
    }
}

/// A blob whose ranges were refused or became silent is fetched once more as a whole.
fn whole_again_bytes(asked: &[String], blobs: &[(Digest, Bytes)]) -> usize {
    let comes_again = |digest: &Digest| {
        let digest = digest.to_string();
        let of_blob = asked.iter().filter(|asked| asked.starts_with("GET blob") && asked.contains(&digest));
        of_blob.skip_while(|asked| asked.ends_with("Whole")).any(|asked| asked.ends_with("Whole"))
    };
    blobs.iter().filter(|(digest, _)| comes_again(digest)).map(|(_, blob)| blob.len()).sum()
}

/// However slow the upstream is, no visit takes longer: a dripping body is below the floor, or ends.
const VISITS_TIME_MAX: Duration = Duration::from_secs(2 * 3600);

/// The upstream's blobs, and all manifests that a tag ever named.
struct Model {
    blobs: Vec<(Digest, Bytes)>,
    manifests: HashMap<Digest, String>,
    /// Whether the upstream sends right bytes, honours ranges and tells sizes, and the process does not
    /// restart.
    is_tame: bool,
}

async fn live(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut world = World::with(|settings| settings.verify_first_bytes_max = 64 * 1024);
    let mut model = Model { blobs: Vec::new(), manifests: HashMap::new(), is_tame: random.bool() };
    for _ in 0..random.usize(1..4) {
        let usual = *random.choice(&[0, 1, 20_000, 70_000, 300_000, 1_200_000]).unwrap();
        // A large one takes as long as a hundred others, so it is rare.
        let length = if random.u8(0..16) == 0 { SHARED } else { usual };
        // Two of one length would be the same blob.
        let blob = noise(length + random.usize(0..1000));
        model.blobs.push((world.upstream.put_blob(&blob), blob));
    }
    move_tag(&world, &mut model, &mut random);
    for _ in 0..random.usize(2..6) {
        disturb(&world, &mut model, &mut random);
        let visits = join_all((0..random.usize(1..6)).map(|_| visit(&world, &model, random.fork())));
        tokio::time::timeout(VISITS_TIME_MAX, visits).await.expect("a visit does not end");
        if !model.is_tame && random.u8(0..4) == 0 {
            world.cancel.cancel();
            world.settle().await;
            let restarted = world.restarted();
            world = restarted;
        }
    }
    recover(&world, &model).await;
}

/// One client: a blob, a range of one that it may leave in the middle, or the tag.
async fn visit(world: &World, model: &Model, mut random: Rng) {
    tokio::time::sleep(Duration::from_millis(random.u64(0..40))).await;
    let (digest, blob) = &model.blobs[random.usize(0..model.blobs.len())];
    match random.u8(0..8) {
        5 => visit_far_and_leave(world, digest, blob, &mut random).await,
        6 => visit_slowly(world, digest, blob, model.is_tame, &mut random).await,
        0 | 1 => {
            if let Ok(body) = world.pull(digest).await {
                assert!(body == *blob, "a whole body is wrong");
            }
        }
        2 => visit_range(world, digest, blob, model.is_tame, &mut random).await,
        3 => {
            if let Ok(answer) = world.get(digest).await {
                let mut reader = answer.body.unwrap();
                let first = next(&mut reader).await;
                assert!(first.is_some() || blob.is_empty(), "a body ends before its first byte");
            }
        }
        _ => visit_tag(world, model, &mut random).await,
    }
}

async fn visit_range(world: &World, digest: &Digest, blob: &Bytes, is_tame: bool, random: &mut Rng) {
    let start = random.usize(0..=blob.len());
    let answer = match random.bool() {
        true => world.get_range(digest, &format!("bytes={start}-")).await,
        false => world.get_range(digest, &format!("bytes={start}-{}", start + random.usize(0..50_000))).await,
    };
    match answer {
        Ok(answer) => {
            let expected = blob.slice(answer.range.start as usize..answer.range.end as usize);
            let reaches_end = Some(answer.range.end) == answer.size;
            let (came, body) = read(answer.body.unwrap()).await;
            match body {
                // Bytes before the end of a blob are not verified yet when they are served.
                Ok(body) => assert!(!(reaches_end || is_tame) || body == expected, "a range is wrong"),
                Err(_) => assert!(came < expected.len(), "a range that failed looks whole"),
            }
        }
        Err(PullError::RangeNotSatisfiable { size }) => assert!(start as u64 >= size),
        Err(_) => {}
    }
}

/// Requests a range far ahead, waits for its transfer or not, and reads no byte.
async fn visit_far_and_leave(world: &World, digest: &Digest, blob: &Bytes, random: &mut Rng) {
    let start = blob.len() / 2 + random.usize(0..=blob.len() / 2);
    let last = if random.bool() { (start + random.usize(0..300_000)).to_string() } else { String::new() };
    let patience = Duration::from_millis(random.u64(0..4_000));
    let range = format!("bytes={start}-{last}");
    // The answer waits for the first byte, which a far transfer fetches.
    let _ = tokio::time::timeout(patience, world.get_range(digest, &range)).await;
}

/// Reads the whole blob, or from some offset on, with a delay at the start and pauses.
async fn visit_slowly(world: &World, digest: &Digest, blob: &Bytes, is_tame: bool, random: &mut Rng) {
    let start = if random.bool() { 0 } else { random.usize(0..=blob.len()) };
    let Ok(answer) = world.get_range(digest, &format!("bytes={start}-")).await else { return };
    tokio::time::sleep(Duration::from_secs(random.u64(0..100))).await;
    let mut reader = answer.body.unwrap();
    let mut position = start;
    while let Some(bytes) = next(&mut reader).await {
        let Ok(bytes) = bytes else {
            assert!(position < blob.len(), "a body fails after its end");
            return;
        };
        let end = position + bytes.len();
        let may_be_wrong = !is_tame && end < blob.len();
        assert!(may_be_wrong || blob[position..end] == bytes[..], "wrong bytes at {position}");
        position = end;
        tokio::time::sleep(Duration::from_millis(random.u64(0..300))).await;
    }
    assert_eq!(position, blob.len(), "a body ends early");
}

async fn visit_tag(world: &World, model: &Model, random: &mut Rng) {
    let want = if random.bool() { Want::Head } else { Want::Get };
    let reference: Reference = "1".parse().unwrap();
    if let Ok(answer) = world.backend.pull_manifest(&repository(), &reference, want).await {
        let named = model.manifests.get(&answer.digest).expect("a tag names what it named once");
        assert!(answer.bytes.is_none_or(|bytes| bytes == named.as_bytes()), "a manifest is wrong");
    }
}

/// Begins or ends some fault.
fn disturb(world: &World, model: &mut Model, random: &mut Rng) {
    let down = [None, None, Some(ErrorKind::Unreachable), Some(ErrorKind::Throttled)];
    world.upstream.set_down(*random.choice(&down).unwrap());
    if random.bool() {
        move_tag(world, model, random);
    }
    let manners = (0..random.usize(0..5)).map(|_| misbehave(random, model.is_tame)).collect::<Vec<_>>();
    world.upstream.script(manners);
    world.upstream.set_manner(Manner { pace: Duration::from_millis(random.u64(0..20)), ..Manner::default() });
}

fn misbehave(random: &mut Rng, is_tame: bool) -> Manner {
    let reach = if random.bool() { 400_000 } else { SHARED };
    let position = random.usize(0..reach);
    let mut manner = Manner { pace: Duration::from_millis(random.u64(0..30)), ..Manner::default() };
    match if is_tame { random.u8(6..13) } else { random.u8(0..13) } {
        10.. => manner.drip = Some(drip(random, position)),
        7 => manner.head = Duration::from_millis(random.u64(0..9_000)),
        8 => manner.refuse_part = Some(ErrorKind::Throttled),
        9 => manner.cut_part_at = Some(position),
        0 => manner.refuse = Some(ErrorKind::Unreachable),
        1 => manner.cut_at = Some(position),
        2 => manner.end_at = Some(position),
        3 => manner.flip = Some(position),
        4 => manner.ignore_range = true,
        5 => manner.late_start = random.u64(1..9),
        6 if !is_tame => manner.no_size = true,
        _ => manner.pace = Duration::from_secs(random.u64(5..50)),
    }
    manner
}

fn drip(random: &mut Rng, after: usize) -> Drip {
    let (piece, pace) = *random.choice(&[(512, 250), (1, 1_000), (4096, 100), (0, 30_000)]).unwrap();
    Drip { after: *random.choice(&[0, after]).unwrap(), piece, pace: Duration::from_millis(pace) }
}

fn move_tag(world: &World, model: &mut Model, random: &mut Rng) {
    let text = format!(r#"{{"schemaVersion":2,"layers":[],"annotations":{{"n":"{}"}}}}"#, random.u32(..));
    model.manifests.insert(world.upstream.put_manifest(&repository(), "1", &text), text);
}

/// Bytes that were requested in small ranges beside other transfers.
fn small_range_bytes(asked: &[String]) -> usize {
    let lengths = asked.iter().filter_map(|asked| {
        let (_, range) = asked.split_once("Further(ByteRange { start: ")?;
        let (start, end) = range.trim_end_matches(" })").split_once(", end: ")?;
        Some(end.parse::<usize>().unwrap() - start.parse::<usize>().unwrap())
    });
    lengths.filter(|length| *length <= 128 * 1024).sum()
}

/// Bytes of a blob that may be fetched again because its first connection passed over those of a slow range.
fn passed_bytes_max(world: &World, digest: &Digest, blob: &Bytes) -> usize {
    let has_ranges = world.upstream.count(&format!("GET blob {digest} Further")) > 0;
    if has_ranges { (1 << 20) + blob.len() / 32 } else { 0 }
}

/// Once the upstream works again, everything can be pulled, and then without it.
async fn recover(world: &World, model: &Model) {
    world.upstream.set_down(None);
    world.upstream.forget_script();
    world.upstream.set_manner(Manner::default());
    world.settle().await;
    // Longer than any refusal or suspicion is remembered.
    tokio::time::sleep(Duration::from_secs(61)).await;
    for (digest, blob) in &model.blobs {
        let _ = world.pull(digest).await;
        world.settle().await;
        let body = world.pull(digest).await;
        assert!(body.is_ok_and(|body| body == *blob), "a good blob cannot be had");
        world.settle().await;
    }
    if model.is_tame {
        let total: usize = model.blobs.iter().map(|(_, blob)| blob.len()).sum();
        // A transfer may be left in the middle of a piece, and small ranges are fetched again with the rest.
        let bound = total
            + world.upstream.count("GET blob") * PIECE
            + small_range_bytes(&world.upstream.asked())
            + whole_again_bytes(&world.upstream.asked(), &model.blobs)
            + model.blobs.iter().map(|(digest, blob)| passed_bytes_max(world, digest, blob)).sum::<usize>();
        let bytes = world.upstream.blob_bytes();
        assert!(bytes <= bound as u64, "{bytes} bytes for {total}: {:?}", world.upstream.asked());
    }
    let reference: Reference = "1".parse().unwrap();
    let current = world.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    for (digest, blob) in &model.blobs {
        assert!(world.pull(digest).await.is_ok_and(|body| body == *blob), "a stored blob is lost");
    }
    let stale = world.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
    assert_eq!(stale.digest, current.digest);
}

//! The limits that hold for all stores together: a common cap, and the bytes and files that stay free on each
//! file system.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use policy::eviction::{CommonLimits, Reason, Used, file_floor, over_cap, under_floor};
use storage::Space;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::eviction::{Ended, Freed};
use crate::keeper::Keeper;
use crate::room::CommonRoom;

/// The disk is looked at so often: other programs write to it too.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Two looks are at least so far apart, however many blobs come.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// The file systems of two stores are looked up one after the other. Those without an id count as one if
/// their free bytes differ by at most this share of the size.
const SAME_FREE_SHARE: u64 = 1000;

/// Bytes that were removed may come free late: some file systems give them back in the background (XFS), and
/// a client that reads a purged blob keeps it on the disk. For this time they count as free.
const LATE_FOR: Duration = Duration::from_secs(3);

/// Images that go in one look because too few files can be made.
const FILE_LOOK_COUNT: usize = 64;

/// So many images that go without a file coming free end that look, and so many such looks in a row end all
/// of them: the file system's count says nothing.
const FRUITLESS_IMAGE_COUNT: usize = 8;
const FRUITLESS_LOOK_COUNT: u32 = 3;

/// The keeper of the common limits.
#[derive(Debug)]
pub struct CommonKeeper {
    keepers: RwLock<Vec<Arc<Keeper>>>,
    limits: RwLock<CommonLimits>,
    room: Arc<CommonRoom>,
}

/// A store, as it was looked at.
struct Looked {
    keeper: Arc<Keeper>,
    space: Option<Space>,
    used: Used,
}

/// Removed bytes that had not come free when their removal had ended, and the space then.
#[derive(Clone, Copy, Debug)]
struct Late {
    since: Instant,
    then: Space,
    missing: u64,
}

/// A file system on which images went and no file came free.
#[derive(Clone, Copy, Debug)]
struct Fruitless {
    then: Space,
    look_count: u32,
}

/// The looks so far.
#[derive(Debug, Default)]
struct Past {
    late: Vec<Late>,
    fruitless: Vec<Fruitless>,
    /// Whether images went in the last look, and too few files can be made still.
    lacks_files: bool,
}

/// When the next look is due, unless something wakes the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Soon,
    Later,
    Failed,
}

impl CommonKeeper {
    /// The keeper of these limits, over no store yet.
    pub fn new(limits: CommonLimits) -> Arc<Self> {
        Arc::new(Self {
            keepers: RwLock::default(),
            limits: RwLock::new(limits),
            room: Arc::new(CommonRoom::new()),
        })
    }

    /// Replaces the stores, as a reload does.
    pub fn set_keepers(&self, keepers: Vec<Arc<Keeper>>) {
        for keeper in &keepers {
            keeper.inventory().set_common(Arc::clone(&self.room));
        }
        self.room.set_stores(keepers.iter().map(|keeper| keeper.inventory().share()).collect());
        *self.keepers.write() = keepers;
        self.room.wake.notify_one();
    }

    /// The most bytes that all stores together may take, once that was looked at.
    pub fn cap(&self) -> Option<u64> {
        self.room.cap()
    }

    /// The keepers of the stores.
    pub fn keepers(&self) -> Vec<Arc<Keeper>> {
        self.keepers.read().clone()
    }

    /// Replaces the limits, as a reload does.
    pub fn set_limits(&self, limits: CommonLimits) {
        *self.limits.write() = limits;
        self.room.wake.notify_one();
    }

    /// Keeps all stores to the common limits until `cancel`.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut past = Past::default();
        while !cancel.is_cancelled() {
            let begun = Instant::now();
            let next = self.look(&mut past).await;
            // After a failure of the store there is no hurry.
            let pause = if next == Next::Failed { LOOK_EVERY } else { LOOK_PAUSE };
            let latest = if next == Next::Soon { LOOK_PAUSE } else { LOOK_EVERY };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = time::sleep_until(begun + latest) => {}
                () = self.woken(begun + pause) => {}
            }
        }
    }

    /// Learns all limits and the room below them, for stores that no keeper runs for: nothing goes from then
    /// on, and what has no room is refused.
    pub async fn measure(&self) {
        let limits = *self.limits.read();
        let mut all = Vec::new();
        for keeper in self.keepers() {
            let space = keeper.measure().await;
            all.push(Looked { used: keeper.inventory().used(), space, keeper });
        }
        self.room.set(common_cap(&limits, &all), true);
        for group in file_systems(&all) {
            let Some(space) = group.first().and_then(|looked| looked.space) else { continue };
            let floor = limits.free_min.and_then(|cap| cap.bytes(Some(space.total)));
            for looked in group {
                looked.keeper.inventory().room.set_free(floor.map(|_| space.free), floor.unwrap_or(0));
            }
        }
    }

    async fn woken(&self, earliest: Instant) {
        self.room.wake.notified().await;
        time::sleep_until(earliest).await;
    }

    async fn look(&self, past: &mut Past) -> Next {
        let limits = *self.limits.read();
        let keepers = self.keepers.read().clone();
        let mut all = Vec::new();
        for keeper in keepers {
            let space = keeper.space().await;
            all.push(Looked { used: keeper.inventory().used(), space, keeper });
        }
        let mut ended = vec![self.keep_to_cap(&limits, &all).await];
        past.late.retain(|late| late.since.elapsed() < LATE_FOR);
        past.lacks_files = false;
        for group in file_systems(&all) {
            ended.push(keep_to_floor(&limits, &group, past).await);
        }
        match past.late.is_empty() && !past.lacks_files {
            _ if ended.contains(&Ended::Failed) => Next::Failed,
            // Whether the removed bytes have come free shows soon, and further images go.
            false => Next::Soon,
            true => Next::Later,
        }
    }

    async fn keep_to_cap(&self, limits: &CommonLimits, all: &[Looked]) -> Ended {
        let used = all.iter().fold(Used::default(), |sum, looked| sum.and(&looked.used)).total();
        let Some(cap) = common_cap(limits, all) else {
            self.room.set(None, false);
            return Ended::Enough;
        };
        let keepers: Vec<_> = all.iter().map(|looked| Arc::clone(&looked.keeper)).collect();
        let (_, ended) = make_common_room(&keepers, over_cap(used, cap), Reason::Cap).await;
        self.room.set(Some(cap), ended != Ended::Enough || has_nothing_old(&keepers));
        ended
    }
}

/// The most bytes that all stores may hold. A share is one of the file systems together, each of which counts
/// once.
fn common_cap(limits: &CommonLimits, all: &[Looked]) -> Option<u64> {
    let sizes = file_systems(all).into_iter().filter_map(|group| Some(group.first()?.space?.total));
    let total = sizes.fold(None, |sum: Option<u64>, size| Some(sum.unwrap_or(0).saturating_add(size)));
    limits.max.and_then(|cap| cap.bytes(total))
}

/// Removes images of several stores, those first that were used least recently in all of them.
async fn make_common_room(keepers: &[Arc<Keeper>], wanted: u64, reason: Reason) -> (Freed, Ended) {
    let (mut freed, mut has_failed) = (Freed::default(), false);
    for keeper in keepers {
        freed.bytes += keeper.remove_before_images(wanted.saturating_sub(freed.bytes)).await;
    }
    let mut failed = vec![false; keepers.len()];
    while freed.bytes < wanted {
        let mut oldest: Vec<(Duration, usize)> = (0..keepers.len())
            .filter(|at| !failed[*at])
            .filter_map(|at| keepers[at].oldest().map(|unused| (unused, at)))
            .collect();
        oldest.sort_unstable_by_key(|(unused, at)| (Reverse(*unused), *at));
        let Some((first, at)) = oldest.first().copied() else {
            for keeper in keepers {
                freed.bytes += keeper.remove_damaged(wanted.saturating_sub(freed.bytes), 0).await;
            }
            let is_enough = freed.bytes >= wanted;
            let short = if has_failed { Ended::Failed } else { Ended::Nothing };
            return (freed, if is_enough { Ended::Enough } else { short });
        };
        // Up to the oldest of the store that comes next.
        let unused_min = oldest.get(1).map_or(Duration::ZERO, |(unused, _)| *unused);
        let (more, ended) = keepers[at].make_room_of(wanted - freed.bytes, reason, unused_min).await;
        freed.add(more);
        let is_stuck = more.images == 0 && keepers[at].oldest().is_some_and(|unused| unused >= first);
        failed[at] = ended == Ended::Failed || is_stuck;
        has_failed |= ended == Ended::Failed;
    }
    (freed, Ended::Enough)
}

async fn keep_to_floor(limits: &CommonLimits, group: &[&Looked], past: &mut Past) -> Ended {
    let Some(space) = group.first().and_then(|looked| looked.space) else { return Ended::Enough };
    let floor = limits.free_min.and_then(|cap| cap.bytes(Some(space.total)));
    let keepers: Vec<_> = group.iter().map(|looked| Arc::clone(&looked.keeper)).collect();
    let Some(floor) = floor else {
        set_free(&keepers, None, 0);
        return Ended::Enough;
    };
    let files_ended = keep_to_file_floor(&keepers, &space, floor, past).await;
    let used = group.iter().fold(Used::default(), |sum, looked| sum.and(&looked.used));
    let of_this = past.late.iter().filter(|late| late.then.is_of_same_file_system(&space, u64::MAX));
    let still_late = of_this.map(|late| {
        let come = space.unused.saturating_sub(late.then.unused);
        late.missing.saturating_sub(come)
    });
    let free = space.free.saturating_add(still_late.sum());
    let wanted = under_floor(free, used.awaited(), floor);
    let (freed, ended) = make_common_room(&keepers, wanted, Reason::FreeSpace).await;
    if freed.bytes > 0
        && let Some(keeper) = keepers.first()
        && let Some(now) = keeper.space().await
    {
        let stored = keepers.iter().fold(Used::default(), |sum, keeper| sum.and(&keeper.inventory().used()));
        let missing = missing_bytes(&Removal { before: space, used, freed: freed.bytes }, &now, &stored);
        past.late.push(Late { since: Instant::now(), then: now, missing });
    }
    let is_exhausted = ended != Ended::Enough || has_nothing_old(&keepers);
    for keeper in keepers {
        keeper.inventory().room.set_floor_exhausted(is_exhausted);
    }
    if files_ended == Ended::Failed { files_ended } else { ended }
}

/// Tells the stores how many bytes of their file system are free.
fn set_free(keepers: &[Arc<Keeper>], free: Option<u64>, floor: u64) {
    for keeper in keepers {
        keeper.inventory().room.set_free(free, floor);
    }
}

/// The files that have to go where `floor` bytes stay free.
fn lacking_files(space: &Space, floor: u64) -> u64 {
    space.files.map_or(0, |files| under_floor(files.free, 0, file_floor(files.total, floor, space.total)))
}

fn free_files(space: &Space) -> u64 {
    space.files.map_or(0, |files| files.free)
}

/// Removes images until the file system can have enough further files. The files of an image are not known
/// ahead, so it is looked at after each. While it lacks files, none of its bytes count as free.
async fn keep_to_file_floor(keepers: &[Arc<Keeper>], before: &Space, floor: u64, past: &mut Past) -> Ended {
    let at = past.fruitless.iter().position(|it| it.then.is_of_same_file_system(before, u64::MAX));
    let look_count = match at.map(|at| past.fruitless.swap_remove(at)) {
        Some(last) if free_files(before) <= free_files(&last.then) => last.look_count,
        _ => 0,
    };
    let wanted = if look_count < FRUITLESS_LOOK_COUNT { lacking_files(before, floor) } else { 0 };
    let target = free_files(before).saturating_add(wanted);
    let (mut now, mut ended, mut image_count) = (*before, Ended::Enough, 0);
    while free_files(&now) < target && image_count < FILE_LOOK_COUNT {
        let is_fruitless = free_files(&now) <= free_files(before);
        if is_fruitless && image_count >= FRUITLESS_IMAGE_COUNT {
            ended = Ended::Failed;
            break;
        }
        let (freed, end) = make_common_room(keepers, 1, Reason::FreeSpace).await;
        image_count += usize::try_from(freed.images).unwrap_or(usize::MAX).max(1);
        ended = end;
        let space = match keepers.first() {
            Some(keeper) if end == Ended::Enough => keeper.space().await,
            _ => None,
        };
        let Some(space) = space else { break };
        now = space;
    }
    let is_fruitless = image_count >= FRUITLESS_IMAGE_COUNT && free_files(&now) <= free_files(before);
    let look_count = look_count + u32::from(is_fruitless);
    if look_count > 0 {
        past.fruitless.push(Fruitless { then: now, look_count });
    }
    if is_fruitless && look_count == FRUITLESS_LOOK_COUNT {
        warn!(
            "the file system says that it is out of files, and removed images change nothing; ignoring that"
        );
    }
    let lacks_files = look_count < FRUITLESS_LOOK_COUNT && lacking_files(&now, floor) > 0;
    past.lacks_files |= lacks_files && ended == Ended::Enough;
    set_free(keepers, Some(if lacks_files { 0 } else { before.free }), floor);
    ended
}

/// A removal, and the state before it.
struct Removal {
    before: Space,
    used: Used,
    freed: u64,
}

/// The removed bytes that have not come free, where stores have taken some of the others since.
///
/// The unused bytes count, and not the free ones: where root has written to reserved bytes, the first ones
/// that come free are reserved again, and nothing is late.
fn missing_bytes(removal: &Removal, now: &Space, used: &Used) -> u64 {
    let taken = used.written().saturating_add(removal.freed).saturating_sub(removal.used.written());
    let expected = removal.before.unused.saturating_add(removal.freed).saturating_sub(taken);
    expected.saturating_sub(now.unused).min(removal.freed)
}

/// Whether everything was used lately, so that nothing may go for now.
fn has_nothing_old(keepers: &[Arc<Keeper>]) -> bool {
    keepers.iter().all(|keeper| keeper.oldest().is_none())
}

fn is_same_file_system(one: &Space, other: &Space) -> bool {
    one.is_of_same_file_system(other, one.total / SAME_FREE_SHARE)
}

/// The stores by file system.
fn file_systems(all: &[Looked]) -> Vec<Vec<&Looked>> {
    let mut groups: Vec<Vec<&Looked>> = Vec::new();
    for looked in all {
        let Some(space) = looked.space else { continue };
        let is_same = |group: &&mut Vec<&Looked>| {
            group
                .first()
                .and_then(|first| first.space)
                .is_some_and(|first| is_same_file_system(&first, &space))
        };
        match groups.iter_mut().find(is_same) {
            Some(group) => group.push(looked),
            None => groups.push(vec![looked]),
        }
    }
    groups
}

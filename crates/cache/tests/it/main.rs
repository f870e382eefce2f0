//! The cache on paused time, with an upstream and a store in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod bandwidth;
mod belief;
mod blobs;
mod drips;
mod faults;
mod full_disk;
mod grants;
mod large_manifests;
mod lazy;
mod listings;
mod lists;
mod manifests;
mod offline;
mod places;
mod plain;
mod plain_after_ranges;
mod positions;
mod ranges;
mod read_ahead;
mod referrers;
mod refresh;
mod resume;
mod room;
mod room_simulation;
mod scrub;
mod sharing;
mod simulation;
mod stand_ins;
mod store_faults;
mod store_health;
mod succession;
mod unhashed;
mod untold;
mod upstream;
mod visibility;
mod waits;
mod warm;
mod whole;
mod world;

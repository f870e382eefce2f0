//! Clocks that are set ahead or back, at a start or between two looks.

use policy::eviction::Cap;
use tokio_util::sync::CancellationToken;

use super::*;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

fn unused_for(days: u64) -> Limits {
    Limits { unused_for: Some(Duration::from_secs(days * DAY)), ..Limits::default() }
}

/// Lets the keeper run for some time, and stop orderly.
async fn run_for(place: &Place, seconds: u64) {
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&place.keeper).run(cancel.clone()));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    cancel.cancel();
    running.await.unwrap();
}

/// A store with three images, one older than the other, after an orderly stop.
async fn stopped() -> (Place, [Digest; 3]) {
    let (place, _) = Place::in_memory().await;
    let mut images = Vec::new();
    for number in 0..3 {
        let digest = place.image("app", &[(&format!("layer {number}"), 1000)]).await;
        place.tag("app", &format!("v{number}"), &digest).await;
        images.push(digest);
        pass(HOUR).await;
    }
    run_for(&place, 1).await;
    (place, images.try_into().unwrap())
}

impl Place {
    /// The next process, when the wall clock shows this.
    async fn restarted_at(&self, shown: SystemTime, limits: Limits) -> Self {
        self.wall.set(shown);
        let place = self.restarted().await;
        place.keeper.set_limits(limits);
        place
    }

    async fn hold(&self, images: &[Digest]) -> Vec<bool> {
        let mut held = Vec::new();
        for digest in images {
            held.push(self.has_manifest("app", digest).await);
        }
        held
    }
}

fn after(time: SystemTime, seconds: u64) -> SystemTime {
    time + Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_years_ahead_at_a_start_lets_no_rule_empty_the_cache() {
    let (place, images) = stopped().await;
    let shown = place.wall.now();
    let place = place.restarted_at(after(shown, 10 * YEAR), unused_for(1)).await;
    run_for(&place, DAY - 4 * HOUR).await;
    assert_eq!(place.hold(&images).await, [true; 3], "a day of the ten years counts, and clients have a day");
    place.inventory.manifest_used(&repository("app"), &images[1]);
    run_for(&place, 5 * HOUR).await;
    assert_eq!(place.hold(&images).await, [false, true, false], "the rule holds again");
    // The clock is right again. The use of a moment ago does not lie ten years ahead.
    let place = place.restarted_at(after(shown, DAY), unused_for(1)).await;
    run_for(&place, 25 * HOUR).await;
    assert_eq!(place.hold(&images).await, [false; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_while_wharf_runs_empties_nothing() {
    for shown in [after(start(), 10 * YEAR), after(UNIX_EPOCH, 5)] {
        let (place, images) = stopped().await;
        place.keeper.set_limits(unused_for(30));
        let cancel = CancellationToken::new();
        let running = tokio::spawn(Arc::clone(&place.keeper).run(cancel.clone()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        place.wall.set(shown);
        tokio::time::sleep(Duration::from_secs(2 * DAY)).await;
        assert_eq!(place.hold(&images).await, [true; 3]);
        // A use is shown as the clock shows it from now on.
        place.inventory.manifest_used(&repository("app"), &images[0]);
        let image = place.list().into_iter().find(|image| image.digest == images[0]).unwrap();
        let distance = place.wall.now().duration_since(image.last_use).unwrap();
        assert!(distance < Duration::from_secs(2), "{distance:?}");
        cancel.cancel();
        running.await.unwrap();
        let place = place.restarted_at(place.wall.now(), unused_for(30)).await;
        run_for(&place, 25 * DAY).await;
        assert_eq!(place.hold(&images).await, [true; 3]);
        run_for(&place, 4 * DAY).await;
        assert_eq!(place.hold(&images).await, [true, false, false], "thirty days have passed");
    }
}

#[tokio::test(start_paused = true)]
async fn the_order_of_uses_outlives_a_clock_that_is_set_back_at_a_start() {
    for shown in [UNIX_EPOCH, after(UNIX_EPOCH, 1), start() - Duration::from_secs(YEAR), start()] {
        let (place, images) = stopped().await;
        let used = place.wall.now();
        let place = place.restarted_at(shown, Limits::default()).await;
        let before: Vec<_> = images
            .iter()
            .map(|digest| place.list().into_iter().find(|image| image.digest == *digest).unwrap().last_use)
            .collect();
        assert!(before.is_sorted(), "{before:?}");
        place.keeper.set_limits(Limits { max: Some(Cap::Bytes(2_500)), ..Limits::default() });
        run_for(&place, 2 * HOUR).await;
        assert_eq!(place.hold(&images).await, [false, true, true], "the cap goes on working");
        // And the right time again, with an hour in between.
        let place = place.restarted_at(after(used, HOUR), Limits::default()).await;
        place.keeper.set_limits(Limits { max: Some(Cap::Bytes(1_500)), ..Limits::default() });
        run_for(&place, 1).await;
        assert_eq!(place.hold(&images).await, [false, false, true]);
    }
}

#[tokio::test(start_paused = true)]
async fn caps_go_on_working_when_a_clock_is_years_ahead() {
    let (place, images) = stopped().await;
    let limits = Limits { max: Some(Cap::Bytes(2_500)), ..unused_for(30) };
    let place = place.restarted_at(after(start(), 50 * YEAR), limits).await;
    run_for(&place, 1).await;
    assert_eq!(place.hold(&images).await, [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn an_ordinary_pause_counts_and_clients_have_as_long_after_it() {
    let (place, images) = stopped().await;
    let place = place.restarted_at(after(place.wall.now(), 20 * HOUR), unused_for(1)).await;
    run_for(&place, HOUR).await;
    assert_eq!(place.hold(&images).await, [true; 3]);
    place.inventory.manifest_used(&repository("app"), &images[2]);
    run_for(&place, 20 * HOUR).await;
    assert_eq!(place.hold(&images).await, [false, false, true]);
}

/// A cache that no client used for days was running: that is no pause, even after a crash.
#[tokio::test(start_paused = true)]
async fn time_without_any_use_counts_when_the_process_ends_in_a_crash() {
    let (place, images) = stopped().await;
    let running = tokio::spawn(Arc::clone(&place.keeper).run(CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(29 * DAY)).await;
    running.abort();
    let place = place.restarted_at(place.wall.now(), unused_for(30)).await;
    run_for(&place, 34 * HOUR).await;
    assert_eq!(place.hold(&images).await, [false; 3]);
}

/// A machine without a battery for its clock starts in 1970 or years ahead, and gets the time a moment later.
#[tokio::test(start_paused = true)]
async fn restarts_with_a_wrong_clock_that_is_corrected_make_nothing_old() {
    for wrong in [after(UNIX_EPOCH, 7), after(start(), 70 * YEAR)] {
        let (mut place, images) = stopped().await;
        for _ in 0..40 {
            let right = place.wall.now();
            place = place.restarted_at(wrong, unused_for(10)).await;
            let cancel = CancellationToken::new();
            let running = tokio::spawn(Arc::clone(&place.keeper).run(cancel.clone()));
            tokio::time::sleep(Duration::from_secs(40)).await;
            place.wall.set(after(right, 100));
            tokio::time::sleep(Duration::from_secs(60)).await;
            cancel.cancel();
            running.await.unwrap();
        }
        let place = place.restarted_at(place.wall.now(), unused_for(10)).await;
        run_for(&place, 4 * DAY).await;
        assert_eq!(place.hold(&images).await, [true; 3]);
        run_for(&place, 6 * DAY).await;
        assert_eq!(place.hold(&images).await, [false; 3], "the rule holds again");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_have_their_time_after_a_pause_whatever_restarts_there_are() {
    let (place, images) = stopped().await;
    let mut place = place.restarted_at(after(place.wall.now(), 22 * HOUR), unused_for(1)).await;
    for _ in 0..5 {
        run_for(&place, HOUR).await;
        place = place.restarted_at(place.wall.now(), unused_for(1)).await;
    }
    assert_eq!(place.hold(&images).await, [true; 3]);
    run_for(&place, 18 * HOUR).await;
    assert_eq!(place.hold(&images).await, [false; 3], "and no longer");
}

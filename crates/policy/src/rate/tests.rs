use super::*;

fn limit(bytes_per_second: u64) -> RateLimit {
    RateLimit::new(NonZeroU64::new(bytes_per_second).unwrap())
}

/// Lets flows with pieces of these sizes run for `seconds`, each waiting as it is told. Returns the bytes
/// that each took.
fn run(limit: &mut RateLimit, pieces: &[u64], seconds: u64) -> Vec<u64> {
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let mut next: Vec<Instant> = vec![start; pieces.len()];
    let mut taken = vec![0; pieces.len()];
    loop {
        let (flow, now) = next.iter().copied().enumerate().min_by_key(|(_, at)| *at).unwrap();
        if now >= end {
            return taken;
        }
        taken[flow] += pieces[flow];
        next[flow] = now + limit.take(now, pieces[flow]);
    }
}

#[test]
fn one_flow_and_many_flows_stay_at_the_rate_whatever_the_size_of_their_pieces() {
    for pieces in [&[1_000][..], &[65_536], &[1_000_000], &[16_384; 20], &[1_000, 65_536, 300_000]] {
        let total: u64 = run(&mut limit(1_000_000), pieces, 60).iter().sum();
        let most = 60_000_000 + 100_000 + pieces.iter().sum::<u64>();
        assert!((58_000_000..=most).contains(&total), "{pieces:?}: {total}");
    }
}

#[test]
fn flows_with_pieces_of_one_size_get_the_same_apart_from_the_first_burst() {
    let taken = run(&mut limit(1_000_000), &[65_536; 7], 60);
    let (least, most) = (taken.iter().min().unwrap(), taken.iter().max().unwrap());
    assert!(most - least <= 100_000 + 65_536, "{taken:?}");
}

#[test]
fn a_pause_saves_no_more_than_the_burst() {
    let mut limit = limit(1_000_000);
    let start = Instant::now();
    assert_eq!(limit.take(start, 100_000), Duration::ZERO);
    assert_eq!(limit.take(start, 100_000), Duration::from_millis(100));
    let later = start + Duration::from_secs(3600);
    assert!(!limit.is_spent(later));
    assert_eq!(limit.take(later, 100_000), Duration::ZERO);
    assert!(limit.is_spent(later));
    assert_eq!(limit.take(later, 1_000_000), Duration::from_secs(1));
}

#[test]
fn a_new_rate_counts_for_the_bytes_that_still_wait() {
    let mut limit = limit(1_000);
    let start = Instant::now();
    assert_eq!(limit.take(start, 10_000), Duration::from_millis(9_900));
    limit.set(start, NonZeroU64::new(10_000).unwrap());
    assert_eq!(limit.take(start, 10_000), Duration::from_millis(1_900));
}

#[test]
fn sizes_and_rates_at_the_ends_of_their_ranges_do_not_overflow() {
    let now = Instant::now();
    assert_eq!(limit(u64::MAX).take(now, u64::MAX), Duration::from_millis(900));
    let mut slowest = limit(1);
    assert!(slowest.take(now, u64::MAX) > Duration::from_secs(3600));
    slowest.set(now, NonZeroU64::MAX);
    slowest.take(now, 0);
}

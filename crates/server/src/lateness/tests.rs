use super::*;

/// The number of measurements that were at most `bound` seconds late.
fn count_within(metrics: &Metrics, bound: &str) -> u64 {
    let series = format!("wharf_runtime_lateness_seconds_bucket{{le=\"{bound}\"}} ");
    let text = metrics.encode();
    let count = text.lines().find_map(|line| line.strip_prefix(&series));
    count.expect("a bucket").parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_idle_runtime_is_measured_ten_times_a_second_and_is_not_late() {
    let metrics = Arc::new(Metrics::new(&[]));
    tokio::spawn(watch(Arc::clone(&metrics)));
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert!(count_within(&metrics, "+Inf") >= 10);
    assert_eq!(count_within(&metrics, "0.002"), count_within(&metrics, "+Inf"));
}

#[tokio::test(start_paused = true)]
async fn a_stall_delays_every_measurement_in_it() {
    let metrics = Arc::new(Metrics::new(&[]));
    tokio::spawn(watch(Arc::clone(&metrics)));
    tokio::task::yield_now().await;
    // A whole second passes at once.
    tokio::time::advance(Duration::from_millis(1050)).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let late = count_within(&metrics, "+Inf") - count_within(&metrics, "0.25");
    assert!(late >= 7, "{late} measurements were late");
}

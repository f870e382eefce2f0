use std::sync::Arc;

use telemetry::Metrics;

use super::count_in;

#[tokio::test(flavor = "multi_thread")]
async fn f42_a_panic_is_counted_whichever_task_it_ends() {
    let metrics = Arc::new(Metrics::new(&[]));
    let count = || metrics.encode().contains("wharf_panics_total 3");
    count_in(Arc::clone(&metrics));
    assert!(!count());
    assert!(tokio::spawn(async { panic!("on purpose, in a task") }).await.is_err());
    assert!(tokio::task::spawn_blocking(|| panic!("on purpose, in a job")).await.is_err());
    assert!(std::thread::spawn(|| panic!("on purpose, in a thread")).join().is_err());
    assert!(count(), "{}", metrics.encode());
}

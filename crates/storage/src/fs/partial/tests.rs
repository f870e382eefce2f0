use std::time::Duration;

use super::is_due;

const MIB: u64 = 1 << 20;

#[test]
fn t09_a_checkpoint_is_due_by_bytes_or_by_time() {
    let soon = Duration::from_millis(10);
    let second = Duration::from_secs(1);
    for (lag_bytes, since, size, due) in [
        (0, Duration::from_secs(60), Some(1 << 30), false),
        (1, second - Duration::from_millis(1), None, false),
        (1, second, None, true),
        (1, second, Some(1 << 40), true),
        (MIB - 1, soon, None, false),
        (MIB, soon, None, true),
        (MIB - 1, soon, Some(200 * MIB), false),
        (MIB, soon, Some(200 * MIB), false),
        (200 * MIB / 128, soon, Some(200 * MIB), true),
        (16 * MIB - 1, soon, Some(1 << 40), false),
        (16 * MIB, soon, Some(1 << 40), true),
    ] {
        assert_eq!(is_due(lag_bytes, since, size), due, "{lag_bytes} of {size:?} after {since:?}");
    }
}

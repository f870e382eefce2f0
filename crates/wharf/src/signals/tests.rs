use super::*;

#[test]
fn a_hangup_stops_only_a_process_that_lost_its_terminal() {
    assert_eq!(hangup(true), Effect::Stop("SIGHUP", 1));
    assert_eq!(hangup(false), Effect::Reload);
}

#[test]
fn a_signal_ignored_since_the_start_is_known() {
    let status =
        |mask: &str| format!("Name:\twharf\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0\n");
    for (mask, expected) in [("0000000000001001", true), ("0000000000001000", false), ("x", false)] {
        assert_eq!(is_ignored(&status(mask), SignalKind::hangup()), expected, "{mask}");
    }
    assert!(!is_ignored("", SignalKind::hangup()));
}

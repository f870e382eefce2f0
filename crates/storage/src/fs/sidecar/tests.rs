use super::Sidecar;

fn check(sidecar: &str, len: u64, boot_id: Option<&str>, trusted: u64) {
    let parsed: Sidecar = serde_json::from_str(sidecar).unwrap();
    assert_eq!(parsed.trusted(len, boot_id), trusted, "{sidecar} of {len} bytes, started as {boot_id:?}");
}

#[test]
fn what_is_written_in_order_is_believed_until_the_machine_stops() {
    check(r#"{"size":100,"boot_id":"a"}"#, 60, Some("a"), 60);
    check(r#"{"size":100,"boot_id":"a"}"#, 60, Some("b"), 0);
    check(r#"{"size":null,"boot_id":"a"}"#, 60, Some("a"), 60);
    check(r#"{"size":null,"boot_id":null}"#, 60, None, 0);
    check(r#"{"size":null,"boot_id":null}"#, 60, Some("a"), 0);
}

#[test]
fn what_is_written_out_of_order_is_believed_up_to_the_first_hole() {
    check(r#"{"size":100,"boot_id":"a","front":10}"#, 60, Some("a"), 10);
    check(r#"{"size":100,"boot_id":"a","front":10}"#, 60, Some("b"), 0);
    check(r#"{"size":100,"boot_id":"a","front":90}"#, 60, Some("a"), 60);
}

#[test]
fn what_was_parked_outlives_a_restart_of_the_machine() {
    check(r#"{"size":100,"boot_id":"a","synced":true,"front":40}"#, 60, Some("b"), 40);
    check(r#"{"size":100,"boot_id":"a","synced":true,"front":40}"#, 60, Some("a"), 40);
    check(r#"{"size":100,"boot_id":"a","synced":true}"#, 60, Some("b"), 0);
}

#[test]
fn no_more_than_the_recorded_size_is_believed() {
    check(r#"{"size":50,"boot_id":"a"}"#, 60, Some("a"), 50);
    check(r#"{"size":50,"boot_id":"a","synced":true,"front":70}"#, 80, Some("b"), 50);
}

use super::*;

fn check(bytes: &[u8], expected: &str) {
    assert_eq!(loggable(bytes), expected);
}

#[test]
fn a_client_s_text_cannot_forge_lines_or_colours() {
    check(b"containerd/2.3.0", "containerd/2.3.0");
    check(b"a\r\nb\x1b[31mc\x00d\x7fe", "a??b?[31mc?d?e");
    check("a\u{9b}31mb\u{85}c".as_bytes(), "a?31mb?c");
    check(b"\xff\xfe", "\u{fffd}\u{fffd}");
}

#[test]
fn a_client_s_text_is_bounded() {
    assert_eq!(loggable(&[b'a'; 10_000]).len(), FIELD_BYTES_MAX);
}

#[test]
fn milliseconds_have_three_decimals() {
    assert!((milliseconds(Duration::from_micros(1_234_567)) - 1234.567).abs() < 1e-9);
    assert!((milliseconds(Duration::from_nanos(900)) - 0.0).abs() < 1e-9);
}

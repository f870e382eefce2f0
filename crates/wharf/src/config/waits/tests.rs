use std::time::Duration;

use crate::config::Config;

/// Waits in seconds: for a manifest, and for a new byte of a transfer, below the minimum; for an answer to
/// start, and for it to continue.
fn waits(timeouts: &str) -> [u64; 5] {
    let text = format!("[[registry]]\nname = \"ghcr.io\"\n{timeouts}\n[[registry]]\nname = \"quay.io\"\n");
    let config = Config::parse("wharf.toml", &text, &|_: &str| None).unwrap();
    let (cache, server) = (&config.registries[0].cache, &config.server);
    [
        cache.manifest_deadline,
        cache.fill_stall_max,
        cache.drip_max,
        server.answer_wait_max,
        server.silence_max,
    ]
    .map(|wait| Duration::as_secs(&wait))
}

#[test]
fn k15_no_wait_within_cuts_a_configured_one_short() {
    let table = [
        ("", [20, 45, 30, 25, 60]),
        ("header_timeout = \"60s\"", [120, 45, 30, 125, 125]),
        ("header_timeout = \"2s\"", [4, 45, 30, 25, 60]),
        ("idle_timeout = \"2m\"", [20, 180, 120, 25, 185]),
        ("idle_timeout = \"1s\"", [20, 45, 30, 25, 60]),
        ("header_timeout = \"5m\"\nidle_timeout = \"10m\"", [600, 900, 600, 605, 905]),
    ];
    for (timeouts, expected) in table {
        assert_eq!(waits(timeouts), expected, "{timeouts}");
    }
}

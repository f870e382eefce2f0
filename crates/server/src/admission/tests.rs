use std::time::Duration;

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Admits a connection from `address`: `served`, `turned away` or `closed`.
async fn admit(limit: &Arc<ConnectionLimit>, address: &str) -> (Admission, &'static str) {
    let admission = limit.admit(self::address(address)).await;
    let word = match admission {
        Admission::Served(_) => "served",
        Admission::TurnedAway(_) => "turned away",
        Admission::Closed => "closed",
    };
    (admission, word)
}

#[tokio::test]
async fn s24_one_client_takes_no_more_than_its_share() {
    let limit = ConnectionLimit::new(10, 2);
    let mut held = Vec::new();
    for expected in ["served", "served", "turned away"] {
        let (admission, word) = admit(&limit, "192.0.2.1").await;
        assert_eq!(word, expected);
        held.push(admission);
    }
    assert_eq!(admit(&limit, "192.0.2.2").await.1, "served", "another client is served");
    held.remove(0);
    let (again, word) = admit(&limit, "192.0.2.1").await;
    assert_eq!(word, "served", "a closed connection no longer counts");
    held.push(again);
    while held.len() < 2 + EXTRA_COUNT_MAX {
        held.push(admit(&limit, "192.0.2.1").await.0);
    }
    assert_eq!(admit(&limit, "192.0.2.1").await.1, "closed");
    assert_eq!(admit(&limit, "192.0.2.2").await.1, "served", "another client is still served");
    drop(held);
    assert!(limit.clients().is_empty(), "clients without connections are forgotten");
}

#[tokio::test]
async fn s24_a_connection_counts_for_the_client_that_its_proxy_tells() {
    let limit = ConnectionLimit::new(10, 2);
    let mut held = Vec::new();
    for (client, expected) in
        [("192.0.2.1", true), ("192.0.2.1", true), ("192.0.2.1", false), ("192.0.2.2", true)]
    {
        let (mut admission, word) = admit(&limit, "10.0.0.1").await;
        assert_eq!(word, "served", "the proxy has no connection of its own");
        assert_eq!(admission.count_for(address(client)), expected, "{client}");
        if expected {
            held.push(admission);
        }
    }
    let (mut own, _) = admit(&limit, "10.0.0.1").await;
    assert!(own.count_for(address("10.0.0.1")) && own.count_for(address("::ffff:10.0.0.1")));
    drop((held, own));
    assert!(limit.clients().is_empty(), "every connection is counted out where it was counted in");
}

#[tokio::test]
async fn f44_beyond_the_seats_there_are_extra_ones_to_turn_clients_away() {
    let limit = ConnectionLimit::new(1, 1);
    let (own, _) = admit(&limit, "192.0.2.1").await;
    let mut extras = Vec::new();
    for _ in 0..EXTRA_COUNT_MAX {
        let (admission, word) = admit(&limit, "192.0.2.2").await;
        assert_eq!(word, "turned away");
        extras.push(admission);
    }
    let waiting = tokio::spawn({
        let limit = Arc::clone(&limit);
        async move { admit(&limit, "192.0.2.3").await.1 }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "all permits are in use");
    extras.pop();
    assert_eq!(waiting.await.unwrap(), "turned away");
    drop(own);
    assert_eq!(admit(&limit, "192.0.2.3").await.1, "served");
}

#[tokio::test]
async fn a_waiting_connection_takes_the_first_free_permit() {
    let limit = ConnectionLimit::new(1, 1);
    let (own, _) = admit(&limit, "192.0.2.1").await;
    let mut extras = Vec::new();
    for _ in 0..EXTRA_COUNT_MAX {
        extras.push(admit(&limit, "192.0.2.2").await.0);
    }
    let waiting = tokio::spawn({
        let limit = Arc::clone(&limit);
        async move { admit(&limit, "192.0.2.3").await }
    });
    tokio::task::yield_now().await;
    drop(own);
    let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert_eq!(waited.expect("a permit is free").unwrap().1, "served");
    drop(extras);
}

#[test]
fn a_client_is_an_ipv4_address_or_a_64_bit_network() {
    for (one, other, is_same) in [
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("2001:db8::1", "2001:db8::2", true),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
    ] {
        assert_eq!(client_of(address(one)) == client_of(address(other)), is_same, "{one} {other}");
    }
}

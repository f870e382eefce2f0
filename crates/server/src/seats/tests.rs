use std::time::Duration;

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What `address` gets now: `own`, `extra` or `nothing`.
async fn take(seats: &Arc<Seats>, address: &str) -> (Seat, &'static str) {
    let seat = seats.take(self::address(address)).await;
    let word = match seat {
        Seat::Own(_) => "own",
        Seat::Extra(_) => "extra",
        Seat::Nothing => "nothing",
    };
    (seat, word)
}

#[tokio::test]
async fn s24_one_client_takes_no_more_than_its_share() {
    let seats = Seats::new(10, 2);
    let mut held = Vec::new();
    for expected in ["own", "own", "extra"] {
        let (seat, word) = take(&seats, "192.0.2.1").await;
        assert_eq!(word, expected);
        held.push(seat);
    }
    assert_eq!(take(&seats, "192.0.2.2").await.1, "own", "another client is served");
    held.remove(0);
    let (again, word) = take(&seats, "192.0.2.1").await;
    assert_eq!(word, "own", "a seat that was given back counts no longer");
    held.push(again);
    while held.len() < 2 + EXTRA_COUNT_MAX {
        held.push(take(&seats, "192.0.2.1").await.0);
    }
    assert_eq!(take(&seats, "192.0.2.1").await.1, "nothing");
    assert_eq!(take(&seats, "192.0.2.2").await.1, "own", "another client is still served");
    drop(held);
    assert!(seats.clients().is_empty(), "who has left is forgotten");
}

#[tokio::test]
async fn f44_beyond_the_seats_there_are_extra_ones_to_turn_clients_away() {
    let seats = Seats::new(1, 1);
    let (own, _) = take(&seats, "192.0.2.1").await;
    let mut extras = Vec::new();
    for _ in 0..EXTRA_COUNT_MAX {
        let (seat, word) = take(&seats, "192.0.2.2").await;
        assert_eq!(word, "extra");
        extras.push(seat);
    }
    let waiting = tokio::spawn({
        let seats = Arc::clone(&seats);
        async move { take(&seats, "192.0.2.3").await.1 }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "everything is taken");
    extras.pop();
    assert_eq!(waiting.await.unwrap(), "extra");
    drop(own);
    assert_eq!(take(&seats, "192.0.2.3").await.1, "own");
}

#[tokio::test]
async fn who_waits_for_any_seat_takes_the_first_that_is_free() {
    let seats = Seats::new(1, 1);
    let (own, _) = take(&seats, "192.0.2.1").await;
    let mut extras = Vec::new();
    for _ in 0..EXTRA_COUNT_MAX {
        extras.push(take(&seats, "192.0.2.2").await.0);
    }
    let waiting = tokio::spawn({
        let seats = Arc::clone(&seats);
        async move { take(&seats, "192.0.2.3").await }
    });
    tokio::task::yield_now().await;
    drop(own);
    let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert_eq!(waited.expect("a seat is free").unwrap().1, "own");
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

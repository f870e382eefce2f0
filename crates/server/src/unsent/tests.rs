use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::advance;

use super::{FAST_BYTES, FAST_TIME, FAST_UNSENT_BYTES_MAX, UNSENT_BYTES_MAX, Unsent};

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, client)
}

fn bound(stream: &TcpStream) -> u32 {
    SockRef::from(stream).tcp_notsent_lowat().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_raised_for_a_fast_client() {
    let (stream, _client) = connected().await;
    let mut unsent = Unsent::limit(Some(&stream));
    unsent.record(FAST_BYTES - 1, Some(&stream));
    assert_eq!(bound(&stream), UNSENT_BYTES_MAX);
    unsent.record(1, Some(&stream));
    assert_eq!(bound(&stream), FAST_UNSENT_BYTES_MAX);
}

#[tokio::test(start_paused = true)]
async fn the_limit_stays_for_a_slow_client_until_it_is_fast() {
    let (stream, _client) = connected().await;
    let mut unsent = Unsent::limit(Some(&stream));
    for _ in 0..4 {
        advance(2 * FAST_TIME).await;
        unsent.record(FAST_BYTES, Some(&stream));
        assert_eq!(bound(&stream), UNSENT_BYTES_MAX);
    }
    unsent.record(FAST_BYTES, Some(&stream));
    assert_eq!(bound(&stream), FAST_UNSENT_BYTES_MAX);
}

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::advance;

use super::{PROOF_BYTES, PROOF_TIME, UNSENT_BYTES_MAX, UNSENT_BYTES_MAX_IF_FAST, Unsent};

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, client)
}

fn bound(stream: &TcpStream) -> u32 {
    SockRef::from(stream).tcp_notsent_lowat().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_bound_is_raised_for_a_client_that_proves_fast() {
    let (stream, _client) = connected().await;
    let mut unsent = Unsent::bounded(&stream);
    unsent.took(PROOF_BYTES - 1, &stream);
    assert_eq!(bound(&stream), UNSENT_BYTES_MAX);
    unsent.took(1, &stream);
    assert_eq!(bound(&stream), UNSENT_BYTES_MAX_IF_FAST);
}

#[tokio::test(start_paused = true)]
async fn the_bound_stays_for_a_client_on_a_thin_line_until_that_changes() {
    let (stream, _client) = connected().await;
    let mut unsent = Unsent::bounded(&stream);
    for _ in 0..4 {
        advance(2 * PROOF_TIME).await;
        unsent.took(PROOF_BYTES, &stream);
        assert_eq!(bound(&stream), UNSENT_BYTES_MAX);
    }
    unsent.took(PROOF_BYTES, &stream);
    assert_eq!(bound(&stream), UNSENT_BYTES_MAX_IF_FAST);
}

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use oci::{Algorithm, Digest};
use storage::{BlobStore, MemoryStore, OpenBlob};
use telemetry::Metrics;
use testkit::TempStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::{Clock, Limits};
use crate::report::Answering;
use crate::socket::{Socket, Stream};

const SIZE: usize = 3_000_000;

fn content() -> Bytes {
    // Never zero: the stand-in consists of zeros.
    (0..SIZE).map(|index| (index % 251) as u8 + 1).collect()
}

async fn put(store: &dyn BlobStore) -> OpenBlob {
    let digest = Digest::of(Algorithm::Sha256, &content());
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![content()]).await.unwrap();
    store.admit(spool.finish(SIZE as u64).await.unwrap()).await.unwrap();
    store.open(&digest).await.unwrap().unwrap()
}

fn piece(blob: &OpenBlob, offset: usize, length: usize) -> FilePiece {
    FilePiece { blob: blob.clone(), offset: offset as u64, length: length as u64 }
}

/// A body of these chunks.
struct Chunks(VecDeque<Chunk>);

impl Body for Chunks {
    type Data = Chunk;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|chunk| chunk.remaining() as u64).sum())
    }
}

/// The bytes that a client receives of a body in memory and of these pieces of files.
async fn received(server: http1::Builder, pieces: Vec<FilePiece>) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    let limits = Limits {
        header_wait_max: day,
        idle_max: day,
        stall_max: day,
        silence_max: day,
        half_closed_max: day,
        linger_max: day,
    };
    let clock = Clock::new(limits);
    let socket = Socket::new(Stream::Plain(stream), Arc::clone(&clock));
    let file_queue = socket.file_queue().unwrap();
    let answer = move || {
        let mut chunks = VecDeque::from([Chunk::Memory(Bytes::from_static(b"begin"))]);
        for piece in &pieces {
            let report = Report::new(piece.length, None, Answering::begin(&clock));
            chunks.push_back(file_queue.push(piece.clone(), report));
            chunks.push_back(Chunk::Memory(Bytes::from_static(b"end")));
        }
        http::Response::new(Chunks(chunks))
    };
    let service = service_fn(move |_| std::future::ready(Ok::<_, Infallible>(answer())));
    let serving = tokio::spawn(server.serve_connection(TokioIo::new(socket), service));
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut received = Vec::new();
    // A reset counts as an end here.
    let _ = client.read_to_end(&mut received).await;
    drop(client);
    let _ = serving.await.unwrap();
    received
}

#[tokio::test]
async fn files_are_sent_in_place_of_their_chunks() {
    let directory = TempStore::new();
    let metrics = Metrics::new(&["test".to_owned()]).registry("test");
    let store = storage::fs::open(&directory.path().join("store"), metrics).unwrap();
    let blob = put(&store).await;
    if blob.as_file().is_none() {
        // This file system cannot send files.
        return;
    }
    let places = [(0, 1), (7, 64 * 1024), (100, 1 << 20), (SIZE - 1, 1), (1, SIZE - 1)];
    let pieces = places.map(|(offset, length)| piece(&blob, offset, length)).to_vec();
    let answer = received(http1::Builder::new(), pieces).await;
    let mut expected = b"begin".to_vec();
    for (offset, length) in places {
        expected.extend_from_slice(&content()[offset..offset + length]);
        expected.extend_from_slice(b"end");
    }
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert!(answer[body..] == expected, "{} bytes of {}", answer.len() - body, expected.len());
}

#[tokio::test]
async fn a_server_that_copies_its_chunks_sends_nothing_at_all() {
    let blob = put(&MemoryStore::new()).await;
    let mut copying = http1::Builder::new();
    copying.writev(false);
    let answer = received(copying, vec![piece(&blob, 0, 100_000)]).await;
    assert!(answer.is_empty(), "{} bytes were sent", answer.len());
}

#[test]
fn a_chunk_is_as_long_as_its_piece() {
    let file_queue = FileQueue::default();
    for length in [1, STAND_IN.len(), 2 * STAND_IN.len() + 5] {
        let mut chunk = Chunk::File(length as u64, file_queue.clone());
        let mut slices = [IoSlice::new(&[]); 8];
        let count = chunk.chunks_vectored(&mut slices);
        assert!(slices[..count].iter().all(is_stand_in));
        assert_eq!(slices[..count].iter().map(|slice| slice.len()).sum::<usize>(), length);
        assert_eq!(chunk.chunks_vectored(&mut [IoSlice::new(&[])]), 1);
        chunk.advance(length);
        assert!(!chunk.has_remaining());
        assert_eq!(chunk.chunks_vectored(&mut [IoSlice::new(&[])]), 0);
    }
    assert!(!is_stand_in(&IoSlice::new(&[0; 8])));
}

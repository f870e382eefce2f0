//! Sends a response: its pieces, its pace and its faults.
//!
//! While a response is held back, the connection is still watched, so that a client that closes it is noticed
//! at once.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until};

use super::reply::{Framing, Message};
use crate::gate::{Gate, Valve};
use crate::stream::Stream;

/// The largest piece written to the socket at once.
const PIECE: u64 = 64 << 10;

/// The delivery of a response. The default sends all of it at once.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// Passed before anything is sent.
    pub(crate) stalls: Vec<Gate>,
    /// These bytes instead of the response, and then the end of the connection.
    pub(crate) instead: Option<(Bytes, Break)>,
    /// The position at which the body breaks off.
    pub(crate) break_at: Option<(u64, Break)>,
    /// Passed after this many body bytes.
    pub(crate) pauses: Vec<(u64, Gate)>,
    pub(crate) pace: Pace,
    /// Bytes of the content whose lowest bit is inverted.
    pub(crate) flips: Vec<u64>,
    /// Whether the connection ends after the answer.
    pub(crate) is_closing: bool,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// By FIN.
    Fin,
    /// By reset.
    Rst,
}

/// The pace of a body.
#[derive(Debug, Default)]
pub(crate) enum Pace {
    /// As fast as possible.
    #[default]
    Free,
    /// Pieces of a size, each after a time.
    Every { bytes: usize, every: Duration },
    /// Pieces of a size, each allowed by the valve.
    Valved { bytes: usize, valve: Valve },
    /// Bytes per second.
    Rate { per_second: u64 },
}

impl Pace {
    /// The largest piece under this pace.
    fn piece(&self) -> u64 {
        match self {
            Self::Free => PIECE,
            Self::Every { bytes, .. } | Self::Valved { bytes, .. } => *bytes as u64,
            // Fifty pieces a second: smooth, and not below the timer's resolution.
            Self::Rate { per_second } => (per_second / 50).clamp(1, PIECE),
        }
    }

    /// Waits until the next piece may be sent, which ends at `until` bytes of the body.
    async fn wait(&self, began: Instant, until: u64) {
        match self {
            Self::Free => {}
            Self::Every { every, .. } => sleep(*every).await,
            Self::Valved { valve, .. } => valve.pass().await,
            Self::Rate { per_second } => {
                let due = Duration::from_secs_f64(until as f64 / *per_second as f64);
                sleep_until(began + due).await;
            }
        }
    }
}

/// A connection and the bytes that were read after the current request.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    pub(crate) pending: BytesMut,
}

impl Wire {
    /// Waits for `event` while the client is connected.
    async fn hold(&mut self, event: impl Future<Output = ()>) -> io::Result<()> {
        let mut event = std::pin::pin!(event);
        loop {
            tokio::select! {
                biased;
                () = &mut event => return Ok(()),
                read = self.stream.read_buf(&mut self.pending) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::BrokenPipe.into());
                    }
                }
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }
}

impl Delivery {
    /// Waits for the gates before the first byte.
    pub(crate) async fn stall(&self, wire: &mut Wire) -> io::Result<()> {
        for gate in &self.stalls {
            wire.hold(gate.pass()).await?;
        }
        Ok(())
    }

    /// Sends the body. Calls `sent` before each piece is sent, so that a client never has uncounted bytes.
    /// `Some`: the way to end the connection now.
    ///
    /// # Errors
    /// The client has closed the connection.
    pub(crate) async fn send_body(
        &self,
        wire: &mut Wire,
        message: &Message,
        mut sent: impl FnMut(u64),
    ) -> io::Result<Option<Break>> {
        let length = message.end - message.start;
        let stop = self.break_at.map_or(length, |(at, _)| at.min(length));
        let began = Instant::now();
        let mut done = 0;
        loop {
            for (_, gate) in self.pauses.iter().filter(|(at, _)| *at == done) {
                wire.hold(gate.pass()).await?;
            }
            if done == stop {
                break;
            }
            let next_pause = self.pauses.iter().map(|(at, _)| *at).filter(|at| *at > done).min();
            let until = stop.min(done + self.pace.piece()).min(next_pause.unwrap_or(u64::MAX));
            wire.hold(self.pace.wait(began, until)).await?;
            let piece = self.piece(message, done, until);
            sent(until - done);
            if message.framing == Framing::Chunked {
                wire.send(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
                wire.send(&piece).await?;
                wire.send(b"\r\n").await?;
            } else {
                wire.send(&piece).await?;
            }
            done = until;
        }
        if let Some((_, how)) = self.break_at {
            return Ok(Some(how));
        }
        if message.framing == Framing::Chunked {
            wire.send(b"0\r\n\r\n").await?;
        }
        Ok(None)
    }

    /// The bytes of the body from `from` to `until`, with faults.
    fn piece(&self, message: &Message, from: u64, until: u64) -> Bytes {
        let offset = message.start + from;
        let len = usize::try_from(until - from).expect("a piece fits memory");
        let piece = message.content.read(offset, len);
        let spoilt = self.flips.iter().filter_map(|at| at.checked_sub(offset));
        let spoilt: Vec<usize> = spoilt.filter(|at| *at < until - from).map(|at| at as usize).collect();
        if spoilt.is_empty() {
            return piece;
        }
        let mut changed = piece.to_vec();
        for at in spoilt {
            changed[at] ^= 1;
        }
        changed.into()
    }
}

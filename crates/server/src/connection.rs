//! One client's connection, from accept to close: HTTP/1.1 under the bounds of its clock.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::{self, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use telemetry::{CloseReason, Metrics};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::body::AnswerBody;
use crate::clock::{Clock, Limits, Overdue};
use crate::report::Answering;
use crate::sendfile::Broken;
use crate::snapshot::Current;
use crate::socket::{Socket, Stream};
use crate::surface::Surface;
use crate::tls::TlsName;
use crate::turns::Turns;
use crate::wrong_port::{self, WrongPorts};

/// The most header fields a request may have.
const HEADER_COUNT_MAX: usize = 64;

/// The longest head, target included, in bytes: room for 32 KiB of fields (clients list hundreds of ranges in
/// one) behind a long target.
const HEAD_BYTES_MAX: usize = 40 * 1024;

/// What hyper gathers of an answer before it writes, and of a head before it refuses, in bytes. One chunk of
/// a body fills it, so a client that reads slowly holds little memory.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// What every connection of a listener is served with.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) surface: Surface,
    pub(crate) current: Current,
    /// The longest for each step of a connection that is to be over soon.
    pub(crate) hurry: Option<Duration>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) wrong_ports: Arc<WrongPorts>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: CancellationToken,
}

impl Terms {
    /// The limits of a connection that begins now, and whether stored files are handed to the kernel on it instead of
    /// being copied.
    fn begin(&self) -> (Limits, bool) {
        let snapshot = self.current.peek();
        let limits = snapshot.limits();
        (self.hurry.map_or(limits, |longest| limits.within(longest)), snapshot.settings.sendfile)
    }
}

/// Counts a connection as long as it lives, also through a panic.
struct Counted<'a> {
    metrics: &'a Metrics,
    why_closed: CloseReason,
}

impl<'a> Counted<'a> {
    fn open(metrics: &'a Metrics) -> Self {
        metrics.connection_opened();
        // What is true unless something else is found out: the task was thrown away.
        Self { metrics, why_closed: CloseReason::Dropped }
    }

    /// The connection with this client is over, and this is why.
    fn end(&mut self, client: SocketAddr, why: CloseReason) {
        self.why_closed = why;
        tracing::debug!(%client, why = why.as_str(), "connection ended");
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let is_panic = std::thread::panicking();
        self.metrics.connection_closed(if is_panic { CloseReason::Panic } else { self.why_closed });
    }
}

/// Serves one connection until it is over.
pub(crate) async fn serve(
    stream: TcpStream,
    client: SocketAddr,
    terms: Arc<Terms>,
    tls: Option<TlsAcceptor>,
) {
    let mut counted = Counted::open(&terms.metrics);
    // Small answers leave at once.
    if stream.set_nodelay(true).is_err() {
        // The client is gone already.
        counted.end(client, CloseReason::Left);
        return;
    }
    let (limits, sendfile) = terms.begin();
    let speaks_tls = tls.is_some();
    let stream = match meet(stream, tls.as_ref(), &terms.shutdown, limits.header_wait_max).await {
        Ok(stream) => stream,
        Err(why) => {
            counted.end(client, why);
            return;
        }
    };
    let is_misled = speaks_tls && stream.tls().is_none();
    if is_misled {
        terms.wrong_ports.at_tls(client);
    }
    let name = stream.tls().and_then(TlsName::of);
    let clock = Clock::new(limits);
    let socket = Socket::new(stream, Arc::clone(&clock));
    let lane = if sendfile { socket.lane() } else { None };
    let service = service_fn(|mut request: Request<Incoming>| {
        if let Some(name) = &name {
            request.extensions_mut().insert(name.clone());
        }
        let answering = Answering::begin(&clock);
        let (terms, clock, lane) = (Arc::clone(&terms), Arc::clone(&clock), lane.clone());
        async move {
            // Boxed, because what it takes to find an answer is large, and is gone once its head is there: a
            // connection that rests or sends a body does without.
            let response = if is_misled {
                wrong_port::answer(request.method())
            } else {
                Box::pin(terms.surface.answer(request, client, &clock)).await
            };
            let turns = Arc::clone(&terms.turns);
            Ok::<_, Infallible>(response.map(|outgoing| AnswerBody::new(outgoing, answering, lane, turns)))
        }
    });
    let mut connection = builder().serve_connection(TokioIo::new(socket), service);
    // Polled after the connection, whose progress moves the deadline.
    let mut overdue = pin!(clock.overdue());
    let mut stops = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut connection => break ended,
            why = overdue.as_mut() => {
                counted.end(client, why.reason());
                return;
            }
            () = terms.shutdown.cancelled(), if !stops => {
                stops = true;
                pin::Pin::new(&mut connection).graceful_shutdown();
                clock.stop_within(terms.current.peek().settings.shutdown_grace);
            }
        }
    };
    counted.end(
        client,
        if is_misled { CloseReason::Tls } else { ended.as_ref().map_or_else(why, |()| CloseReason::Done) },
    );
    let parts = connection.into_parts();
    if ended.as_ref().is_err_and(hyper::Error::is_parse) {
        terms.wrong_ports.at_plain(&parts.read_buf, client);
    }
    // Where a client offered to upgrade, hyper leaves our side open for the other protocol.
    if ended.is_ok() {
        shut(parts.io.into_inner(), overdue).await;
    }
}

/// Shuts our side of a connection, as long as it may take.
async fn shut(mut socket: Socket, overdue: impl Future<Output = Overdue>) {
    if socket.is_shut() {
        return;
    }
    tokio::select! {
        biased;
        // That the client is gone already changes nothing any more.
        _ = socket.shutdown() => {}
        _ = overdue => {}
    }
}

/// The TLS handshake, where the listener speaks TLS: as long as a request's head may take. Who speaks HTTP there stays
/// in the clear, to be told so. The error is why the connection is over.
async fn meet(
    stream: TcpStream,
    tls: Option<&TlsAcceptor>,
    shutdown: &CancellationToken,
    wait_max: Duration,
) -> Result<Stream, CloseReason> {
    let Some(tls) = tls else { return Ok(Stream::Plain(stream)) };
    let accept = async {
        if wrong_port::is_http(&stream).await {
            return Ok(Stream::Plain(stream));
        }
        tls.accept(stream).await.map(|stream| Stream::Tls(Box::new(stream)))
    };
    tokio::select! {
        accepted = tokio::time::timeout(wait_max, accept) => match accepted {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                Err(CloseReason::Tls)
            }
            Err(_) => Err(Overdue::Head.reason()),
        },
        () = shutdown.cancelled() => Err(Overdue::Drain.reason()),
    }
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The clock has these bounds; hyper's timer would also cut connections that rest between two requests.
    builder.header_read_timeout(None);
    builder.max_headers(HEADER_COUNT_MAX).max_header_size(HEAD_BYTES_MAX).max_buf_size(BUFFER_BYTES_MAX);
    builder
}

fn why(error: &hyper::Error) -> CloseReason {
    if error.is_parse() || error.is_parse_too_large() {
        CloseReason::Malformed
    } else if error.is_user() || is_of_the_store(error) {
        CloseReason::Cut
    } else {
        CloseReason::Left
    }
}

fn is_of_the_store(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    error.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<Broken>())
}

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
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::body::AnswerBody;
use crate::clock::{Clock, Limits, Overdue};
use crate::listen::Accepted;
use crate::proxy_protocol;
use crate::report::Answering;
use crate::sendfile::FileSendError;
use crate::snapshot::Current;
use crate::socket::{Socket, Stream};
use crate::surface::Surface;
use crate::tls::{Tls, TlsSession};
use crate::turns::Turns;
use crate::wrong_port::{self, WrongPorts};

/// The most header fields a request may have.
const HEADER_COUNT_MAX: usize = 64;

/// The longest head including the target, in bytes: 32 KiB of fields (some clients list hundreds of ranges in
/// one) and a long target.
const HEAD_BYTES_MAX: usize = 40 * 1024;

/// hyper's buffer for an answer before it writes and for a head before it refuses, in bytes. One chunk of a
/// body fills it, so a slow client holds little memory.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The context that the connections of one listener share.
#[derive(Debug)]
pub(crate) struct ConnectionContext {
    pub(crate) surface: Surface,
    pub(crate) current: Current,
    pub(crate) tighter: Tighter,
    pub(crate) turns: Arc<Turns>,
    pub(crate) wrong_ports: Arc<WrongPorts>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: CancellationToken,
}

/// The bounds of a listener that are tighter than those of the settings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tighter {
    /// The bound on the time without a request.
    pub(crate) idle_max: Option<Duration>,
    /// The bound on each step, for connections that only get a refusal.
    pub(crate) step_wait_max: Option<Duration>,
}

impl ConnectionContext {
    /// The limits of a connection that begins now, and whether it may use `sendfile`.
    fn begin(&self) -> (Limits, bool) {
        let snapshot = self.current.peek();
        let Tighter { idle_max, step_wait_max } = self.tighter;
        let limits = snapshot.limits();
        let limits = step_wait_max.map_or(limits, |longest| limits.within(longest));
        (idle_max.map_or(limits, |longest| limits.idle_within(longest)), snapshot.settings.sendfile)
    }

    /// Prepares a new connection for its first request. Sets `client`, the peer at first, to the address that
    /// a trusted proxy tells.
    async fn open(
        &self,
        stream: Accepted,
        tls: Option<&Tls>,
        wait_max: Duration,
        client: &mut SocketAddr,
        admission: &mut Admission,
    ) -> Result<Stream, Ended> {
        match stream {
            Accepted::Local(stream) => Ok(Stream::Local(stream)),
            Accepted::Tcp(mut stream) => {
                *client = self.greet(&mut stream, *client, wait_max, admission).await?;
                accept_tls(stream, tls, &self.shutdown, wait_max).await
            }
        }
    }

    /// Prepares a new TCP connection, and returns the client's address: `peer`, or the address that a trusted
    /// proxy tells before the client's first byte. The error says why the connection ended.
    async fn greet(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        wait_max: Duration,
        admission: &mut Admission,
    ) -> Result<SocketAddr, Ended> {
        // Small answers are sent at once. If that cannot be set, the client has already disconnected.
        stream.set_nodelay(true).map_err(|error| (CloseReason::Left, Some(error)))?;
        let speaks_proxy = {
            let snapshot = self.current.peek();
            let table =
                snapshot.access.as_ref().filter(|table| table.proxy_protocol && self.surface.is_public());
            table.is_some_and(|table| policy::access::contains(&table.trusted_proxies, peer.ip()))
        };
        if !speaks_proxy {
            return Ok(peer);
        }
        let client = tokio::select! {
            told = proxy_protocol::read_client(stream, peer, wait_max) => told?,
            () = self.shutdown.cancelled() => return Err((Overdue::Drain.reason(), None)),
        };
        // Else one client could take the connections of every client of its proxy.
        if admission.count_for(client.ip()) { Ok(client) } else { Err((CloseReason::Refused, None)) }
    }
}

/// The reason for the end of a connection before its first request.
type Ended = (CloseReason, Option<io::Error>);

/// Counts a connection for as long as it lives, even if its task panics.
struct Counted<'a> {
    metrics: &'a Metrics,
    why_closed: CloseReason,
}

impl<'a> Counted<'a> {
    fn open(metrics: &'a Metrics) -> Self {
        metrics.connection_opened();
        // The reason if nothing else sets one: the runtime dropped the task.
        Self { metrics, why_closed: CloseReason::Dropped }
    }

    /// Records why the connection with this client ended.
    fn end(&mut self, client: SocketAddr, why: CloseReason, error: Option<&dyn Error>) {
        self.why_closed = why;
        let error = error.map(telemetry::error_chain);
        tracing::debug!(%client, why = why.as_str(), error, "connection ended");
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let is_panic = std::thread::panicking();
        self.metrics.connection_closed(if is_panic { CloseReason::Panic } else { self.why_closed });
    }
}

/// Serves one connection until it ends. Then its `admission` is free again.
pub(crate) async fn serve(
    stream: Accepted,
    peer: SocketAddr,
    context: Arc<ConnectionContext>,
    tls: Option<Arc<Tls>>,
    mut admission: Admission,
) {
    let mut counted = Counted::open(&context.metrics);
    let (limits, sendfile) = context.begin();
    let speaks_tls = tls.is_some();
    let mut client = peer;
    let opened = context.open(stream, tls.as_deref(), limits.header_wait_max, &mut client, &mut admission);
    let stream = match opened.await {
        Ok(stream) => stream,
        Err((why, error)) => {
            return counted.end(client, why, error.as_ref().map(|error| error as &dyn Error));
        }
    };
    let is_plain_http_at_tls = speaks_tls && stream.tls().is_none();
    if is_plain_http_at_tls {
        context.wrong_ports.at_tls(client);
    }
    let session = stream.tls().map(TlsSession::of);
    let clock = Clock::new(limits);
    let socket = Socket::new(stream, Arc::clone(&clock));
    let file_queue = if sendfile { socket.file_queue() } else { None };
    let service = service_fn(|mut request: Request<Incoming>| {
        if let Some(session) = &session {
            request.extensions_mut().insert(session.clone());
        }
        let answering = Answering::begin(&clock);
        let (context, clock, file_queue) = (Arc::clone(&context), Arc::clone(&clock), file_queue.clone());
        async move {
            // Boxed, because this future is large and ends with the answer's head: an idle connection, or one
            // that sends a body, does not pay for it.
            let response = if is_plain_http_at_tls {
                wrong_port::answer(request.method())
            } else {
                Box::pin(context.surface.answer(request, client, &clock)).await
            };
            let turns = Arc::clone(&context.turns);
            Ok::<_, Infallible>(
                response.map(|outgoing| AnswerBody::new(outgoing, answering, file_queue, turns)),
            )
        }
    });
    let mut connection = builder().serve_connection(TokioIo::new(socket), service);
    // Polled after the connection, because its progress moves the deadline.
    let mut overdue = pin!(clock.overdue());
    let mut stops = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut connection => break ended,
            why = overdue.as_mut() => return counted.end(client, why.reason(), None),
            () = context.shutdown.cancelled(), if !stops => {
                stops = true;
                pin::Pin::new(&mut connection).graceful_shutdown();
                clock.stop_within(context.current.peek().settings.shutdown_grace);
            }
        }
    };
    let why = match &ended {
        _ if is_plain_http_at_tls => CloseReason::Tls,
        Ok(()) => CloseReason::Done,
        Err(error) => close_reason(error),
    };
    counted.end(client, why, ended.as_ref().err().map(|error| error as &dyn Error));
    let parts = connection.into_parts();
    if ended.as_ref().is_err_and(hyper::Error::is_parse) {
        context.wrong_ports.at_plain(&parts.read_buf, client);
    }
    // If the client offered to upgrade, hyper leaves our side open for the other protocol.
    if ended.is_ok() {
        shut(parts.io.into_inner(), overdue).await;
    }
}

/// Shuts our side of a connection, within its deadline.
async fn shut(mut socket: Socket, overdue: impl Future<Output = Overdue>) {
    if socket.is_shut() {
        return;
    }
    tokio::select! {
        biased;
        // An error means that the client has already disconnected.
        _ = socket.shutdown() => {}
        _ = overdue => {}
    }
}

/// Performs the TLS handshake on a TLS listener, within the time for a request's head. A client that speaks
/// plain HTTP keeps a plain stream, so that it can read a refusal. The error says why the connection ended.
async fn accept_tls(
    stream: TcpStream,
    tls: Option<&Tls>,
    shutdown: &CancellationToken,
    wait_max: Duration,
) -> Result<Stream, Ended> {
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
            Ok(Err(error)) => Err((CloseReason::Tls, Some(error))),
            Err(_) => Err((Overdue::Head.reason(), None)),
        },
        () = shutdown.cancelled() => Err((Overdue::Drain.reason(), None)),
    }
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The clock has this deadline; hyper's timer would also cut idle connections.
    builder.header_read_timeout(None);
    builder.max_headers(HEADER_COUNT_MAX).max_header_size(HEAD_BYTES_MAX).max_buf_size(BUFFER_BYTES_MAX);
    builder
}

fn close_reason(error: &hyper::Error) -> CloseReason {
    if error.is_parse() || error.is_parse_too_large() {
        CloseReason::Malformed
    } else if error.is_user() || is_file_error(error) {
        CloseReason::Cut
    } else {
        CloseReason::Left
    }
}

fn is_file_error(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    error.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<FileSendError>())
}

//! One connection to one endpoint, from its first request to its end.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::answer::answer;
use super::credential::Credential;
use super::delivery::{Break, Wire};
use super::fault::Setting;
use super::log::{Connected, Ending};
use super::reply::Reply;
use super::route::{Endpoint, Route};
use super::script::Candidate;
use super::state::State;
use super::token;
use crate::incoming::{self, Incoming};
use crate::stream::Stream;

/// Serves requests until either side ends the connection.
pub(crate) async fn serve(
    state: Arc<State>,
    endpoint: Endpoint,
    tls: Option<TlsAcceptor>,
    tcp: TcpStream,
    connected: Connected,
) {
    // Pieces must be sent as they are written: tests depend on it.
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let stream = match tls {
        None => Stream::Plain(tcp),
        Some(acceptor) => match acceptor.accept(tcp).await {
            Ok(tls) => Stream::Tls(Box::new(tls.into())),
            Err(_) => return,
        },
    };
    let mut wire = Wire { stream, pending: BytesMut::new() };
    // An incomplete or malformed request ends the connection, as if the client had closed it.
    while let Ok(Some(request)) = incoming::read(&mut wire.stream, &mut wire.pending).await {
        match exchange(&state, endpoint, &mut wire, &request, connected.number).await {
            Next::Request => {}
            Next::Finish => return wire.stream.finish().await,
            Next::Reset => {
                // A client that is gone already needs no reset.
                let _ = wire.stream.reset();
                return;
            }
            Next::Leave => return,
        }
    }
}

/// What happens after a response.
enum Next {
    Request,
    Finish,
    Reset,
    Leave,
}

impl From<Break> for Next {
    fn from(how: Break) -> Self {
        match how {
            Break::Fin => Self::Finish,
            Break::Rst => Self::Reset,
        }
    }
}

async fn exchange(
    state: &State,
    endpoint: Endpoint,
    wire: &mut Wire,
    request: &Incoming,
    connection: u64,
) -> Next {
    let route = Route::read(endpoint, &request.method, &request.target, &state.behaviour().base);
    let number = state.log.arrived(connection, &route, request);
    let reply = scripted_reply(state, &route, request);
    // The response is complete; tags move before it is sent, so that a client that has read it finds the tag
    // moved.
    for (repository, tag, digest) in &reply.moves {
        state.lock_content().move_tag(repository, tag, digest);
    }
    let delivered = deliver(state, wire, request, &reply, number).await;
    let (next, ending) = delivered.unwrap_or((Next::Leave, Ending::ClientLeft));
    state.log.ended(number, ending);
    next
}

/// The right response, with the script's faults applied.
fn scripted_reply(state: &State, route: &Route, request: &Incoming) -> Reply {
    let mut reply = answer(state, route, request);
    let user = match request.header("authorization").map(Credential::parse) {
        Some(Credential::Basic { user, .. }) => Some(user),
        _ => None,
    };
    let candidate = Candidate {
        route,
        user,
        content_endpoint: state.content_endpoint(route.kind),
        is_ranged: request.header("range").is_some(),
        is_authorized: !reply.is_refusal,
    };
    let faults = state.script.faults(&candidate);
    if !faults.is_empty() {
        let setting = Setting {
            own_url: format!("{}{}", state.url(route.endpoint), request.target),
            own_target: request.target.clone(),
            challenge: token::challenge(state, route, request),
            retry_after: state.behaviour().retry_after,
        };
        for fault in faults {
            fault.apply(&mut reply, &setting);
        }
    }
    reply
}

async fn deliver(
    state: &State,
    wire: &mut Wire,
    request: &Incoming,
    reply: &Reply,
    number: u64,
) -> std::io::Result<(Next, Ending)> {
    let delivery = &reply.delivery;
    delivery.stall(wire).await?;
    if let Some((bytes, how)) = &delivery.instead {
        wire.stream.write_all(bytes).await?;
        wire.stream.flush().await?;
        return Ok(((*how).into(), Ending::Broken));
    }
    let message = reply.message(request);
    state.log.answered(number, message.status);
    wire.stream.write_all(&message.head).await?;
    wire.stream.flush().await?;
    let broken = delivery.send_body(wire, &message, |bytes| state.log.sent(number, bytes)).await?;
    Ok(match broken {
        Some(how) => (how.into(), Ending::Broken),
        None if message.is_last => (Next::Finish, Ending::Whole),
        None => (Next::Request, Ending::Whole),
    })
}

//! The services behind the listeners: the public one, and side services.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;

use crate::body::{Content, Outgoing};
use crate::clock::Clock;
use crate::handle::Public;
use crate::side::{SideContent, SideService, Working};

/// The service of a listener.
#[derive(Debug)]
pub(crate) enum Surface {
    Public(Arc<Public>),
    /// The public service on connections above the limit: it refuses every request but health checks.
    TurnAway(Arc<Public>),
    Side(Arc<dyn SideService>),
    /// A side service on connections above its limit.
    SideTurnAway(Arc<dyn SideService>),
}

impl Surface {
    /// Whether clients that pull come here.
    pub(crate) fn is_public(&self) -> bool {
        matches!(self, Self::Public(_) | Self::TurnAway(_))
    }

    /// Answers one request.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
        clock: &Arc<Clock>,
    ) -> Response<Outgoing> {
        match self {
            Self::Public(public) => public.answer(request, client, clock).await,
            Self::TurnAway(public) => public.turn_away(request, client, clock),
            Self::Side(service) => {
                let mut request = request;
                request.extensions_mut().insert(Working(Arc::clone(clock)));
                outgoing(service.answer(request).await)
            }
            Self::SideTurnAway(service) => {
                let mut answer = service.turn_away(request).await;
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                outgoing(answer)
            }
        }
    }
}

fn outgoing(answer: Response<SideContent>) -> Response<Outgoing> {
    answer.map(|content| {
        // The length of streams is not known.
        let (content, length) = match content {
            SideContent::Whole(bytes) => {
                let length = bytes.len() as u64;
                (Content::Whole(bytes), length)
            }
            SideContent::Streamed(pieces) => (Content::Streamed(pieces), u64::MAX),
            SideContent::Breakable(pieces) => (Content::Breakable(pieces), u64::MAX),
        };
        Outgoing { content, length, entry: None }
    })
}

//! The services behind the listeners: the public one, and side services.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;

use crate::body::{Content, Outgoing};
use crate::clock::Clock;
use crate::handle::Public;
use crate::side::{SideContent, SideService};

/// The service of a listener.
#[derive(Debug)]
pub(crate) enum Surface {
    Public(Arc<Public>),
    /// The public service on connections above the limit: it refuses every request but health checks.
    TurnAway(Arc<Public>),
    Side(Arc<dyn SideService>),
}

impl Surface {
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
            Self::Side(service) => service.answer(request).await.map(|content| match content {
                SideContent::Whole(bytes) => {
                    let length = bytes.len() as u64;
                    Outgoing { content: Content::Whole(bytes), length, entry: None }
                }
                // The length is not known.
                SideContent::Streamed(pieces) => {
                    Outgoing { content: Content::Streamed(pieces), length: u64::MAX, entry: None }
                }
            }),
        }
    }
}

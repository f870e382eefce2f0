//! The two faces of the server: what clients pull from, and what its operator looks at.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;

use crate::admin::Admin;
use crate::body::AnswerBody;
use crate::clock::Clock;
use crate::handle::Public;

/// What a listener serves.
#[derive(Debug)]
pub(crate) enum Surface {
    Public(Arc<Public>),
    /// The public surface for a client beyond the bounds.
    Crowded(Arc<Public>),
    Admin(Admin),
}

impl Surface {
    /// Answers one request.
    pub(crate) async fn answer<B: Body + Unpin>(
        &self,
        request: Request<B>,
        client: SocketAddr,
        clock: &Arc<Clock>,
    ) -> Response<AnswerBody> {
        match self {
            Self::Public(public) => public.answer(request, client, clock).await,
            Self::Crowded(public) => public.turn_away(request, client, clock),
            Self::Admin(admin) => admin.answer(&request.into_parts().0).await,
        }
    }
}

//! The transport and the gates that a request uses.

use reqwest::Response;
use url::Url;

use crate::error::Error;
use crate::gates::Gates;
use crate::transport::{Allowance, Outgoing, Transport};

/// The transport, the gates, and the root of one registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestContext<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) gates: &'a Gates,
    /// The URL of the registry's own `/v2/`.
    pub(crate) root: &'a Url,
}

impl RequestContext<'_> {
    pub(super) async fn send(
        self,
        outgoing: &Outgoing,
        allowance: &mut Allowance,
    ) -> Result<Response, Error> {
        self.gates.send(self.transport, outgoing, allowance).await
    }
}

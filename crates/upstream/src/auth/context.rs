//! The ways to the hosts of one upstream.

use reqwest::Response;
use url::Url;

use crate::error::Error;
use crate::gates::Gates;
use crate::transport::{Allowance, Outgoing, Transport};

/// The wires to the registry and whom it redirects to, and their gates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestContext<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) gates: &'a Gates,
    /// Where the registry's own `/v2/` is.
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

//! The ways to the hosts of one upstream.

use reqwest::Response;
use url::Url;

use crate::error::Error;
use crate::gates::Gates;
use crate::transport::{Outgoing, Patience, Transport};

/// The wires to the registry and whom it redirects to, and their gates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wires<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) gates: &'a Gates,
    /// Where the registry's own `/v2/` is.
    pub(crate) root: &'a Url,
}

impl Wires<'_> {
    pub(super) async fn send(self, outgoing: &Outgoing, patience: &mut Patience) -> Result<Response, Error> {
        self.gates.send(self.transport, outgoing, patience).await
    }
}

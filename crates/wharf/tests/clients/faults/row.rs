//! One fault, and its expected effect on each client.

use testkit::Behaviour;

use crate::lab::DOMAIN;

use super::bench::Bench;

/// The clients, in the order of the columns.
pub(crate) const CLIENTS: [&str; 4] = ["docker", "containerd", "podman", "skopeo"];

/// How a pull ends. A wrong image, or a pull that does not end in time, is never expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The image, all of it through wharf.
    Image,
    /// The image, some of it from the real registry.
    RealRegistry,
    /// No image, and an error with this text, or with one of several texts separated by `|`.
    Error(&'static str),
    /// The image, from any source, or an error with this text. It depends on how far the client had read.
    ImageOr(&'static str),
}

/// Clients' messages about a body that ends too early, or is refused before it starts: it depends on when
/// wharf notices the fault.
pub(crate) const CUT_SHORT: &str = "unexpected EOF|500|502";

/// The result of the same pull after the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// The image, through wharf, within seconds.
    Served,
    /// The same, but only after wharf's pause of a minute for the digest.
    ServedAfterAMinute,
    /// The same, once the client has dropped the wrong bytes that it has kept: its first attempts may fail
    /// because of them.
    ServedInTheEnd,
    /// This fault cannot be undone.
    NotAsked,
}

/// A row of the matrix.
pub(crate) struct Row {
    /// The repository, and the label of the registry; it starts with the id of the fault.
    pub(crate) name: &'static str,
    /// The fault, in words.
    pub(crate) what: &'static str,
    /// Whether wharf has stored the image before.
    pub(crate) held: bool,
    pub(crate) place: Place,
    pub(crate) behaviour: fn(&mut Behaviour),
    pub(crate) begin: fn(&mut Bench<'_>),
    /// The events during the pull.
    pub(crate) during: Option<fn(&mut Bench<'_>)>,
    pub(crate) expected: [Expected; 4],
    pub(crate) afterwards: Afterwards,
}

/// The special feature of a row's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Usual,
    /// Its upstream has an expired certificate.
    ExpiredCertificate,
    /// Its root has room for less than the layer.
    SmallDisk,
}

impl Row {
    /// There is no fault yet, and every client gets the image.
    pub(crate) fn new(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            what,
            held: false,
            place: Place::Usual,
            behaviour: |_| {},
            begin: |_| {},
            during: None,
            expected: [Expected::Image; 4],
            afterwards: Afterwards::Served,
        }
    }

    pub(crate) fn held(mut self) -> Self {
        self.held = true;
        self
    }

    pub(crate) fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    pub(crate) fn behaviour(mut self, change: fn(&mut Behaviour)) -> Self {
        self.behaviour = change;
        self
    }

    pub(crate) fn begin(mut self, begin: fn(&mut Bench<'_>)) -> Self {
        self.begin = begin;
        self
    }

    pub(crate) fn during(mut self, during: fn(&mut Bench<'_>)) -> Self {
        self.during = Some(during);
        self
    }

    /// Clients with a fallback use it; skopeo prints `error`.
    pub(crate) fn falls_back(self, error: &'static str) -> Self {
        let [docker, containerd, podman] = [Expected::RealRegistry; 3];
        self.expected([docker, containerd, podman, Expected::Error(error)])
    }

    /// As before, but podman, which got the manifest from wharf, fetches everything from there.
    pub(crate) fn falls_back_with_layers(self, error: &'static str) -> Self {
        let [docker, containerd] = [Expected::RealRegistry; 2];
        self.expected([docker, containerd, Expected::Error(error), Expected::Error(error)])
    }

    /// The client's part of the layer may be wrong, which it notices at the end of the layer.
    pub(crate) fn found_out(self) -> Self {
        let [verified, wrong, cut] =
            ["verification failed", "unexpected commit digest|unexpected EOF", CUT_SHORT];
        self.expected([verified, wrong, cut, cut].map(Expected::ImageOr))
            .afterwards(Afterwards::ServedInTheEnd)
    }

    pub(crate) fn expected(mut self, expected: [Expected; 4]) -> Self {
        self.expected = expected;
        self
    }

    pub(crate) fn afterwards(mut self, afterwards: Afterwards) -> Self {
        self.afterwards = afterwards;
        self
    }

    /// The id of the fault, in lower case.
    pub(crate) fn id(&self) -> &'static str {
        self.name.split('-').next().unwrap_or(self.name)
    }

    /// The repository, at every registry.
    pub(crate) fn repository(&self) -> String {
        format!("library/{}", self.name)
    }

    /// The name of this row's registry in wharf.
    pub(crate) fn registry(&self) -> String {
        format!("{}.test", self.name)
    }

    /// The host by which clients address it at wharf.
    pub(crate) fn host(&self) -> String {
        format!("{}.{DOMAIN}", self.registry())
    }

    /// The layer is not available in full this time: clients that retry, or use a fallback, may not notice.
    pub(crate) fn cut_short(self) -> Self {
        self.expected([Expected::ImageOr(CUT_SHORT); 4])
    }
}

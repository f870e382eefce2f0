//! One fault, and what each client is expected to make of it.

use testkit::Behaviour;

use crate::lab::DOMAIN;

use super::bench::Bench;

/// The clients, in the order of the columns.
pub(crate) const CLIENTS: [&str; 4] = ["docker", "containerd", "podman", "skopeo"];

/// How a pull ends. A wrong image, and no end within the client's patience, are never expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The image, all of it through wharf.
    Image,
    /// The image, and the client asked the real registry for some of it.
    RealRegistry,
    /// No image, and an error that says this, or one of several things with `|` between them.
    Error(&'static str),
    /// The image, from wherever, or an error that says this. It depends on how far the client had read.
    ImageOr(&'static str),
}

/// What clients say of a body that ends too early, or is refused before it has begun: what wharf does depends
/// on when it finds out.
pub(crate) const CUT_SHORT: &str = "unexpected EOF|500|502";

/// What the same pull is once the fault is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// The image, through wharf, within seconds.
    Served,
    /// The same, but only after wharf has left the digest alone for a minute.
    ServedAfterAMinute,
    /// The same, once the client has thrown away the wrong bytes that it has kept: at the first attempts it
    /// may say that they are wrong.
    ServedInTheEnd,
    /// This fault cannot be taken away.
    NotAsked,
}

/// A row of the matrix.
pub(crate) struct Row {
    /// The repository, and the label of the registry; it begins with the id of the fault.
    pub(crate) name: &'static str,
    /// What goes wrong, for people.
    pub(crate) what: &'static str,
    /// Whether wharf holds the image before.
    pub(crate) held: bool,
    pub(crate) place: Place,
    pub(crate) behaviour: fn(&mut Behaviour),
    pub(crate) begin: fn(&mut Bench<'_>),
    /// What happens while the client pulls.
    pub(crate) during: Option<fn(&mut Bench<'_>)>,
    pub(crate) expected: [Expected; 4],
    pub(crate) afterwards: Afterwards,
}

/// What is peculiar about the registry of a row from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Usual,
    /// Its upstream shows a certificate of the past.
    ExpiredCertificate,
    /// Its root has room for less than the layer.
    SmallDisk,
}

impl Row {
    /// Nothing goes wrong yet, and every client gets the image.
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

    /// The clients that have somewhere else to go do so, skopeo says `error`.
    pub(crate) fn falls_back(self, error: &'static str) -> Self {
        let [docker, containerd, podman] = [Expected::RealRegistry; 3];
        self.expected([docker, containerd, podman, Expected::Error(error)])
    }

    /// As before, but podman, which has had the manifest from wharf, wants everything from there.
    pub(crate) fn falls_back_with_layers(self, error: &'static str) -> Self {
        let [docker, containerd] = [Expected::RealRegistry; 2];
        self.expected([docker, containerd, Expected::Error(error), Expected::Error(error)])
    }

    /// What clients have of the layer may be wrong, and shows when they have the rest of it.
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

    /// What wharf calls the registry of this row.
    pub(crate) fn registry(&self) -> String {
        format!("{}.test", self.name)
    }

    /// The name by which wharf is asked for it.
    pub(crate) fn host(&self) -> String {
        format!("{}.{DOMAIN}", self.registry())
    }

    /// The layer cannot be had whole this time: clients that ask again or elsewhere may not even notice.
    pub(crate) fn cut_short(self) -> Self {
        self.expected([Expected::ImageOr(CUT_SHORT); 4])
    }
}

//! The TLS certificates of the configuration: the default pair of `[server.tls]`, and those of
//! `[[server.tls.certificate]]`.
//!
//! Outside the file, a further pair reads `<cert_file>=<key_file>`, and blanks or commas separate the pairs.
//!
//! A pair that cannot be used may match a moment later, because an agent replaces its files one after the
//! other. So a running wharf keeps the certificate that it has; [`PairRule`] says when a pair is a mistake.

use std::path::PathBuf;

use certificates::pair::{PairError, PairFiles};
use certificates::{Certificate, CertificateError, CertificateSet};
use toml::Spanned;
use toml::de::DeValue;

use super::form::{Form, Shape};
use super::outside::{self, Assigned, Outside};
use super::reader::{Reader, Text};
use super::remark::Place;
use super::table::{Table, Value};

/// The key with the file of the chain.
pub(crate) const CERT_FILE: &str = "cert_file";

/// The key with the file of the key.
pub(crate) const KEY_FILE: &str = "key_file";

/// The most certificates. Each has a series in the metrics.
const COUNT_MAX: usize = 1000;

const EXAMPLE: &str = "write, for example, cert_file = \"/etc/wharf/a.pem\" and key_file = \"/etc/wharf/a-key.pem\" below \
     [[server.tls.certificate]]";

/// Which pairs must be usable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PairRule<'a> {
    /// Each one, for `wharf check`.
    Each,
    /// One is enough to serve.
    One,
    /// None, for commands that serve no clients.
    None,
    /// Each one that is not among these, which are in force. An unusable one of these goes on with its
    /// certificate.
    Known(&'a [Pair]),
}

/// A certificate of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) files: PairFiles,
    /// The certificate in use, which may be older than the files. `None`: the files never matched.
    pub(crate) certificate: Option<Certificate>,
    /// Why the files cannot be used now.
    pub(crate) fault: Option<PairError>,
}

/// The files of a pair, and where the configuration names them.
#[derive(Clone)]
pub(crate) struct NamedPair {
    pub(crate) certificate: Text,
    pub(crate) key: Text,
}

/// Further pairs.
pub(crate) const PAIRS: Form<Vec<NamedPair>> = Form {
    shape: Shape::Certificates,
    read: |reader, table, key| reader.named_pairs(table, key),
    show: |_| String::new(),
};

/// The certificates in use of these pairs, the default first.
pub(crate) fn set_of(pairs: &[Pair]) -> CertificateSet {
    CertificateSet::new(pairs.iter().filter_map(|pair| pair.certificate.clone()).collect())
}

/// The pairs in the file as they would stand outside it.
pub(crate) fn shown(value: &Spanned<DeValue<'_>>) -> Vec<String> {
    let text = |pair: &DeValue<'_>, key| pair.as_table()?.get(key)?.get_ref().as_str().map(str::to_owned);
    let pair = |pair: &Spanned<DeValue<'_>>| {
        Some(format!("{}={}", text(pair.get_ref(), CERT_FILE)?, text(pair.get_ref(), KEY_FILE)?))
    };
    value.get_ref().as_array().into_iter().flat_map(|pairs| pairs.iter()).filter_map(pair).collect()
}

impl NamedPair {
    fn files(&self) -> PairFiles {
        PairFiles { certificate: PathBuf::from(&self.certificate.value), key: PathBuf::from(&self.key.value) }
    }

    /// The place of the file at fault.
    fn place_of(&self, fault: &PairError) -> &Place {
        if fault.concerns_chain(&self.files()) { &self.certificate.place } else { &self.key.place }
    }
}

impl Reader<'_> {
    /// Loads the pairs, of which the first is the default. An unusable one is a mistake or gets a warning, as
    /// `rule` says.
    pub(crate) fn pairs(&mut self, named: &[NamedPair], rule: PairRule<'_>) -> Vec<Pair> {
        self.refuse_repeated(named);
        let mut pairs: Vec<Pair> = Vec::with_capacity(named.len());
        for one in named {
            let files = one.files();
            self.note_file(&files.certificate);
            self.note_file(&files.key);
            pairs.push(match files.load() {
                Ok(certificate) => Pair { files, certificate: Some(certificate), fault: None },
                Err(fault) => Pair { files, certificate: None, fault: Some(fault) },
            });
        }
        let is_one_usable = pairs.iter().any(|pair| pair.certificate.is_some());
        for (one, pair) in named.iter().zip(&mut pairs) {
            let Some(fault) = &pair.fault else { continue };
            let known = match rule {
                PairRule::Known(known) => known.iter().find(|known| known.files == pair.files),
                _ => None,
            };
            match (rule, known) {
                (PairRule::None, _) => {}
                (PairRule::One, _) if is_one_usable => {
                    let text = format!("is not in use until its files match: {}", describe(fault, one));
                    self.warn(one.place_of(fault), text);
                }
                (_, Some(known)) => pair.certificate.clone_from(&known.certificate),
                _ => self.refuse(one.place_of(fault), describe(fault, one)),
            }
        }
        pairs
    }

    fn refuse_repeated(&mut self, named: &[NamedPair]) {
        for (index, one) in named.iter().enumerate() {
            if named[..index].iter().any(|other| other.certificate.value == one.certificate.value) {
                self.refuse(
                    &one.certificate.place,
                    "is the certificate of another pair; remove one of the two",
                );
            }
        }
        if let Some(one) = named.get(COUNT_MAX) {
            self.refuse(&one.certificate.place, format!("is one of more than {COUNT_MAX} certificates"));
        }
    }

    /// The further pairs that can be read. Each other one gets a remark.
    fn named_pairs(&mut self, table: &Table<'_>, key: &str) -> Option<Vec<NamedPair>> {
        let (place, value) = self.find(table, key)?;
        let pairs = match value {
            Value::Outside(text) => {
                let text = text.to_owned();
                let pairs = outside::texts(&text).filter_map(|pair| self.outside_pair(&place, pair));
                return Some(pairs.collect());
            }
            Value::Toml(value) => value,
        };
        let sections = self.listed_sections(&place, pairs, &[CERT_FILE, KEY_FILE], EXAMPLE)?;
        Some(sections.iter().filter_map(|pair| self.named_pair(pair)).collect())
    }

    fn outside_pair(&mut self, place: &Place, pair: &str) -> Option<NamedPair> {
        let Some((certificate, key)) = pair.split_once('=') else {
            let wrong = format!(
                "{pair:?} is no certificate with its key; write <cert_file>=<key_file>, such as \
                 \"/etc/wharf/a.pem=/etc/wharf/a-key.pem\""
            );
            return self.refuse_value(place, &wrong);
        };
        let outside = |value: &str| Outside { name: place.name().to_owned(), value: value.to_owned() };
        let assigned = Assigned::from([(CERT_FILE, outside(certificate)), (KEY_FILE, outside(key))]);
        self.named_pair(&Table::outside(place.name()).assigned(assigned))
    }

    fn named_pair(&mut self, pair: &Table<'_>) -> Option<NamedPair> {
        for key in [CERT_FILE, KEY_FILE] {
            if !pair.has(key) {
                self.refuse(&pair.place(), format!("has no {key}; {EXAMPLE}"));
            }
        }
        let (certificate, key) = (self.path(pair, CERT_FILE), self.path(pair, KEY_FILE));
        Some(NamedPair { certificate: certificate?, key: key? })
    }
}

/// The fault and what to do about it, with the file as the configuration writes it.
fn describe(fault: &PairError, named: &NamedPair) -> String {
    let written = if fault.concerns_chain(&named.files()) { &named.certificate } else { &named.key };
    let written = &written.written;
    match fault {
        PairError::Unreadable { cause, .. } => {
            format!("cannot read the file {written:?}: {cause}; correct the path, or let this user read it")
        }
        PairError::Chain { error: CertificateError::Chain, .. } => format!(
            "the file {written:?} contains no certificate in PEM form; it must have a part that begins with \
             \"-----BEGIN CERTIFICATE-----\""
        ),
        PairError::Key { error: CertificateError::Key, .. } => format!(
            "the file {written:?} contains no unencrypted private key in PEM form; it must have a part that \
             begins with \"-----BEGIN PRIVATE KEY-----\""
        ),
        PairError::Chain { error, .. } => error.to_string(),
        PairError::Key { error, .. } => format!("{error}; name the key that the certificate was made for"),
    }
}

#[cfg(test)]
mod tests;

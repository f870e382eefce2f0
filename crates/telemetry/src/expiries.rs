//! The expiry of each TLS certificate.

use std::fmt;

use parking_lot::RwLock;
use prometheus_client::encoding::MetricEncoder;
use prometheus_client::metrics::MetricType;

use crate::label::RegistryLabel;
use crate::series::Series;

/// The label: the file of the certificate. The configuration bounds the number of its values.
const LABEL: &str = "cert_file";

/// A gauge for each certificate in use, in seconds since 1970. A certificate whose expiry is unknown has
/// none, because an alert would take 0 for an expired certificate.
#[derive(Debug, Default)]
pub(crate) struct Expiries(RwLock<Vec<(String, u64)>>);

impl Expiries {
    pub(crate) fn set(&self, ends: Vec<(String, u64)>) {
        *self.0.write() = ends;
    }
}

impl Series for Expiries {
    const TYPE: MetricType = MetricType::Gauge;
    const LABELS: &'static [&'static str] = &[LABEL];

    fn exists(&self) -> bool {
        !self.0.read().is_empty()
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.read().iter().try_for_each(|(file, ends)| {
            let ends = i64::try_from(*ends).unwrap_or(i64::MAX);
            encoder.encode_family(&[(LABEL, file.as_str())])?.encode_gauge(&ends)
        })
    }

    /// Certificates belong to the process.
    fn encode_with(&self, _: &RegistryLabel, _: &mut MetricEncoder<'_>) -> fmt::Result {
        Ok(())
    }
}

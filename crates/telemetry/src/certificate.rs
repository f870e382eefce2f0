//! A gauge of when the certificate ends that clients are shown. It is there only where there is a certificate, because an
//! alert on it would take 0 for one that ended long ago.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// In seconds since 1970; 0 while there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct CertificateEnd(Arc<AtomicU64>);

impl CertificateEnd {
    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl Collector for CertificateEnd {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let seconds = self.0.load(Ordering::Relaxed);
        if seconds == 0 {
            return Ok(());
        }
        let gauge = ConstGauge::new(i64::try_from(seconds).unwrap_or(i64::MAX));
        let described = encoder.encode_descriptor(
            "tls_certificate_expiry_timestamp",
            "When the certificate ends that clients are shown, in seconds since 1970.",
            Some(&Unit::Seconds),
            gauge.metric_type(),
        )?;
        gauge.encode(described)
    }
}

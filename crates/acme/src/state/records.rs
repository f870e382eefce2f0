//! The note of the records of challenges that may be in the DNS. A record is noted before it is made, so that
//! a process that starts after a kill finds and removes it.

use std::io;

use super::{AuthorityState, file};

/// The most records in the note. An order has up to a hundred; records whose removal fails stay noted.
const COUNT_MAX: usize = 200;

/// A record that may be in the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotedRecord {
    /// Its name, with a dot at the end.
    pub(crate) name: String,
    pub(crate) value: String,
}

impl AuthorityState {
    /// The noted records, the oldest first.
    pub(crate) fn records(&self) -> Vec<NotedRecord> {
        let text = file::read(&self.directory.join("records")).unwrap_or_default();
        let parse = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some(NotedRecord { name: name.to_owned(), value: value.to_owned() })
        };
        String::from_utf8_lossy(&text).lines().filter_map(parse).collect()
    }

    /// Notes a record. Of too many, the oldest are forgotten.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn note_record(&self, record: &NotedRecord) -> io::Result<()> {
        let mut records = self.records();
        records.push(record.clone());
        let surplus = records.len().saturating_sub(COUNT_MAX);
        self.write_records(&records[surplus..])
    }

    /// Forgets a record that is no longer in the DNS. If that fails, it is removed once more.
    pub(crate) fn forget_record(&self, record: &NotedRecord) {
        let mut records = self.records();
        records.retain(|noted| noted != record);
        if let Err(error) = self.write_records(&records) {
            tracing::warn!("cannot write {:?}: {error}", self.directory.join("records"));
        }
    }

    fn write_records(&self, records: &[NotedRecord]) -> io::Result<()> {
        let text: String = records.iter().map(|it| format!("{} {}\n", it.name, it.value)).collect();
        file::write(&self.directory.join("records"), text.as_bytes())
    }
}

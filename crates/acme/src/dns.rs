//! Makes and removes the TXT records of DNS-01 (RFC 8555, section 8.4).

mod exchange;
mod hook;
pub(crate) mod update;

use hickory_proto::rr::Name;

use crate::settings::Dns;
use crate::state::NotedRecord;

/// The record with which `host`, without a wildcard, answers a challenge: at `_acme-challenge.<host>`, or at
/// the end of its aliases. It is not made yet.
///
/// # Errors
/// A sentence that says what failed.
pub(crate) async fn record(by: &Dns, host: &str, value: &str) -> Result<NotedRecord, String> {
    let name = parsed(&format!("_acme-challenge.{host}."))?;
    let name = match by {
        Dns::Update(settings) => exchange::follow(settings.resolver, name).await?,
        Dns::Hook(_) => name,
    };
    Ok(NotedRecord { name: name.to_ascii(), value: value.to_owned() })
}

/// Makes a record.
///
/// # Errors
/// A sentence that says what failed. The record may be there all the same.
pub(crate) async fn make(by: &Dns, record: &NotedRecord) -> Result<(), String> {
    let (name, value) = (parsed(&record.name)?, &record.value);
    match by {
        Dns::Update(settings) => exchange::add(settings, &name, value).await,
        Dns::Hook(process) => hook::run(process, hook::Act::Present, &name, value).await,
    }
}

/// Removes a record.
///
/// # Errors
/// A sentence that says what failed.
pub(crate) async fn remove(by: &Dns, record: &NotedRecord) -> Result<(), String> {
    let (name, value) = (parsed(&record.name)?, &record.value);
    match by {
        Dns::Update(settings) => exchange::remove(settings, &name, value).await,
        Dns::Hook(process) => hook::run(process, hook::Act::CleanUp, &name, value).await,
    }
}

fn parsed(text: &str) -> Result<Name, String> {
    Name::from_ascii(text).map_err(|error| format!("{text} is no name of the DNS: {error}"))
}

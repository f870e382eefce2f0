//! Makes and removes the TXT records of DNS-01 (RFC 8555, section 8.4).

mod exchange;
mod hook;
pub(crate) mod update;

use hickory_proto::rr::Name;

use crate::settings::Dns;

/// A record that was made, with everything that its removal needs.
#[derive(Clone, Debug)]
pub(crate) struct MadeRecord {
    /// The name below which it was made: `_acme-challenge.<name>`, or where an alias leads.
    name: Name,
    value: String,
    by: Dns,
}

/// Makes the record with which `host`, without a wildcard, answers a challenge.
///
/// # Errors
/// A sentence that says what failed.
pub(crate) async fn present(by: &Dns, host: &str, value: &str) -> Result<MadeRecord, String> {
    let text = format!("_acme-challenge.{host}.");
    let name = Name::from_ascii(&text).map_err(|error| format!("{text} is no name of the DNS: {error}"))?;
    let name = match by {
        Dns::Update(settings) => exchange::present(settings, name, value).await?,
        Dns::Hook(process) => {
            hook::run(process, hook::Act::Present, &name, value).await?;
            name
        }
    };
    Ok(MadeRecord { name, value: value.to_owned(), by: by.clone() })
}

/// Removes a record.
///
/// # Errors
/// A sentence that says what failed.
pub(crate) async fn clean_up(record: &MadeRecord) -> Result<(), String> {
    match &record.by {
        Dns::Update(settings) => exchange::remove(settings, &record.name, &record.value).await,
        Dns::Hook(process) => hook::run(process, hook::Act::CleanUp, &record.name, &record.value).await,
    }
}

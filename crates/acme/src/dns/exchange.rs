//! Questions and updates to the server of a zone, over TCP (RFC 7766).

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::update::{self, Change};
use crate::settings::UpdateSettings;

/// The longest wait for one answer.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The most aliases that lead to a record.
const ALIAS_COUNT_MAX: usize = 8;

/// Adds a TXT record.
///
/// # Errors
/// A sentence that names the record or the server.
pub(super) async fn add(settings: &UpdateSettings, name: &Name, value: &str) -> Result<(), String> {
    change(settings, Change::Add, name, value).await
}

/// Removes a TXT record.
///
/// # Errors
/// A sentence that names the record or the server.
pub(super) async fn remove(settings: &UpdateSettings, name: &Name, value: &str) -> Result<(), String> {
    change(settings, Change::Remove, name, value).await
}

async fn change(settings: &UpdateSettings, change: Change, name: &Name, value: &str) -> Result<(), String> {
    let zone = zone_of(settings.server, name).await?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let signed = update::message(settings, change, (&zone, name, value), now)?;
    let told = |error| format!("cannot update {name} in the zone {zone} at {}: {error}", settings.server);
    let answer = exchange(settings.server, &signed.bytes).await.map_err(told)?;
    update::check_answer(signed, &answer).map_err(told)
}

/// The name to which the aliases of `name` lead (RFC 1034, section 3.6.2).
///
/// # Errors
/// A sentence that names the record or the server.
pub(super) async fn follow(resolver: SocketAddr, name: Name) -> Result<Name, String> {
    let mut at = name.clone();
    for _ in 0..=ALIAS_COUNT_MAX {
        match update::alias_in(&ask(resolver, &at, RecordType::CNAME).await?, &at) {
            Some(target) => at = target,
            None => return Ok(at),
        }
    }
    Err(format!("{name} leads through more than {ALIAS_COUNT_MAX} aliases"))
}

/// The zone that holds `name`. A server that knows nothing of the name may still have the zone above it.
async fn zone_of(server: SocketAddr, name: &Name) -> Result<Name, String> {
    let mut at = name.clone();
    while !at.is_root() {
        if let Some(zone) = update::zone_in(&ask(server, &at, RecordType::SOA).await?, name) {
            return Ok(zone);
        }
        at = at.base_name();
    }
    Err(format!("{server} has no zone for {name}"))
}

async fn ask(server: SocketAddr, name: &Name, kind: RecordType) -> Result<Message, String> {
    let (id, question) = update::question(name, kind)?;
    let told = |error| format!("cannot ask {server} for {name}: {error}");
    let answer = exchange(server, &question).await.map_err(told)?;
    let answer =
        Message::from_vec(&answer).map_err(|error| told(format!("it answered no message: {error}")))?;
    if answer.metadata.id != id {
        return Err(told("it answered another question".to_owned()));
    }
    Ok(answer)
}

/// Sends one message and reads one, each behind its length in two bytes.
async fn exchange(server: SocketAddr, message: &[u8]) -> Result<Vec<u8>, String> {
    let length = u16::try_from(message.len()).map_err(|_| "the message is too long".to_owned())?;
    let exchanged = async {
        let mut stream = TcpStream::connect(server).await?;
        let framed = [&length.to_be_bytes(), message].concat();
        stream.write_all(&framed).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    match timeout(WAIT_MAX, exchanged).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", WAIT_MAX.as_secs())),
    }
}

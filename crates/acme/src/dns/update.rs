//! The messages of dynamic updates (RFC 2136), signed with a shared key (RFC 8945): pure functions of values
//! and the time.

use hickory_proto::op::{Message, Query, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, RData, Record, RecordSet, RecordType, TSigVerifier, TSigner};

use crate::settings::{Algorithm, UpdateSettings};

/// The time for which resolvers may keep the record, in seconds. A record that a crash leaves behind is
/// forgotten as soon.
const TTL_SECONDS: u32 = 60;

/// The most that the clocks of both ends may differ, in seconds (RFC 8945, section 10).
const FUDGE_SECONDS: u16 = 300;

/// A change of one TXT record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Adds the value beside others of the same name: a name and its wildcard need two.
    Add,
    /// Removes this value alone.
    Remove,
}

/// A message to send, and what checks the answer.
pub(super) struct Signed {
    pub(super) bytes: Vec<u8>,
    pub(super) id: u16,
    pub(super) verifier: TSigVerifier,
}

/// The signed message of a change in `zone`, at `now`, in seconds since 1970.
///
/// # Errors
/// A sentence, for a key that cannot sign.
pub(super) fn message(
    settings: &UpdateSettings,
    change: Change,
    (zone, name, value): (&Name, &Name, &str),
    now: u64,
) -> Result<Signed, String> {
    let data = RData::TXT(TXT::new(vec![value.to_owned()]));
    let record = RecordSet::from(Record::from_rdata(name.clone(), TTL_SECONDS, data));
    let mut message = match change {
        Change::Add => update_message::append(record, zone.clone(), false, false),
        Change::Remove => update_message::delete_by_rdata(record, zone.clone(), false),
    };
    let failed = |error: &dyn std::fmt::Display| format!("cannot sign the update: {error}");
    let signer = signer(settings)?;
    let verifier = message.finalize(&signer, now).map_err(|error| failed(&error))?;
    let verifier = verifier.ok_or_else(|| failed(&"the key gave no signature"))?;
    let bytes = message.to_vec().map_err(|error| failed(&error))?;
    Ok(Signed { bytes, id: message.metadata.id, verifier })
}

fn signer(settings: &UpdateSettings) -> Result<TSigner, String> {
    let algorithm = match settings.algorithm {
        Algorithm::Sha256 => TsigAlgorithm::HmacSha256,
        Algorithm::Sha384 => TsigAlgorithm::HmacSha384,
        Algorithm::Sha512 => TsigAlgorithm::HmacSha512,
    };
    let name = Name::from_ascii(&settings.key_name)
        .map_err(|error| format!("{:?} is no name of a key: {error}", settings.key_name))?;
    TSigner::new(settings.key.expose().clone(), algorithm, name, FUDGE_SECONDS)
        .map_err(|error| format!("cannot use the key {}: {error}", settings.key_name))
}

/// Checks the answer to an update.
///
/// # Errors
/// A sentence that says what the server refused, or that the answer is not its own.
pub(super) fn check_answer(mut signed: Signed, answer: &[u8]) -> Result<(), String> {
    let parsed = Message::from_vec(answer).map_err(|error| format!("it answered no message: {error}"))?;
    if parsed.metadata.id != signed.id {
        return Err("it answered another message".to_owned());
    }
    let code = parsed.metadata.response_code;
    if code != ResponseCode::NoError {
        // A refusal of the signature is itself unsigned.
        return Err(refusal(code).to_owned());
    }
    let verified = signed.verifier.verify(answer);
    verified.map(drop).map_err(|error| format!("its answer is not signed with the key: {error}"))
}

fn refusal(code: ResponseCode) -> String {
    let why = match code {
        ResponseCode::NotAuth | ResponseCode::BADSIG | ResponseCode::BADKEY | ResponseCode::BADTIME => {
            "check the key's name, algorithm and secret, the clocks, and that the server has the zone"
        }
        ResponseCode::Refused => "let the key update TXT records of this name",
        ResponseCode::NotZone => "the name is not in the zone",
        ResponseCode::NotImp => "it takes no updates",
        _ => "the server's log may say why",
    };
    format!("it refused the update ({code:?}): {why}")
}

/// A question for the record of this kind at `name`.
///
/// # Errors
/// A sentence, for a name that cannot be asked for.
pub(super) fn question(name: &Name, kind: RecordType) -> Result<(u16, Vec<u8>), String> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let bytes = message.to_vec().map_err(|error| format!("cannot ask for {name}: {error}"))?;
    Ok((message.metadata.id, bytes))
}

/// The target of the alias `name`, according to an answer; `None` if it is no alias.
pub(super) fn alias_in(answer: &Message, name: &Name) -> Option<Name> {
    answer.answers.iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *name => Some(target.0.clone()),
        _ => None,
    })
}

/// The zone of `name`, according to the answer for its start of authority (RFC 1034, section 3.7).
pub(super) fn zone_in(answer: &Message, name: &Name) -> Option<Name> {
    let records = answer.answers.iter().chain(&answer.authorities);
    let zones = records.filter(|record| record.record_type() == RecordType::SOA).map(|record| &record.name);
    zones.into_iter().find(|zone| zone.zone_of(name)).cloned()
}

#[cfg(test)]
mod tests;

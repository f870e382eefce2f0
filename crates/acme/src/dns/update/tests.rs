use hickory_proto::op::{MessageType, OpCode};
use hickory_proto::rr::DNSClass;
use hickory_proto::rr::rdata::{CNAME, SOA};
use secret::Secret;

use super::*;

const NOW: u64 = 1_800_000_000;

fn settings(key: &[u8]) -> UpdateSettings {
    let server = "127.0.0.1:53".parse().unwrap();
    UpdateSettings {
        server,
        resolver: server,
        key_name: "wharf".to_owned(),
        algorithm: Algorithm::Sha256,
        key: Secret::new(key.to_vec()),
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn signed(change: Change) -> Signed {
    let (zone, record) = (name("example."), name("_acme-challenge.reg.example."));
    message(&settings(b"key"), change, (&zone, &record, "value"), NOW).unwrap()
}

/// An answer to `signed`, signed with `key` if there is one.
fn answer(signed: &Signed, code: ResponseCode, key: Option<&[u8]>) -> Vec<u8> {
    use hickory_proto::rr::{TSigResponseContext, TSigner};
    let mut answer = Message::new(signed.id, MessageType::Response, OpCode::Update);
    answer.metadata.response_code = code;
    let bytes = answer.to_vec().unwrap();
    let Some(key) = key else { return bytes };
    let request = Message::from_vec(&signed.bytes).unwrap();
    let mac = request.signature().unwrap().data.mac.clone();
    let signer = TSigner::new(key.to_vec(), TsigAlgorithm::HmacSha256, name("wharf."), 300).unwrap();
    let context = TSigResponseContext::new(signed.id, NOW, signer, mac, None);
    answer.set_signature(context.sign(&bytes).unwrap());
    answer.to_vec().unwrap()
}

#[test]
fn an_update_adds_one_value_and_a_removal_removes_only_that() {
    for (change, class, ttl) in [(Change::Add, DNSClass::IN, 60), (Change::Remove, DNSClass::NONE, 0)] {
        let message = Message::from_vec(&signed(change).bytes).unwrap();
        assert_eq!(message.metadata.op_code, OpCode::Update);
        assert_eq!(
            (message.queries[0].name(), message.queries[0].query_type()),
            (&name("example."), RecordType::SOA)
        );
        assert!(message.answers.is_empty(), "no condition");
        let [record] = &message.authorities[..] else { panic!("{message:?}") };
        assert_eq!(
            (&record.name, record.dns_class, record.ttl),
            (&name("_acme-challenge.reg.example."), class, ttl)
        );
        assert_eq!(record.data, RData::TXT(TXT::new(vec!["value".to_owned()])));
        let signature = message.signature().unwrap();
        assert_eq!((signature.name.to_ascii(), signature.data.time), ("wharf.".to_owned(), NOW));
    }
}

#[test]
fn an_answer_counts_only_with_the_signature_of_the_key() {
    let check = |code, key: Option<&[u8]>| {
        let signed = signed(Change::Add);
        let answer = answer(&signed, code, key);
        check_answer(signed, &answer)
    };
    assert_eq!(check(ResponseCode::NoError, Some(b"key")), Ok(()));
    for key in [None, Some(&b"other"[..])] {
        assert!(check(ResponseCode::NoError, key).unwrap_err().contains("not signed"), "{key:?}");
    }
    for (code, told) in [
        (ResponseCode::Refused, "let the key update"),
        (ResponseCode::NotAuth, "check the key's name"),
        (ResponseCode::ServFail, "ServFail"),
    ] {
        assert!(check(code, None).unwrap_err().contains(told));
    }
    let other = signed(Change::Add);
    let mut foreign = answer(&other, ResponseCode::NoError, Some(b"key"));
    foreign[0] ^= 1;
    assert!(check_answer(other, &foreign).unwrap_err().contains("another message"));
    assert!(check_answer(signed(Change::Add), b"no message").is_err());
}

#[test]
fn aliases_and_zones_are_read_from_answers() {
    let mut message = Message::new(1, MessageType::Response, OpCode::Query);
    let alias = Record::from_rdata(name("a.example."), 1, RData::CNAME(CNAME(name("b.other."))));
    message.add_answer(alias);
    assert_eq!(alias_in(&message, &name("A.Example.")), Some(name("b.other.")));
    assert_eq!(alias_in(&message, &name("c.example.")), None);
    let soa = SOA::new(name("ns.example."), name("mail.example."), 1, 1, 1, 1, 1);
    message.add_authority(Record::from_rdata(name("example."), 1, RData::SOA(soa)));
    assert_eq!(zone_in(&message, &name("_acme-challenge.reg.example.")), Some(name("example.")));
    assert_eq!(zone_in(&message, &name("reg.other.")), None, "a zone elsewhere");
}

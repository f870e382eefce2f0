//! Heads of answers that are odd, as old servers, appliances and home-made ones write them.

use testkit::{Auth, Behaviour, Fault, Kind, Rule};
use upstream::ErrorKind;

use crate::rig::Rig;

fn anonymous() -> Behaviour {
    Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }
}

#[tokio::test]
async fn k17_a_head_that_is_odd_but_clear_is_read_as_a_patient_client_reads_it() {
    let fields = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let heads = [
        ("a blank before the colon", "HTTP/1.1 200 OK\r\nX-Thing : y\r\n".to_owned()),
        (
            "the same for a field that counts",
            "HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version \t: registry/2.0\r\n".to_owned(),
        ),
        ("a folded value", "HTTP/1.1 200 OK\r\nx-thing: one\r\n  two\r\n\tthree\r\n".to_owned()),
        ("a name that is none", "HTTP/1.1 200 OK\r\nx thing: y\r\nx(thing): y\r\n".to_owned()),
        ("a value with a control character", "HTTP/1.1 200 OK\r\nx-thing: a\u{1}b\r\n".to_owned()),
        ("a reason in lower case", "HTTP/1.1 200 ok\r\n".to_owned()),
        ("no reason", "HTTP/1.1 200 \r\n".to_owned()),
        ("not even a blank before it", "HTTP/1.1 200\r\n".to_owned()),
        ("a reason that is a sentence", "HTTP/1.1 200 it went well, d\u{e9}j\u{e0}\r\n".to_owned()),
        ("an old version", "HTTP/1.0 200 OK\r\n".to_owned()),
        ("more fields than a hundred", format!("HTTP/1.1 200 OK\r\n{}", fields(150))),
        ("as many fields as are read", format!("HTTP/1.1 200 OK\r\n{}", fields(1000))),
        ("a large head", format!("HTTP/1.1 200 OK\r\nx: {}\r\n", "y".repeat(256 * 1024))),
    ];
    for (what, head) in heads {
        let rig = Rig::start(anonymous()).await;
        rig.put_manifest();
        let answer = format!("{head}content-length: 2\r\n\r\n{{}}");
        rig.registry.script(Rule::new(Kind::GetManifest, Fault::Raw(answer.into())));
        let got = rig.get("latest").await;
        assert_eq!(got.unwrap_or_else(|error| panic!("{what}: {error}")).bytes, "{}", "{what}");
    }
}

#[tokio::test]
async fn k17_a_folded_length_is_no_length_and_mixes_nothing() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n";
    let rig = Rig::start(anonymous()).await;
    rig.put_manifest();
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::Raw(answer.into())));
    let kind = rig.get("latest").await.unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::Unreachable | ErrorKind::Invalid), "{kind:?}");
}

//! The memory of bodies whose clients do not read.

use budget::Memory;
use bytes::Bytes;
use testkit::client::Connection;
use testkit::{Fault, Image, Kind, Rule, digest_of, within};

use crate::lab::{HUB, Lab, STORES_FILES};

const MIB: u64 = 1 << 20;

/// Sends a request and reads only the head of the answer.
async fn unread(lab: &Lab, target: &str) -> (u16, Connection) {
    let mut connection = Connection::open_slow(lab.address, 4096).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {HUB}\r\n\r\n");
    connection.send(request.as_bytes()).await.unwrap();
    let head = within("a head", connection.read_head("GET")).await.unwrap();
    (head.status, connection)
}

#[tokio::test]
async fn t05_clients_that_do_not_read_a_large_manifest_cost_no_copy_each() {
    let memory = Memory::new(32 * MIB);
    let lab = Lab::start_with(|plan| plan.memory = memory.clone()).await;
    let mut text = Image::small("one").manifest.bytes().to_vec();
    text.resize(4 << 20, b' ');
    let digest = lab.hub.put_manifest(
        "library/busybox",
        Some("1"),
        "application/vnd.oci.image.manifest.v1+json",
        Bytes::from(text),
    );
    let mut connections = Vec::new();
    for number in 0..300 {
        let reference = if number % 2 == 0 { "1" } else { &digest };
        let (status, connection) = unread(&lab, &format!("/v2/library/busybox/manifests/{reference}")).await;
        assert_eq!(status, 200, "client {number}");
        connections.push(connection);
    }
    // The store in memory has one copy, which all answers share.
    let copies = if STORES_FILES { 0 } else { 4 * MIB };
    assert_eq!(memory.documents.taken(), copies);
    for connection in [connections.remove(0), connections.remove(7)] {
        assert_eq!(within("a manifest", connection.read_digest()).await.unwrap(), digest);
    }
    let image = Image::small("one");
    lab.hub.put_image("library/other", "1", &image);
    assert_eq!(lab.get(HUB, "/v2/library/other/manifests/1").await.body, image.manifest.bytes());
}

#[tokio::test]
async fn t05_lists_beyond_their_memory_are_refused_for_a_moment_and_nothing_else_is() {
    let memory = Memory::new(16 * MIB);
    let lab = Lab::start_with(|plan| plan.memory = memory.clone()).await;
    let image = Image::small("one");
    lab.hub.put_image("library/busybox", "1", &image);
    let list = Bytes::from(format!("{{\"tags\":[]{}}}", " ".repeat(3 << 20)));
    lab.hub.script(Rule::new(Kind::Tags, Fault::Body(list.clone())));
    let tags = "/v2/library/busybox/tags/list";
    let (status, connection) = unread(&lab, tags).await;
    assert_eq!(status, 200);
    let refused = lab.get(HUB, tags).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    assert_eq!(memory.lists.taken(), list.len() as u64);
    assert_eq!(lab.get(HUB, "/v2/library/busybox/manifests/1").await.status, 200);
    assert_eq!(lab.get(HUB, "/v2/_catalog").await.status, 200, "a small list finds room");
    let rest = memory.lists.take(memory.lists.bytes_max() - memory.lists.taken()).unwrap();
    assert_eq!(lab.get(HUB, "/v2/_catalog").await.status, 503);
    drop(rest);
    assert_eq!(within("a list", connection.read_digest()).await.unwrap(), digest_of(&list));
    let give_back = async {
        while memory.lists.taken() > 0 {
            tokio::task::yield_now().await;
        }
    };
    within("the memory comes back", give_back).await;
    assert_eq!(lab.get(HUB, tags).await.body, list);
}

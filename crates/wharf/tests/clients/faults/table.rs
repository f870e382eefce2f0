//! All rows of the matrix.

use testkit::{Auth, Door, Endpoint, Fault, RangeLie};

use super::bench::CUT;
use super::row::Expected::{Error, ImageOr, RealRegistry};
use super::row::{Afterwards, CUT_SHORT, Place, Row};

/// Clients' messages when wharf ends.
const KILLED: &str = "EOF|connection refused";

/// All rows, in the order of their ids.
pub(crate) fn rows() -> Vec<Row> {
    [unreachable(), broken_bodies(), wrong_bytes(), refusals(), redirects(), odd_answers(), own_trouble()]
        .into_iter()
        .flatten()
        .collect()
}

fn unreachable() -> Vec<Row> {
    vec![
        Row::new("f01-gone-held", "the upstream is gone, the image is held")
            .held()
            .begin(|bench| bench.set_door(Endpoint::Registry, Door::Refuse)),
        Row::new("f02-gone", "the upstream is gone, nothing is held")
            .begin(|bench| bench.set_door(Endpoint::Registry, Door::Refuse))
            .falls_back("502"),
        Row::new("f03-silent-held", "the upstream is silent, the image is held")
            .held()
            .begin(|bench| bench.set_door(Endpoint::Registry, Door::Mute)),
        Row::new("f03-silent", "the upstream is silent, nothing is held")
            .begin(|bench| bench.set_door(Endpoint::Registry, Door::Mute))
            .falls_back("504"),
        Row::new("f03-silent-layer", "the upstream is silent when asked for the layer")
            .begin(|bench| bench.stall_layer())
            .falls_back_with_layers("504"),
        Row::new("f04-stalls-once", "the layer stops coming in the middle, once")
            .begin(|bench| bench.pause_layer()),
    ]
}

fn broken_bodies() -> Vec<Row> {
    vec![
        Row::new("f05-cut-once", "the layer's connection ends in the middle, once")
            .begin(|bench| bench.spoil(bench.layer(Fault::CutAt(CUT)).once())),
        Row::new("f05-reset-once", "the layer's connection is reset in the middle, once")
            .begin(|bench| bench.spoil(bench.layer(Fault::ResetAt(CUT)).once())),
        Row::new(
            "f05-cut-always",
            "the layer's connection ends in the middle, and no resumption brings more",
        )
        .begin(|bench| {
            bench.spoil(bench.layer(Fault::CutAt(CUT)));
            bench.spoil(bench.layer(Fault::CutAt(0)).ranged());
        })
        .expected([RealRegistry, ImageOr(CUT_SHORT), Error(CUT_SHORT), Error(CUT_SHORT)]),
        Row::new("f06-unknown-length", "a layer of unknown length ends in the middle, once").begin(|bench| {
            bench.spoil(bench.layer(Fault::CloseDelimited).and(Fault::CutAt(CUT)).once());
        }),
        Row::new("f06-chunks", "a layer in chunks ends in the middle, once").begin(|bench| {
            bench.spoil(bench.layer(Fault::Chunked).and(Fault::CutAt(CUT)).once());
        }),
        Row::new("f07-too-long", "the layer is shorter than announced, once")
            .begin(|bench| bench.spoil(bench.layer(Fault::Length(bench.layer_size() + 1000)).once()))
            .cut_short(),
        Row::new("f07-too-short", "the layer is longer than announced, always")
            .begin(|bench| bench.spoil(bench.layer(Fault::Length(bench.layer_size() - 1000))))
            .falls_back_with_layers(CUT_SHORT)
            .afterwards(Afterwards::ServedAfterAMinute),
    ]
}

fn wrong_bytes() -> Vec<Row> {
    vec![
        Row::new("f08-layer-once", "one bit of the layer is wrong, once")
            .begin(|bench| bench.spoil(bench.layer(Fault::FlipBit(CUT)).once()))
            .found_out(),
        Row::new("f08-layer-always", "one bit of the layer is wrong, always")
            .begin(|bench| bench.spoil(bench.layer(Fault::FlipBit(CUT))))
            .found_out()
            .afterwards(Afterwards::ServedAfterAMinute),
        Row::new("f08-config-always", "one bit of the config is wrong, always")
            .begin(|bench| bench.spoil_config(Fault::FlipBit(9)))
            .falls_back_with_layers("502")
            .afterwards(Afterwards::ServedAfterAMinute),
        Row::new("f08-manifest-once", "one bit of the manifest is wrong, once")
            .begin(|bench| bench.spoil_manifests(Fault::FlipBit(9), 1)),
        Row::new("f08-manifest-always", "one bit of the manifest is wrong, always")
            .begin(|bench| bench.spoil_manifests(Fault::FlipBit(9), u64::MAX))
            .falls_back("502")
            .afterwards(Afterwards::ServedAfterAMinute),
    ]
}

fn refusals() -> Vec<Row> {
    vec![
        Row::new("f09-burst", "two 503 before each answer about a manifest")
            .begin(|bench| bench.spoil_manifests(Fault::Status(503), 2)),
        Row::new("f09-down-held", "500 to everything, the image is held")
            .held()
            .begin(|bench| bench.spoil_all(Fault::Status(500))),
        Row::new("f09-down", "500 to everything, nothing is held")
            .begin(|bench| bench.spoil_all(Fault::Status(500)))
            .falls_back("502"),
        Row::new("f10-throttled-held", "429 to everything, the image is held")
            .held()
            .begin(|bench| bench.throttle()),
        Row::new("f10-throttled", "429 to everything, nothing is held")
            .begin(|bench| bench.throttle())
            .falls_back("toomanyrequests"),
        Row::new("f11-token-expires", "the token is refused when the layer is asked for")
            .behaviour(|all| all.auth = Auth::Bearer { credentials: None, anonymous: true })
            .begin(|bench| bench.spoil(bench.layer(Fault::Status(401)).once())),
        Row::new("f11-no-tokens-held", "the token service is gone, the image is held")
            .held()
            .behaviour(|all| all.auth = Auth::Bearer { credentials: None, anonymous: true })
            .begin(|bench| bench.end_tokens()),
        Row::new("f11-no-tokens", "the token service is gone, nothing is held")
            .behaviour(|all| all.auth = Auth::Bearer { credentials: None, anonymous: true })
            .begin(|bench| bench.end_tokens())
            .falls_back("502"),
        Row::new("f12-denied-held", "403 for a tag that is held")
            .held()
            .begin(|bench| bench.spoil_all(Fault::Status(403)))
            .falls_back("denied"),
        Row::new("f12-deleted-held", "404 for a tag that is held")
            .held()
            .begin(|bench| bench.spoil_manifests(Fault::Status(404), u64::MAX))
            .falls_back("manifest unknown"),
    ]
}

fn redirects() -> Vec<Row> {
    vec![
        Row::new("f13-tag-moves", "the tag moves between two requests of one pull")
            .begin(|bench| bench.move_tag_after_head()),
        Row::new("f14-dead-network", "layers are redirected to a host that is gone")
            .behaviour(|all| all.redirects = true)
            .begin(|bench| bench.set_door(Endpoint::Cdn, Door::Refuse))
            .falls_back_with_layers("502"),
        Row::new("f14-stale-signature", "the signed address expires in the middle of the layer")
            .behaviour(|all| all.redirects = true)
            .begin(|bench| bench.pause_layer())
            .during(|bench| {
                bench.wait_for_pause();
                bench.expire_signatures();
            }),
        Row::new("f15-ranges-ignored", "a cut layer is resumed, and the whole comes again").begin(|bench| {
            bench.spoil(bench.layer(Fault::CutAt(CUT)).once());
            bench.spoil(bench.layer(Fault::RangeIgnored).ranged());
        }),
        Row::new("f15-ranges-shifted", "a cut layer is resumed, and another part comes").begin(|bench| {
            bench.spoil(bench.layer(Fault::CutAt(CUT)).once());
            bench.spoil(bench.layer(Fault::Range(RangeLie::Shifted(7))).ranged());
        }),
        Row::new("f15-ranges-refused", "a cut layer is resumed, and there is no such part").begin(|bench| {
            bench.spoil(bench.layer(Fault::CutAt(CUT)).once());
            bench.spoil(bench.layer(Fault::Range(RangeLie::NotSatisfiable)).ranged());
        }),
    ]
}

fn odd_answers() -> Vec<Row> {
    vec![
        Row::new(
            "f17-encoded-layer",
            "the layer is called `Content-Encoding: gzip`, and is what it should be",
        )
        .begin(|bench| {
            bench.spoil(bench.layer(Fault::Header("content-encoding", "gzip".to_owned())));
        }),
        Row::new(
            "f17-encoded-manifest",
            "the manifest is called `Content-Encoding: gzip`, and is what it should be",
        )
        .begin(|bench| {
            bench.spoil_manifests(Fault::Header("content-encoding", "gzip".to_owned()), u64::MAX);
        }),
        Row::new("f18-portal", "a page of HTML in place of everything")
            .begin(|bench| bench.spoil_all(Fault::HtmlPortal))
            .falls_back("502"),
        Row::new("f19-expired", "the upstream's certificate has expired")
            .place(Place::ExpiredCertificate)
            .falls_back("502")
            .afterwards(Afterwards::NotAsked),
        Row::new("f22-closes", "every connection ends after one answer, unannounced")
            .begin(|bench| bench.spoil_all(Fault::CloseAfter)),
    ]
}

fn own_trouble() -> Vec<Row> {
    vec![
        Row::new("f29-disk-full", "wharf's disk has no room for the layer").place(Place::SmallDisk),
        Row::new("f32-layer-flipped", "one bit of the stored layer flips, and wharf is started again")
            .held()
            .begin(|bench| bench.flip_stored_layer())
            .found_out(),
        Row::new("f32-layer-cut", "the stored layer is cut short, and wharf is started again")
            .held()
            .begin(|bench| bench.cut_stored_layer())
            .cut_short(),
        Row::new("f32-manifest-flipped", "one bit of the stored manifest flips")
            .held()
            .begin(|bench| bench.flip_stored_manifest()),
        Row::new(
            "f33-killed",
            "wharf is killed in the middle of the layer, and started again after the pull",
        )
        .begin(|bench| bench.pause_layer())
        .during(|bench| {
            bench.wait_for_pause();
            bench.kill_wharf();
        })
        .expected([RealRegistry, RealRegistry, ImageOr(KILLED), Error(KILLED)]),
        Row::new("f35-root-gone", "the directory of the store vanishes")
            .held()
            .begin(|bench| bench.remove_root()),
        Row::new("f40-told-to-stop", "wharf is told to stop in the middle of the layer")
            .begin(|bench| bench.pause_layer())
            .during(|bench| {
                bench.wait_for_pause();
                bench.wait_for_config();
                bench.tell_wharf_to_stop();
                bench.resume_layer();
            }),
        Row::new("f49-neighbour-hangs", "another registry hangs, with two hundred requests waiting for it")
            .begin(|bench| bench.hang_neighbour(200)),
    ]
}

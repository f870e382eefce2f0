//! Secrets stay out of everything that is printed.

use testkit::{Auth, Behaviour, Door, Endpoint, Fault, Kind, Rule};
use upstream::{BlobRange, Settings};

use crate::rig::{Rig, bytes};

const PASSWORD: &str = "canary-word";

fn with_credentials(settings: &mut Settings) {
    settings.credentials = credentials::Settings::password("robot", PASSWORD);
}

#[tokio::test]
async fn s28_no_error_and_no_debug_output_shows_a_secret() {
    let auth = Auth::bearer("robot", PASSWORD);
    let rig = Rig::start_with(Behaviour { auth, ..Behaviour::default() }, with_credentials).await;
    let manifest = rig.put_manifest();
    let digest = rig.registry.put_blob(bytes(100));
    rig.get(&manifest).await.unwrap();
    let mut printed = vec![format!("{:?}", rig.upstream)];
    for fault in [Fault::Status(403), Fault::Close, Fault::RedirectLoop, Fault::Status(404)] {
        let rule = rig.registry.script(Rule::new(Kind::GetBlob, fault).at(Endpoint::Cdn));
        let error = rig.blob(&digest, BlobRange::Whole).await.unwrap_err();
        printed.push(format!("{error} {error:?}"));
        rule.remove();
    }
    rig.registry.set_door(Endpoint::Cdn, Door::Refuse).await;
    let error = rig.blob(&digest, BlobRange::Whole).await.unwrap_err();
    printed.push(format!("{error} {error:?}"));
    printed.push(rig.metrics.encode());
    let tokens = rig.registry.log().credentials(Endpoint::Registry);
    let basic = "cm9ib3Q6Y2FuYXJ5LXdvcmQ=";
    for text in printed {
        assert!(!text.contains(PASSWORD) && !text.contains(basic), "{text}");
        assert!(!text.contains("signature") && !text.contains("token-"), "{text}");
    }
    assert!(!tokens.is_empty());
}

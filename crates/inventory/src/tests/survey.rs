//! Surveys of images that a registry made to be large.

use oci::Platforms;

use super::*;
use crate::survey::{Survey, survey};

impl Place {
    async fn survey(&self, digest: &Digest) -> Survey {
        let store = &*self.store;
        survey(store, store, &repository("app"), digest, &Platforms::All).await.unwrap()
    }

    async fn index_of(&self, entries: Vec<String>) -> Digest {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        self.manifest_of(&repository("app"), text).await
    }
}

fn absent(name: &str) -> Digest {
    Digest::of(Algorithm::Sha256, name.as_bytes())
}

/// Each index is short enough, and so is their number.
#[tokio::test(start_paused = true)]
async fn a_survey_ends_where_an_image_has_too_many_parts_in_all() {
    let (place, _) = Place::in_memory().await;
    let mut indexes = Vec::new();
    for index in 0..5 {
        let entry = |number| format!(r#"{{"digest":"{}"}}"#, absent(&format!("{index} {number}")));
        indexes.push(place.index_of((0..9000).map(entry).collect()).await);
    }
    let outer = place.index("app", &indexes.iter().collect::<Vec<_>>()).await;
    let survey = place.survey(&outer).await;
    assert!(survey.is_cut && !survey.is_whole());
    assert_eq!(survey.manifests.len(), 4, "the others were not read");
    let anatomy = place.inventory.anatomy(&repository("app"), &outer).await.unwrap().unwrap();
    assert!(!anatomy.is_whole);
    let held = anatomy.manifests.iter().filter(|manifest| manifest.bytes.is_some());
    assert_eq!(held.count(), 4, "nor were they for the list");
}

#[tokio::test(start_paused = true)]
async fn an_index_of_thousands_of_platforms_is_not_followed() {
    let (place, _) = Place::in_memory().await;
    let entry = |number: usize| {
        let (digest, os) = (absent(&number.to_string()), format!("os{number}"));
        format!(r#"{{"digest":"{digest}","platform":{{"os":"{os}","architecture":"amd64"}}}}"#)
    };
    let many = place.index_of((0..9000).map(entry).collect()).await;
    let survey = place.survey(&many).await;
    assert_eq!((survey.is_cut, survey.offered.len(), survey.manifests.len()), (true, 1001, 1));
    let some = place.index_of((0..40).map(entry).collect()).await;
    let survey = place.survey(&some).await;
    assert_eq!((survey.is_cut, survey.offered.len(), survey.manifests.len()), (false, 40, 41));
}

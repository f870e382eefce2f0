//! Manifests and indexes.

use oci::{Descriptor, Manifest, ManifestKind, MediaType};
use serde_json::{Value, json};

/// Checks that an accepted manifest means the same to every reader, and that printing loses nothing. The
/// input is the media type of the header, a line end, and the document.
pub fn check(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (served, document) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let served = std::str::from_utf8(served).ok().and_then(|text| text.parse::<MediaType>().ok());
    let Ok(manifest) = Manifest::parse(document, served.as_ref()) else { return };
    assert!(manifest.media_type.is_specific());
    let printed = print(&manifest).to_string();
    assert_eq!(Manifest::parse(printed.as_bytes(), served.as_ref()), Ok(manifest.clone()), "{printed}");
    // Skipped parts may be less strict than this reader.
    let Ok(Value::Object(read)) = serde_json::from_slice(document) else { return };
    for known in ["mediaType", "subject", "config", "layers", "manifests"] {
        // Clients written in Go match property names without regard to case, and use the last one.
        let alike = read.keys().filter(|name| name.eq_ignore_ascii_case(known));
        assert!(alike.clone().count() <= 1 && alike.clone().all(|name| name == known), "{known}");
    }
    let has = |name: &str| read.get(name).is_some_and(|value| !value.is_null());
    assert!(!(has("manifests") && (has("layers") || has("config"))), "an image and an index at once");
    for (name, kept) in [("layers", &manifest.layers), ("manifests", &manifest.manifests)] {
        let given = read.get(name).and_then(Value::as_array).map_or(0, Vec::len);
        assert!(kept.len() <= given && kept.len() <= oci::DESCRIPTOR_COUNT_MAX);
    }
}

fn print(manifest: &Manifest) -> Value {
    let list = |list: &[Descriptor]| list.iter().map(print_descriptor).collect::<Value>();
    let mut document = match manifest.kind {
        ManifestKind::Image => json!({ "schemaVersion": 2, "layers": list(&manifest.layers) }),
        ManifestKind::Index => json!({ "schemaVersion": 2, "manifests": list(&manifest.manifests) }),
        ManifestKind::Schema1 => json!({ "schemaVersion": 1, "fsLayers": [] }),
        ManifestKind::Other => json!({}),
    };
    document["mediaType"] = json!(manifest.media_type.as_str());
    for (name, descriptor) in [("subject", &manifest.subject), ("config", &manifest.config)] {
        document[name] = descriptor.as_ref().map_or(Value::Null, print_descriptor);
    }
    // Unknown kinds may have either.
    for (name, descriptors) in [("layers", &manifest.layers), ("manifests", &manifest.manifests)] {
        if !descriptors.is_empty() {
            document[name] = list(descriptors);
        }
    }
    document
}

fn print_descriptor(descriptor: &Descriptor) -> Value {
    json!({
        "mediaType": descriptor.media_type.as_str(),
        "digest": descriptor.digest.to_string(),
        "size": descriptor.size,
    })
}

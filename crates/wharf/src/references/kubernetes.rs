//! The images of Kubernetes manifests, of the output of Helm, and of `kubectl get -o json` or `-o yaml`.
//!
//! A list of containers has the same form wherever it stands: in a pod, a deployment, a cron job, a list of
//! pods, a resource of somebody's own kind. So the walk looks at the names of the lists and not at kinds.
//! `imageID` and the states of containers are not looked at: they say what ran, not what will be pulled.

use super::document::{Document, Node, Value, Walk};
use super::{Finding, Found};

/// The lists of containers.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Istio replaces this word by an image when a pod is made.
const INJECTED: &str = "auto";

/// The images of all containers and image volumes in the document.
pub(super) fn images(document: &Document) -> Vec<Found> {
    let mut found = Vec::new();
    let mut walk = Walk::new();
    if !look(document.root(), &mut walk, &mut found) {
        let why = "the rest of this document was left out, because its aliases repeat it too often";
        found.push((document.root().line(), Finding::LeftOut(why.to_owned())));
    }
    found
}

/// Returns `false` when the walk is too long.
fn look(node: &Node, walk: &mut Walk, found: &mut Vec<Found>) -> bool {
    if !walk.step() {
        return false;
    }
    match node.value() {
        Value::Text(_) => true,
        Value::List(items) => items.iter().all(|item| look(item, walk, found)),
        Value::Map(entries) => entries.iter().all(|(key, value)| {
            if CONTAINERS.contains(&key.as_str()) {
                let images = value.items().iter().filter_map(|container| container.get("image"));
                found.extend(images.filter_map(image_of));
            } else if key == "volumes" {
                let images = value.items().iter().filter_map(|volume| volume.get("image")?.get("reference"));
                found.extend(images.filter_map(image_of));
            }
            look(value, walk, found)
        }),
    }
}

/// The image that a value names. `None`: it names none, and whatever makes the pod chooses one.
fn image_of(node: &Node) -> Option<Found> {
    let text = node.text()?.trim();
    let left_out = |why: String| Some((node.line(), Finding::LeftOut(why)));
    if text.contains("{{") || text.contains("${") || text.contains("$(") {
        return left_out(format!("{text:?} was left out, because it is a template; render it first"));
    }
    match text {
        "" | "null" | "~" => None,
        INJECTED => {
            left_out("\"auto\" was left out, because a service mesh puts another image there".to_owned())
        }
        image => Some((node.line(), Finding::Image(image.to_owned()))),
    }
}

//! `wharf pin` and `wharf unpin`: which images no limit, no rule and no purge removes.

use oci::Reference;
use policy::image::ImageName;
use serde_json::{Value, json};
use url::Url;

use super::failure::Failure;
use super::located::Located;
use super::query;
use super::table::{counted, text_of};
use crate::admin_listener::{AdminListener, admin_url};
use crate::config::Config;
use crate::output::{complain, print};
use crate::registry_set::NewStores;

/// The change that a command makes to images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Pin,
    Unpin,
}

/// The arguments of both commands.
#[derive(Debug, clap::Args)]
pub(crate) struct PinArguments {
    /// alpine, docker.io/library/alpine:3.20, ghcr.io/org/app@sha256:...
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<ImageName>,
    /// Print a JSON document for each image, on a line
    #[arg(long)]
    json: bool,
    /// Its admin listener, http://HOST:PORT or unix:/PATH; by default the one in the configuration
    #[arg(long, value_name = "URL", value_parser = admin_url)]
    url: Option<Url>,
}

/// Changes each image, and goes on after a failure.
///
/// # Errors
/// [`Failure`]: no request could be sent, or some images were not changed.
pub(crate) fn change(config: &Config, arguments: &PinArguments, change: Change) -> Result<(), Failure> {
    let PinArguments { images, json, url } = arguments;
    // A store notes its pins, so one that does not exist is made for an image that is not pulled yet.
    let located = images.iter().filter_map(|image| Located::find(image, &config.registries).ok());
    let located = located.filter(|located| matches!(located.reference, Reference::Digest(_)));
    let new_stores = match change {
        Change::Pin => NewStores::Of(located.map(|located| located.registry.to_owned()).collect()),
        Change::Unpin => NewStores::none(),
    };
    let listener = AdminListener::find_or_make(config, url.as_ref(), new_stores)?;
    let mut failed_count = 0;
    for image in images {
        let changed = change_one(config, &listener, image, change);
        failed_count += u64::from(changed.is_err());
        match changed {
            Ok(mut document) if *json => {
                document["image"] = image.to_string().into();
                print(&format!("{document}\n"))?;
            }
            Ok(document) => print(&format!("{image}: {}\n", describe(&document, change)))?,
            Err(reason) if *json => {
                print(&format!("{}\n", json!({ "image": image.to_string(), "error": reason })))?;
            }
            Err(reason) => complain(&format!("{image}: {reason}")),
        }
    }
    match failed_count {
        0 => Ok(()),
        count => Err(Failure::Failed(format!("not changed: {}", counted(count, "image")))),
    }
}

fn change_one(
    config: &Config,
    listener: &AdminListener,
    image: &ImageName,
    change: Change,
) -> Result<Value, String> {
    let pairs = Located::find(image, &config.registries)?.parameters();
    let method = match change {
        Change::Pin => "PUT",
        Change::Unpin => "DELETE",
    };
    listener.request(method, &format!("/api/pins?{}", query(&pairs))).map(|(_, document)| document)
}

/// The answer about one image, for people.
fn describe(document: &Value, change: Change) -> String {
    let digest = text_of(&document["digest"]);
    let line = match (change, document["changed"] == true) {
        (Change::Pin, true) => format!("pinned ({digest})"),
        (Change::Pin, false) => format!("was pinned already ({digest})"),
        (Change::Unpin, true) => format!("no longer pinned ({digest})"),
        (Change::Unpin, false) => format!("was not pinned ({digest})"),
    };
    let is_ahead = change == Change::Pin && document["held"] == false;
    if is_ahead { line + "; wharf does not hold it, and keeps it once it is pulled" } else { line }
}

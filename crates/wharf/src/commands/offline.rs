//! `wharf offline`: shows which registries are offline, and switches them.

use serde_json::Value;
use url::Url;

use super::table::columns;
use super::{query, text_of};
use crate::admin_listener::{AdminListener, admin_url};
use crate::config::Config;
use crate::registry_set::NewStores;

/// The arguments of `wharf offline`.
#[derive(Debug, clap::Args)]
pub(crate) struct OfflineArguments {
    /// Without it, only prints the states
    order: Option<Order>,
    /// Only this registry, such as `docker.io`
    #[arg(long, value_name = "NAME")]
    registry: Option<String>,
    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
    /// Its admin listener, http://HOST:PORT or unix:/PATH; by default the one in the configuration
    #[arg(long, value_name = "URL", value_parser = admin_url)]
    url: Option<Url>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Order {
    /// No request goes to an upstream
    On,
    /// Requests go to the upstream, whatever the configuration says
    Off,
    /// The configuration decides
    Default,
}

/// Switches the registries if there is an order, and returns the states afterwards, as a table or as JSON.
///
/// # Errors
/// A line for the operator.
pub(crate) fn offline(config: &Config, arguments: &OfflineArguments) -> Result<String, String> {
    let mut pairs: Vec<_> = arguments.registry.iter().map(|name| ("registry", name.as_str())).collect();
    let method = match arguments.order {
        None => "GET",
        Some(Order::Default) => "DELETE",
        Some(order) => {
            pairs.push(("state", if order == Order::On { "on" } else { "off" }));
            "PUT"
        }
    };
    // A store notes its switch for the next process.
    let new_stores = match (arguments.order, &arguments.registry) {
        (None, _) => NewStores::none(),
        (Some(_), Some(name)) => NewStores::Of([name.clone()].into()),
        (Some(_), None) => NewStores::All,
    };
    let listener = AdminListener::find_or_make(config, arguments.url.as_ref(), new_stores)?;
    let (text, document) = listener.request(method, &format!("/api/offline?{}", query(&pairs)))?;
    if arguments.json {
        return Ok(text);
    }
    let rows = document["registries"].as_array().into_iter().flatten().map(row);
    Ok(columns(["REGISTRY", "OFFLINE", "BECAUSE OF"], rows))
}

fn row(registry: &Value) -> [String; 3] {
    let is_offline = if registry["offline"] == true { "yes" } else { "no" };
    let source = match registry["source"].as_str() {
        Some("switch") => "wharf offline, for this registry",
        Some("switch_for_all") => "wharf offline, for all registries",
        _ => "the configuration",
    };
    [text_of(&registry["registry"]), is_offline.to_owned(), source.to_owned()]
}

//! `wharf client --check`: asks wharf as the client would, and says in a sentence what is wrong.

mod connection;
mod verdict;

use std::sync::Arc;

use clients::{Mirror, Registry, Tool, Way};
use oci::Reference;
use policy::image::ImageName;
use rustls::ClientConfig;
use secret::Secret;
use serde_json::Value;

use self::connection::{Endpoint, Fault, ask, trust};
use crate::admin_listener::AdminListener;
use crate::commands::table::columns;
use crate::commands::{Failure, Located};
use crate::config::Config;
use crate::output;

/// The most registries that are checked at the same time.
const CHECK_COUNT_MAX: usize = 16;

/// The media types of manifests, as clients accept them.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// What a check needs beside the client.
pub(super) struct Check<'a> {
    pub(super) config: &'a Config,
    pub(super) mirror: &'a Mirror,
    /// The value of `Authorization`.
    pub(super) authorization: Option<Secret<String>>,
    /// The image to ask for.
    pub(super) image: Option<&'a ImageName>,
}

/// An image of one registry.
struct Wanted {
    /// The end of its manifest's path.
    path: String,
    /// The name for people.
    name: String,
}

impl Wanted {
    fn new(repository: &str, mark: char, reference: &str) -> Self {
        Self {
            path: format!("{repository}/manifests/{reference}"),
            name: format!("{repository}{mark}{reference}"),
        }
    }
}

/// Checks every registry, and prints a table.
///
/// # Errors
/// [`Failure`]: some registry cannot be used, or the image is in none.
pub(super) fn check(tool: &'static Tool, check: &Check<'_>) -> Result<(), Failure> {
    let trust = trust(check.mirror)?;
    let wanted = wanted(check)?;
    let registries: Vec<(&Registry, &Option<Wanted>)> = check.mirror.registries.iter().zip(&wanted).collect();
    let mut results = Vec::new();
    for some in registries.chunks(CHECK_COUNT_MAX) {
        let run = |&(registry, wanted): &(&Registry, &Option<Wanted>)| {
            check_one(tool, check, registry, wanted.as_ref(), &trust)
        };
        results.extend(std::thread::scope(|scope| {
            let tasks: Vec<_> = some.iter().map(|it| scope.spawn(move || run(it))).collect();
            let ended = tasks.into_iter().map(|task| task.join().expect("a check does not panic"));
            ended.collect::<Vec<_>>()
        }));
    }
    let failed = results.iter().filter(|(_, result)| result.is_err()).count();
    let rows = check.mirror.registries.iter().zip(&results).map(|(registry, (address, result))| {
        let (word, text) = match result {
            Ok(text) => ("ok", text),
            Err(text) => ("FAILED", text),
        };
        [registry.name.clone(), address.clone(), word.to_owned(), text.clone()]
    });
    output::print(&columns(["REGISTRY", "ADDRESS", "", ""], rows))?;
    match failed {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!(
            "{failed} of {} registries cannot be used by {}",
            results.len(),
            tool.name
        ))),
    }
}

/// The address of the registry, and the result: a text for people in both cases.
fn check_one(
    tool: &Tool,
    check: &Check<'_>,
    registry: &Registry,
    wanted: Option<&Wanted>,
    trust: &Arc<ClientConfig>,
) -> (String, Result<String, String>) {
    let Some(way) = tool.way(check.mirror, registry) else {
        let text = format!(
            "{} cannot name this registry without a virtual host; set `domain` in [server] of wharf",
            tool.name
        );
        return ("-".to_owned(), Err(text));
    };
    let endpoint = match Endpoint::find(&way.host, check.mirror.is_tls, trust) {
        Ok(endpoint) => endpoint,
        Err(fault) => return (way.host.clone(), Err(fault.to_string())),
    };
    let result = requests(check, &way, wanted, &endpoint);
    (format!("{}/{}", way.host, way.prefix.trim_end_matches('/')).trim_end_matches('/').to_owned(), result)
}

fn requests(
    check: &Check<'_>,
    way: &Way,
    wanted: Option<&Wanted>,
    endpoint: &Endpoint<'_>,
) -> Result<String, String> {
    let authorization = check.authorization.as_ref().map(|it| it.expose().as_str());
    let send = |method: &str, path: &str| -> Result<connection::Told, Fault> {
        let query = way.ns.as_ref().map(|ns| format!("?{}", crate::commands::query(&[("ns", ns)])));
        ask(endpoint, method, &format!("{path}{}", query.unwrap_or_default()), ACCEPT, authorization)
    };
    let version = send("GET", "/v2/").map_err(|fault| fault.to_string())?;
    verdict::of_version(&version, authorization.is_some())?;
    let Some(wanted) = wanted else {
        return Ok("answers; no stored image was there to ask for, so name one with --image".to_owned());
    };
    let path = format!("/v2/{}{}", way.prefix, wanted.path);
    let manifest = send("HEAD", &path).map_err(|fault| fault.to_string())?;
    verdict::of_manifest(&manifest, &wanted.name, authorization.is_some())?;
    Ok(format!("answers, and has {}", wanted.name))
}

/// The image to ask each registry for: the given one, else one that is stored with a tag.
fn wanted(check: &Check<'_>) -> Result<Vec<Option<Wanted>>, Failure> {
    let mut wanted: Vec<Option<Wanted>> = check.mirror.registries.iter().map(|_| None).collect();
    let index = |name: &str| check.mirror.registries.iter().position(|registry| registry.name == name);
    if let Some(image) = check.image {
        let located = Located::find(image, &check.config.registries)?;
        let at = index(located.registry).expect("the mirror has the registries of the configuration");
        let (mark, reference) = match &located.reference {
            Reference::Tag(tag) => (':', tag.to_string()),
            Reference::Digest(digest) => ('@', digest.to_string()),
        };
        wanted[at] = Some(Wanted::new(located.repository.as_str(), mark, &reference));
        return Ok(wanted);
    }
    for image in stored(check.config) {
        let (Some(name), Some(repository)) = (image["registry"].as_str(), image["repository"].as_str())
        else {
            continue;
        };
        let tag = image["tags"].as_array().and_then(|tags| tags.first()).and_then(Value::as_str);
        if let (Some(at), Some(tag)) = (index(name), tag) {
            wanted[at].get_or_insert_with(|| Wanted::new(repository, ':', tag));
        }
    }
    Ok(wanted)
}

/// The stored images, as the running wharf lists them; none if it cannot be asked.
fn stored(config: &Config) -> Vec<Value> {
    let listener = AdminListener::find(config, None, "");
    let listed = listener.and_then(|listener| listener.request("GET", "/api/images"));
    match listed {
        Ok((_, document)) => document["images"].as_array().cloned().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

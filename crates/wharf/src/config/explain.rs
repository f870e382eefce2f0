//! Lists each key with its value and where that was set.

use policy::capacity::{self, Wanted};
use secret::RedactedUrl;
use toml::de::DeValue;
use url::Url;

use super::environment::{variable_of, variable_of_registry};
use super::expand::expand;
use super::form::Shape;
use super::key::{Declared, Preset};
use super::keys::{access, acme, process, registry, warm};
use super::outside;
use super::pairs;
use super::reader::Reader;
use super::registry::Registry;
use super::remark::Place;
use super::table::{Table, Value};
use super::{credential_rules, tag_rules};

/// One key as it applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The whole key, such as `registry[docker.io].tag_ttl`.
    pub(crate) key: String,
    /// The value as the file would write it. Secrets and logins are hidden.
    pub(crate) value: String,
    /// Where it was set: `wharf.toml:12`, a variable, `default`.
    pub(crate) from: String,
    /// The variable that sets it.
    pub(crate) variable: String,
    /// Whether a reload applies a change.
    pub(crate) is_reloadable: bool,
}

/// The sections of a configuration as they were read.
pub(crate) struct Tables<'t> {
    pub(crate) server: Table<'t>,
    pub(crate) tls: Table<'t>,
    pub(crate) acme: Table<'t>,
    pub(crate) admin: Table<'t>,
    pub(crate) storage: Table<'t>,
    pub(crate) log: Table<'t>,
    pub(crate) warm: Table<'t>,
    pub(crate) access: Table<'t>,
    pub(crate) defaults: Table<'t>,
    /// In the order of the configuration.
    pub(crate) registries: Vec<Table<'t>>,
    /// `[registry.access]` of each of them.
    pub(crate) registry_accesses: Vec<Table<'t>>,
}

/// A value and its source.
struct Derived {
    value: String,
    from: String,
}

/// Every key of a configuration: the sections and registries that were read from `source`. Leaves out keys of
/// `[defaults]` and of absent sections that are not set.
pub(crate) fn settings(
    reader: &Reader<'_>,
    tables: &Tables<'_>,
    source: &str,
    wanted: &Wanted,
    registries: &[Registry],
) -> Vec<Setting> {
    let mut all =
        Explainer { reader, source, wanted, registry_count: registries.len(), settings: Vec::new() };
    for (section, table) in [
        (&process::SERVER, &tables.server),
        (&process::TLS, &tables.tls),
        (&acme::ACME, &tables.acme),
        (&process::ADMIN, &tables.admin),
        (&process::STORAGE, &tables.storage),
        (&process::LOG, &tables.log),
        (&warm::WARM, &tables.warm),
        (&access::ACCESS, &tables.access),
    ] {
        let may_be_absent = [process::TLS.name, acme::ACME.name, warm::WARM.name, access::ACCESS.name];
        let only_set = may_be_absent.contains(&section.name) && table.is_absent();
        let variable = |key: &str| variable_of(section.name, key);
        for key in section.keys().filter(|key| !only_set || table.has(key.name())) {
            all.explain(section.name, key, table, &variable, |explainer| {
                explainer.derived_of_process(section.name, key.name())
            });
        }
    }
    let variable = |key: &str| variable_of("defaults", key);
    for key in registry::REGISTRY.shared_keys().filter(|key| tables.defaults.has(key.name())) {
        all.explain("defaults", key, &tables.defaults, &variable, |_| None);
    }
    for (table, registry) in tables.registries.iter().zip(registries) {
        let name = &registry.names.name;
        let variable = |key: &str| variable_of_registry(name, key);
        for key in registry::REGISTRY.keys() {
            let derived = |_: &Explainer<'_, '_>| derived_of_registry(key.name(), registry);
            all.explain(&format!("registry[{name}]"), key, table, &variable, derived);
        }
    }
    for (table, registry) in tables.registry_accesses.iter().zip(registries) {
        let name = &registry.names.name;
        let variable = |key: &str| variable_of_registry(name, &format!("access_{key}"));
        for key in access::ACCESS.keys().filter(|key| table.has(key.name())) {
            all.explain(&format!("registry[{name}].access"), key, table, &variable, |_| None);
        }
    }
    all.settings
}

struct Explainer<'r, 'a> {
    reader: &'r Reader<'a>,
    source: &'r str,
    wanted: &'r Wanted,
    registry_count: usize,
    settings: Vec<Setting>,
}

impl Explainer<'_, '_> {
    fn explain(
        &mut self,
        path: &str,
        key: &dyn Declared,
        table: &Table<'_>,
        variable: &dyn Fn(&str) -> String,
        derived: impl FnOnce(&Self) -> Option<Derived>,
    ) {
        let shape = key.shape();
        let by_default = |value: String| Derived { value, from: "default".to_owned() };
        let Derived { value, from } = match self.reader.find(table, key.name()) {
            Some((place, value)) => {
                Derived { value: self.shown(shape, value), from: self.whereabouts(&place) }
            }
            None => derived(self).unwrap_or_else(|| match key.default() {
                Preset::Value(text) => by_default(written(shape, &text)),
                Preset::Written(text) => by_default(written(shape, text)),
                Preset::Computed(_) | Preset::Absent | Preset::Required => by_default("-".to_owned()),
            }),
        };
        self.settings.push(Setting {
            key: format!("{path}.{}", key.name()),
            value,
            from,
            variable: variable(key.name()),
            is_reloadable: key.is_reloadable(),
        });
    }

    fn whereabouts(&self, place: &Place) -> String {
        match place {
            Place::Line { line, .. } => format!("{}:{line}", self.source),
            Place::Outside(name) => name.clone(),
        }
    }

    /// The value as the file would write it, with its variables expanded.
    fn shown(&self, shape: Shape, value: Value<'_, '_>) -> String {
        let expanded = |text: &str| expand(text, self.reader.variables()).unwrap_or_else(|_| text.to_owned());
        match (shape, value) {
            (Shape::Secret, _) => "(secret)".to_owned(),
            (_, Value::Outside(text)) => written(shape, text),
            (Shape::TagRules, Value::Toml(value)) => list(tag_rules::shown(value).into_iter()),
            (Shape::AccessRules, Value::Toml(value)) => {
                let count = value.get_ref().as_array().map_or(0, |rules| rules.len());
                format!("({count} rules)")
            }
            (Shape::Certificates, Value::Toml(value)) => list(pairs::shown(value).into_iter()),
            (Shape::Credentials, Value::Toml(value)) if value.get_ref().as_array().is_some() => {
                list(credential_rules::shown(value).into_iter())
            }
            (_, Value::Toml(value)) => match value.get_ref() {
                DeValue::String(text) => written(shape, &expanded(text)),
                DeValue::Array(values) => {
                    let texts = values.iter().filter_map(|value| value.get_ref().as_str());
                    list(texts.map(expanded))
                }
                DeValue::Boolean(flag) => flag.to_string(),
                DeValue::Integer(number) => number.to_string(),
                // No key takes another type, and the configuration is valid here.
                _ => "-".to_owned(),
            },
        }
    }

    /// The value that an unset key of the process takes from other values.
    fn derived_of_process(&self, section: &str, key: &str) -> Option<Derived> {
        let by_default = |value: String| Some(Derived { value, from: "default".to_owned() });
        if section == process::SERVER.name && key == process::CLIENT_CONNECTION_COUNT_MAX.name {
            let capacity = capacity::plan(None, self.wanted, self.registry_count).ok()?;
            return by_default(capacity.per_client.to_string());
        }
        if section == process::STORAGE.name && key == process::STORAGE_ROOT.name {
            let from = super::process::ROOT_VARIABLE;
            return match self.reader.variable(from) {
                Some(root) => Some(Derived { value: format!("{root:?}"), from: from.to_owned() }),
                None => by_default(format!("{:?}", super::process::ROOT_DEFAULT)),
            };
        }
        None
    }
}

/// The value that an unset key of a registry takes from other values.
fn derived_of_registry(key: &str, registry: &Registry) -> Option<Derived> {
    let value = if key == registry::UPSTREAM.name {
        registry.upstream.upstream.as_str().trim_end_matches('/').to_owned()
    } else if key == registry::ROOT.name {
        registry.root.display().to_string()
    } else if key == registry::ALIASES.name && !registry.names.aliases.is_empty() {
        return Some(Derived {
            value: list(registry.names.aliases.iter().cloned()),
            from: "default".to_owned(),
        });
    } else {
        return None;
    };
    Some(Derived { value: format!("{value:?}"), from: "default".to_owned() })
}

/// A text as the file would write it.
fn written(shape: Shape, text: &str) -> String {
    match shape {
        Shape::Secret => "(secret)".to_owned(),
        // It may carry a login.
        Shape::Proxy => match Url::parse(text) {
            Ok(url) => format!("\"{}\"", RedactedUrl::from(url)),
            Err(_) => format!("{text:?}"),
        },
        Shape::Flag | Shape::Count { .. } => text.to_owned(),
        Shape::AccessRules => format!("({} rules)", text.split_whitespace().count()),
        Shape::List(Shape::Upstream) if outside::texts(text).count() == 1 => format!("{:?}", text.trim()),
        Shape::List(_) | Shape::OrOff(Shape::List(_)) | Shape::TagRules | Shape::Certificates => {
            list(outside::texts(text).map(str::to_owned))
        }
        _ => format!("{text:?}"),
    }
}

fn list(texts: impl Iterator<Item = String>) -> String {
    format!("[{}]", texts.map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests;

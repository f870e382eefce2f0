//! Keys from outside the file: variables such as `WHARF_SERVER_DOMAIN`, and `--set` on the command line.
//!
//! The variable of a key is `WHARF_`, its section and its name, in capitals and joined by `_`. Registries
//! have names with dots and dashes, which no variable can have. So wharf never reads a name out of a
//! variable: `WHARF_REGISTRIES` or the file lists the registries, and each name becomes the middle of a
//! variable. A variable that fits none or two of them is a mistake.

use std::collections::HashMap;
use std::rc::Rc;

use url::Url;

use super::expand::Variables;
use super::foreign;
use super::form::Shape;
use super::hint;
use super::key::Section;
use super::keys::SECTIONS;
use super::keys::access;
use super::keys::registry::{NAME, REGISTRY};
use super::nearest::{is_slip, nearest};
use super::outside::{Assigned, Outside};
use super::pairs::PairRule;

/// The variable that lists the names of all registries.
pub(crate) const REGISTRIES: &str = "WHARF_REGISTRIES";

/// The mistake of a variable that has a value, but none that a text can hold.
const NOT_UTF_8: &str = "is not UTF-8 text; set it again, or unset it";

/// The start of the variables of one registry.
const OF_A_REGISTRY: &str = "WHARF_REGISTRY_";

/// The path of the section whose keys every registry inherits.
const DEFAULTS: &str = "defaults";

/// The configuration of a process outside the file.
pub(crate) struct Environment<'a> {
    /// The names of all variables that are set.
    pub(crate) names: Vec<String>,
    pub(crate) variables: Variables<'a>,
    /// Keys with their values from the command line, such as `server.domain` or `registry.ghcr.io.tag_ttl`.
    pub(crate) set: Vec<(String, String)>,
    /// Which TLS certificates must be usable.
    pub(crate) pairs: PairRule<'a>,
}

/// All values from outside, by section.
#[derive(Default)]
pub(crate) struct Assignments {
    sections: HashMap<&'static str, Rc<Assigned>>,
    /// The names of all registries, where they are listed.
    pub(crate) registries: Option<Outside>,
    /// Values for registries, each with the rest of its variable after [`OF_A_REGISTRY`].
    of_registries: Vec<(String, Outside)>,
    /// Values for registries from the command line, each with the registry's name and the key.
    set_for_registries: Vec<(String, &'static str, Outside)>,
    /// The variables and options that set keys.
    pub(crate) names: Vec<String>,
    /// Mistakes, each with the variable or option that it is about.
    mistakes: Vec<(String, String)>,
}

#[cfg(any(test, fuzzing))]
impl<'a> Environment<'a> {
    /// An environment in which no variable sets a key.
    pub(crate) fn without_keys(variables: Variables<'a>) -> Self {
        Self { names: Vec::new(), variables, set: Vec::new(), pairs: PairRule::Each }
    }
}

/// The variable of a key in the section at `path`.
pub(crate) fn variable_of(path: &str, key: &str) -> String {
    format!("WHARF_{}_{}", in_a_variable(path), in_a_variable(key))
}

/// The variable of a key of the registry called `name`.
pub(crate) fn variable_of_registry(name: &str, key: &str) -> String {
    if key == NAME.name {
        return REGISTRIES.to_owned();
    }
    format!("{OF_A_REGISTRY}{}_{}", in_a_variable(name), in_a_variable(key))
}

/// The text in capitals, with `_` for every character that is not allowed in a variable.
fn in_a_variable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// Each section that stands once in a configuration, with its path in variables.
fn sections() -> impl Iterator<Item = (&'static str, &'static Section)> {
    SECTIONS
        .into_iter()
        .map(|section| (if section.name == REGISTRY.name { DEFAULTS } else { section.name }, section))
}

/// Each key that stands once in a configuration, with the path of its section.
fn single_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    sections().flat_map(|(path, section)| {
        let keys: Vec<&'static str> = if path == DEFAULTS {
            section.shared_keys().map(|key| key.name()).collect()
        } else {
            section.keys().map(|key| key.name()).collect()
        };
        keys.into_iter().map(move |key| (path, key))
    })
}

impl Assignments {
    /// Sorts the values of `environment`. An empty variable counts as unset: compose files and charts often
    /// leave variables empty.
    pub(crate) fn of(environment: &Environment<'_>) -> Self {
        let mut sections: HashMap<&'static str, Assigned> = HashMap::new();
        let mut all = Self::default();
        let known: HashMap<String, (&'static str, &'static str)> =
            single_keys().map(|(path, key)| (variable_of(path, key), (path, key))).collect();
        let ours = environment.names.iter().filter(|name| name.starts_with("WHARF_"));
        for name in ours {
            let value = (environment.variables)(name);
            if value.is_none() {
                all.mistakes.push((name.clone(), NOT_UTF_8.to_owned()));
                continue;
            }
            let value = value.filter(|value| !value.is_empty());
            let outside = value.map(|value| Outside { name: name.clone(), value });
            if let Some((path, key)) = known.get(name) {
                outside.and_then(|outside| sections.entry(path).or_default().insert(key, outside));
            } else if name == REGISTRIES {
                all.registries = outside;
            } else if foreign::is_ours(name) {
                // It sets no key.
            } else if let Some(rest) = name.strip_prefix(OF_A_REGISTRY) {
                all.of_registries.extend(outside.map(|outside| (rest.to_owned(), outside)));
            } else if let Some(advice) = advice_for(name, &known) {
                all.mistakes.push((name.clone(), format!("there is no such variable; {advice}")));
            }
        }
        for (key, value) in &environment.set {
            all.set(key, value, &mut sections);
        }
        let single = sections.values().flat_map(|assigned| assigned.values());
        let several = all.of_registries.iter().map(|(_, outside)| outside);
        let set = all.set_for_registries.iter().map(|(_, _, outside)| outside);
        all.names =
            single.chain(several).chain(set).chain(&all.registries).map(|it| it.name.clone()).collect();
        all.names.sort();
        all.sections = sections.into_iter().map(|(path, assigned)| (path, Rc::new(assigned))).collect();
        all
    }

    /// Adds one key of the command line.
    fn set(&mut self, key: &str, value: &str, sections: &mut HashMap<&'static str, Assigned>) {
        let outside = Outside { name: format!("--set {key}"), value: value.to_owned() };
        let (path, name) = key.rsplit_once('.').unwrap_or(("", key));
        if let Some(advice) = advice_for_secret(path, name, value) {
            self.mistakes.push((outside.name.clone(), advice));
        }
        let single = single_keys().find(|single| *single == (path, name));
        if let Some((path, name)) = single {
            sections.entry(path).or_default().insert(name, outside);
        } else if key == "registries" {
            self.registries = Some(outside);
        } else if let Some(registry) = path.strip_prefix("registry.")
            && let Some(registry) = registry.strip_suffix(".access")
            && let Some(key) = settable(&format!("access_{name}"))
        {
            self.set_for_registries.push((registry.to_ascii_lowercase(), key, outside));
        } else if let Some(registry) = path.strip_prefix("registry.")
            && let Some(key) = settable(name)
        {
            self.set_for_registries.push((registry.to_ascii_lowercase(), key, outside));
        } else {
            let all: Vec<String> = single_keys().map(|(path, key)| format!("{path}.{key}")).collect();
            let elsewhere = || single_keys().find(|(_, known)| *known == name);
            let near = nearest(key, all.iter().map(String::as_str)).map(str::to_owned);
            let advice = match near.or_else(|| elsewhere().map(|(path, key)| format!("{path}.{key}"))) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => "write one such as server.domain, defaults.tag_ttl or registry.docker.io.tag_ttl"
                    .to_owned(),
            };
            self.mistakes.push((outside.name, format!("there is no such key; {advice}")));
        }
    }

    /// Removes the mistakes found so far, each with its variable.
    pub(crate) fn take_mistakes(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.mistakes)
    }

    /// The values of the section at `path`.
    pub(crate) fn section(&self, path: &str) -> Rc<Assigned> {
        self.sections.get(path).cloned().unwrap_or_default()
    }

    /// The values for each of the registries called `names`. A value for none of them, or for two, is a
    /// mistake.
    pub(crate) fn distribute(&mut self, names: &[String]) -> Vec<Assigned> {
        let mut shares = vec![Assigned::new(); names.len()];
        for (rest, outside) in std::mem::take(&mut self.of_registries) {
            let meant: Vec<(usize, &'static str)> = candidates(names, &rest).collect();
            match meant[..] {
                [(index, key)] => {
                    shares[index].insert(key, outside);
                }
                [] if foreign::is_of_a_service(&outside.name) => {}
                [] => self.mistakes.push((outside.name, advice_for_registry(&rest, names))),
                [(one, key), (other, other_key), ..] => {
                    let text = format!(
                        "could be {key} of {:?} and {other_key} of {:?}; write it into the configuration \
                         file, or with --set",
                        names[one], names[other]
                    );
                    self.mistakes.push((outside.name, text));
                }
            }
        }
        for (name, key, outside) in std::mem::take(&mut self.set_for_registries) {
            match names.iter().position(|it| *it == name) {
                Some(index) => {
                    shares[index].insert(key, outside);
                }
                None => self
                    .mistakes
                    .push((outside.name, format!("there is no registry {name:?}; {}", known(names)))),
            }
        }
        shares
    }
}

/// The registries and keys that a variable can mean, by its rest after `WHARF_REGISTRY_`.
fn candidates(names: &[String], rest: &str) -> impl Iterator<Item = (usize, &'static str)> {
    names.iter().enumerate().filter_map(move |(index, name)| {
        let key = rest.strip_prefix(&in_a_variable(name))?.strip_prefix('_')?;
        Some((index, settable(&key.to_ascii_lowercase()).filter(|_| key == key.to_ascii_uppercase())?))
    })
}

/// The key of a registry with this name, if it can be set from outside. The registry's name cannot: it stands
/// in the list of all names.
fn settable(key: &str) -> Option<&'static str> {
    let own = REGISTRY.keys().map(|key| key.name());
    let of_access = access::OF_A_REGISTRY.iter().map(|(outside, _)| *outside);
    own.chain(of_access).find(|known| *known == key && *known != NAME.name)
}

/// Advice on a key of the section at `path` whose value is a secret, which a command line would show to every
/// user of the machine.
fn advice_for_secret(path: &str, key: &str, value: &str) -> Option<String> {
    let registry = path.strip_prefix("registry.");
    let section = match registry {
        Some(_) => &REGISTRY,
        None => {
            single_keys().find(|single| *single == (path, key))?;
            sections().find(|(known, _)| *known == path)?.1
        }
    };
    let declared = section.keys().find(|declared| declared.name() == key)?;
    let holds_secret = match declared.shape() {
        Shape::Secret => true,
        Shape::Proxy => {
            Url::parse(value).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
        }
        _ => false,
    };
    if !holds_secret {
        return None;
    }
    let variable = match registry {
        Some(name) => variable_of_registry(name, key),
        None => variable_of(path, key),
    };
    let of_file = format!("{key}_file");
    let of_file = section.keys().any(|declared| declared.name() == of_file).then_some(of_file);
    let of_file = of_file.map(|key| format!(", or name a file with {key}")).unwrap_or_default();
    Some(format!(
        "holds a secret, and every user of this machine can read the arguments of a process; write it into the \
         configuration file or the variable {variable}{of_file}"
    ))
}

/// Advice on a variable that sets no key, or `None` if the variable may be meant for another program.
fn advice_for(name: &str, known: &HashMap<String, (&'static str, &'static str)>) -> Option<String> {
    if foreign::is_of_a_service(name) {
        return None;
    }
    let mut variables: Vec<&str> =
        known.keys().map(String::as_str).chain([REGISTRIES, "WHARF_CONFIG", "WHARF_ROOT"]).collect();
    variables.sort_unstable();
    let own = name.trim_start_matches("WHARF_").to_ascii_lowercase();
    let section = sections().find(|(path, _)| name.starts_with(&variable_of(path, "")));
    if let Some((path, section)) = section {
        let key = &name[variable_of(path, "").len()..].to_ascii_lowercase();
        let of_one = section.own_keys().any(|own| path == DEFAULTS && own.name() == key);
        if of_one {
            return Some(format!("each registry has its own {key}"));
        }
        let known = section.names();
        let hint = hint::for_key(key).map(str::to_owned);
        return Some(hint.or_else(|| variable_meant(key)).unwrap_or_else(|| {
            match nearest(key, known.iter().copied()) {
                Some(meant) => format!("did you mean {}?", variable_of(path, meant)),
                None => format!("the keys of [{path}] are {}", known.join(", ")),
            }
        }));
    }
    if let Some(meant) = variable_meant(&own) {
        return Some(meant);
    }
    let near = variables.into_iter().find(|known| is_slip(name, known));
    let meant = near.or((own == REGISTRY.name).then_some(REGISTRIES))?;
    Some(format!("did you mean {meant}?"))
}

/// Asks for the variable of the key called `key`, which stands in another section.
fn variable_meant(key: &str) -> Option<String> {
    let (path, key) = single_keys().find(|(_, known)| *known == key)?;
    let variable = variable_of(path, key);
    Some(if path == DEFAULTS {
        format!("did you mean {OF_A_REGISTRY}<NAME>_{} or {variable}?", in_a_variable(key))
    } else {
        format!("did you mean {variable}?")
    })
}

/// Advice on a variable for a registry that sets no key, by its rest after `WHARF_REGISTRY_`.
fn advice_for_registry(rest: &str, names: &[String]) -> String {
    let of_one = names.iter().find_map(|name| {
        let key = rest.strip_prefix(&in_a_variable(name))?.strip_prefix('_')?;
        Some((name, key.to_ascii_lowercase()))
    });
    if let Some((name, key)) = of_one {
        if key == NAME.name {
            return format!("the names of registries are in {REGISTRIES}");
        }
        let hint = hint::for_key(&key).map(str::to_owned);
        let advice = hint.or_else(|| variable_meant(&key)).unwrap_or_else(|| {
            match nearest(&key, REGISTRY.keys().map(|key| key.name())) {
                Some(meant) => format!("did you mean {}?", variable_of_registry(name, meant)),
                None => format!("the keys here are {}", REGISTRY.names().join(", ")),
            }
        });
        return format!("there is no such key; {advice}");
    }
    let whole = format!("{OF_A_REGISTRY}{rest}");
    let all: Vec<String> = names
        .iter()
        .flat_map(|name| REGISTRY.keys().map(move |key| variable_of_registry(name, key.name())))
        .collect();
    let near = all.iter().map(|known| (strsim::osa_distance(&whole, known), known)).min();
    match near.filter(|(distance, _)| *distance <= 2) {
        Some((_, meant)) => format!("belongs to no configured registry; did you mean {meant}?"),
        None => format!("belongs to no configured registry; {}", known(names)),
    }
}

/// Advice on a registry that is not configured.
fn known(names: &[String]) -> String {
    format!(
        "configured are {}; add its name to {REGISTRIES}, or a [[registry]] to the file",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests;

//! The rules of `[[registry.credentials]]`: which repositories, and where their login comes from.
//!
//! A source is written `<kind>` or `<kind>:<argument>`. Where one source is for every repository,
//! `credentials = "<source>"` stands for a list of one.

use std::path::PathBuf;

use credentials::{
    AzureSettings, EcrSettings, GoogleSettings, ProcessSettings, Rule, SourceSettings, Variables,
};
use policy::repository_pattern::RepositoryPattern;
use toml::Spanned;
use toml::de::DeValue;

use super::address::parse_upstream;
use super::form::{Form, Shape};
use super::keys::credentials as keys;
use super::nearest::nearest;
use super::reader::{Reader, Text};
use super::remark::Place;
use super::table::{Table, Value, kind};

const EXAMPLE: &str =
    "write, for example, credentials = \"docker-config\", or [[registry.credentials]] with match and source";

/// The rules of a registry, each with its place.
pub(crate) const CREDENTIAL_RULES: Form<Vec<(Place, Rule)>> = Form {
    shape: Shape::Credentials,
    read: |reader, table, key| reader.credential_rules(table, key),
    show: |_| String::new(),
};

/// A kind of source: its word, how it is written, and the further keys that it takes.
struct Kind {
    word: &'static str,
    argument: Argument,
    keys: &'static [&'static str],
}

/// What stands behind the colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    /// It must be there; the text is an example.
    Needed(&'static str),
    /// It may be there.
    Allowed,
    /// It must not be there.
    None,
}

const OF_PROGRAMS: &[&str] = &[keys::ARGUMENTS.name, keys::ENVIRONMENT.name, keys::TIMEOUT.name];
const OF_HELPERS: &[&str] = &[keys::ENVIRONMENT.name, keys::TIMEOUT.name];

const OF_AMAZON: &[&str] = &[
    keys::REGION.name,
    keys::PROFILE.name,
    keys::PROFILE_FILE.name,
    keys::ROLE.name,
    keys::TOKEN_FILE.name,
    keys::ENDPOINT.name,
];
const OF_AZURE: &[&str] =
    &[keys::TENANT.name, keys::CLIENT_ID.name, keys::CLIENT_SECRET_FILE.name, keys::TOKEN_FILE.name];

const KINDS: [Kind; 9] = [
    Kind { word: "ecr", argument: Argument::None, keys: OF_AMAZON },
    Kind { word: "ecr-public", argument: Argument::None, keys: OF_AMAZON },
    Kind { word: "google", argument: Argument::Allowed, keys: &[keys::ACCOUNT.name] },
    Kind { word: "azure", argument: Argument::None, keys: OF_AZURE },
    Kind { word: "docker-config", argument: Argument::Allowed, keys: OF_HELPERS },
    Kind {
        word: "pull-secret",
        argument: Argument::Needed("/run/secrets/pull/.dockerconfigjson"),
        keys: &[],
    },
    Kind { word: "helper", argument: Argument::Needed("ecr-login"), keys: OF_HELPERS },
    Kind { word: "command", argument: Argument::Needed("/usr/local/bin/registry-login"), keys: OF_PROGRAMS },
    Kind {
        word: "kubelet",
        argument: Argument::Needed("/usr/libexec/ecr-credential-provider"),
        keys: OF_PROGRAMS,
    },
];

/// The keys that only some kinds take.
fn options() -> impl Iterator<Item = &'static str> {
    let login = &keys::CREDENTIALS.groups[0];
    keys::CREDENTIALS.keys().map(|key| key.name()).skip(login.keys.len())
}

/// The words of all kinds.
pub(crate) fn kind_words() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.word)
}

/// The rules in the file in one text each, without their logins.
pub(crate) fn shown(value: &Spanned<DeValue<'_>>) -> Vec<String> {
    let text = |rule: &DeValue<'_>, key| rule.as_table()?.get(key)?.get_ref().as_str().map(str::to_owned);
    let rule = |rule: &Spanned<DeValue<'_>>| {
        let rule = rule.get_ref();
        let source = text(rule, keys::SOURCE.name).unwrap_or_else(|| keys::USERNAME.name.to_owned());
        match text(rule, keys::MATCH.name) {
            Some(pattern) => format!("{pattern}={source}"),
            None => source,
        }
    };
    value.get_ref().as_array().into_iter().flat_map(|rules| rules.iter()).map(rule).collect()
}

impl Reader<'_> {
    /// The rules that can be read. Each other one gets a remark.
    fn credential_rules(&mut self, table: &Table<'_>, key: &str) -> Option<Vec<(Place, Rule)>> {
        let (place, value) = self.find(table, key)?;
        let rules = match value {
            Value::Toml(value) if value.get_ref().as_array().is_some() => value,
            Value::Toml(value) if value.get_ref().as_str().is_none() => {
                let wrong =
                    format!("expected a source or a list of sections, found {}; {EXAMPLE}", kind(value));
                return self.refuse_value(&place, &wrong);
            }
            Value::Toml(_) | Value::Outside(_) => {
                let text = self.text_or_nothing(table, key)?;
                let source = self.source(&Table::absent(), &text)?;
                return Some(vec![(place, Rule { pattern: None, source })]);
            }
        };
        let sections = self.listed_sections(&place, rules, &keys::CREDENTIALS.names(), EXAMPLE)?;
        let read = sections.iter().filter_map(|table| Some((table.place(), self.credential_rule(table)?)));
        Some(read.collect())
    }

    fn credential_rule(&mut self, table: &Table<'_>) -> Option<Rule> {
        let pattern = match keys::MATCH.read(self, table) {
            None if table.has(keys::MATCH.name) => return None,
            None => None,
            Some(text) => match text.value.parse::<RepositoryPattern>() {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    let wrong = format!("{:?}: {error}; write repositories such as \"team/*\"", text.written);
                    return self.refuse_value(&text.place, &wrong);
                }
            },
        };
        let source = if table.has(keys::SOURCE.name) {
            for key in [keys::USERNAME.name, keys::PASSWORD.name, keys::PASSWORD_FILE.name] {
                if table.has(key) {
                    let place = self.place(table, key);
                    self.refuse(&place, "source is set as well, which gives the login; keep one of the two");
                }
            }
            let text = keys::SOURCE.read(self, table)?;
            self.source(table, &text)?
        } else {
            for key in options().filter(|key| table.has(key)) {
                let place = self.place(table, key);
                self.refuse(&place, "is for a source, and this rule has none; leave it out");
            }
            if !table.has(keys::USERNAME.name) {
                let wrong = "has neither source nor username; write where the login comes from, such as \
                             source = \"docker-config\"";
                return self.refuse_value(&table.place(), wrong);
            }
            self.login(table)?
        };
        Some(Rule { pattern, source })
    }

    /// The source that `text` names, with its options in `table`.
    fn source(&mut self, table: &Table<'_>, text: &Text) -> Option<SourceSettings> {
        let (word, argument) = match text.value.split_once(':') {
            Some((word, argument)) => (word, Some(argument.trim())),
            None => (text.value.as_str(), None),
        };
        let Some(kind) = KINDS.iter().find(|kind| kind.word == word) else {
            let words: Vec<&str> = kind_words().collect();
            let wrong = match nearest(word, words.iter().copied()) {
                Some(meant) => format!("{word:?} is no source of credentials; did you mean {meant:?}?"),
                // The text may be a login that was written here by mistake.
                None => format!(
                    "is no source of credentials; the kinds are {}; a login goes to username and password",
                    words.join(", ")
                ),
            };
            return self.refuse_value(&text.place, &wrong);
        };
        let argument = match (kind.argument, argument.filter(|argument| !argument.is_empty())) {
            (Argument::Needed(example), None) => {
                let wrong = format!("{word} names nothing; write, for example, \"{word}:{example}\"");
                return self.refuse_value(&text.place, &wrong);
            }
            (Argument::None, Some(_)) => {
                let wrong =
                    format!("{word} takes nothing behind a colon; write \"{word}\", and keys beside it");
                return self.refuse_value(&text.place, &wrong);
            }
            (_, argument) => argument,
        };
        for key in options().filter(|key| table.has(key) && !kind.keys.contains(key)) {
            let place = self.place(table, key);
            self.refuse(&place, format!("is not for {word}; leave it out"));
        }
        self.source_of(kind.word, argument, table, text)
    }

    fn source_of(
        &mut self,
        word: &str,
        argument: Option<&str>,
        table: &Table<'_>,
        text: &Text,
    ) -> Option<SourceSettings> {
        let named = argument.unwrap_or_default();
        Some(match word {
            "docker-config" => {
                let path = match argument {
                    Some(path) => self.source_path(text, path)?,
                    None => self.docker_config(text)?,
                };
                SourceSettings::DockerConfig { path, process: self.process(table, PathBuf::new()) }
            }
            "pull-secret" => SourceSettings::PullSecret { path: self.source_path(text, named)? },
            "helper" => match credentials::helper_program(named) {
                Ok(program) => SourceSettings::Helper(self.process(table, program)),
                Err(_) => {
                    let wrong = format!(
                        "{:?}: a helper is named by the word behind \"docker-credential-\", such as \
                         \"helper:ecr-login\"",
                        text.written
                    );
                    return self.refuse_value(&text.place, &wrong);
                }
            },
            "ecr" => SourceSettings::Ecr(self.amazon(table)?),
            "ecr-public" => SourceSettings::EcrPublic(self.amazon(table)?),
            "google" => {
                let file = match argument {
                    Some(path) => Some(self.source_path(text, path)?),
                    None => None,
                };
                let account = keys::ACCOUNT.read(self, table).map(|text| text.value);
                SourceSettings::Google(GoogleSettings { file, account, variables: self.of_clouds() })
            }
            "azure" => SourceSettings::Azure(AzureSettings {
                tenant: keys::TENANT.read(self, table).map(|text| text.value),
                client_id: keys::CLIENT_ID.read(self, table).map(|text| text.value),
                client_secret_file: keys::CLIENT_SECRET_FILE.read(self, table),
                token_file: keys::TOKEN_FILE.read(self, table).map(|text| PathBuf::from(text.value)),
                variables: self.of_clouds(),
            }),
            "command" => SourceSettings::Command(self.named_process(table, text, named)?),
            _ => SourceSettings::Kubelet(self.named_process(table, text, named)?),
        })
    }

    fn amazon(&mut self, table: &Table<'_>) -> Option<EcrSettings> {
        let endpoint = match keys::ENDPOINT.read(self, table) {
            None => None,
            Some(text) => match parse_upstream(&text.value) {
                Ok(url) => Some(url),
                Err(wrong) => return self.refuse_value(&text.place, wrong),
            },
        };
        Some(EcrSettings {
            region: keys::REGION.read(self, table).map(|text| text.value),
            profile: keys::PROFILE.read(self, table).map(|text| text.value),
            file: keys::PROFILE_FILE.read(self, table).map(|text| PathBuf::from(text.value)),
            role: keys::ROLE.read(self, table).map(|text| text.value),
            token_file: keys::TOKEN_FILE.read(self, table).map(|text| PathBuf::from(text.value)),
            endpoint,
            variables: self.of_clouds(),
        })
    }

    fn of_clouds(&self) -> Variables {
        let read = self.variables();
        Variables::of_clouds(|name| read(name))
    }

    /// A path in a source. A relative one would depend on wharf's working directory.
    fn source_path(&mut self, text: &Text, path: &str) -> Option<PathBuf> {
        if path.starts_with('/') {
            return Some(PathBuf::from(path));
        }
        let wrong = format!("{:?}: write the whole path, from \"/\" on", text.written);
        self.refuse_value(&text.place, &wrong)
    }

    /// Docker's own place of its `config.json`.
    fn docker_config(&mut self, text: &Text) -> Option<PathBuf> {
        let directory = self.variable("DOCKER_CONFIG").map(PathBuf::from);
        let home = || self.variable("HOME").map(|home| PathBuf::from(home).join(".docker"));
        let Some(directory) = directory.or_else(home) else {
            let wrong = "neither DOCKER_CONFIG nor HOME says where the file is; write \
                         \"docker-config:/path/to/config.json\"";
            return self.refuse_value(&text.place, wrong);
        };
        Some(directory.join("config.json"))
    }

    fn named_process(&mut self, table: &Table<'_>, text: &Text, program: &str) -> Option<ProcessSettings> {
        let program = if program.contains('/') || program.starts_with('~') {
            self.source_path(text, program)?
        } else {
            PathBuf::from(program)
        };
        Some(self.process(table, program))
    }

    fn process(&mut self, table: &Table<'_>, program: PathBuf) -> ProcessSettings {
        let texts = |texts: Option<Vec<Text>>| -> Vec<String> {
            texts.unwrap_or_default().into_iter().map(|text| text.value).collect()
        };
        let arguments = texts(keys::ARGUMENTS.read(self, table));
        let further = texts(keys::ENVIRONMENT.read(self, table));
        let mut timeout = keys::TIMEOUT.value(self, table);
        if timeout > ProcessSettings::TIMEOUT_MAX {
            let place = self.place(table, keys::TIMEOUT.name);
            let max = ProcessSettings::TIMEOUT_MAX.as_secs();
            self.refuse(
                &place,
                format!("is more than {max} s, which no client waits for; write a shorter time"),
            );
            timeout = ProcessSettings::TIMEOUT_MAX;
        }
        let read = self.variables();
        let variables = Variables::of_a_program(further.iter().map(String::as_str), |name| read(name));
        ProcessSettings { program, arguments, variables, timeout }
    }
}

//! The rules of `[[access.rule]]`: clients by name or address, and the repositories that they may read.
//!
//! Outside the file, a rule reads `users=ci-*,bot;allow=build/*`, and blanks separate the rules.

use policy::access::{ClientRule, Repositories};

use super::form::{Form, LOWER_CASE_NAMES, NAMES as NAME_FORM, NETWORKS, REPOSITORIES, Shape};
use super::outside::{Assigned, Outside};
use super::reader::Reader;
use super::remark::Place;
use super::table::{Table, Value};

/// The keys of a rule with the names of clients.
pub(crate) const NAMES: [&str; 3] = ["users", "tokens", "certificates"];

/// The key of a rule with addresses.
pub(crate) const ADDRESSES: &str = "addresses";

/// The keys of a rule with repositories.
pub(crate) const REPOSITORY_KEYS: [&str; 2] = ["allow", "deny"];

const EXAMPLE: &str = "write, for example, users = [\"ci-*\"] and allow = [\"team/*\"] below [[access.rule]]";

/// Rules for certain clients.
pub(crate) const RULES: Form<Vec<ClientRule>> = Form {
    shape: Shape::AccessRules,
    read: |reader, table, key| reader.access_rules(table, key),
    show: |_| String::new(),
};

impl Reader<'_> {
    /// The rules that can be read. Each other one gets a remark.
    fn access_rules(&mut self, table: &Table<'_>, key: &str) -> Option<Vec<ClientRule>> {
        let (place, value) = self.find(table, key)?;
        let rules = match value {
            Value::Outside(text) => {
                let rules: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
                return Some(
                    rules.iter().filter_map(|rule| self.outside_access_rule(&place, rule)).collect(),
                );
            }
            Value::Toml(value) => value,
        };
        let keys: Vec<&str> = NAMES.into_iter().chain([ADDRESSES]).chain(REPOSITORY_KEYS).collect();
        let sections = self.listed_sections(&place, rules, &keys, EXAMPLE)?;
        Some(sections.iter().map(|rule| self.access_rule(rule)).collect())
    }

    /// A rule of a variable: `users=ci-*,bot;allow=build/*`.
    fn outside_access_rule(&mut self, place: &Place, rule: &str) -> Option<ClientRule> {
        let mut assigned = Assigned::new();
        for part in rule.split(';') {
            let keys = NAMES.into_iter().chain([ADDRESSES]).chain(REPOSITORY_KEYS);
            let found = part.split_once('=').and_then(|(name, value)| {
                let outside = Outside { name: place.name().to_owned(), value: value.to_owned() };
                keys.into_iter().find(|key| *key == name).map(|key| (key, outside))
            });
            let Some((key, value)) = found else {
                let wrong =
                    format!("{part:?} is no part of a rule; write, for example, users=ci-*;allow=team/*");
                return self.refuse_value(place, &wrong);
            };
            assigned.insert(key, value);
        }
        Some(self.access_rule(&Table::outside(place.name()).assigned(assigned)))
    }

    fn access_rule(&mut self, rule: &Table<'_>) -> ClientRule {
        if !NAMES.into_iter().chain([ADDRESSES]).any(|key| rule.has(key)) {
            self.refuse(&rule.place(), format!("names no client; {EXAMPLE}"));
        }
        if !REPOSITORY_KEYS.into_iter().any(|key| rule.has(key)) {
            self.refuse(&rule.place(), format!("has neither allow nor deny; {EXAMPLE}"));
        }
        ClientRule {
            users: (NAME_FORM.read)(self, rule, "users").unwrap_or_default(),
            tokens: (NAME_FORM.read)(self, rule, "tokens").unwrap_or_default(),
            certificates: (LOWER_CASE_NAMES.read)(self, rule, "certificates").unwrap_or_default(),
            addresses: (NETWORKS.read)(self, rule, ADDRESSES).unwrap_or_default(),
            repositories: Repositories {
                allow: (REPOSITORIES.read)(self, rule, "allow"),
                deny: (REPOSITORIES.read)(self, rule, "deny").unwrap_or_default(),
            },
        }
    }
}

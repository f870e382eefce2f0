//! The rules of `[[registry.tag]]`: a pattern for tags, and how long a check of them stays valid.
//!
//! Outside the file, a rule reads `<match>=<ttl>`, and blanks or commas separate the rules.

use policy::freshness::{TagPattern, TagTtl};
use toml::Spanned;
use toml::de::DeValue;

use super::form::{Form, Shape, TTL as TTL_FORM};
use super::outside::{self, Assigned, Outside};
use super::reader::Reader;
use super::remark::Place;
use super::table::{Table, Value};

/// The key of a rule with the pattern.
pub(crate) const PATTERN: &str = "match";

/// The key of a rule with the time.
pub(crate) const TTL: &str = "ttl";

const EXAMPLE: &str = "write, for example, match = \"v*\" and ttl = \"forever\" below [[registry.tag]]";

/// Rules for tags.
pub(crate) const TAG_RULES: Form<Vec<TagTtl>> = Form {
    shape: Shape::TagRules,
    read: |reader, table, key| reader.tag_rules(table, key),
    show: |_| String::new(),
};

/// The rules in the file as they would stand outside it.
pub(crate) fn shown(value: &Spanned<DeValue<'_>>) -> Vec<String> {
    let text = |rule: &DeValue<'_>, key| rule.as_table()?.get(key)?.get_ref().as_str().map(str::to_owned);
    let rule = |rule: &Spanned<DeValue<'_>>| {
        Some(format!("{}={}", text(rule.get_ref(), PATTERN)?, text(rule.get_ref(), TTL)?))
    };
    value.get_ref().as_array().into_iter().flat_map(|rules| rules.iter()).filter_map(rule).collect()
}

impl Reader<'_> {
    /// The rules that can be read. Each other one gets a remark.
    fn tag_rules(&mut self, table: &Table<'_>, key: &str) -> Option<Vec<TagTtl>> {
        let (place, value) = self.find(table, key)?;
        let rules = match value {
            Value::Outside(text) => {
                let text = text.to_owned();
                let rules = outside::texts(&text).filter_map(|rule| self.outside_rule(&place, rule));
                return Some(rules.collect());
            }
            Value::Toml(value) => value,
        };
        let sections = self.listed_sections(&place, rules, &[PATTERN, TTL], EXAMPLE)?;
        Some(sections.iter().filter_map(|rule| self.tag_rule(rule)).collect())
    }

    fn outside_rule(&mut self, place: &Place, rule: &str) -> Option<TagTtl> {
        let Some((pattern, ttl)) = rule.rsplit_once('=') else {
            let wrong = format!("{rule:?} is no rule for tags; write <match>=<ttl>, such as \"v*=forever\"");
            return self.refuse_value(place, &wrong);
        };
        let outside = |value: &str| Outside { name: place.name().to_owned(), value: value.to_owned() };
        let assigned = Assigned::from([(PATTERN, outside(pattern)), (TTL, outside(ttl))]);
        self.tag_rule(&Table::outside(place.name()).assigned(assigned))
    }

    fn tag_rule(&mut self, rule: &Table<'_>) -> Option<TagTtl> {
        for key in [PATTERN, TTL] {
            if !rule.has(key) {
                self.refuse(&rule.place(), format!("has no {key}; {EXAMPLE}"));
            }
        }
        let ttl = (TTL_FORM.read)(self, rule, TTL);
        let text = self.text(rule, PATTERN)?;
        let pattern: TagPattern = match text.value.parse() {
            Ok(pattern) => pattern,
            Err(error) => {
                let wrong = format!(
                    "{:?}: {error}; write tags such as \"v*\", or \"library/*:v1.*\" for certain repositories",
                    text.written
                );
                return self.refuse_value(&text.place, &wrong);
            }
        };
        Some(TagTtl { pattern, ttl: ttl? })
    }
}

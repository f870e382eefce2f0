//! Lists of sections within a section, such as `[[registry.tag]]`.

use std::rc::Rc;

use toml::Spanned;
use toml::de::DeValue;

use super::reader::Reader;
use super::remark::Place;
use super::table::{Table, kind};

impl Reader<'_> {
    /// The sections of the list at `place`, which may have these keys. Anything else gets a remark that ends
    /// with `example`; `None` if `value` is no list.
    pub(crate) fn listed_sections<'t>(
        &mut self,
        place: &Place,
        value: &'t Spanned<DeValue<'t>>,
        keys: &[&str],
        example: &str,
    ) -> Option<Vec<Table<'t>>> {
        let Some(array) = value.get_ref().as_array() else {
            let wrong = format!("expected a list of sections, found {}; {example}", kind(value));
            return self.refuse_value(place, &wrong);
        };
        let mut sections = Vec::with_capacity(array.len());
        for (index, value) in array.iter().enumerate() {
            let key = format!("{}[{index}]", place.name());
            let place = match place {
                Place::Line { .. } => Place::Line { line: self.line(value.span().start), key },
                Place::Outside(_) => place.clone(),
            };
            let Some(entries) = value.get_ref().as_table() else {
                self.refuse(&place, format!("expected a section, found {}; {example}", kind(value)));
                continue;
            };
            let section = Table::one(place, Some(entries), Rc::default());
            self.refuse_unknown_keys(&section, keys, |_| None);
            sections.push(section);
        }
        Some(sections)
    }
}

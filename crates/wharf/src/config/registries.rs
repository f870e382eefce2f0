//! Chooses the registries: those of the file, of the variable that lists them, or the built-in ones.

use super::address::parse_authority;
use super::expand::expand;
use super::keys::registry::{NAME, REGISTRY};
use super::outside::{Assigned, Outside};
use super::reader::Reader;
use super::remark::Place;
use super::sections::{Sections, list_of_sections};
use super::table::Table;

/// The tables of all registries, each with the values from outside the file.
pub(crate) fn tables<'t>(
    reader: &mut Reader<'_>,
    sections: &mut Sections,
    top: &Table<'t>,
    builtin: &Table<'t>,
) -> Vec<Table<'t>> {
    let written = list_of_sections(reader, top, REGISTRY.name, &REGISTRY);
    let tables = match sections.registry_list() {
        Some(list) => listed(reader, written, &list),
        None if top.has(REGISTRY.name) => written,
        None => list_of_sections(reader, builtin, REGISTRY.name, &REGISTRY),
    };
    let names: Vec<String> = tables.iter().map(|table| name_of(reader, table).unwrap_or_default()).collect();
    let shares = sections.distribute(reader, &names);
    tables.into_iter().zip(shares).map(|(table, share)| table.assigned(share)).collect()
}

/// The tables of the registries in `list`, in its order. A registry that is not in the file has only its
/// name.
fn listed<'t>(reader: &mut Reader<'_>, written: Vec<Table<'t>>, list: &Outside) -> Vec<Table<'t>> {
    let mut written: Vec<(Option<String>, Table<'t>)> =
        written.into_iter().map(|table| (name_of(reader, &table), table)).collect();
    let mut tables = Vec::new();
    for name in list.texts() {
        let parsed = parse_authority(name).ok();
        let known = parsed.and_then(|name| written.iter().position(|(it, _)| it.as_ref() == Some(&name)));
        tables.push(match known {
            Some(index) => written.remove(index).1,
            None => {
                let outside = Outside { name: list.name.clone(), value: name.to_owned() };
                Table::outside(&list.name).assigned(Assigned::from([(NAME.name, outside)]))
            }
        });
    }
    if tables.is_empty() {
        reader
            .refuse(&Place::Outside(list.name.clone()), "names no registry; write names separated by blanks");
    }
    for (_, table) in &written {
        reader.warn(&table.place(), format!("is not served, because {} does not name it", list.name));
    }
    tables
}

/// The name of a registry as variables and the list write it, or `None` if it cannot be read.
fn name_of(reader: &Reader<'_>, table: &Table<'_>) -> Option<String> {
    let written = table.peek(NAME.name)?;
    parse_authority(&expand(written, reader.variables()).ok()?).ok()
}

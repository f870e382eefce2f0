//! The link to the next page of a list (distribution-spec, "Listing Tags"; RFC 8288).

use oci::{CURSOR_KEYS, Page, Query};
use url::Url;

/// Query keys of the specification that a client can send back.
const KEYS: [&str; 3] = ["last", "n", "artifactType"];
/// The longest query to pass on, in bytes.
const QUERY_BYTES_MAX: usize = 2048;

/// Returns the query of the link to the next page, with only the known keys, as written. Returns `None`
/// unless a client can send them back and they continue the list: any other link would be refused, or return
/// the first page for ever. The link's path is ignored: the next page comes from the same list.
pub(crate) fn next_query<'a>(values: impl Iterator<Item = &'a str>, page: &Url) -> Option<String> {
    let target = values.flat_map(links).find(|(_, parameters)| is_next(parameters))?.0;
    let url = page.join(target).ok()?;
    let pairs = url.query()?.split('&').filter_map(|pair| Some((pair.split_once('=')?.0, pair)));
    let is_known = |key: &str| KEYS.contains(&key) || CURSOR_KEYS.contains(&key);
    let kept: Vec<_> = pairs.filter(|(key, _)| is_known(key)).map(|(_, pair)| pair).collect();
    let query = kept.join("&");
    let continues = Page::parse(Query::new(Some(&query))).is_ok_and(|page| page.continues());
    (continues && query.len() <= QUERY_BYTES_MAX).then_some(query)
}

/// The links of one header: `<target>; name=value; ..., <target>; ...`.
fn links(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split('<').skip(1).filter_map(|link| link.split_once('>'))
}

/// Tells whether the parameters have `rel=next`, alone or among other relations.
fn is_next(parameters: &str) -> bool {
    parameters.split([';', ',']).filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
        name.trim().eq_ignore_ascii_case("rel") && relations.any(|it| it.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests;

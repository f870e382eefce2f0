//! The way to the next page of a list (distribution-spec, "Listing Tags"; RFC 8288).

use url::Url;

/// Query keys that registries page by. Others, such as a token, are nothing that a client of ours may see.
const PAGING_KEYS: [&str; 8] =
    ["n", "last", "artifactType", "next", "next_page", "nextPage", "page", "page_token"];
/// The longest query that is passed on, in bytes.
const QUERY_BYTES_MAX: usize = 2048;

/// The query of the link to the next page in the values of a page's `Link` headers, of which the paging keys
/// are kept as they were written. Where the link leads is not looked at: the next page is asked of the same
/// list.
pub(crate) fn next_query<'a>(values: impl Iterator<Item = &'a str>, page: &Url) -> Option<String> {
    let target = values.flat_map(links).find(|(_, parameters)| is_next(parameters))?.0;
    let url = page.join(target).ok()?;
    let is_paging = |pair: &&str| PAGING_KEYS.contains(&pair.split('=').next().unwrap_or_default());
    let query = url.query()?.split('&').filter(is_paging).collect::<Vec<_>>().join("&");
    (!query.is_empty() && query.len() <= QUERY_BYTES_MAX).then_some(query)
}

/// The links of one header: `<target>; name=value; ..., <target>; ...`.
fn links(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split('<').skip(1).filter_map(|link| link.split_once('>'))
}

/// Whether the parameters have `rel=next`, alone or among other relations.
fn is_next(parameters: &str) -> bool {
    parameters.split([';', ',']).filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
        name.trim().eq_ignore_ascii_case("rel") && relations.any(|it| it.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests;

//! The public suffix list: which part of a host name can be registered.
//!
//! The list is code, ten thousand nested matches that each user of it compiles anew. Optimised, that took 40
//! s in each of two crates; here it is compiled once, and not optimised (`Cargo.toml`). A lookup takes
//! microseconds all the same.

/// Tells whether the list knows the suffix of this name. Returns `None` for a name without one, such as the
/// empty name.
#[inline(never)]
pub fn is_listed(name: &str) -> Option<bool> {
    Some(psl::suffix(name.as_bytes())?.is_known())
}

/// Returns the registered domain, without a trailing dot. Returns `None` for a public suffix itself and for
/// names under a suffix that is not on the list.
#[inline(never)]
pub fn registrable_domain(name: &str) -> Option<&[u8]> {
    let domain = psl::domain(name.as_bytes())?;
    domain.suffix().is_known().then(|| domain.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_one_label_below_a_listed_suffix() {
        for (name, domain) in [
            ("registry-1.docker.io", Some("docker.io")),
            ("docker.io.", Some("docker.io")),
            ("a.b.example.co.uk", Some("example.co.uk")),
            ("me.github.io", Some("me.github.io")),
            ("github.io", None),
            ("co.uk", None),
            ("registry.corp", None),
            ("", None),
        ] {
            assert_eq!(registrable_domain(name), domain.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn the_list_knows_what_is_public() {
        for (name, is_known) in [("quay.io", Some(true)), ("registry.corp", Some(false)), ("", None)] {
            assert_eq!(is_listed(name), is_known, "{name}");
        }
    }
}

//! Finds the word that a misspelt one probably means.

/// The candidate nearest to `word`: at most a third of its letters differ, or one is a prefix of the other
/// (`user` for `username`).
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = strsim::levenshtein(&word, candidate);
            let is_stem = word.len() >= 3 && (candidate.starts_with(&word) || word.starts_with(candidate));
            (distance * 3 <= candidate.len().max(word.len()) || is_stem).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Whether one letter is missing, added or replaced, or two adjacent letters are swapped.
pub(crate) fn is_slip(word: &str, meant: &str) -> bool {
    strsim::osa_distance(word, meant) == 1
}

#[cfg(test)]
mod tests;

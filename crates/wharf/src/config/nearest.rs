//! The word somebody probably meant.

/// The candidate nearest to `word`: at most a third of its letters differ, or one is the beginning of the
/// other (`user` for `username`).
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = distance(&word, candidate);
            let is_stem = word.len() >= 3 && (candidate.starts_with(&word) || word.starts_with(candidate));
            (distance * 3 <= candidate.len().max(word.len()) || is_stem).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Whether one letter was left out, put in or replaced, or two that are neighbours were swapped.
pub(crate) fn is_slip(word: &str, meant: &str) -> bool {
    if distance(word, meant) == 1 {
        return true;
    }
    let (word, meant): (Vec<char>, Vec<char>) = (word.chars().collect(), meant.chars().collect());
    let differing: Vec<usize> =
        (0..word.len().min(meant.len())).filter(|index| word[*index] != meant[*index]).collect();
    let [first, second] = differing[..] else { return false };
    word.len() == meant.len()
        && second == first + 1
        && word[first] == meant[second]
        && word[second] == meant[first]
}

/// How many letters have to be put in, taken out or replaced to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for column in 1..=to.len() {
            let replaced = diagonal + usize::from(letter != to[column - 1]);
            diagonal = row[column];
            row[column] = replaced.min(diagonal + 1).min(row[column - 1] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests;

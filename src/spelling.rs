//! What was meant by a word that nobody knows.

/// The nearest of `known` to `word`, if one is near enough to be what was meant.
#[must_use]
pub fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Nobody means a short word by a long one, and measuring how far they are apart takes its time.
    let word = Some(word).filter(|word| word.len() <= 64)?.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

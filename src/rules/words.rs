//! Lists of words one of which may stand in a text; one list may have thousands.

/// Fewer words than this are looked for one after the other.
const FEW: usize = 8;

/// The words in the order that [`any_stands_in`] wants, without those that begin with another: where such a one stands,
/// the other does.
pub(super) fn in_order(mut words: Vec<String>) -> Vec<String> {
    words.sort_unstable();
    words.dedup_by(|word, before| word.starts_with(before.as_str()));
    words
}

/// Whether one of `words`, which are in order, stands in `text`.
pub(super) fn any_stands_in(words: &[String], text: &str) -> bool {
    if words.len() < FEW {
        return words.iter().any(|word| text.contains(word.as_str()));
    }
    // Of the words that do not come behind the rest of the text, only the last can be what it begins with: between the
    // two there would be words that begin with it.
    text.char_indices().map(|(at, _)| &text[at..]).any(|rest| {
        let count = words.partition_point(|word| word.as_str() <= rest);
        words[..count].last().is_some_and(|word| rest.starts_with(word.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_that_begin_with_others_are_left_out() {
        let words = ["b", "天气预报", "a", "天气", "ab", "a", "ba天"].map(str::to_owned);
        assert_eq!(in_order(words.into()), ["a", "b", "天气"]);
    }

    proptest! {
        #[test]
        fn a_text_holds_what_it_holds(
            words in prop::collection::vec("[a-c天气]{1,4}", 0..24), text in "[a-d天气下]{0,12}",
        ) {
            let expected = words.iter().any(|word| text.contains(word.as_str()));
            prop_assert_eq!(any_stands_in(&in_order(words), &text), expected);
        }
    }
}

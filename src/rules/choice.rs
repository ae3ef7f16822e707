//! Which one it is where a reply is one of several: by chance, or each in its turn.

use serde::{Deserialize, Serialize};

use super::Action;

/// One of the replies that chance chooses from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Choice {
    /// How often, beside the weights of the others.
    pub weight: u32,
    /// What is replied.
    pub then: Action,
}

/// Chance, and who counts turns; passed in, so that the same message can be answered the same twice.
#[derive(Clone, Copy)]
pub struct Chooser<'c> {
    /// Sixteen unpredictable bytes, if the system gives some.
    pub random: &'c dyn Fn() -> Option<[u8; 16]>,
    /// How often the list with this key had its turn before this time; `None` if nobody counts.
    pub turn: &'c dyn Fn(&str) -> Option<u64>,
}

impl Chooser<'_> {
    /// One of `choices` by their weights; none of none.
    pub(super) fn by_chance<'a>(&self, choices: &'a [Choice]) -> Option<&'a Action> {
        if let [only] = choices {
            return Some(&only.then);
        }
        let total: u64 = choices.iter().map(|choice| u64::from(choice.weight)).sum();
        let mut left = self.number_below(total);
        for choice in choices {
            match left.checked_sub(u64::from(choice.weight)) {
                None => return Some(&choice.then),
                Some(rest) => left = rest,
            }
        }
        choices.first().map(|choice| &choice.then)
    }

    /// The one of `actions` whose turn it is. Where nobody counts, chance does as well.
    pub(super) fn in_turn<'a>(&self, key: &str, actions: &'a [Action]) -> Option<&'a Action> {
        let count = u64::try_from(actions.len()).unwrap_or(u64::MAX).max(1);
        let turn = (self.turn)(key).map_or_else(|| self.number_below(count), |turn| turn % count);
        actions.get(usize::try_from(turn).unwrap_or(0))
    }

    /// A number from 0 to below `limit`; 0 without chance. A limit is so much smaller than 2^128 that the remainder
    /// favours nobody.
    fn number_below(&self, limit: u64) -> u64 {
        if limit <= 1 {
            return 0;
        }
        let number = u128::from_le_bytes((self.random)().unwrap_or_default());
        u64::try_from(number % u128::from(limit)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Template;

    fn text(text: &str) -> Action {
        Action::Text(Template::new(text.to_owned()))
    }

    fn source(action: Option<&Action>) -> &str {
        match action {
            Some(Action::Text(template)) => template.source(),
            other => panic!("{other:?}"),
        }
    }

    fn bytes(number: u64) -> [u8; 16] {
        u128::from(number).to_le_bytes()
    }

    #[test]
    fn each_comes_as_often_as_its_weight_says() {
        let choices = [(1, "a"), (3, "b"), (2, "c")].map(|(weight, it)| Choice { weight, then: text(it) });
        let by_number = |number: u64| {
            let chooser = Chooser { random: &|| Some(bytes(number)), turn: &|_| None };
            source(chooser.by_chance(&choices)).to_owned()
        };
        assert_eq!((0..12).map(by_number).collect::<String>(), "abbbccabbbcc");
        let without_chance = Chooser { random: &|| None, turn: &|_| None };
        assert_eq!(source(without_chance.by_chance(&choices)), "a");
        assert!(without_chance.by_chance(&[]).is_none());
    }

    #[test]
    fn each_has_its_turn_and_where_nobody_counts_chance_decides() {
        let actions = ["a", "b", "c"].map(text);
        let turn = |turn: Option<u64>, number: u64| {
            let chooser =
                Chooser { random: &|| Some(bytes(number)), turn: &|key| turn.filter(|_| key == "rule 1") };
            source(chooser.in_turn("rule 1", &actions)).to_owned()
        };
        assert_eq!((0..7).map(|count| turn(Some(count), 9)).collect::<String>(), "abcabca");
        assert_eq!((0..4).map(|number| turn(None, number)).collect::<String>(), "abca");
    }

    #[test]
    fn one_alone_asks_nobody() {
        let chooser = Chooser { random: &|| panic!("asked"), turn: &|_| None };
        assert_eq!(source(chooser.by_chance(&[Choice { weight: 7, then: text("a") }])), "a");
    }
}

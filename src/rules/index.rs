//! Finds among thousands of rules the few that are worth a look, in the same time as among ten.
//!
//! Every rule is entered under something that a message must have to meet it: its whole text, a few letters of it, its
//! event. A message is looked up under all that it has. The index is a hash table laid out as bytes, so that a process
//! that answers one message only reads the places that it needs.

use std::collections::HashMap;

use super::fold::Fold;
use super::guard::{Key, is_digit};
use super::subject::Subject;

/// So many letters of a part at most are looked up: parts that share them are told apart by their rules.
const GRAM: usize = 4;

/// What a rule is entered under: the kind, which is a bit of the header, and letters.
type Kind = u32;

const ANYTHING: Kind = 0;
const EVENT: Kind = 1;
const EVENT_KEY: Kind = 2;
const FROM: Kind = 3;
const TYPE: Kind = 4;

/// The whole text.
fn whole(fold: Fold) -> Kind {
    5 + fold as Kind
}

/// So many letters in a row, from 1 to [`GRAM`].
fn gram(fold: Fold, letters: usize) -> Kind {
    8 + Kind::try_from(fold as usize * GRAM + letters.min(GRAM) - 1).unwrap_or(0)
}

/// A digit.
fn digit(fold: Fold) -> Kind {
    20 + fold as Kind
}

/// The index as it lies in memory or in a file: which kinds there are; how many buckets; where each bucket begins, and
/// where the last ends; for each entry its hash and its rule. All are numbers of four bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Index<'b>(pub(super) &'b [u8]);

const NUMBER: usize = size_of::<u32>();
const HEADER: usize = 2;

impl Index<'_> {
    /// The bytes of an index of rules, given what each is known by; of rules that nothing is known of, `None`.
    pub(super) fn build(rules: &[Option<Vec<Key>>]) -> Vec<u8> {
        let grams = rarest_grams(rules);
        let mut entries = Vec::new();
        let mut kinds: u32 = 0;
        for (rule, keys) in (0..).zip(rules) {
            let mut enter = |kind: Kind, letters: &str| {
                kinds |= 1 << kind;
                entries.push((hash(kind, letters.chars()), rule));
            };
            match keys {
                None => enter(ANYTHING, ""),
                Some(keys) => keys.iter().for_each(|key| match key {
                    Key::Whole(fold, text) => enter(whole(*fold), text),
                    Key::Event(event) => enter(EVENT, event),
                    Key::Menu(key) => enter(EVENT_KEY, key),
                    Key::From(openid) => enter(FROM, openid),
                    Key::Type(name) => enter(TYPE, name),
                    Key::Digit(fold) => enter(digit(*fold), ""),
                    Key::Part(fold, part) => {
                        let gram = grams.rarest(*fold, part);
                        enter(self::gram(*fold, gram.chars().count()), gram);
                    }
                }),
            }
        }
        layout(kinds, entries)
    }

    /// The rules that `subject` may meet, in their order.
    pub(super) fn candidates(self, subject: &Subject<'_>) -> Vec<u32> {
        let mut found = Vec::new();
        self.look_up(ANYTHING, "", &mut found);
        for (kind, value) in
            [(EVENT_KEY, subject.key), (FROM, Some(subject.from_user)), (TYPE, Some(subject.msg_type))]
        {
            if let Some(value) = value {
                self.look_up(kind, value, &mut found);
            }
        }
        if let Some(event) = subject.event.filter(|_| self.has(EVENT)) {
            self.look_up(EVENT, &event.to_ascii_lowercase(), &mut found);
        }
        for fold in Fold::ALL {
            self.look_up_text(fold, subject, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn look_up_text(self, fold: Fold, subject: &Subject<'_>, found: &mut Vec<u32>) {
        let lengths = (1..=GRAM).filter(|&letters| self.has(gram(fold, letters)));
        if !self.has(whole(fold)) && !self.has(digit(fold)) && lengths.clone().next().is_none() {
            return;
        }
        let Some(text) = subject.folded(fold) else { return };
        if text.text().contains(is_digit) {
            self.look_up(digit(fold), "", found);
        }
        self.look_up(whole(fold), text.whole(), found);
        for letters in lengths {
            grams(text.text(), letters)
                .for_each(|letters_of| self.look_up_letters(gram(fold, letters), letters_of, found));
        }
    }

    fn look_up(self, kind: Kind, value: &str, found: &mut Vec<u32>) {
        if self.has(kind) {
            self.look_up_letters(kind, value, found);
        }
    }

    fn look_up_letters(self, kind: Kind, letters: &str, found: &mut Vec<u32>) {
        let wanted = hash(kind, letters.chars());
        let buckets = self.number(1);
        let bucket = (wanted & buckets.wrapping_sub(1)) as usize;
        let (from, to) = (self.number(HEADER + bucket) as usize, self.number(HEADER + bucket + 1) as usize);
        let entries = HEADER + buckets as usize + 1;
        // Bytes that are no index must not send us round for ever.
        for entry in (from..to.min(self.0.len())).map(|entry| entries + 2 * entry) {
            if self.number(entry) == wanted {
                found.push(self.number(entry + 1));
            }
        }
    }

    fn has(self, kind: Kind) -> bool {
        self.number(0) >> kind & 1 == 1
    }

    /// The number at a place; what is not there is 0, which leads nowhere.
    fn number(self, place: usize) -> u32 {
        let bytes = self.0.get(place * NUMBER..).and_then(|bytes| bytes.first_chunk());
        bytes.copied().map_or(0, u32::from_le_bytes)
    }
}

fn layout(kinds: u32, mut entries: Vec<(u32, u32)>) -> Vec<u8> {
    let buckets = entries.len().next_power_of_two().max(1);
    let bucket_of = |hash: u32| hash as usize & (buckets - 1);
    entries.sort_unstable_by_key(|&(hash, rule)| (bucket_of(hash), hash, rule));
    entries.dedup();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut numbers = vec![kinds, count(buckets)];
    let mut place = 0;
    for bucket in 0..=buckets {
        place += entries[place..].iter().take_while(|(hash, _)| bucket_of(*hash) < bucket).count();
        numbers.push(count(place));
    }
    numbers.extend(entries.iter().flat_map(|&(hash, rule)| [hash, rule]));
    numbers.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Mixes letters into a number. Whoever writes the rules chooses what collides, and nobody else.
fn hash(kind: Kind, letters: impl Iterator<Item = char>) -> u32 {
    let mix = |hash: u64, number: u32| {
        (hash.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    };
    (letters.fold(mix(1, kind), |hash, letter| mix(hash, letter.into())) >> 32) as u32
}

/// All rows of so many letters in a text.
fn grams(text: &str, letters: usize) -> impl Iterator<Item = &str> {
    let ends = text.char_indices().map(|(at, letter)| at + letter.len_utf8()).skip(letters - 1);
    text.char_indices().zip(ends).map(|((from, _), to)| &text[from..to])
}

/// How often each row of letters stands in the parts of all rules.
struct Grams<'k>(HashMap<(Fold, &'k str), usize>);

fn rarest_grams(rules: &[Option<Vec<Key>>]) -> Grams<'_> {
    let mut counts = HashMap::new();
    for key in rules.iter().flatten().flatten() {
        if let Key::Part(fold, part) = key {
            grams(part, letters_of(part)).for_each(|gram| *counts.entry((*fold, gram)).or_default() += 1);
        }
    }
    Grams(counts)
}

fn letters_of(part: &str) -> usize {
    part.chars().take(GRAM).count().max(1)
}

impl Grams<'_> {
    /// The letters of a part that stand in the fewest others.
    fn rarest<'p>(&self, fold: Fold, part: &'p str) -> &'p str {
        let count = |gram: &&str| self.0.get(&(fold, *gram)).copied().unwrap_or(0);
        grams(part, letters_of(part)).min_by_key(count).unwrap_or(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Vec<Key> {
        vec![Key::Part(Fold::On, text.to_owned())]
    }

    fn candidates(rules: &[Option<Vec<Key>>], text: &str) -> Vec<u32> {
        Index(&Index::build(rules)).candidates(&Subject::of_text(text))
    }

    #[test]
    fn rules_are_found_by_what_the_text_has() {
        let rules = [
            Some(vec![Key::Whole(Fold::On, "ab".to_owned()), Key::Whole(Fold::Off, "AB!".to_owned())]),
            Some(part("bcd")),
            Some(part("天")),
            None,
            Some(vec![Key::Event("click".to_owned())]),
            Some(vec![Key::Type("text".to_owned())]),
            Some(vec![Key::Digit(Fold::On)]),
        ];
        assert_eq!(candidates(&rules, "no. ７"), [3, 5, 6]);
        assert_eq!(candidates(&rules, "AB!"), [0, 3, 5]);
        assert_eq!(candidates(&rules, "abcd"), [1, 3, 5]);
        assert_eq!(candidates(&rules, "天bcd"), [1, 2, 3, 5]);
        let click = Subject::of_event("CLICK", None);
        assert_eq!(Index(&Index::build(&rules)).candidates(&click), [3, 4]);
    }

    #[test]
    fn parts_that_begin_alike_are_told_apart() {
        let rules: Vec<_> = (0..10_000).map(|number| Some(part(&format!("word{number}")))).collect();
        let found = candidates(&rules, "please say word4711 now");
        assert!(found.contains(&4711) && found.len() < 5, "{}", found.len());
        assert!(candidates(&rules, "wor").is_empty());
    }

    #[test]
    fn bytes_that_are_no_index_lead_nowhere() {
        let bytes = Index::build(&[Some(part("abc")), None]);
        for length in 0..bytes.len() {
            let _ = Index(&bytes[..length]).candidates(&Subject::of_text("abc"));
        }
        let _ = Index(&[0xFF; 64]).candidates(&Subject::of_text("abc"));
        assert!(Index(&[]).candidates(&Subject::of_text("abc")).is_empty());
    }
}

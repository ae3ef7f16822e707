//! Random dialogs, sessions and limits against a matcher that goes through all of them by hand.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::callback::Means;
use crate::rules::{MediaFile, MediaLibrary, Rules};
use crate::store::{Claim, Holder, Lease, Store, StoreError, Value as Kept, Version};

// --- What is asked ------------------------------------------------------------------------------------------------

/// A rule of a step, or for all.
#[derive(Debug, Clone)]
struct Plain {
    word: char,
    /// The step that it leads to, of as many as there are.
    wait: Option<usize>,
    /// What it writes down.
    sets: Option<u8>,
}

#[derive(Debug, Clone)]
struct Global {
    plain: Plain,
    /// What must be remembered.
    wants: Option<u8>,
    is_first: bool,
    once: Option<u64>,
    limit: Option<(u32, u32)>,
    /// It says nothing, and lets the others come.
    is_silent: bool,
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "as many as a step has in a config")]
struct Step {
    rules: Vec<Plain>,
    /// One item with an answer and one with a menu below it.
    has_menu: bool,
    retry: u32,
    again: bool,
    give_up: bool,
    cancel: bool,
    lock: bool,
    timeout: u64,
}

#[derive(Debug, Clone)]
struct World {
    steps: Vec<Step>,
    rules: Vec<Global>,
    default_once: Option<u64>,
}

/// Who says what, so many seconds after what was said before; or says one of his last messages again.
#[derive(Debug, Clone)]
struct Said {
    user: usize,
    word: char,
    after: u64,
    repeat: Option<usize>,
}

const LIMIT_SECS: u64 = 60;

impl World {
    fn to_toml(&self) -> String {
        let mut text =
            "[account]\ntoken = \"tok\"\n[server]\nclock_skew = \"off\"\ndeadline = \"4999ms\"\n".to_owned();
        for (number, rule) in (1..).zip(&self.rules) {
            let reply = format!("r{number} {{{{ session.v }}}}");
            text += "[[rule]]\n";
            self.push_plain(&rule.plain, if rule.is_silent { None } else { Some(&reply) }, &mut text);
            if let Some(value) = rule.wants {
                let _ = writeln!(text, "when.session.v = \"{value}\"");
            }
            if rule.is_first {
                text += "when.first = true\n";
            }
            if let Some(once) = rule.once {
                let _ = writeln!(text, "once_every = \"{once}s\"");
            }
            if let Some((user, all)) = rule.limit {
                let _ = writeln!(text, "limit = {{ user = {user}, all = {all}, per = \"{LIMIT_SECS}s\" }}");
            }
            if rule.is_silent {
                text += "flow = \"next\"\n";
            }
        }
        for (number, step) in self.steps.iter().enumerate() {
            let _ = writeln!(
                text,
                "[step.s{number}]\nask = \"ask{number}\"\nretry = {}\nlock = {}\ntimeout = \"{}s\"",
                step.retry, step.lock, step.timeout
            );
            if step.again && step.retry > 0 {
                let _ = writeln!(text, "again = \"again{number}\"");
            }
            if step.give_up {
                let _ = writeln!(text, "give_up = \"bye{number}\"");
            }
            if step.cancel {
                let _ = writeln!(text, "cancel = \"x\"\ncancel_reply = \"cancelled{number}\"");
            }
            for (place, rule) in (1..).zip(&step.rules) {
                let _ = writeln!(text, "[[step.s{number}.rule]]");
                self.push_plain(rule, Some(&format!("s{number}.{place} {{{{ session.v }}}}")), &mut text);
            }
            if step.has_menu {
                let item = format!("step.s{number}.item");
                let _ = writeln!(
                    text,
                    "[[{item}]]\nlabel = \"one\"\nreply = \"item{number}\"\n\
                    [[{item}]]\nlabel = \"two\"\n[[{item}.item]]\nlabel = \"leaf\"\nreply = \"leaf{number}\""
                );
            }
        }
        text += "[default]\nreply = \"default\"\n";
        if let Some(once) = self.default_once {
            let _ = writeln!(text, "once_every = \"{once}s\"");
        }
        text
    }

    fn push_plain(&self, rule: &Plain, reply: Option<&str>, text: &mut String) {
        let _ = writeln!(text, "when.text = \"{}\"", rule.word);
        let _ = match reply {
            Some(reply) => writeln!(text, "reply = \"{reply}\""),
            None => writeln!(text, "reply.none = true"),
        };
        if let Some(step) = rule.wait {
            let _ = writeln!(text, "wait = \"s{}\"", step % self.steps.len());
        }
        if let Some(value) = rule.sets {
            let _ = writeln!(text, "session = {{ v = \"{value}\" }}");
        }
    }
}

// --- The same by hand ---------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Default)]
struct User {
    /// The step, its menu below if it is there, how often it was asked again, until when it waits.
    step: Option<(usize, bool, u32, u64)>,
    value: Option<u8>,
    is_known: bool,
    rests: HashMap<usize, u64>,
    counts: HashMap<usize, (u32, u64)>,
}

#[derive(Debug, Default)]
struct Naive {
    users: [User; 2],
    totals: HashMap<usize, (u32, u64)>,
}

/// What a rule for all is counted under where it is the default.
const DEFAULT: usize = usize::MAX;

impl Naive {
    /// The reply; empty is none.
    fn answer(&mut self, world: &World, sender: usize, said: char, now: u64) -> String {
        let before = self.users[sender].clone();
        let open = before.step.filter(|(.., until)| now < *until);
        if let Some((number, is_below, ..)) = open {
            let step = &world.steps[number];
            if let Some(reply) = self.in_step(world, sender, (number, is_below), said, now) {
                return reply;
            }
            if step.lock
                && let Some(reply) = self.not_understood(step, sender, now)
            {
                return reply;
            }
        }
        for (number, rule) in world.rules.iter().enumerate() {
            if rule.plain.word == said && self.holds(rule, number, &before, sender, now) {
                let user = &mut self.users[sender];
                follow(world, &rule.plain, user, now);
                if let Some(once) = rule.once {
                    user.rests.insert(number, now + once);
                }
                if rule.limit.is_some() {
                    count(user.counts.entry(number).or_default(), now);
                    count(self.totals.entry(number).or_default(), now);
                }
                if !rule.is_silent {
                    return format!("r{} {}", number + 1, shown(&self.users[sender]));
                }
            }
        }
        if let Some((number, ..)) = open.filter(|(number, ..)| !world.steps[*number].lock)
            && let Some(reply) = self.not_understood(&world.steps[number], sender, now)
        {
            return reply;
        }
        let user = &mut self.users[sender];
        if let Some(once) = world.default_once {
            if user.rests.get(&DEFAULT).is_some_and(|until| now < *until) {
                return String::new();
            }
            user.rests.insert(DEFAULT, now + once);
        }
        "default".to_owned()
    }

    fn holds(&mut self, rule: &Global, number: usize, before: &User, sender: usize, now: u64) -> bool {
        if rule.wants.is_some_and(|value| before.value != Some(value)) {
            return false;
        }
        if rule.is_first {
            self.users[sender].is_known = true;
            if before.is_known {
                return false;
            }
        }
        if rule.once.is_some() && before.rests.get(&number).is_some_and(|until| now < *until) {
            return false;
        }
        let times = |counts: &HashMap<usize, (u32, u64)>| match counts.get(&number) {
            Some((times, until)) if now < *until => *times,
            _ => 0,
        };
        rule.limit.is_none_or(|(user, all)| times(&before.counts) < user && times(&self.totals) < all)
    }

    /// What the step itself says to a said that it waits for.
    fn in_step(
        &mut self,
        world: &World,
        sender: usize,
        (number, is_below): (usize, bool),
        said: char,
        now: u64,
    ) -> Option<String> {
        let (step, user) = (&world.steps[number], &mut self.users[sender]);
        if step.cancel && said == 'x' {
            user.step = None;
            return Some(format!("cancelled{number}"));
        }
        let enter = |is_below| Some((number, is_below, 0, now + step.timeout));
        if is_below {
            let (is_below, reply) = match said {
                '1' => (true, format!("leaf{number}")),
                '0' => (false, ask(world, number, false)),
                _ => return None,
            };
            user.step = enter(is_below);
            return Some(reply);
        }
        if let Some(place) = step.rules.iter().position(|rule| rule.word == said) {
            user.step = None;
            follow(world, &step.rules[place], user, now);
            return Some(format!("s{number}.{} {}", place + 1, shown(user)));
        }
        let (is_below, reply) = match said {
            '1' if step.has_menu => (false, format!("item{number}")),
            '2' if step.has_menu => (true, ask(world, number, true)),
            _ => return None,
        };
        user.step = enter(is_below);
        Some(reply)
    }

    /// What a step says to all else; nothing if the dialog is over and others may answer.
    fn not_understood(&mut self, step: &Step, sender: usize, now: u64) -> Option<String> {
        let user = &mut self.users[sender];
        let (number, is_below, tries, _) = user.step?;
        if tries < step.retry {
            user.step = Some((number, is_below, tries + 1, now + step.timeout));
            return Some(if step.again { format!("again{number}") } else { ask_of(step, number, is_below) });
        }
        user.step = None;
        step.give_up.then(|| format!("bye{number}"))
    }
}

fn shown(user: &User) -> String {
    user.value.map(|value| value.to_string()).unwrap_or_default()
}

fn ask(world: &World, number: usize, is_below: bool) -> String {
    ask_of(&world.steps[number], number, is_below)
}

fn ask_of(step: &Step, number: usize, is_below: bool) -> String {
    match (is_below, step.has_menu) {
        (true, _) => "two\n1 leaf\n0 返回".to_owned(),
        (false, true) => format!("ask{number}\n1 one\n2 two"),
        (false, false) => format!("ask{number}"),
    }
}

fn follow(world: &World, rule: &Plain, user: &mut User, now: u64) {
    user.value = rule.sets.or(user.value);
    if let Some(step) = rule.wait {
        let number = step % world.steps.len();
        user.step = Some((number, false, 0, now + world.steps[number].timeout));
    }
}

fn count((times, until): &mut (u32, u64), now: u64) {
    if now >= *until {
        (*times, *until) = (0, now + LIMIT_SECS);
    }
    *times += 1;
}

// --- What is compared ---------------------------------------------------------------------------------------------

/// A store in memory, as far as messages ask it.
#[derive(Debug, Default)]
struct InMemory(Mutex<HashMap<String, (u64, Vec<u8>)>>);

impl Store for InMemory {
    fn get(&self, key: &str) -> Result<Option<Kept>, StoreError> {
        let values = self.0.lock().unwrap();
        Ok(values.get(key).map(|(version, bytes)| Kept {
            bytes: bytes.clone(),
            remaining: Duration::MAX,
            version: Version(*version),
        }))
    }

    fn put_if(
        &self,
        key: &str,
        seen: Option<Version>,
        bytes: &[u8],
        _: Duration,
    ) -> Result<bool, StoreError> {
        let mut values = self.0.lock().unwrap();
        let version = values.get(key).map(|(version, _)| *version);
        let is_same = version == seen.map(|seen| seen.0);
        if is_same {
            values.insert(key.to_owned(), (version.unwrap_or(0) + 1, bytes.to_owned()));
        }
        Ok(is_same)
    }

    fn put(&self, _: &str, _: &[u8], _: Duration) -> Result<(), StoreError> {
        unreachable!("no message does")
    }

    fn remove_if(&self, _: &str, _: Version) -> Result<bool, StoreError> {
        unreachable!("no message does")
    }

    fn lease(&self, _: &str, _: Holder, _: Duration) -> Result<Lease, StoreError> {
        unreachable!("no message does")
    }

    fn release(&self, _: &str, _: Holder) -> Result<(), StoreError> {
        unreachable!("no message does")
    }

    fn claim(&self, _: &str, _: Holder, _: Duration, _: Duration) -> Result<Claim, StoreError> {
        unreachable!("no message does")
    }

    fn look(&self, _: &str) -> Result<Option<Claim>, StoreError> {
        unreachable!("no message does")
    }

    fn renew(&self, _: &str, _: Holder, _: Duration) -> Result<bool, StoreError> {
        unreachable!("no message does")
    }

    fn finish(&self, _: &str, _: Holder, _: &[u8], _: Duration) -> Result<bool, StoreError> {
        unreachable!("no message does")
    }

    fn count(&self, _: &str, _: u64, _: Duration) -> Result<Option<u64>, StoreError> {
        unreachable!("no message does")
    }
}

#[derive(Debug, Default)]
struct StoreOnly(Arc<InMemory>);

impl MediaLibrary for StoreOnly {
    fn media_id(&self, _: &MediaFile) -> Result<String, String> {
        unreachable!("there are no files")
    }
}

impl Means for StoreOnly {
    fn store(&self) -> Result<Arc<dyn Store>, String> {
        Ok(Arc::clone(&self.0) as _)
    }

    fn until(&self) -> std::time::Instant {
        std::time::Instant::now() + Duration::from_secs(20)
    }
}

/// The account as it serves many messages, or one each.
fn terms(toml: &str, is_stored: bool) -> Arc<Terms> {
    let (config, faults) = Config::parse(toml, Path::new("."), Thoroughness::CheckedBefore);
    let mut config = config.unwrap_or_else(|| panic!("{faults:?}\n{toml}"));
    if is_stored {
        config.rules = Rules::from_bytes(config.rules.to_bytes().unwrap(), 0).unwrap();
    }
    Account::new(config, Surroundings::default()).terms
}

/// The text that a message is answered with; empty is none.
fn reply(terms: &Arc<Terms>, store: &StoreOnly, message: &str, now: u64) -> String {
    let mut params = Params::new();
    params.push(b"REQUEST_METHOD", b"POST");
    params.push(b"QUERY_STRING", query("tok", &now.to_string(), "n").as_bytes());
    let request = Request::new(params, message.as_bytes().to_vec());
    let circumstances = Circumstances { now: UNIX_EPOCH + Duration::from_secs(now), random: || None };
    let response = match answer(terms, &request, circumstances) {
        Answered::Now(response) => response,
        Answered::Later(pending) => pending.respond(store).unwrap(),
    };
    if response.body == SUCCESS.as_bytes() {
        return String::new();
    }
    let root = crate::wechat::xml::parse(&response.body)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&response.body)));
    root.child_text("Content").unwrap().to_owned()
}

/// What a user is answered who says these one after the other; `<…>` is a message that is no text.
fn replies(tables: &str, said: &[&str]) -> Vec<String> {
    let toml =
        format!("[account]\ntoken = \"tok\"\nfold = \"script\"\n[server]\nclock_skew = \"off\"\n{tables}");
    let (terms, store) = (terms(&toml, false), StoreOnly::default());
    let message = |number: usize, said: &str| {
        if said.starts_with('<') {
            text_message("").replace("<MsgType>text</MsgType>", said)
        } else {
            text_message(said).replace("<MsgId>1<", &format!("<MsgId>{number}<"))
        }
    };
    let reply = |(number, said): (usize, &&str)| reply(&terms, &store, &message(number, said), 1_700_000_000);
    said.iter().enumerate().map(reply).collect()
}

#[test]
fn menus_and_the_words_that_end_them_are_compared_as_texts_are() {
    let tables = "[[rule]]\nwhen.text = \"menu\"\nwait = \"m\"\n[step.m]\nask = \"?\"\nretry = 9\nagain = \"again\"\n\
        cancel = \"结束\"\ncancel_reply = \"ended\"\n[[step.m.item]]\nlabel = \"预订\"\nreply = \"booked\"\n";
    assert_eq!(
        replies(tables, &["menu", "預訂", "１！", "2", "結束。"]),
        ["?\n1 预订", "booked", "booked", "again", "ended"]
    );
}

#[test]
fn to_follow_is_no_first_message_unless_it_is_asked_for() {
    let first = "[[rule]]\nwhen.first = true\nreply = \"hello\"\n[welcome]\nreply = \"welcome\"\n";
    let follows = "<MsgType>event</MsgType><Event>subscribe</Event>";
    assert_eq!(replies(first, &[follows, "a", "b"]), ["welcome", "hello", ""]);
    let asked = first.replace("when.first", "when.event = \"subscribe\"\nwhen.first");
    assert_eq!(replies(&asked, &[follows, "a"]), ["hello", ""]);
}

#[test]
fn who_is_asked_by_another_name_is_in_the_step_too() {
    let tables = "[[rule]]\nname = \"book\"\nwhen.text = \"book\"\nwait = \"city\"\n\
        [[rule]]\nwhen.text = \"travel\"\nalias = \"book\"\n\
        [step.city]\nask = \"where?\"\n[[step.city.rule]]\nwhen.text = \"上海\"\nreply = \"fine\"\n";
    assert_eq!(replies(tables, &["travel", "上海", "上海"]), ["where?", "fine", ""]);
}

#[test]
fn a_name_that_is_a_number_is_no_place() {
    let rule = |more: &str, word: &str| {
        format!("[[rule]]\n{more}when.text = \"{word}\"\nlimit.user = 1\nreply = \"{word}\"\n")
    };
    let tables = rule("", "a") + &rule("name = \"1\"\n", "b");
    assert_eq!(replies(&tables, &["a", "b", "a", "b"]), ["a", "b", "", ""]);
}

fn words() -> impl Strategy<Value = char> {
    prop::sample::select(vec!['a', 'b', 'c', 'd', 'x', '0', '1', '2'])
}

fn plain(words: &'static [char]) -> impl Strategy<Value = Plain> {
    (prop::sample::select(words), prop::option::of(0..3_usize), prop::option::of(0..3_u8))
        .prop_map(|(word, wait, sets)| Plain { word, wait, sets })
}

fn global() -> impl Strategy<Value = Global> {
    let some_secs = || prop::option::weighted(0.2, 1..90_u64);
    let limit = prop::option::weighted(0.2, (1..3_u32, 1..4_u32));
    let parts = (
        plain(&['a', 'b', 'c']),
        prop::option::weighted(0.3, 0..3_u8),
        prop::bool::weighted(0.2),
        some_secs(),
        limit,
        prop::bool::weighted(0.2),
    );
    parts.prop_map(|(plain, wants, is_first, once, limit, is_silent)| {
        // Who moves a dialog says so.
        let wait = plain.wait.filter(|_| !is_silent);
        Global { plain: Plain { wait, ..plain }, wants, is_first, once, limit, is_silent }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let rules = prop::collection::vec(plain(&['a', 'b', 'c', 'd', '1']), 1..3);
    (rules, any::<[bool; 5]>(), 0..3_u32, 10..90_u64).prop_map(
        |(rules, [has_menu, again, give_up, cancel, lock], retry, timeout)| Step {
            rules,
            has_menu,
            retry,
            again: again && retry > 0,
            give_up,
            cancel,
            lock,
            timeout,
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    let steps = prop::collection::vec(step(), 1..4);
    let rules = prop::collection::vec(global(), 1..8);
    (steps, rules, prop::option::weighted(0.5, 1..90_u64)).prop_map(|(steps, rules, default_once)| World {
        steps,
        rules,
        default_once,
    })
}

fn said() -> impl Strategy<Value = Said> {
    let repeat = prop::option::weighted(0.2, 0..3_usize);
    (0..2_usize, words(), 0..25_u64, repeat).prop_map(|(user, word, after, repeat)| Said {
        user,
        word,
        after,
        repeat,
    })
}

proptest! {
    /// In memory and as bytes, the rules lead a user from step to step as one would by hand, and a repeat gets what its
    /// message got.
    #[test]
    fn dialogs_go_as_they_go_by_hand(world in world(), talk in prop::collection::vec(said(), 1..30)) {
        let toml = world.to_toml();
        let accounts = [false, true].map(|is_stored| (terms(&toml, is_stored), StoreOnly::default()));
        let (mut naive, mut now) = (Naive::default(), 1_700_000_000);
        let mut answered: [Vec<(String, String)>; 2] = Default::default();
        for (number, said) in (1..).zip(&talk) {
            now += said.after;
            let earlier = said.repeat.and_then(|back| answered[said.user].iter().nth_back(back).cloned());
            let (message, expected) = earlier.unwrap_or_else(|| {
                let message = text_message(&said.word.to_string())
                    .replace("<MsgId>1<", &format!("<MsgId>{number}<"))
                    .replace(">oUser<", &format!(">oUser{}<", said.user));
                let expected = naive.answer(&world, said.user, said.word, now);
                answered[said.user].push((message.clone(), expected.clone()));
                (message, expected)
            });
            for (terms, store) in &accounts {
                let reply = reply(terms, store, &message, now);
                prop_assert_eq!(reply.trim_end(), expected.trim_end(), "message {}: {:?}\n{}", number, said, toml);
            }
        }
    }
}

//! `[[rule]]`, `[default]` and the other tables that answer: from the file's words to rules.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;

use super::condition::{Customs, read_condition, read_fold};
use super::fault::{Fault, IncludedText, did_you_mean, line_of};
use super::reply::{Templates, read_reply};
use super::table::{Faults, Table, wrong_type};
use super::tables::Declared;
use crate::rules::{Action, Blocked, Condition, Flow, Fold, Measure, Role, Rule, Rules, Shadow, Test};
use crate::wechat::limits::MAX_ARTICLES_FOR_MESSAGE;
use crate::wechat::message::KNOWN_TYPES;

/// What is said of a rule without a condition.
pub(super) const WAITS_FOR_NOTHING: &str = "this rule waits for nothing";

/// All that answers, as it was read from the config and from the files that it includes.
pub(super) struct Drafts<'t> {
    /// What replies can look up.
    pub(super) tables: &'t Declared,
    rules: Vec<Draft>,
    /// How many rules there were so far.
    count: usize,
    blocked: Vec<Blocked>,
}

/// A rule before it is known what the others are.
struct Draft {
    rule: Rule,
    priority: i64,
    /// Whether it is tried, and not only there for others to name it.
    is_on: bool,
    /// The rule whose reply it takes.
    alias: Option<(String, Range<usize>)>,
    span: Range<usize>,
    within: Option<Arc<IncludedText>>,
}

impl<'t> Drafts<'t> {
    pub(super) fn new(tables: &'t Declared) -> Self {
        Self { tables, rules: Vec::new(), count: 0, blocked: Vec::new() }
    }

    /// Reads the tables of a file that belong to rules; `file` is its text.
    pub(super) fn read(&mut self, root: &Table<'_>, file: &str, customs: &Customs) {
        // Lines are counted on from rule to rule, not from the top each time.
        let (mut line, mut counted) = (1, 0);
        for table in root.tables("rule", "rule key") {
            line += line_of(&file[counted..], table.span.start - counted) - 1;
            counted = table.span.start;
            self.count += 1;
            self.rules.extend(read_rule(table, Role::Rule(self.count), line, customs, self.tables));
        }
        let blocked = root.tables("blocked", "key of blocked words").into_iter();
        self.blocked.extend(blocked.filter_map(|table| read_blocked(table, self.tables)));
    }

    /// Reads the tables for what no rule is for, which only the config itself has, in the order in which they are tried.
    pub(super) fn read_fallbacks(&mut self, root: &Table<'_>, file: &str) {
        let events = [("welcome", Role::Welcome, "subscribe"), ("unfollow", Role::Unfollow, "unsubscribe")];
        for (key, role, event) in events {
            if let Some(table) = root.table(key, "key") {
                self.read_fallback(table, role, file, Test::Event(vec![event.to_owned()]));
            }
        }
        let Some(table) = root.table("default", "default key") else { return };
        let mut is_needed = true;
        for kind in KNOWN_TYPES.iter().copied() {
            if let Some(table) = table.table(kind, "default key") {
                is_needed = false;
                let role = Role::DefaultOf(kind.to_owned());
                self.read_fallback(table, role, file, Test::Type(vec![kind.to_owned()]));
            }
        }
        if is_needed || table.value("reply").is_some() || table.value("alias").is_some() {
            self.read_fallback(table, Role::Default, file, Test::Sent);
        } else {
            table.finish();
        }
    }

    fn read_fallback(&mut self, table: Table<'_>, role: Role, file: &str, test: Test) {
        let line = line_of(file, table.span.start);
        let when = Condition::new(Fold::Off, vec![test]);
        if !matches!(role, Role::Welcome | Role::Unfollow) {
            warn_of_articles(&table);
        }
        let templates = Templates { captures: Some(&[]), tables: self.tables };
        self.rules.extend(read_action(table, role, line, when, templates));
    }

    /// The rules, those with a higher `priority` first, otherwise in the order of the files; last what no rule is for.
    pub(super) fn into_rules(mut self, faults: &Faults<'_>) -> Rules {
        self.resolve(faults);
        let Self { mut rules, blocked, .. } = self;
        rules.sort_by_key(|draft| (draft.rule.is_fallback(), std::cmp::Reverse(draft.priority)));
        let (rules, off): (Vec<_>, Vec<_>) =
            rules.into_iter().enumerate().partition(|(_, draft)| draft.is_on);
        // How many others are before each.
        let disabled =
            off.into_iter().enumerate().map(|(off, (place, draft))| (place - off, draft.rule)).collect();
        let rules: Vec<_> = rules.into_iter().map(|(_, draft)| draft).collect();
        let places: HashMap<_, _> = if faults.thorough {
            let place = |draft: &Draft| (draft.rule.role.clone(), (draft.span.clone(), draft.within.clone()));
            rules.iter().map(place).collect()
        } else {
            HashMap::new()
        };
        let rules = Rules::new(rules.into_iter().map(|draft| draft.rule).collect());
        let rules = rules.with_blocked(blocked).with_disabled(disabled);
        // Expressions that are wrong are not worth comparing.
        if faults.thorough && faults.are_warnings() {
            for shadow in rules.shadows() {
                if let Some((span, within)) = places.get(&shadow.hidden.role) {
                    faults.push(hidden(&shadow, span.clone()).within(within.as_ref()));
                }
            }
        }
        rules
    }

    /// Gives each rule that is only another name the reply of that rule.
    fn resolve(&mut self, faults: &Faults<'_>) {
        let mut names: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, draft) in self.rules.iter().enumerate() {
            if let Some(name) = &draft.rule.name {
                names.entry(name).or_default().push(place);
            }
        }
        let target =
            |draft: &Draft| {
                let (name, span) = draft.alias.as_ref()?;
                let note = |message: String| Fault::at(span.clone(), message).within(draft.within.as_ref());
                match names.get(name.as_str()).map(Vec::as_slice) {
                    Some([place]) => Some(Ok(*place)),
                    Some(_) => Some(Err(note(format!("several rules are called `{name}`"))
                        .cure("give each a name of its own"))),
                    None => {
                        let fault = note(format!("no rule is called `{name}`"));
                        Some(Err(match did_you_mean(name, names.keys().copied()) {
                            Some(near) => fault.hint(format!("did you mean `{near}`?")),
                            None => fault,
                        }))
                    }
                }
            };
        let mut resolved: Vec<(usize, usize)> = Vec::new();
        for (place, draft) in self.rules.iter().enumerate().filter(|(_, draft)| draft.alias.is_some()) {
            match self.end_of_chain(draft, &target) {
                Ok(Some(end)) => resolved.push((place, end)),
                Ok(None) => {}
                Err(fault) => faults.push(fault),
            }
        }
        for (place, end) in resolved {
            let (then, on_error) = (self.rules[end].rule.then.clone(), self.rules[end].rule.on_error.clone());
            let rule = &mut self.rules[place].rule;
            rule.then = then;
            rule.on_error = rule.on_error.take().or(on_error);
        }
    }

    /// The rule at the end of a chain of names; `None` if a link of it is wrong, which is told at that link.
    fn end_of_chain(
        &self,
        first: &Draft,
        target: &impl Fn(&Draft) -> Option<Result<usize, Fault>>,
    ) -> Result<Option<usize>, Fault> {
        let mut end = match target(first) {
            Some(found) => found?,
            None => return Ok(None),
        };
        for _ in 0..self.rules.len() {
            match target(&self.rules[end]) {
                None => return Ok(Some(end)),
                Some(Ok(next)) => end = next,
                Some(Err(_)) => return Ok(None),
            }
        }
        let (name, span) = first.alias.clone().unwrap_or_default();
        let fault = Fault::at(span, format!("`{name}` leads round in a circle"));
        Err(fault.within(first.within.as_ref()).cure("one rule of the circle must have a `reply` of its own"))
    }
}

/// What `check` says of a rule that others hide.
fn hidden(shadow: &Shadow, span: Range<usize>) -> Fault {
    let message = match (&shadow.whole, shadow.words.as_slice()) {
        (Some(by), []) => format!("this rule is never reached: {} waits for the same", by.label()),
        (Some(by), [_]) => format!("this rule is never reached: {} meets all that it waits for", by.label()),
        (_, words) => {
            const SHOWN: usize = 5;
            let shown: Vec<_> = words
                .iter()
                .take(SHOWN)
                .map(|(word, by)| format!("`{word}` already meets {}", by.label()))
                .collect();
            let more = words.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let never = if shadow.whole.is_some() { "this rule is never reached: " } else { "" };
            format!("{never}{}{more}", shown.join(", "))
        }
    };
    Fault::at(span, message)
        .cure("put the narrower rule first, give it a higher `priority`, or let the other go on by `flow = \"next\"`")
        .warning()
}

fn read_rule(
    table: Table<'_>,
    role: Role,
    line: usize,
    customs: &Customs,
    tables: &Declared,
) -> Option<Draft> {
    let takes_over = table.flag("take_over").unwrap_or(false);
    if table.value("when").is_none() && !takes_over {
        table.faults.push(Fault::at(table.span.clone(), WAITS_FOR_NOTHING).cure(
            "say what it waits for, as in `when.text = \"天气\"`; what fits nothing else goes to [default], and \
             `take_over = true` takes whatever a person sends",
        ));
    }
    // Read the rest of a rule whose condition is wrong, too: all its faults are told at once.
    let is_given = table.value("when").is_some();
    let when = table.table("when", "condition").and_then(|when| read_condition(when, customs));
    let is_whole = when.is_some() || !is_given && takes_over;
    let captures =
        if is_whole { Some(when.as_ref().map_or(&[] as &[_], |(_, captures)| captures)) } else { None };
    let captures = captures.map(<[String]>::to_vec);
    let mut when = when.map(|(condition, _)| condition).unwrap_or_default();
    if takes_over {
        when = when.and(Test::Sent);
    }
    if let Some((from, until)) = read_validity(&table, customs) {
        when = when.and(Test::Valid(from, until));
    }
    if WANT_A_TEXT.iter().any(|key| has_condition(&table, key)) {
        warn_of_articles(&table);
    }
    let templates = Templates { captures: captures.as_deref(), tables };
    read_action(table, role, line, when, templates).filter(|_| is_whole)
}

/// Conditions that no event meets.
const WANT_A_TEXT: [&str; 6] = ["text", "contains", "prefix", "suffix", "regex", "all_of"];

fn has_condition(rule: &Table<'_>, key: &str) -> bool {
    matches!(rule.value("when").map(Spanned::get_ref), Some(DeValue::Table(when)) if when.contains_key(key))
}

/// In answer to a message WeChat shows one article only.
fn warn_of_articles(rule: &Table<'_>) {
    let news = match rule.value("reply").map(Spanned::get_ref) {
        Some(DeValue::Table(reply)) => reply.get("news"),
        _ => None,
    };
    if let Some((news, DeValue::Array(articles))) = news.map(|news| (news, news.get_ref()))
        && articles.len() > MAX_ARTICLES_FOR_MESSAGE
    {
        let message = format!(
            "in answer to a message WeChat shows {MAX_ARTICLES_FOR_MESSAGE} article, not {}",
            articles.len()
        );
        let fault = Fault::at(news.span(), message).warning();
        rule.faults.push(fault.cure("up to eight are shown in answer to an event, as a button of the menu"));
    }
}

/// `valid_from` and `valid_until` in Unix seconds.
fn read_validity(table: &Table<'_>, customs: &Customs) -> Option<(i64, i64)> {
    let moment = |key, is_end| {
        let value = table.value(key)?;
        let text = match value.get_ref() {
            DeValue::Datetime(time) => time.to_string(),
            DeValue::String(text) => text.trim().to_owned(),
            _ => return wrong_type(value, "a date or a time", table.faults),
        };
        let parsed = customs.zone.moment(&text, is_end);
        parsed.map_err(|why| table.faults.push(Fault::at(value.span(), format!("`{key}`: {why}")))).ok()
    };
    let (from, until) = (moment("valid_from", false), moment("valid_until", true));
    if from.zip(until).is_some_and(|(from, until)| until <= from) {
        let fault = Fault::at(table.key_span("valid_until"), "it ends before it begins");
        table.faults.push(fault);
    }
    (from.is_some() || until.is_some()).then(|| (from.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX)))
}

/// The keys that all tables with a reply share.
fn read_action(
    table: Table<'_>,
    role: Role,
    line: usize,
    when: Condition,
    templates: Templates<'_>,
) -> Option<Draft> {
    let (name, help) = (table.string("name"), table.string("help"));
    let on_error = templates.optional(&table, "on_error");
    let alias = table.text("alias").map(|text| (text.value.to_owned(), text.span));
    let then = match &alias {
        Some((_, span)) if table.value("reply").is_some() => {
            let fault = Fault::at(span.clone(), "this rule has a reply of its own and an `alias`");
            table.faults.push(fault.cure("leave one of them out"));
            None
        }
        Some(_) => Some(Action::None),
        None => read_reply(&table, templates, &name.clone().unwrap_or_else(|| role.key())),
    };
    let is_on = table.flag("enabled").unwrap_or(true);
    let (mut priority, mut flow) = (0, Flow::Stop);
    if let Role::Rule(_) = role {
        priority = table.integer("priority").unwrap_or(0);
        flow = table.parsed("flow", read_flow).unwrap_or(Flow::Stop);
    }
    let (span, within) = (table.span.clone(), table.faults.within().cloned());
    table.finish();
    let file = within.as_ref().map(|file| file.name.clone());
    let other = alias.as_ref().map(|(name, _)| name.clone());
    let answer = Rule { name, role, file, line, when, then: then?, help, on_error, flow, alias: other };
    Some(Draft { rule: answer, priority, is_on, alias, span, within })
}

fn read_flow(name: &str) -> Result<Flow, String> {
    match name {
        "stop" => Ok(Flow::Stop),
        "next" => Ok(Flow::Next),
        _ => Err(format!("`{name}` is no way to go on; there are stop, next")),
    }
}

/// `[[blocked]]`: words that shall not pass.
fn read_blocked(table: Table<'_>, tables: &Declared) -> Option<Blocked> {
    let words = table.texts("words");
    if table.value("words").is_none() {
        table.missing("words");
    }
    for empty in words.iter().flatten().filter(|word| word.value.trim().is_empty()) {
        table.faults.push(Fault::at(empty.span.clone(), "an empty word stands in every text"));
    }
    let fold = table.value("fold").and_then(|value| read_fold(value, &table)).unwrap_or_default();
    let (incoming, outgoing) = (table.parsed("in", Measure::parse), table.parsed("out", Measure::parse));
    if table.value("in").is_none() && table.value("out").is_none() {
        let fault = Fault::at(table.span.clone(), "these words are looked for nowhere");
        table
            .faults
            .push(fault.cure("say what becomes of them: `in = \"refuse\"`, `out = \"mask\"`, … \"ignore\""));
    }
    let reply = Templates { captures: Some(&[]), tables }.optional(&table, "reply");
    let refuses = [incoming, outgoing].contains(&Some(Measure::Refuse));
    if refuses && reply.is_none() {
        table.faults.push(
            Fault::at(table.span.clone(), "what is refused needs a `reply`")
                .cure("or let it be ignored: \"ignore\" answers nothing"),
        );
    }
    table.finish();
    let words: Vec<String> = words?.iter().map(|word| word.value.trim().to_owned()).collect();
    let mut blocked = Blocked::new(&words, fold);
    (blocked.incoming, blocked.outgoing, blocked.reply) = (incoming, outgoing, reply);
    Some(blocked)
}

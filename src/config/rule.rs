//! `[[rule]]`, `[default]` and the other tables that answer: from the file's words to rules.

use std::collections::{BTreeSet, HashMap};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use toml::de::DeValue;

use super::condition::{Customs, read_condition, read_fold};
use super::fault::{Fault, IncludedText, did_you_mean, line_of};
use super::handler::{has_handler, read_handling, refuse_options};
use super::reply::{Templates, read_reply};
use super::server::duration_within;
use super::step::Step;
use super::table::{Faults, Table, Text, Value, text, wrong_type};
use super::tables::{Asked, Declared};
use crate::clock::unix_seconds;
use crate::rules::{
    Action, Blocked, Condition, Flow, Fold, Limit, Measure, Period, Role, Rule, Rules, Sequel, Setting,
    Shadow, StepPart, Test, Zone,
};
use crate::wechat::message::KNOWN_TYPES;

/// How long a user may be without a rule, and how long is counted.
const PERIODS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 60 * 60);

const VALUE_NOUN: &str = "value of the session";

/// What is said of a rule without a condition.
pub(super) const WAITS_FOR_NOTHING: &str = "this rule waits for nothing";

/// All that answers, as it was read from the config and from the files that it includes.
pub(super) struct Drafts<'t> {
    /// What replies can look up.
    pub(super) tables: &'t Declared,
    pub(super) rules: Vec<Draft>,
    /// The steps of dialogs.
    pub(super) steps: Vec<Step>,
    /// How many rules there were so far.
    count: usize,
    blocked: Vec<Blocked>,
}

/// A rule before it is known what the others are.
pub(super) struct Draft {
    pub(super) rule: Rule,
    pub(super) tier: Tier,
    pub(super) priority: i64,
    /// Whether it is tried, and not only there for others to name it.
    pub(super) is_on: bool,
    /// The rule whose reply it takes.
    pub(super) alias: Option<(String, Range<usize>)>,
    /// The step that waits for the next message.
    pub(super) wait: Option<(String, Range<usize>)>,
    /// Whether it says what that step asks.
    pub(super) asks: bool,
    pub(super) span: Range<usize>,
    pub(super) within: Option<Arc<IncludedText>>,
}

/// When a rule is tried; among those of one tier `priority` counts, then the order of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    /// The words that end a step.
    Cancel,
    /// What a step waits for.
    Step,
    /// What a locked step does with all else.
    Lock,
    /// Rules for everybody.
    Rule,
    /// What a step does with what no rule is for.
    Retry,
    /// What nothing else is for.
    Fallback,
}

impl<'t> Drafts<'t> {
    pub(super) fn new(tables: &'t Declared) -> Self {
        Self { tables, rules: Vec::new(), steps: Vec::new(), count: 0, blocked: Vec::new() }
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
        self.read_steps(root, file, customs);
        let blocked = root.tables("blocked", "key of blocked words").into_iter();
        self.blocked.extend(blocked.filter_map(|table| read_blocked(table, self.tables)));
    }

    /// Reads the tables for what no rule is for, which only the config itself has, in the order in which they are tried.
    pub(super) fn read_fallbacks(&mut self, root: &Table<'_>, file: &str, zone: &Zone) {
        let events = [("welcome", Role::Welcome, "subscribe"), ("unfollow", Role::Unfollow, "unsubscribe")];
        for (key, role, event) in events {
            if let Some(table) = root.table(key, "key") {
                self.read_fallback(table, role, (file, zone), Test::Event(vec![event.to_owned()]));
            }
        }
        let Some(table) = root.table("default", "default key") else { return };
        let mut is_needed = true;
        for kind in KNOWN_TYPES.iter().copied() {
            if let Some(table) = table.table(kind, "default key") {
                is_needed = false;
                let role = Role::DefaultOf(kind.to_owned());
                self.read_fallback(table, role, (file, zone), Test::Type(vec![kind.to_owned()]));
            }
        }
        if is_needed
            || ["reply", "alias", "wait"].iter().any(|key| table.value(key).is_some())
            || has_handler(&table)
        {
            self.read_fallback(table, Role::Default, (file, zone), Test::Sent);
        } else {
            table.finish();
        }
    }

    fn read_fallback(&mut self, table: Table<'_>, role: Role, (file, zone): (&str, &Zone), test: Test) {
        let line = line_of(file, table.span.start);
        let when = Condition::new(Fold::Off, vec![test]);
        let templates = Templates::new(Some(&[]), self.tables);
        let templates = if when.is_for_people() { templates.for_people() } else { templates };
        self.rules.extend(read_action(table, role, line, when, templates, zone));
    }

    /// The rules, those with a higher `priority` first, otherwise in the order of the files; last what no rule is for.
    pub(super) fn into_rules(mut self, faults: &Faults<'_>) -> Rules {
        // The questions of steps first: an alias takes what its rule says.
        self.resolve_steps(faults);
        self.resolve(faults);
        // Where something is wrong, rules are missing.
        if faults.thorough && faults.are_warnings() {
            self.warn_of_names(faults);
            self.warn_of_session(faults);
        }
        let Self { mut rules, blocked, .. } = self;
        rules.sort_by_key(|draft| (draft.tier, std::cmp::Reverse(draft.priority)));
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

    /// Warns of rules that are called alike: what is counted of them is counted together.
    fn warn_of_names(&self, faults: &Faults<'_>) {
        let mut known: HashMap<String, &Rule> = HashMap::new();
        for draft in &self.rules {
            let rule = &draft.rule;
            let name = rule.name.clone().unwrap_or_else(|| rule.role.key());
            let Some(other) = known.get(&name) else {
                known.insert(name, rule);
                continue;
            };
            let message = format!("{} is called `{name}` as well", other.label());
            let fault = Fault::at(draft.span.clone(), message).warning().within(draft.within.as_ref());
            faults.push(fault.cure(
                "give each a name of its own: golden tests, the log, and what `once_every`, `limit` and \
                 `round_robin` count tell rules apart by their names",
            ));
        }
    }

    /// Warns of values of the session that something asks for and nothing sets.
    fn warn_of_session(&self, faults: &Faults<'_>) {
        // What a handler sets is not known here.
        if self.rules.iter().any(|draft| draft.rule.then.handling().is_some()) {
            return;
        }
        let set: BTreeSet<&str> = self
            .rules
            .iter()
            .flat_map(|draft| draft.rule.sequel.session.iter().map(|(name, _)| name.as_str()))
            .collect();
        let by_conditions = self.rules.iter().flat_map(|draft| {
            let asked = |value: &str| Asked {
                value: value.to_owned(),
                span: draft.span.clone(),
                within: draft.within.clone(),
            };
            draft.rule.when.session_values().map(asked)
        });
        let asked = self.tables.take_session().into_iter().chain(by_conditions);
        for Asked { value, span, within } in asked.filter(|asked| !set.contains(asked.value.as_str())) {
            let fault = Fault::at(span, format!("no rule sets `session.{value}`"));
            let fault = fault.warning().within(within.as_ref());
            faults.push(match did_you_mean(&value, set.iter().copied()) {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None => fault.cure(format!("a rule does by `session = {{ {value} = \"…\" }}`")),
            });
        }
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
            // Who is asked what a step asks is to be in that step.
            let asked = Some(self.rules[end].rule.sequel.step.clone()).filter(|_| self.rules[end].asks);
            let is_elsewhere = self.rules[place].wait.is_some();
            let rule = &mut self.rules[place].rule;
            if let Some(step) = asked.filter(|_| !is_elsewhere) {
                rule.sequel.step = step;
            }
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
        (Some(by), []) if shadow.is_same => {
            format!("this rule is never reached: {} waits for the same", by.label())
        }
        (Some(by), [] | [_]) => {
            format!("this rule is never reached: {} meets all that it waits for", by.label())
        }
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

pub(super) fn read_rule(
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
    let templates = Templates::new(captures.as_deref(), tables);
    let templates = if when.is_for_people() { templates.for_people() } else { templates };
    read_action(table, role, line, when, templates, &customs.zone).filter(|_| is_whole)
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
    } else if table.faults.thorough && until.is_some_and(is_past) && !is_off(table) {
        let fault = Fault::at(table.key_span("valid_until"), "this rule is past: nothing meets it any more");
        table.faults.push(fault.cure("take it out, or give it a later `valid_until`").warning());
    }
    (from.is_some() || until.is_some()).then(|| (from.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX)))
}

/// Whether these Unix seconds are over.
fn is_past(until: i64) -> bool {
    i64::try_from(unix_seconds(SystemTime::now())).is_ok_and(|now| until <= now)
}

fn is_off(rule: &Table<'_>) -> bool {
    matches!(rule.value("enabled").map(toml::Spanned::get_ref), Some(DeValue::Boolean(false)))
}

/// The keys that all tables with a reply share.
pub(super) fn read_action(
    table: Table<'_>,
    role: Role,
    line: usize,
    when: Condition,
    templates: Templates<'_>,
    zone: &Zone,
) -> Option<Draft> {
    let (name, help) = (table.string("name"), table.string("help"));
    let on_error = templates.said(&table, "on_error");
    let alias = table.text("alias").map(|text| (text.value.to_owned(), text.span));
    // No other rule's name is that of one without.
    let key = name.clone().unwrap_or_else(|| format!("#{}", role.key()));
    let wait = table.text("wait").map(|text| (text.value.trim().to_owned(), text.span));
    let asks = wait.is_some() && alias.is_none() && table.value("reply").is_none() && !has_handler(&table);
    if !has_handler(&table) {
        refuse_options(&table);
    }
    let then = match &alias {
        _ if has_handler(&table) => read_handling(&table, templates),
        Some((_, span)) if table.value("reply").is_some() => {
            let fault = Fault::at(span.clone(), "this rule has a reply of its own and an `alias`");
            table.faults.push(fault.cure("leave one of them out"));
            None
        }
        Some(_) => Some(Action::None),
        None if asks => Some(Action::None),
        None => read_reply(&table, templates, &key),
    };
    let when = read_limits(&table, &key, zone).into_iter().fold(when, Condition::and);
    let sequel = Sequel { session: read_session(&table, templates), ..Sequel::default() };
    let is_on = table.flag("enabled").unwrap_or(true);
    let (mut priority, mut flow) = (0, Flow::Stop);
    if let Role::Rule(_) | Role::Step { part: StepPart::Rule(_), .. } = role {
        priority = table.integer("priority").unwrap_or(0);
        flow = table.parsed("flow", read_flow).unwrap_or(Flow::Stop);
    }
    let (span, within) = (table.span.clone(), table.faults.within().cloned());
    table.finish();
    let file = within.as_ref().map(|file| file.name.clone());
    let other = alias.as_ref().map(|(name, _)| name.clone());
    let answer =
        Rule { name, role, file, line, when, then: then?, help, on_error, flow, sequel, alias: other };
    let tier = if answer.is_fallback() { Tier::Fallback } else { Tier::Rule };
    Some(Draft { rule: answer, tier, priority, is_on, alias, wait, asks, span, within })
}

/// `once_every` and `limit`: how often a user gets the rule.
fn read_limits(table: &Table<'_>, key: &str, zone: &Zone) -> Vec<Test> {
    let every = table.parsed("once_every", |text| duration_within(text, &PERIODS));
    let every = every.map(|every| Test::OnceEvery(key.to_owned(), every.as_secs()));
    let limit = table.table("limit", "limit key").map(|limit| Test::Limit(read_limit(limit, key, zone)));
    every.into_iter().chain(limit).collect()
}

pub(super) fn read_limit(table: Table<'_>, key: &str, zone: &Zone) -> Limit {
    let times = |name| table.integer_within(name, "times", 1..=u32::MAX);
    let (user, all) = (times("user"), times("all"));
    if table.value("user").is_none() && table.value("all").is_none() {
        let fault = Fault::at(table.span.clone(), "this limit limits nothing");
        table
            .faults
            .push(fault.cure("say how often: { user = 3, per = \"day\" }, or `all` for all users together"));
    }
    let per = table.parsed("per", |text| match text {
        "day" => Ok(Period::Day(zone.clone())),
        _ => duration_within(text, &PERIODS).map(|period| Period::Seconds(period.as_secs())),
    });
    table.finish();
    Limit { key: key.to_owned(), user, all, per: per.unwrap_or_else(|| Period::Day(zone.clone())) }
}

/// `session = { city = "{{ city }}" }`: what is written down.
fn read_session(table: &Table<'_>, templates: Templates<'_>) -> Vec<(String, Setting)> {
    let Some(value) = table.value("session") else { return Vec::new() };
    let Some(session) = Table::from_value(value, VALUE_NOUN, table.faults) else { return Vec::new() };
    let read = |(name, value): (Text<'_>, Value<'_>)| {
        if !is_name(name.value) {
            let fault = Fault::at(name.span, format!("`{}` is no name that templates can use", name.value));
            session.faults.push(fault.cure("letters, digits and _, no digit in front"));
            return None;
        }
        let setting = match value.get_ref() {
            DeValue::String(_) => {
                Setting::Text(templates.read(&text(value, session.faults)?, session.faults))
            }
            DeValue::Boolean(flag) => Setting::Flag(*flag),
            DeValue::Integer(number) => Setting::Whole(number.as_str().parse().ok()?),
            DeValue::Float(number) => Setting::Number(number.as_str().parse().ok()?),
            _ => return wrong_type(value, "a text, a number, true or false", session.faults),
        };
        Some((name.value.to_owned(), setting))
    };
    session.entries().filter_map(read).collect()
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
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
    let reply = Templates::new(Some(&[]), tables).said(&table, "reply");
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

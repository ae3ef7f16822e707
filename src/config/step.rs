//! `[step.NAME]`: what a dialog waits for, from the file's words to rules that only those meet who are in that step.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use super::condition::Customs;
use super::fault::{Fault, IncludedText, did_you_mean, line_of};
use super::reply::{Templates, read_ask, warn_of_length};
use super::rule::{Draft, Drafts, Tier, read_action, read_rule};
use super::server::duration_within;
use super::table::{Faults, Table};
use crate::rules::{Action, Condition, Flow, Fold, Role, Rule, Sequel, StepPart, Template, Test, Turn};

/// How long a step waits where it does not say.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How long one may wait.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(30 * 24 * 60 * 60);

/// So often a step may be asked again.
const MAX_RETRIES: u32 = 100;

/// What leads back to the menu above, and what is shown for it.
const BACK: &str = "0";
const BACK_LABEL: &str = "返回";

/// A step, as other steps and rules see it.
pub(super) struct Step {
    pub(super) name: String,
    /// What it asks, if it asks something.
    pub(super) ask: Option<Action>,
    pub(super) seconds: u64,
    /// Whether words end it.
    has_cancel: bool,
    span: Range<usize>,
    within: Option<Arc<IncludedText>>,
}

/// What a step does with what it does not understand; the menus below a menu do the same.
#[derive(Clone)]
struct Manners {
    seconds: u64,
    retry: u32,
    again: Option<Template>,
    give_up: Option<Template>,
    cancel: Vec<String>,
    cancel_reply: Option<Template>,
    is_locked: bool,
    back: String,
}

/// Where a step stands.
#[derive(Clone, Copy)]
struct Place<'p> {
    file: &'p str,
    customs: &'p Customs,
}

impl Place<'_> {
    /// How the words of menus and those that end a step are compared: as those of rules are, and `1！` is always a `1`.
    fn fold(self) -> Fold {
        self.customs.fold.max(Fold::On)
    }
}

impl Drafts<'_> {
    /// Reads the steps of a file; `file` is its text.
    pub(super) fn read_steps(&mut self, root: &Table<'_>, file: &str, customs: &Customs) {
        for (name, table) in root.named_tables("step", "step key") {
            if name.value.trim().is_empty() || name.value.contains('.') {
                let fault = Fault::at(name.span, "a step has a name without dots");
                table.faults.push(fault);
                continue;
            }
            if self.steps.iter().any(|step| step.name == name.value) {
                let fault = Fault::at(name.span, format!("there is another step `{}`", name.value));
                table.faults.push(fault.cure("give each step of all files a name of its own"));
            }
            self.read_step(name.value, table, Place { file, customs });
        }
    }

    fn read_step(&mut self, name: &str, table: Table<'_>, place: Place<'_>) {
        let templates = Templates::new(Some(&[]), self.tables);
        let manners = Manners::read(&table, templates);
        let ask = read_ask(&table, templates, name);
        let before = self.rules.len();
        self.push_cancel(name, &manners, &table, place);
        for (number, rule) in (1..).zip(table.tables("rule", "rule key")) {
            let line = line_of(place.file, rule.span.start);
            let role = Role::Step { step: name.to_owned(), part: StepPart::Rule(number) };
            let draft = read_rule(rule, role, line, place.customs, self.tables);
            self.rules.extend(draft.map(|draft| draft.in_step(name)));
        }
        let items = table.tables("item", "item key");
        let waits = self.rules.len() > before + usize::from(!manners.cancel.is_empty());
        if !waits && items.is_empty() && table.value("rule").is_none() {
            let fault = Fault::at(table.span.clone(), format!("the step `{name}` waits for nothing"));
            table.faults.push(
                fault.cure(format!("say what it waits for: [[step.{name}.rule]], or [[step.{name}.item]]")),
            );
        }
        let ask = self.read_menu(name, None, ask, items, &manners, place, table.faults);
        self.finish_step(name, ask, &manners, &table, place);
        table.finish();
    }

    /// The numbered items of a step; gives what it asks, with them.
    #[expect(clippy::too_many_arguments, reason = "each says where something else comes from")]
    fn read_menu(
        &mut self,
        name: &str,
        above: Option<&str>,
        ask: Option<Action>,
        items: Vec<Table<'_>>,
        manners: &Manners,
        place: Place<'_>,
        faults: &Faults<'_>,
    ) -> Option<Action> {
        if items.is_empty() {
            return ask;
        }
        let title = match ask {
            None => String::new(),
            Some(Action::Text(template)) => format!("{}\n", template.source()),
            Some(_) => {
                let fault = Fault::at(items[0].span.clone(), "only a text can be followed by numbered items");
                faults.push(fault.cure("let `ask` be a text"));
                String::new()
            }
        };
        let span = items[0].span.clone();
        let mut lines = Vec::new();
        for (number, item) in (1..).zip(items) {
            if let Some(label) = self.read_item(name, number, item, manners, place) {
                lines.push(format!("{number} {label}"));
            }
        }
        if let Some(above) = above {
            lines.push(format!("{BACK} {}", manners.back));
            let words = vec![BACK.to_owned(), manners.back.clone()];
            let mut draft =
                Draft::of_step(name, StepPart::Back, Condition::new(place.fold(), vec![Test::Text(words)]));
            draft.lead_to(above);
            self.rules.push(draft);
        }
        let shown = Template::new(title + &lines.join("\n"));
        warn_of_length(&shown, span, faults);
        Some(Action::Text(shown))
    }

    /// One numbered item: a rule for its number and its label. Gives the label.
    fn read_item(
        &mut self,
        step: &str,
        number: usize,
        table: Table<'_>,
        manners: &Manners,
        place: Place<'_>,
    ) -> Option<String> {
        let label = table.required("label");
        if label.as_deref().is_some_and(|label| !Template::new(label.to_owned()).is_plain()) {
            let fault = Fault::at(
                table.value_span("label"),
                "a label is what users write: it has nothing to fill in",
            );
            table.faults.push(fault.cure("leave `{{`, `{%` and `{#` out of it"));
        }
        let words = vec![number.to_string(), label.clone().unwrap_or_default()];
        let when = Condition::new(place.fold(), vec![Test::Text(words)]);
        let role = Role::Step { step: step.to_owned(), part: StepPart::Item(number) };
        let line = line_of(place.file, table.span.start);
        let templates = Templates::new(Some(&[]), self.tables).for_people();
        let items = table.tables("item", "item key");
        let ask = read_ask(&table, templates, step);
        if items.is_empty() {
            if ask.is_some() {
                let fault = Fault::at(table.key_span("ask"), "only an item that has others below it asks");
                table.faults.push(fault.cure("answer by `reply`, or lead to a step by `wait`"));
            }
            // Whoever was answered may choose once more.
            let draft = read_action(table, role, line, when, templates, &place.customs.zone);
            self.rules.extend(draft.map(|draft| {
                let draft = draft.in_step(step);
                if draft.wait.is_none() { draft.staying_in(step) } else { draft }
            }));
            return label;
        }
        let below = format!("{step}.{number}");
        if let Some(key) = ["reply", "alias", "wait"].into_iter().find(|key| table.value(key).is_some()) {
            let fault =
                Fault::at(table.key_span(key), format!("this item shows others, so it has no `{key}`"));
            table.faults.push(fault.cure("leave it out; what is shown above the items is `ask`"));
        }
        let mut draft = Draft::of_step(step, StepPart::Item(number), when);
        (draft.rule.line, draft.within) = (line, table.faults.within().cloned());
        draft.lead_to(&below);
        self.rules.push(draft);
        self.push_cancel(&below, manners, &table, place);
        let ask = ask.or_else(|| label.clone().map(Template::new).map(Action::Text));
        let ask = self.read_menu(&below, Some(step), ask, items, manners, place, table.faults);
        self.finish_step(&below, ask, manners, &table, place);
        table.finish();
        label
    }

    fn push_cancel(&mut self, name: &str, manners: &Manners, table: &Table<'_>, place: Place<'_>) {
        if manners.cancel.is_empty() {
            return;
        }
        let when = Condition::new(place.fold(), vec![Test::Text(manners.cancel.clone())]);
        let mut draft = Draft::of_step(name, StepPart::Cancel, when).reading(table, place.file);
        draft.tier = Tier::Cancel;
        draft.rule.then = text_or_nothing(manners.cancel_reply.as_ref());
        self.rules.push(draft);
    }

    /// What comes behind the rules of a step: it is asked again, then it is over.
    fn finish_step(
        &mut self,
        name: &str,
        ask: Option<Action>,
        manners: &Manners,
        table: &Table<'_>,
        place: Place<'_>,
    ) {
        let tier = if manners.is_locked { Tier::Lock } else { Tier::Retry };
        if manners.retry > 0 {
            let when = Condition::new(Fold::Off, vec![Test::Sent]);
            let when = when.and(Test::Step(name.to_owned(), Some(manners.retry)));
            let mut draft = Draft::bare(name, StepPart::Again, when).reading(table, place.file);
            draft.tier = tier;
            draft.rule.sequel.step = Turn::Again(manners.seconds);
            draft.rule.then = match (&manners.again, &ask) {
                (Some(again), _) => Action::Text(again.clone()),
                (None, Some(ask)) => ask.clone(),
                (None, None) => {
                    let fault =
                        Fault::at(table.span.clone(), "nothing is said when this step is asked again");
                    table.faults.push(fault.cure("give it `ask`, or `again` for the second time"));
                    Action::None
                }
            };
            self.rules.push(draft);
        }
        let when = Condition::new(Fold::Off, vec![Test::Sent]);
        let mut draft = Draft::of_step(name, StepPart::GiveUp, when).reading(table, place.file);
        draft.tier = tier;
        draft.rule.then = text_or_nothing(manners.give_up.as_ref());
        // Without a word of its own the message goes on to other rules.
        draft.rule.flow = if manners.give_up.is_some() { Flow::Stop } else { Flow::Next };
        self.rules.push(draft);
        self.steps.push(Step {
            name: name.to_owned(),
            ask,
            seconds: manners.seconds,
            has_cancel: !manners.cancel.is_empty(),
            span: table.span.clone(),
            within: table.faults.within().cloned(),
        });
    }

    /// Gives each rule that leads to a step that step's time, and its question where the rule says nothing itself.
    pub(super) fn resolve_steps(&mut self, faults: &Faults<'_>) {
        for draft in &mut self.rules {
            let asked = draft.rule.when.steps().find(|name| self.steps.iter().all(|step| step.name != *name));
            if let Some(name) = asked {
                faults
                    .push(unknown_step(name, draft.span.clone(), &self.steps).within(draft.within.as_ref()));
            }
            let Some((name, span)) = &draft.wait else { continue };
            let Some(step) = self.steps.iter().find(|step| step.name == *name) else {
                faults.push(unknown_step(name, span.clone(), &self.steps).within(draft.within.as_ref()));
                continue;
            };
            draft.rule.sequel.step = Turn::Enter(name.clone(), step.seconds);
            if draft.asks {
                if let Some(ask) = &step.ask {
                    draft.rule.then = ask.clone();
                } else {
                    let fault = Fault::at(
                        span.clone(),
                        format!("neither this rule nor the step `{name}` says anything"),
                    );
                    faults.push(
                        fault
                            .cure(
                                "give the step `ask`, or the rule a `reply`; `reply.none = true` is silence",
                            )
                            .within(draft.within.as_ref()),
                    );
                }
            }
        }
        if faults.thorough {
            self.warn_of_unreached(faults);
            self.warn_of_traps(faults);
        }
    }

    /// The steps that no rule leads to.
    fn warn_of_unreached(&self, faults: &Faults<'_>) {
        let leads_from = |from: Option<&str>| {
            let from = from.map(str::to_owned);
            let rules =
                self.rules.iter().filter(move |draft| draft.is_on && draft.step().map(str::to_owned) == from);
            rules.filter_map(|draft| draft.wait.as_ref().map(|(name, _)| name.clone()))
        };
        let mut reached: BTreeSet<String> = leads_from(None).collect();
        let mut open: Vec<String> = reached.iter().cloned().collect();
        while let Some(name) = open.pop() {
            open.extend(leads_from(Some(&name)).filter(|name| reached.insert(name.clone())));
        }
        for step in self.steps.iter().filter(|step| !reached.contains(&step.name) && !step.name.contains('.'))
        {
            let fault = Fault::at(step.span.clone(), format!("no rule leads to the step `{}`", step.name));
            faults.push(
                fault
                    .cure(format!("wait = \"{}\" in a rule does", step.name))
                    .warning()
                    .within(step.within.as_ref()),
            );
        }
    }

    /// The steps that a user leaves by nothing that he sends: one rule takes all of it, and all lead on to such steps.
    fn warn_of_traps(&self, faults: &Faults<'_>) {
        let rules_of = |name: &str| {
            let name = name.to_owned();
            let is_own = move |draft: &&Draft| draft.step() == Some(&name) && draft.tier == Tier::Step;
            self.rules.iter().filter(is_own)
        };
        let may_be = |step: &&Step| {
            !step.has_cancel && rules_of(&step.name).any(|draft| draft.is_on && draft.rule.when.takes_all())
        };
        let mut traps: BTreeSet<&str> =
            self.steps.iter().filter(may_be).map(|step| step.name.as_str()).collect();
        loop {
            let leads_out = |name: &&str| {
                let leads = |draft: &Draft| {
                    draft.wait.as_ref().is_none_or(|(name, _)| !traps.contains(name.as_str()))
                };
                rules_of(name).any(leads)
            };
            let Some(open) = traps.iter().copied().find(leads_out) else { break };
            traps.remove(open);
        }
        for step in self.steps.iter().filter(|step| traps.contains(step.name.as_str())) {
            let message = format!("nothing that a user sends leads out of the step `{}`", step.name);
            let fault = Fault::at(step.span.clone(), message);
            faults.push(
                fault
                    .cure("give it words that end it, `cancel = [\"取消\"]`, or a rule without `wait`")
                    .warning()
                    .within(step.within.as_ref()),
            );
        }
    }
}

impl Manners {
    fn read(table: &Table<'_>, templates: Templates<'_>) -> Self {
        let timeout = table.parsed("timeout", |text| duration_within(text, &TIMEOUTS)).unwrap_or(TIMEOUT);
        let cancel = table.texts("cancel").unwrap_or_default();
        for empty in cancel.iter().filter(|word| word.value.trim().is_empty()) {
            table.faults.push(Fault::at(empty.span.clone(), "`cancel` is empty"));
        }
        let manners = Self {
            seconds: timeout.as_secs(),
            retry: table.integer_within("retry", "further questions", 0..=MAX_RETRIES).unwrap_or(0),
            again: templates.said(table, "again"),
            give_up: templates.said(table, "give_up"),
            cancel: cancel.iter().map(|word| word.value.to_owned()).collect(),
            cancel_reply: templates.said(table, "cancel_reply"),
            is_locked: table.flag("lock").unwrap_or(false),
            back: table.string("back").unwrap_or_else(|| BACK_LABEL.to_owned()),
        };
        for (key, is_idle, other) in
            [("again", manners.retry == 0, "retry"), ("cancel_reply", manners.cancel.is_empty(), "cancel")]
        {
            if is_idle && table.value(key).is_some() {
                let fault =
                    Fault::at(table.key_span(key), format!("`{key}` is never said without `{other}`"));
                table.faults.push(fault.cure(format!("give `{other}`, or leave `{key}` out")).warning());
            }
        }
        manners
    }
}

impl Draft {
    /// A rule of a step that the config does not write itself.
    fn bare(step: &str, part: StepPart, when: Condition) -> Self {
        let rule = Rule {
            name: None,
            role: Role::Step { step: step.to_owned(), part },
            file: None,
            line: 0,
            when,
            then: Action::None,
            help: None,
            on_error: None,
            flow: Flow::Stop,
            alias: None,
            sequel: Sequel { step: Turn::Leave, ..Sequel::default() },
        };
        Self {
            rule,
            tier: Tier::Step,
            priority: 0,
            is_on: true,
            alias: None,
            wait: None,
            asks: false,
            span: 0..0,
            within: None,
        }
    }

    /// The same for whoever is in the step.
    fn of_step(step: &str, part: StepPart, when: Condition) -> Self {
        Self::bare(step, part, when).in_step(step)
    }

    /// It stands where a table does.
    fn reading(mut self, table: &Table<'_>, file: &str) -> Self {
        self.rule.line = line_of(file, table.span.start);
        self.within = table.faults.within().cloned();
        self.rule.file = self.within.as_ref().map(|file| file.name.clone());
        self.span = table.span.clone();
        self
    }

    /// Only for whoever is in the step, which is over then, unless it waits for more.
    fn in_step(mut self, step: &str) -> Self {
        self.rule.when = self.rule.when.and(Test::Step(step.to_owned(), None));
        self.tier = Tier::Step;
        self.rule.sequel.step = Turn::Leave;
        self
    }

    /// The step goes on.
    fn staying_in(mut self, step: &str) -> Self {
        self.wait = Some((step.to_owned(), self.span.clone()));
        self
    }

    /// It says what the step `name` asks, and leads there.
    fn lead_to(&mut self, name: &str) {
        self.wait = Some((name.to_owned(), self.span.clone()));
        self.asks = true;
    }

    /// The step that it belongs to.
    fn step(&self) -> Option<&str> {
        match &self.rule.role {
            Role::Step { step, .. } => Some(step),
            _ => None,
        }
    }
}

fn text_or_nothing(template: Option<&Template>) -> Action {
    template.map_or(Action::None, |template| Action::Text(template.clone()))
}

fn unknown_step(name: &str, span: Range<usize>, steps: &[Step]) -> Fault {
    let fault = Fault::at(span, format!("there is no step `{name}`"));
    match did_you_mean(name, steps.iter().map(|step| step.name.as_str())) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.cure(format!("write it: [step.{name}]")),
    }
}

#[cfg(test)]
mod tests;

use std::path::Path;

use super::super::{Config, Thoroughness};

const HEAD: &str = "[account]\ntoken = \"SpecimenToken\"\n";

/// What is said of a config with these lines, without places.
fn told(lines: &str) -> Vec<String> {
    let (_, faults) = Config::parse(&format!("{HEAD}{lines}"), Path::new("/nonexistent"), Thoroughness::Full);
    faults.iter().map(|fault| fault.message.clone()).collect()
}

/// The rules of a config with these lines, as tests call them, in the order in which they are tried.
fn order(lines: &str) -> Vec<String> {
    let (config, faults) =
        Config::parse(&format!("{HEAD}{lines}"), Path::new("/nonexistent"), Thoroughness::Full);
    assert!(faults.is_empty(), "{faults:#?}");
    config.expect("a config").rules.iter().map(|rule| rule.role.key()).collect()
}

const ASKED: &str = "[[rule]]\nwhen.text = \"go\"\nwait = \"a\"\n";

#[test]
fn what_a_step_does_is_tried_before_other_rules_and_what_it_cannot_do_behind_them() {
    let rules = "[[rule]]\npriority = 9\nwhen.text = \"go\"\nwait = \"a\"\n[step.a]\nask = \"?\"\ncancel = \"stop\"\nretry = 1\n\
        [[step.a.rule]]\nwhen.text = \"x\"\nreply = \"x\"\n[[step.a.rule]]\npriority = 1\nwhen.text = \"y\"\nreply = \"y\"\n\
        [default]\nreply = \"d\"\n";
    assert_eq!(order(rules), ["a.cancel", "a.2", "a.1", "1", "a.again", "a.give_up", "default"]);
    let locked = rules.replace("retry = 1", "retry = 1\nlock = true");
    assert_eq!(order(&locked), ["a.cancel", "a.2", "a.1", "a.again", "a.give_up", "1", "default"]);
}

#[test]
fn a_menu_is_rules_for_its_numbers_and_each_menu_below_leads_back() {
    let rules = format!(
        "{ASKED}[step.a]\nask = \"title\"\nback = \"up\"\n[[step.a.item]]\nlabel = \"one\"\nreply = \"1\"\n\
         [[step.a.item]]\nlabel = \"two\"\n[[step.a.item.item]]\nlabel = \"deep\"\nreply = \"d\"\n"
    );
    let names = ["a.item.1", "a.item.2", "a.2.item.1", "a.2.back", "1", "a.2.give_up", "a.give_up"];
    assert_eq!(order(&rules), names);
    let (config, _) = Config::parse(&format!("{HEAD}{rules}"), Path::new("/n"), Thoroughness::Full);
    let said = |key: &str| {
        let config = config.as_ref().expect("a config");
        let rule = config.rules.iter().find(|rule| rule.role.key() == key).expect("the rule");
        format!("{:?}", rule.then)
    };
    assert!(said("1").contains(r"title\n1 one\n2 two"), "{}", said("1"));
    assert!(said("a.item.2").contains(r"two\n1 deep\n0 up"), "{}", said("a.item.2"));
    assert_eq!(said("a.2.back"), said("1"));
}

#[test]
fn what_is_wrong_with_a_dialog_is_told() {
    let step = "[step.a]\nask = \"?\"\n";
    let rule = "[[step.a.rule]]\nwhen.text = \"x\"\nreply = \"x\"\n";
    for (lines, expected) in [
        (format!("{ASKED}{step}"), "the step `a` waits for nothing"),
        (
            format!("{ASKED}{step}[[step.a.item]]\nlabel = \"{{{{ x }}}}\"\nreply = \"x\"\n"),
            "a label is what users write: it has nothing to fill in",
        ),
        (
            format!("{ASKED}{step}[[step.a.item]]\nlabel = \"{}\"\nreply = \"x\"\n", "长".repeat(700)),
            "this text has 2104 bytes; WeChat takes 2047",
        ),
        (format!("{ASKED}[step.a]\n{rule}"), "neither this rule nor the step `a` says anything"),
        (format!("{ASKED}[step.b]\n{}", rule.replace("step.a", "step.b")), "there is no step `a`"),
        (
            format!("{ASKED}{step}retry = 2\n{rule}[[rule]]\nwhen.step = \"c\"\nreply = \"y\"\n"),
            "there is no step `c`",
        ),
        (format!("{step}{rule}"), "no rule leads to the step `a`"),
        (format!("{ASKED}{step}again = \"!\"\n{rule}"), "`again` is never said without `retry`"),
        (
            format!("{ASKED}{step}cancel_reply = \"!\"\n{rule}"),
            "`cancel_reply` is never said without `cancel`",
        ),
        (
            format!("{ASKED}{step}timeout = \"1s\"\n{rule}"),
            "`timeout`: `1s` is too little; it may be 10s to 2592000s",
        ),
        (
            format!("[[rule]]\nwhen.text = \"go\"\nreply = \"?\"\nwait = \"a\"\n[step.a]\nretry = 1\n{rule}"),
            "nothing is said when this step is asked again",
        ),
        (
            format!("{ASKED}{step}[[step.a.rule]]\ntake_over = true\nwait = \"a\"\n"),
            "nothing that a user sends leads out of the step `a`",
        ),
        (
            format!("{ASKED}{step}[[step.a.item]]\nlabel = \"x\"\nask = \"?\"\nreply = \"x\"\n"),
            "only an item that has others below it asks",
        ),
        (
            format!(
                "{ASKED}{step}[[step.a.item]]\nlabel = \"x\"\nreply = \"x\"\n[[step.a.item.item]]\nlabel = \"y\"\nreply = \"y\"\n"
            ),
            "this item shows others, so it has no `reply`",
        ),
        (
            "[default]\nreply = \"x\"\nlimit.user = 0\n".to_owned(),
            "`user` is a number of times, 1 to 4294967295",
        ),
        ("[default]\nreply = \"x\"\nlimit.per = \"day\"\n".to_owned(), "this limit limits nothing"),
        (
            "[default]\nreply = \"x\"\nsession.\"a b\" = 1\n".to_owned(),
            "`a b` is no name that templates can use",
        ),
        (
            "[[rule]]\nwhen.first = false\nreply = \"x\"\n".to_owned(),
            "`first` can only be true; leave it out",
        ),
    ] {
        assert!(told(&lines).iter().any(|message| message == expected), "{lines}\n{:#?}", told(&lines));
    }
}

#[test]
fn a_step_that_something_leads_out_of_is_no_trap() {
    let all = "[[step.a.rule]]\ntake_over = true\nwait = \"a\"\n";
    let out = "[[step.a.rule]]\nwhen.text = \"stop\"\nreply = \"bye\"\n";
    for step in [format!("cancel = \"stop\"\n{all}"), format!("{out}{all}")] {
        assert_eq!(told(&format!("{ASKED}[step.a]\nask = \"?\"\n{step}")), [""; 0]);
    }
    // Two that lead to each other are one.
    let two = format!(
        "{ASKED}[step.a]\nask = \"?\"\n{}[step.b]\nask = \"?\"\n{}",
        all.replace("\"a\"", "\"b\""),
        all.replace("step.a", "step.b")
    );
    assert_eq!(told(&two).len(), 2);
}

use std::path::Path;

use super::super::fault::{Fault, PlacedFault};
use super::super::{Config, Thoroughness};
use crate::rules::Action;

/// A config with one rule for buttons, whose other lines these are.
fn parse(lines: &str, folder: &Path) -> (Option<Config>, Vec<Fault>, String) {
    let text =
        format!("[account]\ntoken = \"mytoken\"\n[[rule]]\nname = \"r\"\nwhen.event = \"CLICK\"\n{lines}\n");
    let (config, faults) = Config::parse(&text, folder, Thoroughness::Full);
    (config, faults, text)
}

fn action(lines: &str) -> String {
    let (config, faults, _) = parse(lines, Path::new("/nowhere"));
    let config = config.unwrap_or_else(|| panic!("{faults:#?}"));
    let rule = config.rules.iter().next().expect("a rule");
    outline(&rule.then)
}

/// An action in few words.
fn outline(action: &Action) -> String {
    let list = |actions: &[Action]| actions.iter().map(outline).collect::<Vec<_>>().join(" ");
    match action {
        Action::Text(text) => text.source().to_owned(),
        Action::Image { media_id } => format!("image({})", media_id.source()),
        Action::News { articles, count } => {
            format!("news({} of {})", count.as_ref().map_or("all", |count| count.source()), articles.len())
        }
        Action::None => "none".to_owned(),
        Action::Several(actions) => format!("all({})", list(actions)),
        Action::Random(choices) => {
            let choices: Vec<_> =
                choices.iter().map(|choice| format!("{}*{}", choice.weight, outline(&choice.then))).collect();
            format!("random({})", choices.join(" "))
        }
        Action::RoundRobin { key, actions } => format!("{key}({})", list(actions)),
        other => panic!("{other:?}"),
    }
}

/// `line:column message; hint; cure` of each fault and warning.
fn told(lines: &str, folder: &Path) -> Vec<String> {
    let (_, faults, text) = parse(lines, folder);
    PlacedFault::all("f", &text, &faults).iter().map(PlacedFault::one_line).collect()
}

#[test]
fn replies_are_one_all_or_one_of_several() {
    for (lines, expected) in [
        ("reply = \"a\"", "a"),
        ("reply.text = \"a\"", "a"),
        ("reply = [\"a\", { image = { media_id = \"m\" } }, { none = true }]", "all(a image(m) none)"),
        ("reply.random = [\"a\", { text = \"b\", weight = 3 }]", "random(1*a 3*b)"),
        ("reply.round_robin = [\"a\", { text = \"b\" }]", "round-robin/r(a b)"),
        (
            "reply = [\"a\", { random = [\"b\", { round_robin = [\"c\"] }] }]",
            "all(a random(1*b 1*round-robin/r.2.2(c)))",
        ),
        ("reply.random = [[\"a\", \"b\"], \"c\"]", "random(1*all(a b) 1*c)"),
        (
            "reply = { news = [{ title = \"t\", url = \"u\" }], count = \"{{ message.event_key }}\" }",
            "news({{ message.event_key }} of 1)",
        ),
        (
            "[[rule.reply.random]]\nweight = 2\ntext = \"a\"\n[[rule.reply.random]]\ntext = \"b\"",
            "random(2*a 1*b)",
        ),
    ] {
        assert_eq!(action(lines), expected, "{lines}");
    }
}

#[test]
fn what_is_wrong_with_a_reply_is_told_in_its_place() {
    for (lines, expected) in [
        ("reply = []", "f:6:9: a list without a reply"),
        ("reply.random = []", "f:6:16: a list without a reply"),
        ("reply.random = \"a\"", "f:6:16: expected a list of replies, found string"),
        ("reply.random = [{ weight = 2 }]", "f:6:17: this reply has no kind; give one of: text, "),
        (
            "reply.random = [{ text = \"a\", weight = 0 }]",
            "f:6:31: `weight` is a number of parts, 1 to 1000000",
        ),
        (
            "reply.random = [{ text = \"a\", wieght = 2 }]",
            "f:6:31: unknown choice `wieght`; did you mean `weight`?",
        ),
        ("reply = { text = \"a\", weight = 2 }", "f:6:23: unknown kind of reply `weight`"),
        ("reply = { text = \"a\", count = \"2\" }", "f:6:23: `count` belongs to `news`"),
        ("reply = [\"a\", 7]", "f:6:15: expected a text, a table or a list of them, found integer"),
        (
            "reply = \"{{ message.pic_ulr }}\"",
            "f:6:21: warning: no message is known to have a field `pic_ulr`; did you mean `pic_url`?",
        ),
        (
            "reply = \"{{ message.glue }}\"",
            "f:6:21: warning: no message is known to have a field `glue`; it is empty where a message lacks it",
        ),
        (
            "reply = \"{{ table.prices.x }}\"",
            "f:6:19: there is no table `prices`; declare it: [table.prices] with file = \"prices.csv\"",
        ),
        (
            "reply = \"{{ account.app_di }}\"",
            "f:6:21: templates know no field `app_di` of the account; did you mean `app_id`?",
        ),
        // Not where it is part of another word, nor outside of what is filled in.
        (
            "reply = \"cit {{ now }}{% set city = {} %}{{ city.cit }}{{ cit }}\"",
            "f:6:59: the template names `cit`, which there is not; known here: message, openid",
        ),
        (
            "reply = \"\"\"\na\n  {{ a b }}\n\"\"\"",
            "f:8:3: bad template: syntax error: unexpected identifier",
        ),
        (
            "reply = \"\\t{{ nwo }}\"",
            "f:6:9: the template names `nwo`, which there is not; did you mean `now`?",
        ),
        (
            "reply = \"{{ session.city }}\"",
            "f:6:21: warning: no rule sets `session.city`; a rule does by `session = { city",
        ),
        (
            "when.session.city = \"x\"\nsession = { ctiy = \"x\" }\nreply = \"a\"",
            "f:3:1: warning: no rule sets `session.city`; did you mean `ctiy`?",
        ),
    ] {
        let told = told(lines, Path::new("/nowhere"));
        assert!(told.len() == 1 && told[0].starts_with(expected), "{lines}: {told:#?}");
    }
}

#[test]
fn articles_that_nobody_would_see_are_warned_of() {
    let news = "reply.news = [{ title = \"t\", url = \"u\" }, { title = \"t\", url = \"u\" }]";
    let told_of = |rule: &str| {
        let text = format!("[account]\ntoken = \"mytoken\"\n{rule}\n{news}\n");
        let (_, faults) = Config::parse(&text, Path::new("/nowhere"), Thoroughness::Full);
        faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>()
    };
    let warning = ["in answer to a message WeChat shows 1 article, not 2"];
    assert_eq!(told_of("[[rule]]\nwhen.text = \"news\""), warning);
    assert_eq!(told_of("[default]"), warning);
    assert_eq!(told_of("[[rule]]\ntake_over = true"), warning);
    assert_eq!(told_of("[[rule]]\nwhen.type = \"image\""), warning);
    assert_eq!(told_of("[default.image]"), warning);
    assert_eq!(told_of("[[rule]]\nwhen.event = \"CLICK\""), [""; 0]);
    let article = "{ title = \"t\", url = \"u\" }";
    for reply in ["[NEWS]", "{ random = [\"a\", NEWS] }", "{ round_robin = [[NEWS]] }"] {
        let reply = reply.replace("NEWS", &format!("{{ news = [{article}, {article}] }}"));
        let told = told_of(&format!(
            "[[rule]]\nwhen.text = \"x\"\nreply = {reply}\n[[rule]]\nwhen.event = \"CLICK\""
        ));
        assert_eq!(told, warning, "{reply}");
    }
}

#[test]
fn texts_that_would_be_cut_are_warned_of_wherever_they_stand() {
    let long = "x".repeat(2048);
    let rule = "[[rule]]\nwhen.text = \"go\"\nwait = \"s\"\n";
    let step = "[step.s]\nask = \"?\"\nretry = 1\ncancel = \"no\"\n";
    let own = "[[step.s.rule]]\nwhen.text = \"x\"\nreply = \"x\"\n";
    for lines in [
        format!("{rule}on_error = \"{long}\"\n{step}{own}"),
        format!("{rule}{step}again = \"{long}\"\n{own}"),
        format!("{rule}{step}give_up = \"{long}\"\n{own}"),
        format!("{rule}{step}cancel_reply = \"{long}\"\n{own}"),
        format!("{rule}{step}[[step.s.item]]\nlabel = \"{}\"\nreply = \"x\"\n", &long[4..]),
        format!("[[blocked]]\nwords = \"x\"\nin = \"refuse\"\nreply = \"{long}\"\n"),
    ] {
        let text = format!("[account]\ntoken = \"mytoken\"\n{lines}");
        let (_, faults) = Config::parse(&text, Path::new("/nowhere"), Thoroughness::Full);
        let told: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(told, ["this text has 2048 bytes; WeChat takes 2047"], "{lines}");
    }
}

#[test]
fn what_a_faulty_condition_cuts_out_is_not_asked_after() {
    for group in ["(?<city>.", "(?P<city>."] {
        let told =
            told(&format!("when.regex = '{group}'\nreply = \"{{{{ city }}}}\""), Path::new("/nowhere"));
        assert!(told.len() == 1 && told[0].contains("bad regular expression"), "{told:#?}");
    }
}

#[test]
fn rules_that_are_called_alike_are_warned_of() {
    let rules = |name: &str| {
        format!(
            "reply = \"a\"\n[[rule]]\nname = \"{name}\"\nwhen.text = \"x\"\nreply = \"b\"\n[default]\nreply = \"c\""
        )
    };
    for (name, expected) in [
        ("r", "f:7:1: warning: rule 1 `r` (line 3) is called `r` as well; give each a name of its own"),
        ("default", "f:11:1: warning: rule 2 `default` (line 7) is called `default` as well"),
    ] {
        let told = told(&rules(name), Path::new("/nowhere"));
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:#?}");
    }
    assert_eq!(told(&rules("s"), Path::new("/nowhere")), [""; 0]);
}

#[test]
fn tables_are_checked_and_those_that_nobody_uses_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("prices.csv", "name,price\na,1\n");
    write("twice.csv", "name,price\na,1\na,2\nb,1\nb,2\n");
    write("bad.csv", "name,price\na\n");
    let used = "reply = \"{{ table.prices[openid].price }}\"\n[table.prices]\nfile = \"prices.csv\"";
    let (config, faults, _) = parse(used, folder.path());
    assert_eq!(faults, []);
    let config = config.unwrap();
    assert_eq!(config.files, [folder.path().join("prices.csv")]);
    for (lines, expected) in [
        (
            "reply = \"a\"\n[table.prices]\nfile = \"prices.csv\"",
            "f:7:1: warning: no template uses the table `prices`; look things up in it: {{ table.prices[rest] }}",
        ),
        (
            "reply = \"{{ table.pricse.a }}{{ table[openid] }}\"\n[table.prices]\nfile = \"prices.csv\"",
            "f:6:19: there is no table `pricse`; did you mean `prices`?",
        ),
        (
            "reply = \"{{ table.t.a }}\"\n[table.t]\nfile = \"twice.csv\"",
            "f:8:8: warning: the key `a` stands there more than once, and 1 more like it",
        ),
        ("reply = \"{{ table.t.a }}\"\n[table.t]\nfile = \"bad.csv\"", "f:8:8: `"),
        ("reply = \"{{ table.t.a }}\"\n[table.t]\nfile = \"gone.csv\"", "f:8:8: cannot read `"),
        ("reply = \"{{ table.t.a }}\"\n[table.t]\nfile = \"prices.csv\"\nkey = \"nmae\"", "f:8:8: `"),
        (
            "reply = \"{{ table.t.a }}\"\n[table.t]\nfile = \"prices.csv\"\nkye = \"name\"",
            "f:9:1: unknown table key `kye`",
        ),
        ("reply = \"{{ table.t.a }}\"\n[table.t]", "f:7:1: missing table key `file`"),
        ("reply = \"a\"\n[table]\nt = 1", "f:8:5: expected a table, found integer"),
    ] {
        let told = told(lines, folder.path());
        assert!(told.first().is_some_and(|told| told.starts_with(expected)), "{lines}: {told:#?}");
    }
}

#[test]
fn a_table_that_everybody_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, "name,price\na,1\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let told = told("reply = \"{{ table.t.a }}\"\n[table.t]\nfile = \"t.csv\"", folder.path());
    assert!(told[0].starts_with("f:8:8: everybody on this machine may write"), "{told:#?}");
}

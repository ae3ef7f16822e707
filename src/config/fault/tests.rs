//! How a fault is shown.

use super::*;

#[test]
fn a_fault_names_place_cause_and_cure() {
    let text = "[[rule]]\nwhen = { txt = \"你好\" }\n";
    let span = text.find("txt").map(|at| at..at + 3).unwrap();
    let fault =
        Fault::at(span, "unknown condition `txt`").hint("did you mean `text`?").cure("known: text, event");
    let placed = PlacedFault::new("/etc/wxcgi.toml", text, &fault);
    assert_eq!(
        placed.for_people(),
        "/etc/wxcgi.toml:2:10: unknown condition `txt`\n  |\n2 | when = { txt = \"你好\" }\n  |          ^^^ did you \
         mean `text`?\n  = known: text, event"
    );
    assert_eq!(
        placed.one_line(),
        "/etc/wxcgi.toml:2:10: unknown condition `txt`; did you mean `text`?; known: text, event"
    );
}

#[test]
fn the_caret_stands_below_a_word_behind_chinese_text() {
    let text = "[log]\nx = [\"你好\", oops]";
    let at = text.find("oops").unwrap();
    let placed = PlacedFault::new("f", text, &Fault::at(at..at + 4, "m"));
    // Twelve columns: the two characters take four.
    assert!(placed.for_people().ends_with(&format!("| {}^^^^", " ".repeat(13))), "{}", placed.for_people());
    assert_eq!(placed.column, Some(12));
}

#[test]
fn a_secret_is_not_shown_and_the_caret_stays_in_place() {
    for (line, marked, shown, indent) in [
        ("token = \"hidden\"  # x", "\"hidden\"", "token = \"***\"  # x", 8),
        ("tokne = 'hidden'", "tokne", "tokne = \"***\"", 0),
        ("account = { token = \"hidden\", mod = 1 }", "mod", "account = { token = \"***\", mod = 1 }", 27),
        ("app_secret = \"hidden", "\"hidden", "app_secret = \"***\"", 13),
        ("token = hidden", "hidden", "token = \"***\"", 8),
        (
            "a = { token = \"hidden\", tokne = \"hidden\", mod = 1 }",
            "mod",
            "a = { token = \"***\", tokne = \"***\", mod = 1 }",
            36,
        ),
        ("token = { value = \"hidden\" }", "value", "token = \"***\"", 8),
        ("token = [\"hidden\"]", "[\"hidden\"]", "token = \"***\"", 8),
        ("token = \"hid\"den\"", "\"hid\"", "token = \"***\"", 8),
        ("token = \"hid\\\"den\"", "token", "token = \"***\"", 0),
        ("token = so hidden", "so", "token = \"***\"", 8),
        ("token \"hidden\"", "\"hidden\"", "token \"***\"", 6),
        ("token: \"hidden\"", ":", "token: \"***\"", 5),
        ("\"tokne\" = \"hidden\"", "tokne", "\"tokne\" = \"***\"", 1),
        ("aes = \"hidden\"", "aes", "aes = \"***\"", 0),
        ("[token]", "token", "[token]", 1),
        ("token = { env = \"WX\" }", "env", "token = { env = \"WX\" }", 10),
        ("when.key = \"V1001\"", "\"V1001\"", "when.key = \"V1001\"", 11),
    ] {
        let at = line.find(marked).unwrap();
        let excerpt = Excerpt::of(line, at..at + marked.len(), false);
        assert_eq!((excerpt.line.as_str(), excerpt.indent), (shown, indent), "{line}");
    }
}

/// The excerpt for the first place of `marked`.
fn excerpt(text: &str, marked: &str) -> Excerpt {
    let at = text.find(marked).unwrap();
    PlacedFault::new("f", text, &Fault::at(at..at + marked.len(), "m")).excerpt.unwrap()
}

#[test]
fn in_the_table_of_the_account_only_harmless_values_are_shown() {
    for (lines, marked, shown) in [
        ("[account]\n令牌 = \"hidden\"", "令牌", "令牌 = \"***\""),
        ("[account]\ntoken\n = \"hidden\"", " =", " = \"***\""),
        ("[account]\ntoken\n = \"hidden\"", "token", "token"),
        ("[account]\ntoken hidden", " hidden", "\"***\""),
        ("[account]\nprevious_token = [\"a\",\n\"hidden\" x\n]", "x\n", "\"***\""),
        ("[account.token]\nliteral = \"hidden\"", "literal", "literal = \"***\""),
        ("account = { 令牌 = \"hidden\" }", "令牌", "account = \"***\""),
        ("account.令牌 = \"hidden\"", "令牌", "account.令牌 = \"***\""),
        ("[acount]\n令牌 = \"hidden\"", "令牌", "令牌 = \"***\""),
        ("[acc{ount]\n令牌 = \"hidden\"", "令牌", "令牌 = \"***\""),
        ("[accounten = \"hidden\"", "[acc", "[accounten = \"***\""),
        ("app_secret =# \"hidden\"", "app", "app_secret =\"***\"# \"***\""),
        ("[account]\nmode = \"safe\"  # x", "\"safe\"", "mode = \"safe\"  # x"),
        ("[account]\napp_id = \"wx1\" 令牌 = \"hidden\"", "令牌", "app_id = \"***\""),
        ("[account]\ntoken = { env = \"hidden\" }", "env", "token = { env = \"***\" }"),
        ("[account]\ntoken = { file = \"a\" }", "file", "token = { file = \"a\" }"),
        ("[account]\n[default]\nrepl = \"shown\"", "repl", "repl = \"shown\""),
        ("[[step.city.item]]\nlabl = \"shown\"", "labl", "labl = \"shown\""),
        ("[[menu.button]]\nkey = \"shown\"", "key", "key = \"shown\""),
        ("[[menu.conditional]]\nbutton = [{ key = \"V\" }]", "key", "button = [{ key = \"V\" }]"),
        ("include = [\"rules/*.toml\"]", "\"rules", "include = [\"rules/*.toml\"]"),
        ("[[rule]]\nwhen.key_regex = '['", "'['", "when.key_regex = '['"),
        ("[[rule]]\nwhen.field.EventKey = { regex = '[' }", "'['", "when.field.EventKey = { regex = '[' }"),
        ("[stor]\nurl = \"hidden\"", "url", "url = \"***\""),
        ("[stoep]\nurl = \"hidden\"", "url", "url = \"***\""),
    ] {
        assert_eq!(excerpt(lines, marked).line, shown, "{lines}");
    }
}

#[test]
fn a_long_line_is_cut_around_the_caret() {
    let line = |before: usize, behind: usize| {
        format!("[log]\nx = \"{}\" oops \"{}\"", "天".repeat(before), "气".repeat(behind))
    };
    for (before, behind) in [(0, 10), (0, 100_000), (100, 10), (100_000, 0), (100_000, 100_000)] {
        let Excerpt { line, indent, width } = excerpt(&line(before, behind), "oops");
        assert!(line.width() <= MAX_COLUMNS + 2, "{line}");
        assert_eq!((line.starts_with('…'), line.ends_with('…')), (before > 10, behind > 10), "{line}");
        let to_caret = line.split("oops").next().unwrap();
        assert_eq!((indent, width), (to_caret.width(), 4), "{line}");
    }
    assert_eq!(excerpt(&format!("[account]\nx = \"{}\" oops", "y".repeat(100_000)), "oops").line, "…");
    let long = excerpt(&format!("[log]\n{}", "y".repeat(100_000)), &"y".repeat(90_000));
    assert_eq!((long.line.width(), long.width), (MAX_COLUMNS + 1, MAX_COLUMNS));
}

#[test]
fn a_message_does_not_go_on_through_the_file() {
    let placed = |message: String| PlacedFault::new("f", "", &Fault::of_file(message)).message;
    assert_eq!(placed("unknown table `account]\ntoken = \"hidden\"`".to_owned()), "unknown table `account]…");
    assert_eq!(placed("x".repeat(100_000)).chars().count(), 601);
}

#[test]
fn faults_are_placed_in_any_order() {
    let text = "a\nb 天气\nc\n";
    let faults = ["c", "a", "气", "天"].map(|word| {
        let at = text.find(word).unwrap();
        Fault::at(at..at + 1, "m")
    });
    let places: Vec<_> =
        PlacedFault::all("f", text, &faults).iter().map(|placed| (placed.line, placed.column)).collect();
    let expected = [(3, 1), (1, 1), (2, 4), (2, 3)].map(|(line, column)| (Some(line), Some(column)));
    assert_eq!(places, expected);
}

#[test]
fn a_span_at_the_end_of_the_file_has_a_place() {
    let placed = PlacedFault::new("f", "a = ", &Fault::at(4..4, "m"));
    assert_eq!((placed.line, placed.column), (Some(1), Some(5)));
    assert_eq!(PlacedFault::new("f", "", &Fault::at(0..9, "m")).line, Some(1));
}

#[test]
fn a_near_word_is_proposed_and_a_far_one_is_not() {
    let known = ["text", "contains", "event"];
    assert_eq!(did_you_mean("txt", known), Some("text"));
    assert_eq!(did_you_mean("Contain", known), Some("contains"));
    assert_eq!(did_you_mean("weather", known), None);
}

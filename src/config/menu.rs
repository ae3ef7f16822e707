//! `[[menu.button]]` and `[[menu.conditional]]`: the custom menu, held against WeChat's limits and against the rules.

use toml::de::DeValue;

use super::fault::{Fault, did_you_mean};
use super::table::{Table, Text, Value, text, wrong_type};
use crate::rules::Rules;
use crate::wechat::menu::{
    BUTTON_TYPES, Button, ConditionalMenu, MAX_BUTTONS, MAX_DOMAINS, MAX_KEY_BYTES, MAX_NAME_BYTES,
    MAX_SUB_BUTTONS, MAX_SUB_NAME_BYTES, MAX_URL_BYTES, MatchRule, Menus, Tap, fields_of_type,
};

/// Where a button stands: what it may hold depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Row,
    Below,
}

/// Reads `[menu]`. `rules` answer its keys.
pub(super) fn read_menus(table: Table<'_>, rules: &Rules) -> Menus {
    let default = read_row(&table, rules);
    let conditional: Vec<_> = table
        .tables("conditional", "key of a conditional menu")
        .into_iter()
        .map(|table| read_conditional(table, rules))
        .collect();
    if default.is_empty() {
        let fault = Fault::at(table.span.clone(), "a menu without `[[menu.button]]`");
        table.faults.push(if conditional.is_empty() {
            fault.cure("leave `[menu]` out, or give it one to three buttons")
        } else {
            fault.cure("conditional menus need one for all other followers")
        });
    }
    table.finish();
    Menus { default, conditional }
}

fn read_conditional(table: Table<'_>, rules: &Rules) -> ConditionalMenu {
    let rule = MatchRule {
        tag_id: table.integer("tag_id").map(|id| id.to_string()),
        client_platform_type: table.parsed("client_platform_type", |name| match name {
            "ios" => Ok("1".to_owned()),
            "android" => Ok("2".to_owned()),
            "other" => Ok("3".to_owned()),
            _ => Err(format!("`{name}` is none; there are ios, android, other")),
        }),
    };
    if table.value("tag_id").is_none() && table.value("client_platform_type").is_none() {
        let fault = Fault::at(table.span.clone(), "this menu is for nobody");
        table.faults.push(fault.cure("say for whom: tag_id = 2, or client_platform_type = \"ios\""));
    }
    let buttons = read_row(&table, rules);
    if buttons.is_empty() {
        table.missing("button");
    }
    check_domains(&table, &buttons);
    table.finish();
    ConditionalMenu { rule, buttons, id: None }
}

fn read_row(table: &Table<'_>, rules: &Rules) -> Vec<Button> {
    read_buttons(table, "button", (MAX_BUTTONS, Level::Row), rules)
}

fn read_buttons(
    table: &Table<'_>,
    key: &'static str,
    (most, level): (usize, Level),
    rules: &Rules,
) -> Vec<Button> {
    let tables = table.tables(key, "button key");
    if tables.len() > most {
        let place = if level == Level::Row { "a menu" } else { "a button" };
        let fault = format!("{} buttons, and {place} has {most} at most", tables.len());
        table.faults.push(Fault::at(table.key_span(key), fault));
    }
    tables.into_iter().map(|table| read_button(table, level, rules)).collect()
}

fn read_button(table: Table<'_>, level: Level, rules: &Rules) -> Button {
    let name_limit = if level == Level::Row { MAX_NAME_BYTES } else { MAX_SUB_NAME_BYTES };
    let name = read_field(&table, "name", name_limit);
    let opens = level == Level::Row && table.value("sub_button").is_some();
    let tap = if opens {
        let below = read_buttons(&table, "sub_button", (MAX_SUB_BUTTONS, Level::Below), rules);
        Some(Tap::Opens(below))
    } else {
        read_tap(&table)
    };
    if opens && table.value("type").is_some() {
        let fault = Fault::at(table.key_span("type"), "a button that opens others has no type of its own");
        table.faults.push(fault.cure("leave out either `type` or `sub_button`"));
    }
    let button = Button { name, tap: tap.unwrap_or_else(|| Tap::Opens(Vec::new())) };
    if table.faults.thorough {
        warn_unanswered(&table, &button, rules);
    }
    table.finish();
    button
}

/// `type`, and the fields that it needs.
fn read_tap(table: &Table<'_>) -> Option<Tap> {
    let Some(kind) = table.text("type") else {
        table.missing("type");
        return None;
    };
    let Some(names) = fields_of_type(kind.value) else {
        table.faults.push(unknown_type(&kind));
        // Its fields are not to be called unknown on top of that.
        for name in BUTTON_TYPES.iter().flat_map(|(_, names)| *names) {
            table.value(name);
        }
        return None;
    };
    let fields = names.iter().map(|name| ((*name).to_owned(), read_field(table, name, limit_of(name))));
    Some(Tap::Does { fields: fields.collect(), kind: kind.value.to_owned() })
}

fn unknown_type(kind: &Text<'_>) -> Fault {
    let known = BUTTON_TYPES.map(|(name, _)| name);
    let fault = Fault::at(kind.span.clone(), format!("no type of button is called `{}`", kind.value))
        .cure(format!("there are {}", known.join(", ")));
    match did_you_mean(kind.value, known) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault,
    }
}

fn limit_of(field: &str) -> usize {
    match field {
        "url" => MAX_URL_BYTES,
        _ => MAX_KEY_BYTES,
    }
}

/// A text that is there, not empty, and no longer than `limit` bytes.
fn read_field(table: &Table<'_>, name: &'static str, limit: usize) -> String {
    let Some(text) = read_text(table, name) else { return String::new() };
    let bytes = text.value.len();
    let fault = if text.value.trim().is_empty() {
        Some(Fault::at(text.span, format!("`{name}` is empty")))
    } else if bytes > limit {
        let fault = Fault::at(text.span, format!("`{name}` has {bytes} bytes, and WeChat takes {limit}"));
        Some(fault.cure("a Chinese character has three"))
    } else if name == "url"
        && !["https://", "http://", "weixin://"].iter().any(|start| text.value.starts_with(start))
    {
        Some(Fault::at(text.span, "a URL begins with https:// or http://"))
    } else {
        None
    };
    if let Some(fault) = fault {
        table.faults.push(fault);
    }
    text.value.to_owned()
}

fn read_text<'t>(table: &Table<'t>, name: &'static str) -> Option<Text<'t>> {
    let Some(value): Option<Value<'t>> = table.value(name) else {
        table.missing(name);
        return None;
    };
    match value.get_ref() {
        DeValue::String(_) => text(value, table.faults),
        _ => wrong_type(value, "a text in quotes", table.faults),
    }
}

/// A key that no rule waits for: the user would tap the button and see nothing.
fn warn_unanswered(table: &Table<'_>, button: &Button, rules: &Rules) {
    if let Some((event, key)) = button.event()
        && !rules.may_meet_tap(event, key)
    {
        table.faults.push(
            Fault::at(table.key_span("key"), format!("no rule answers the key `{key}`"))
                .cure(format!("write one that waits for it: when.key = \"{key}\""))
                .warning(),
        );
    }
}

/// Menus for some followers may lead to few domains only.
fn check_domains(table: &Table<'_>, buttons: &[Button]) {
    let menu = Menus { default: buttons.to_vec(), conditional: Vec::new() };
    let urls = menu.leaves().filter(|button| matches!(&button.tap, Tap::Does { kind, .. } if kind == "view"));
    let mut domains: Vec<_> = urls.filter_map(|button| domain(button.field("url")?)).collect();
    domains.sort_unstable();
    domains.dedup();
    if domains.len() > MAX_DOMAINS {
        let found = domains.join(", ");
        let fault = format!("leads to {} domains, and WeChat takes {MAX_DOMAINS}: {found}", domains.len());
        table.faults.push(Fault::at(table.span.clone(), fault));
    }
}

fn domain(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    rest.split(['/', '?', '#', ':']).next()
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Thoroughness};
    use super::*;
    use crate::wechat::menu::menu_json;
    use serde_json::json;

    const START: &str = "[account]\ntoken = \"mytoken\"\n";

    fn parse(menu: &str) -> (Option<Menus>, Vec<String>) {
        let (config, faults) = Config::parse(&format!("{START}{menu}"), ".".as_ref(), Thoroughness::Full);
        let faults = faults.into_iter().map(|fault| fault.message);
        (config.map(|config| config.menus.unwrap_or_default()), faults.collect())
    }

    fn faults(menu: &str) -> Vec<String> {
        parse(menu).1
    }

    #[test]
    fn a_menu_is_read_as_wechat_wants_it() {
        let (menus, faults) = parse(
            r#"
            [[menu.button]]
            name = "天气"
            type = "click"
            key = "WEATHER"
            [[menu.button]]
            name = "更多"
            [[menu.button.sub_button]]
            name = "首页"
            type = "view"
            url = "https://example.com/"
            [[menu.conditional]]
            tag_id = 2
            client_platform_type = "ios"
            button = [{ name = "会员", type = "view", url = "https://example.com/vip" }]
            [[rule]]
            when.key = "WEATHER"
            reply = "晴"
            "#,
        );
        assert_eq!(faults, [""; 0]);
        let menus = menus.unwrap();
        assert_eq!(
            menu_json(&menus.default),
            json!({"button": [
                {"type": "click", "name": "天气", "key": "WEATHER"},
                {"name": "更多", "sub_button": [{"type": "view", "name": "首页", "url": "https://example.com/"}]}]})
        );
        assert_eq!(
            menus.conditional[0].to_json(),
            json!({"button": [{"type": "view", "name": "会员", "url": "https://example.com/vip"}],
                   "matchrule": {"tag_id": "2", "client_platform_type": "1"}})
        );
    }

    #[test]
    fn every_limit_is_told_before_wechat_does() {
        let button = |more: &str| faults(&format!("[[menu.button]]\n{more}"));
        let view =
            |name: &str, url: &str| format!("{{ name = \"{name}\", type = \"view\", url = \"{url}\" }}");
        let row = |count: usize| vec![view("a", "https://a.b/"); count].join(", ");
        let ten = "一二三四五六七八九十";
        for (found, expected) in [
            (faults(&format!("[menu]\nbutton = [{}]", row(3))), None),
            (faults(&format!("[menu]\nbutton = [{}]", row(4))), Some("4 buttons, and a menu has 3 at most")),
            (button(&format!("name = \"a\"\nsub_button = [{}]", row(5))), None),
            (
                button(&format!("name = \"a\"\nsub_button = [{}]", row(6))),
                Some("6 buttons, and a button has 5 at most"),
            ),
            (faults(&format!("[menu]\nbutton = [{}]", view("一二三四五", "https://a.b/"))), None),
            (
                faults(&format!("[menu]\nbutton = [{}]", view("一二三四五六", "https://a.b/"))),
                Some("`name` has 18 bytes, and WeChat takes 16"),
            ),
            (
                button(&format!(
                    "name = \"a\"\nsub_button = [{}]",
                    view(&format!("{ten}{ten}"), "https://a.b/")
                )),
                None,
            ),
            (
                button(&format!(
                    "name = \"a\"\nsub_button = [{}]",
                    view(&format!("{ten}{ten}多"), "https://a.b/")
                )),
                Some("`name` has 63 bytes, and WeChat takes 60"),
            ),
            (
                faults(&format!(
                    "[menu]\nbutton = [{}]",
                    view("a", &format!("https://{}", "a".repeat(1016)))
                )),
                None,
            ),
            (
                faults(&format!(
                    "[menu]\nbutton = [{}]",
                    view("a", &format!("https://{}", "a".repeat(1017)))
                )),
                Some("`url` has 1025 bytes, and WeChat takes 1024"),
            ),
            (
                button(&format!("name = \"a\"\ntype = \"click\"\nkey = \"{}\"", "k".repeat(129))),
                Some("`key` has 129 bytes, and WeChat takes 128"),
            ),
            (button("name = \"\"\ntype = \"view\"\nurl = \"https://a.b/\""), Some("`name` is empty")),
            (
                button("name = \"a\"\ntype = \"view\"\nurl = \"a.b\""),
                Some("a URL begins with https:// or http://"),
            ),
            (
                button("name = \"a\"\ntype = \"clik\"\nkey = \"k\""),
                Some("no type of button is called `clik`"),
            ),
            (button("name = \"a\"\ntype = \"click\""), Some("missing button key `key`")),
            (button("name = \"a\""), Some("missing button key `type`")),
            (
                button(&format!("name = \"a\"\ntype = \"click\"\nsub_button = [{}]", row(1))),
                Some("a button that opens others has no type of its own"),
            ),
            (
                button("name = \"a\"\nsub_button = [{ name = \"b\", sub_button = [] }]"),
                Some("unknown button key `sub_button`"),
            ),
            (faults("[menu]"), Some("a menu without `[[menu.button]]`")),
            (
                faults(&format!("[menu]\nbutton = [{0}]\nconditional = [{{ button = [{0}] }}]", row(1))),
                Some("this menu is for nobody"),
            ),
            (
                faults(&format!(
                    "[menu]\nbutton = [{}]\nconditional = [{{ tag_id = 1, button = [{{ name = \"a\", sub_button = [{}] }}] }}]",
                    row(1),
                    ["a", "b", "c", "d"].map(|host| view("x", &format!("https://{host}.com/"))).join(", ")
                )),
                Some("leads to 4 domains, and WeChat takes 3: a.com, b.com, c.com, d.com"),
            ),
        ] {
            match expected {
                None => assert_eq!(found, [""; 0]),
                Some(expected) => {
                    assert!(found.iter().any(|fault| fault == expected), "{expected}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_key_that_no_rule_answers_is_a_warning() {
        let menu = "[[menu.button]]\nname = \"a\"\ntype = \"scancode_push\"\nkey = \"K\"\n";
        assert_eq!(faults(menu), ["no rule answers the key `K`"]);
        for rule in ["when.key = \"K\"", "when.event = \"scancode_push\""] {
            assert_eq!(faults(&format!("{menu}[[rule]]\n{rule}\nreply = \"ok\"")), [""; 0]);
        }
        let other = "[[rule]]\nwhen.event = \"CLICK\"\nreply = \"ok\"";
        assert_eq!(faults(&format!("{menu}{other}")), ["no rule answers the key `K`"]);
    }
}

//! The custom menu (自定义菜单) at the foot of an account's chat: buttons, what they do, and how much WeChat takes.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Custom_Menus/Creating_Custom-Defined_Menu.html>

use std::fmt;

use serde_json::{Map, Value, json};

/// The most buttons in the row itself.
pub const MAX_BUTTONS: usize = 3;
/// The most buttons that one of them opens.
pub const MAX_SUB_BUTTONS: usize = 5;
/// The longest name of a button in the row, bytes; about four Chinese characters of it are shown.
pub const MAX_NAME_BYTES: usize = 16;
/// The longest name of a button below one, bytes; about eight Chinese characters of it are shown.
pub const MAX_SUB_NAME_BYTES: usize = 60;
/// The longest key, bytes.
pub const MAX_KEY_BYTES: usize = 128;
/// The longest URL, bytes.
pub const MAX_URL_BYTES: usize = 1024;
/// The most domains that a conditional menu may lead to.
pub const MAX_DOMAINS: usize = 3;

/// Each type of button that a menu can be made with, and the fields that it needs.
pub const BUTTON_TYPES: [(&str, &[&str]); 13] = [
    ("click", &["key"]),
    ("view", &["url"]),
    ("miniprogram", &["url", "appid", "pagepath"]),
    ("scancode_push", &["key"]),
    ("scancode_waitmsg", &["key"]),
    ("pic_sysphoto", &["key"]),
    ("pic_photo_or_album", &["key"]),
    ("pic_weixin", &["key"]),
    ("location_select", &["key"]),
    ("media_id", &["media_id"]),
    ("view_limited", &["media_id"]),
    ("article_id", &["article_id"]),
    ("article_view_limited", &["article_id"]),
];

/// The menu of all followers, and those of some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Menus {
    /// For all whom no other meets (默认菜单).
    pub default: Vec<Button>,
    /// For some (个性化菜单), in the order in which WeChat tries them.
    pub conditional: Vec<ConditionalMenu>,
}

/// A menu for some followers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalMenu {
    /// For whom.
    pub rule: MatchRule,
    /// Its buttons.
    pub buttons: Vec<Button>,
    /// WeChat's name for it; none before it is made.
    pub id: Option<String>,
}

/// Whom a conditional menu is for; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchRule {
    /// Followers with this tag.
    pub tag_id: Option<String>,
    /// On this system: 1 iOS, 2 Android, 3 others.
    pub client_platform_type: Option<String>,
}

/// A button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// What stands on it.
    pub name: String,
    /// What a tap does.
    pub tap: Tap,
}

/// What a tap on a button does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tap {
    /// Opens further buttons.
    Opens(Vec<Button>),
    /// What its type says.
    Does {
        /// One of [`BUTTON_TYPES`], or one that only the console makes.
        kind: String,
        /// By WeChat's names, in the order of [`BUTTON_TYPES`].
        fields: Vec<(String, String)>,
    },
}

/// The fields that a type of button needs; `None` if no menu can be made with it.
#[must_use]
pub fn fields_of_type(kind: &str) -> Option<&'static [&'static str]> {
    BUTTON_TYPES.iter().find(|(known, _)| *known == kind).map(|(_, fields)| *fields)
}

impl Menus {
    /// Reads an answer of `menu/get`.
    #[must_use]
    pub fn from_menu_get(answer: &Value) -> Self {
        let mut conditional: Vec<ConditionalMenu> =
            items(&answer["conditionalmenu"]).iter().map(ConditionalMenu::from_json).collect();
        // WeChat tries the newest first, and ids grow.
        conditional.sort_by_key(|menu| {
            std::cmp::Reverse(menu.id.as_ref().and_then(|id| id.parse::<u64>().ok()).unwrap_or(0))
        });
        Self { default: buttons(&answer["menu"]["button"]), conditional }
    }

    /// Reads an answer of `get_current_selfmenu_info`, which tells of menus that were made in the console as well.
    #[must_use]
    pub fn from_selfmenu(answer: &Value) -> Self {
        Self { default: buttons(&answer["selfmenu_info"]["button"]), conditional: Vec::new() }
    }

    /// The menus as lines for a person, a button a line: the same menus give the same lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        push_lines(&mut lines, &self.default, 0);
        for menu in &self.conditional {
            lines.push(format!("for {}:", menu.rule));
            push_lines(&mut lines, &menu.buttons, 1);
        }
        lines
    }

    /// All buttons that do something, of all menus.
    pub fn leaves(&self) -> impl Iterator<Item = &Button> {
        let all = self.conditional.iter().map(|menu| &menu.buttons);
        std::iter::once(&self.default).chain(all).flatten().flat_map(Button::leaves)
    }
}

impl ConditionalMenu {
    fn from_json(json: &Value) -> Self {
        let field = |name| text(&json["matchrule"][name]);
        Self {
            rule: MatchRule {
                // An old name of the same.
                tag_id: field("tag_id").or_else(|| field("group_id")),
                client_platform_type: field("client_platform_type"),
            },
            buttons: buttons(&json["button"]),
            id: text(&json["menuid"]),
        }
    }

    /// The body of `menu/addconditional`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let MatchRule { tag_id, client_platform_type } = &self.rule;
        let mut rule = Map::new();
        for (name, value) in [("tag_id", tag_id), ("client_platform_type", client_platform_type)] {
            rule.extend(value.as_ref().map(|value| (name.to_owned(), value.as_str().into())));
        }
        let mut json = menu_json(&self.buttons);
        json["matchrule"] = rule.into();
        json
    }

    /// Whether it is the same menu for the same people, whatever WeChat calls it.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.rule, &self.buttons) == (&other.rule, &other.buttons)
    }
}

impl fmt::Display for MatchRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = self.tag_id.as_ref().map(|id| format!("tag {id}"));
        let system = self.client_platform_type.as_deref().map(|system| match system {
            "1" => "iOS".to_owned(),
            "2" => "Android".to_owned(),
            other => format!("platform {other}"),
        });
        let all: Vec<_> = [tag, system].into_iter().flatten().collect();
        f.write_str(if all.is_empty() { "nobody".to_owned() } else { all.join(" on ") }.as_str())
    }
}

/// The body of `menu/create`.
#[must_use]
pub fn menu_json(buttons: &[Button]) -> Value {
    json!({ "button": buttons.iter().map(Button::to_json).collect::<Vec<_>>() })
}

impl Button {
    fn to_json(&self) -> Value {
        match &self.tap {
            Tap::Opens(buttons) => {
                json!({ "name": self.name, "sub_button": buttons.iter().map(Self::to_json).collect::<Vec<_>>() })
            }
            Tap::Does { kind, fields } => {
                let mut json = json!({ "type": kind, "name": self.name });
                for (name, value) in fields {
                    json[name] = value.as_str().into();
                }
                json
            }
        }
    }

    fn from_json(json: &Value) -> Self {
        // `get_current_selfmenu_info` puts a list around the list.
        let below = Some(&json["sub_button"]["list"]).filter(|list| list.is_array());
        let below = buttons(below.unwrap_or(&json["sub_button"]));
        let tap = match text(&json["type"]) {
            None => Tap::Opens(below),
            Some(_) if !below.is_empty() => Tap::Opens(below),
            Some(kind) => {
                // What the console alone makes carries its content as `value`.
                let names = fields_of_type(&kind).unwrap_or(&["value"]);
                let field = |name: &&str| text(&json[*name]).map(|value| ((*name).to_owned(), value));
                Tap::Does { fields: names.iter().filter_map(field).collect(), kind }
            }
        };
        Self { name: text(&json["name"]).unwrap_or_default(), tap }
    }

    /// The value of a field of the tap.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let Tap::Does { fields, .. } = &self.tap else { return None };
        fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The event that a tap makes WeChat send, and its key; `None` if it sends none that a rule could answer.
    #[must_use]
    pub fn event(&self) -> Option<(&str, &str)> {
        let Tap::Does { kind, .. } = &self.tap else { return None };
        let event = if kind == "click" { "CLICK" } else { kind };
        Some((event, self.field("key")?))
    }

    /// Whether a menu can be made with it by the API, and not only in the console.
    #[must_use]
    pub fn can_be_made(&self) -> bool {
        match &self.tap {
            Tap::Opens(buttons) => buttons.iter().all(Self::can_be_made),
            Tap::Does { kind, .. } => fields_of_type(kind).is_some(),
        }
    }

    fn leaves(&self) -> Vec<&Self> {
        match &self.tap {
            Tap::Opens(buttons) => buttons.iter().flat_map(Self::leaves).collect(),
            Tap::Does { .. } => vec![self],
        }
    }
}

fn push_lines(lines: &mut Vec<String>, buttons: &[Button], depth: usize) {
    for button in buttons {
        let indent = "  ".repeat(depth);
        match &button.tap {
            Tap::Opens(below) => {
                lines.push(format!("{indent}{}", button.name));
                push_lines(lines, below, depth + 1);
            }
            Tap::Does { kind, fields } => {
                let values = fields.iter().flat_map(|(_, value)| [" ", value]).collect::<String>();
                lines.push(format!("{indent}{} → {kind}{values}", button.name));
            }
        }
    }
}

fn buttons(json: &Value) -> Vec<Button> {
    items(json).iter().map(Button::from_json).collect()
}

fn items(json: &Value) -> &[Value] {
    json.as_array().map_or(&[], Vec::as_slice)
}

/// A text, or a number as one; what is empty is absent.
fn text(json: &Value) -> Option<String> {
    let text = match json {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of `menu/create`.
    fn sample() -> Value {
        json!({"button": [
            {"type": "click", "name": "今日歌曲", "key": "V1001_TODAY_MUSIC"},
            {"name": "菜单", "sub_button": [
                {"type": "view", "name": "搜索", "url": "https://www.soso.com/"},
                {"type": "miniprogram", "name": "wxa", "url": "https://mp.weixin.qq.com",
                 "appid": "wx286b93c14bbf93aa", "pagepath": "pages/lunar/index"},
                {"type": "scancode_waitmsg", "name": "扫码带提示", "key": "rselfmenu_0_0"}]},
            {"type": "media_id", "name": "图片", "media_id": "MEDIA_ID1"}]})
    }

    #[test]
    fn what_was_made_is_read_back_and_made_again() {
        // `menu/get` adds empty lists below buttons that have none.
        let mut answered = sample();
        answered["button"][0]["sub_button"] = json!([]);
        let menus = Menus::from_menu_get(&json!({"menu": answered}));
        assert_eq!(menu_json(&menus.default), sample());
        assert_eq!(
            menus.lines(),
            [
                "今日歌曲 → click V1001_TODAY_MUSIC",
                "菜单",
                "  搜索 → view https://www.soso.com/",
                "  wxa → miniprogram https://mp.weixin.qq.com wx286b93c14bbf93aa pages/lunar/index",
                "  扫码带提示 → scancode_waitmsg rselfmenu_0_0",
                "图片 → media_id MEDIA_ID1"
            ]
        );
        let events: Vec<_> = menus.leaves().filter_map(Button::event).collect();
        assert_eq!(events, [("CLICK", "V1001_TODAY_MUSIC"), ("scancode_waitmsg", "rselfmenu_0_0")]);
    }

    #[test]
    fn conditional_menus_stand_in_the_order_in_which_they_are_tried() {
        let conditional =
            |id: u64, tag: &str| json!({"button": [], "matchrule": {"tag_id": tag}, "menuid": id});
        let answer =
            json!({"menu": {"button": []}, "conditionalmenu": [conditional(9, "1"), conditional(10, "2")]});
        let menus = Menus::from_menu_get(&answer);
        let ids: Vec<_> = menus.conditional.iter().map(|menu| menu.id.as_deref().unwrap()).collect();
        assert_eq!(ids, ["10", "9"]);
        assert_eq!(menus.conditional[0].to_json(), json!({"button": [], "matchrule": {"tag_id": "2"}}));
        assert_eq!(menus.lines(), ["for tag 2:", "for tag 1:"]);
        assert!(!menus.conditional[0].is_same(&menus.conditional[1]));
    }

    #[test]
    fn a_menu_of_the_console_is_read_and_cannot_be_made_again() {
        let answer = json!({"is_menu_open": 1, "selfmenu_info": {"button": [
            {"name": "button", "sub_button": {"list": [
                {"type": "view", "name": "view_url", "url": "http://www.qq.com"},
                {"type": "text", "name": "text", "value": "This is text!"}]}}]}});
        let menus = Menus::from_selfmenu(&answer);
        assert_eq!(
            menus.lines(),
            ["button", "  view_url → view http://www.qq.com", "  text → text This is text!"]
        );
        assert!(!menus.default[0].can_be_made());
        assert!(menus.leaves().next().unwrap().can_be_made());
    }
}

//! `[menu]`: the custom menu and its buttons.

use super::super::group::{Group, Kind, group, key};
use crate::wechat::menu::BUTTON_TYPES;

pub(super) static MENU: Group = Group {
    required: &["button"],
    ..group(
        "menu key",
        "The custom menu (自定义菜单)",
        &[
            key("button", Kind::Tables(&BUTTON), "One to three buttons"),
            key("conditional", Kind::Tables(&CONDITIONAL_MENU), "Menus for some followers (个性化菜单)"),
        ],
    )
};

static CONDITIONAL_MENU: Group = Group {
    required: &["button"],
    ..group(
        "key of a conditional menu",
        "A menu for some followers (个性化菜单)",
        &[
            key("tag_id", Kind::Whole(0, i64::MAX), "For those with this tag (标签)"),
            key(
                "client_platform_type",
                Kind::OneOf(&["ios", "android", "other"]),
                "For those with such a phone",
            ),
            key("button", Kind::Tables(&BUTTON), "One to three buttons"),
        ],
    )
};

static BUTTON: Group = Group {
    required: &["name"],
    ..group(
        "button key",
        "A button of the menu",
        &[
            key("name", Kind::Text, "What stands on it; up to 16 bytes, below another button 60"),
            key("type", Kind::KnownWords(BUTTONS), "What a tap does"),
            key("sub_button", Kind::Tables(&BUTTON), "The buttons below it, up to five"),
            key("key", Kind::Text, "What rules get as EventKey"),
            key("url", Kind::Text, "Where a tap leads"),
            key("appid", Kind::Text, "The mini-program"),
            key("pagepath", Kind::Text, "The page of the mini-program"),
            key("media_id", Kind::Text, "Of a permanent material"),
            key("article_id", Kind::Text, "Of a published article"),
        ],
    )
};

const BUTTONS: &[&str] = &{
    let mut names = [""; BUTTON_TYPES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = BUTTON_TYPES[index].0;
        index += 1;
    }
    names
};

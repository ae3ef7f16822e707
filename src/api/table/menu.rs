//! The custom menu (自定义菜单), also conditional (个性化菜单).

use super::prelude::*;
use crate::wechat::menu::{
    MAX_BUTTONS, MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_SUB_BUTTONS, MAX_SUB_NAME_BYTES, MAX_URL_BYTES,
};

const MEMBERS: Who = Who("-+?++");
const CREATING: &str = "Custom_Menus/Creating_Custom-Defined_Menu.html";
const CONDITIONAL: &str = "Custom_Menus/Personalized_menu_interface.html";

const TYPES: &[&str] = &[
    "click",
    "view",
    "miniprogram",
    "scancode_push",
    "scancode_waitmsg",
    "pic_sysphoto",
    "pic_photo_or_album",
    "pic_weixin",
    "location_select",
    "media_id",
    "view_limited",
    "article_id",
    "article_view_limited",
];
const WITH_KEY: &[&str] = &[
    "click",
    "scancode_push",
    "scancode_waitmsg",
    "pic_sysphoto",
    "pic_photo_or_album",
    "pic_weixin",
    "location_select",
];
const WITH_URL: &[&str] = &["view", "miniprogram"];
const WITH_MEDIA: &[&str] = &["media_id", "view_limited"];
const WITH_ARTICLE: &[&str] = &["article_id", "article_view_limited"];
const APP: &[&str] = &["miniprogram"];

const BUTTONS: &[Field] = &[
    list("button").required().items(1, MAX_BUTTONS).errcode(40016),
    text("button[].name").required().bytes(MAX_NAME_BYTES).errcode(40018),
    list("button[].sub_button").items(0, MAX_SUB_BUTTONS).errcode(40023),
    text("button[].type").required().not_beside("sub_button").any_of(TYPES).errcode(40017),
    text("button[].key")
        .required()
        .when("type", WITH_KEY)
        .not_beside("sub_button")
        .bytes(MAX_KEY_BYTES)
        .errcode(40019),
    text("button[].url").required().when("type", WITH_URL).bytes(MAX_URL_BYTES).errcode(40020),
    text("button[].appid").required().when("type", APP).errcode(40166),
    text("button[].pagepath").required().when("type", APP).errcode(40165),
    text("button[].media_id").required().when("type", WITH_MEDIA).errcode(40007),
    text("button[].article_id").required().when("type", WITH_ARTICLE).errcode(53600),
    text("button[].sub_button[].name").required().bytes(MAX_SUB_NAME_BYTES).errcode(40025),
    text("button[].sub_button[].type").required().any_of(TYPES).errcode(40024),
    text("button[].sub_button[].key").required().when("type", WITH_KEY).bytes(MAX_KEY_BYTES).errcode(40026),
    text("button[].sub_button[].url").required().when("type", WITH_URL).bytes(MAX_URL_BYTES).errcode(40027),
    text("button[].sub_button[].appid").required().when("type", APP).errcode(40166),
    text("button[].sub_button[].pagepath").required().when("type", APP).errcode(40165),
    text("button[].sub_button[].media_id").required().when("type", WITH_MEDIA).errcode(40007),
    text("button[].sub_button[].article_id").required().when("type", WITH_ARTICLE).errcode(53600),
    list("button[].sub_button[].sub_button").items(0, 0).errcode(40022),
];

const GONE: &str = "WeChat took this away for privacy (65320); match by `tag_id` or `client_platform_type`";

pub(super) const ENDPOINTS: &[Endpoint] = &[
    post("/cgi-bin/menu/create", "Replaces the default menu")
        .page(CREATING)
        .who(MEMBERS)
        .repeatable()
        .fields(BUTTONS),
    get("/cgi-bin/menu/get", "Shows the menus that were made by API")
        .page("Custom_Menus/Querying_Custom_Menus.html")
        .who(MEMBERS),
    get("/cgi-bin/menu/delete", "Deletes the default menu and all conditional ones")
        .page("Custom_Menus/Deleting_Custom-Defined_Menu.html")
        .who(MEMBERS),
    get("/cgi-bin/get_current_selfmenu_info", "Shows the menu that is live, also one made in the console")
        .page("Custom_Menus/Querying_Custom_Menus.html"),
    post("/cgi-bin/menu/addconditional", "Adds a menu for some of the followers")
        .page(CONDITIONAL)
        .who(MEMBERS)
        .fields(&[
            object("matchrule").required().errcode(65304),
            id("matchrule.tag_id"),
            id("matchrule.client_platform_type").any_of(&["1", "2", "3"]),
            id("matchrule.group_id").obsolete("it is called `tag_id` now"),
            any("matchrule.sex").obsolete(GONE),
            any("matchrule.country").obsolete(GONE),
            any("matchrule.province").obsolete(GONE),
            any("matchrule.city").obsolete(GONE),
            any("matchrule.language").obsolete(GONE),
        ])
        .and(BUTTONS)
        .one_of(&[&["matchrule.tag_id", "matchrule.client_platform_type", "matchrule.group_id"]]),
    post("/cgi-bin/menu/delconditional", "Deletes a conditional menu")
        .page(CONDITIONAL)
        .who(MEMBERS)
        .repeatable()
        .fields(&[id("menuid").required()]),
    post("/cgi-bin/menu/trymatch", "Shows the menu that a follower sees")
        .page(CONDITIONAL)
        .who(MEMBERS)
        .repeatable()
        .fields(&[text("user_id").required()]),
];

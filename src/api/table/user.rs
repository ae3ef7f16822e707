//! Users, tags (标签), the blacklist; QR codes with a parameter.

use super::prelude::*;

const MEMBERS: Who = Who("-+-++");
const CODES: Who = Who("---++");
const INFO: &str = "User_Management/Get_users_basic_information_UnionID.html";
const TAGGING: &str = "User_Management/User_Tag_Management.html";
const BLACKLIST_PAGE: &str = "User_Management/Manage_blacklist.html";

const LANG: &[&str] = &["zh_CN", "zh_TW", "en"];
const OPENID: Field = text("openid").required().errcode(40003);

pub(super) const USERS: &[Endpoint] = &[
    get("/cgi-bin/user/info", "Shows a user")
        .page(INFO)
        .who(MEMBERS)
        .fields(&[OPENID.in_query(), query("lang").any_of(LANG)]),
    post("/cgi-bin/user/info/batchget", "Shows up to 100 users").page(INFO).who(MEMBERS).repeatable().fields(
        &[
            list("user_list").required().items(1, 100).errcode(40032),
            text("user_list[].openid").required().errcode(40003),
            text("user_list[].lang").any_of(LANG),
        ],
    ),
    get("/cgi-bin/user/get", "Lists the followers, 10,000 at a time")
        .page("User_Management/Getting_a_User_List.html")
        .who(MEMBERS)
        .fields(&[query("next_openid")]),
    post("/cgi-bin/user/info/updateremark", "Sets the remark (备注名) of a user")
        .page("User_Management/Configuring_user_notes.html")
        .who(CODES)
        .repeatable()
        // "fewer than 30 bytes"; an empty one takes it away.
        .fields(&[OPENID, any("remark").required().bytes(29)]),
    post("/cgi-bin/changeopenid", "Translates openids after an account was moved")
        .who(MEMBERS)
        .repeatable()
        .fields(&[
            text("from_appid").required(),
            list("openid_list").required().items(1, 100).errcode(40032),
            text("openid_list[]"),
        ]),
];

const fn openids(max: usize) -> Field {
    list("openid_list").required().items(1, max).errcode(40032)
}

const TAG_NAME: Field = text("tag.name").required().chars(30).errcode(45158);
const TAG_ID: Field = number("tag.id").required().errcode(45159);
const TAG: Field = object("tag").required();
const TAGID: Field = number("tagid").required().errcode(45159);

pub(super) const TAGS: &[Endpoint] = &[
    post("/cgi-bin/tags/create", "Makes a tag; 100 at most")
        .page(TAGGING)
        .who(MEMBERS)
        .fields(&[TAG, TAG_NAME]),
    get("/cgi-bin/tags/get", "Lists the tags").page(TAGGING).who(MEMBERS),
    post("/cgi-bin/tags/update", "Renames a tag")
        .page(TAGGING)
        .who(MEMBERS)
        .repeatable()
        .fields(&[TAG, TAG_ID, TAG_NAME]),
    post("/cgi-bin/tags/delete", "Deletes a tag")
        .page(TAGGING)
        .who(MEMBERS)
        .repeatable()
        .fields(&[TAG, TAG_ID]),
    post("/cgi-bin/user/tag/get", "Lists the users of a tag")
        .page(TAGGING)
        .who(MEMBERS)
        .repeatable()
        .fields(&[TAGID, any("next_openid")]),
    post("/cgi-bin/tags/members/batchtagging", "Gives up to 50 users a tag; 20 tags a user at most")
        .page(TAGGING)
        .who(MEMBERS)
        .repeatable()
        .fields(&[openids(50), text("openid_list[]").errcode(40003), TAGID]),
    post("/cgi-bin/tags/members/batchuntagging", "Takes a tag from up to 50 users")
        .page(TAGGING)
        .who(MEMBERS)
        .repeatable()
        .fields(&[openids(50), text("openid_list[]").errcode(40003), TAGID]),
    post("/cgi-bin/tags/getidlist", "Lists the tags of a user")
        .page(TAGGING)
        .who(MEMBERS)
        .repeatable()
        .fields(&[OPENID]),
];

pub(super) const BLACKLIST: &[Endpoint] = &[
    post("/cgi-bin/tags/members/getblacklist", "Lists who is on the blacklist, 1,000 at a time")
        .page(BLACKLIST_PAGE)
        .who(MEMBERS)
        .repeatable()
        .fields(&[any("begin_openid")]),
    post("/cgi-bin/tags/members/batchblacklist", "Puts up to 20 users on it")
        .page(BLACKLIST_PAGE)
        .who(MEMBERS)
        .repeatable()
        .fields(&[openids(20), text("openid_list[]").errcode(40003)]),
    post("/cgi-bin/tags/members/batchunblacklist", "Takes up to 20 users from it")
        .page(BLACKLIST_PAGE)
        .who(MEMBERS)
        .repeatable()
        .fields(&[openids(20), text("openid_list[]").errcode(40003)]),
];

const TEMPORARY: &[&str] = &["QR_SCENE", "QR_STR_SCENE"];
const ACTIONS: &[&str] = &["QR_SCENE", "QR_STR_SCENE", "QR_LIMIT_SCENE", "QR_LIMIT_STR_SCENE"];
const WITH_TEXT: &[&str] = &["QR_STR_SCENE", "QR_LIMIT_STR_SCENE"];
const SCENE_ID: Field = number("action_info.scene.scene_id").required().errcode(40053);

pub(super) const QR_CODES: &[Endpoint] =
    &[post("/cgi-bin/qrcode/create", "Makes a QR code with a parameter")
        .page("Account_Management/Generating_a_Parametric_QR_Code.html")
        .who(CODES)
        .fields(&[
            number("expire_seconds").when("action_name", TEMPORARY).range(1, 2_592_000).errcode(40053),
            text("action_name").required().any_of(ACTIONS).errcode(40052),
            object("action_info").required().errcode(40053),
            object("action_info.scene").required().errcode(40053),
            SCENE_ID.when("action_name", &["QR_SCENE"]).range(1, u32::MAX as i64),
            SCENE_ID.when("action_name", &["QR_LIMIT_SCENE"]).range(1, 100_000),
            text("action_info.scene.scene_str")
                .required()
                .when("action_name", WITH_TEXT)
                .chars(64)
                .errcode(40053),
        ])];

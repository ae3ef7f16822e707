//! Template messages (模板消息) and subscription messages (订阅消息).

use super::prelude::*;

const MEMBERS: Who = Who("---++");
const SUBSCRIBERS: Who = Who("-?-+-");
const TEMPLATES: &str = "Message_Management/Template_Message_Interface.html";
const NOTICES: &str = "Subscription_Messages/api.html";

/// How long a value may be, by the kind of its keyword (`thing8`).
const KEYWORDS: &[(&str, Limit)] = &[
    ("thing", Limit::Chars(20)),
    ("number", Limit::Chars(32)),
    ("letter", Limit::Chars(32)),
    ("symbol", Limit::Chars(5)),
    ("character_string", Limit::Chars(32)),
    ("phone_number", Limit::Chars(17)),
    ("car_number", Limit::Chars(8)),
    ("name", Limit::Columns(20)),
    ("phrase", Limit::Chars(5)),
    ("number", form(is_number, "a number", "12.5")),
    ("letter", form(is_ascii_letters, "Latin letters", "abc")),
    ("character_string", form(is_ascii, "letters, digits and signs", "A-12")),
    ("time", form(is_time, "a time", "2019年10月1日 15:01")),
    ("date", form(is_time, "a date", "2019年10月1日")),
    ("amount", form(has_digit, "an amount", "￥39.8元")),
    ("phone_number", form(has_digit, "a telephone number", "+86-0766-66888866")),
];

const fn form(fits: fn(&str) -> bool, says: &'static str, example: &'static str) -> Limit {
    Limit::Form { fits, says, example }
}

fn is_number(text: &str) -> bool {
    has_digit(text)
        && text.parse::<f64>().is_ok()
        && text.chars().all(|it| it.is_ascii_digit() || "+-.".contains(it))
}

fn is_ascii_letters(text: &str) -> bool {
    text.chars().all(|it| it.is_ascii_alphabetic())
}

fn is_ascii(text: &str) -> bool {
    text.chars().all(|it| it.is_ascii_graphic() || it == ' ')
}

/// WeChat takes many ways to write a time, and spans of them: all have digits, and no other words.
fn is_time(text: &str) -> bool {
    let is_part = |it: char| it.is_ascii_digit() || " 年月日时分秒点上午下:：-/.~～至TZ+".contains(it);
    has_digit(text) && text.chars().all(is_part)
}

fn has_digit(text: &str) -> bool {
    text.contains(|it: char| it.is_ascii_digit())
}

/// What is sent by a template.
const FILLED: &[Field] = &[
    text("touser").required().errcode(40003),
    text("template_id").required().errcode(40037),
    object("miniprogram"),
    text("miniprogram.appid").required().errcode(40166),
    text("miniprogram.pagepath").errcode(40165),
];
const DATA: [Field; 3] = [
    object("data").required().errcode(47003),
    object("data.*").errcode(47003),
    any("data.*.value").required().limit(Limit::ByName(KEYWORDS)).errcode(47003),
];

pub(super) const TEMPLATE: &[Endpoint] = &[
    post("/cgi-bin/message/template/send", "Sends a template message")
        .page(TEMPLATES)
        .who(MEMBERS)
        .repeat(Repeat::With("client_msg_id"))
        .fields(&[
            text("url"),
            text("client_msg_id"),
            DATA[0],
            DATA[1],
            DATA[2],
            text("data.*.color").obsolete("WeChat shows no colours since 2023"),
            any("topcolor").obsolete("WeChat shows no colours since 2023"),
        ])
        .and(FILLED),
    post("/cgi-bin/template/api_set_industry", "Chooses the account's industries; once a month")
        .page(TEMPLATES)
        .who(MEMBERS)
        .repeatable()
        .fields(&[id("industry_id1").required(), id("industry_id2").required()]),
    get("/cgi-bin/template/get_industry", "Shows them").page(TEMPLATES).who(MEMBERS),
    post("/cgi-bin/template/api_add_template", "Takes a template of WeChat's library; 25 at most")
        .page(TEMPLATES)
        .who(MEMBERS)
        .fields(&[
            text("template_id_short").required(),
            list("keyword_name_list").errcode(40246),
            text("keyword_name_list[]").errcode(40246),
        ]),
    get("/cgi-bin/template/get_all_private_template", "Lists the account's templates")
        .page(TEMPLATES)
        .who(MEMBERS),
    post("/cgi-bin/template/del_private_template", "Deletes one")
        .page(TEMPLATES)
        .who(MEMBERS)
        .repeatable()
        .fields(&[text("template_id").required().errcode(40037)]),
    post("/wxa/sec/queryblocktmplmsg", "Lists the template messages that WeChat held back")
        .page(TEMPLATES)
        .who(MEMBERS)
        .repeatable()
        .fields(&[
            text("tmpl_msg_id").required(),
            number("largest_id").required(),
            number("limit").required(),
        ]),
];

const SCENE_DESC: Field = text("sceneDesc").chars(15).errcode(200_021);

pub(super) const SUBSCRIPTION: &[Endpoint] = &[
    post(
        "/cgi-bin/message/template/subscribe",
        "Sends the one message that a user agreed to (一次性订阅消息)",
    )
    .page("Message_Management/One-time_subscription_info.html")
    .who(Who("-+-+?"))
    .fields(&[
        text("url"),
        id("scene").required(),
        text("title").required().chars(15),
        object("data").required().errcode(47003),
        object("data.content").required().errcode(47003),
        text("data.content.value").required().chars(200).errcode(47003),
        text("data.content.color"),
    ])
    .and(FILLED),
    post("/cgi-bin/message/subscribe/bizsend", "Sends a subscription notice (订阅通知)")
        .page(NOTICES)
        .who(SUBSCRIBERS)
        .fields(&[text("page"), DATA[0], DATA[1], DATA[2]])
        .and(FILLED),
    post("/wxaapi/newtmpl/addtemplate", "Takes a notice template; 25 at most")
        .page(NOTICES)
        .who(SUBSCRIBERS)
        .fields(&[
            id("tid").required().errcode(200_014),
            list("kidList").required().items(2, 5).errcode(200_020),
            number("kidList[]").errcode(200_020),
            SCENE_DESC,
        ]),
    get("/wxaapi/newtmpl/gettemplate", "Lists the account's notice templates").page(NOTICES).who(SUBSCRIBERS),
    post("/wxaapi/newtmpl/deltemplate", "Deletes one")
        .page(NOTICES)
        .who(SUBSCRIBERS)
        .repeatable()
        .fields(&[text("priTmplId").required()]),
    get("/wxaapi/newtmpl/getcategory", "Lists the account's categories").page(NOTICES).who(SUBSCRIBERS),
    get("/wxaapi/newtmpl/getpubtemplatetitles", "Lists the library's titles of some categories")
        .page(NOTICES)
        .who(SUBSCRIBERS)
        .fields(&[
            query("ids").required().errcode(200_018),
            number("start").in_query().required().range(0, i64::MAX).errcode(200_016),
            number("limit").in_query().required().range(1, 30).errcode(200_017),
        ]),
    get("/wxaapi/newtmpl/getpubtemplatekeywords", "Lists the keywords of a title")
        .page(NOTICES)
        .who(SUBSCRIBERS)
        .fields(&[id("tid").in_query().required().errcode(200_014)]),
];

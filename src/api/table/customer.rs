//! Customer service (客服): accounts, sessions, and the messages that an account sends by itself.

use super::prelude::*;

const MEMBERS: Who = Who("-+-+?");
const SENDERS: Who = Who("-+-++");
const MANAGEMENT: &str = "Customer_Service/Customer_Service_Management.html";
const SESSION: &str = "Customer_Service/Session_control.html";
const MESSAGES: &str = "Message_Management/Service_Center_messages.html";

/// `test1@test`
fn is_kf_account(account: &str) -> bool {
    let is_word = |prefix: &str| prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    account.len() <= 30
        && account.split_once('@').is_some_and(|(prefix, id)| {
            (1..=10).contains(&prefix.len()) && is_word(prefix) && !id.is_empty() && !id.contains('@')
        })
}

const fn kf_account(path: &'static str) -> Field {
    text(path)
        .form(
            is_kf_account,
            "PREFIX@WECHAT-ID: 1 to 10 of [A-Za-z0-9_], `@`, at most 30 characters in all",
            "test1@test",
        )
        .errcode(65404)
}

const NICKNAME: Field = text("nickname").required().chars(16).errcode(65403);

pub(super) const ACCOUNTS: &[Endpoint] = &[
    get("/cgi-bin/customservice/getkflist", "Lists the customer-service accounts")
        .page(MANAGEMENT)
        .who(MEMBERS),
    get("/cgi-bin/customservice/getonlinekflist", "Lists those who are online").page(MANAGEMENT).who(MEMBERS),
    post("/customservice/kfaccount/add", "Adds a customer-service account; 100 at most")
        .page(MANAGEMENT)
        .who(MEMBERS)
        .fields(&[kf_account("kf_account").required(), NICKNAME]),
    post("/customservice/kfaccount/update", "Changes the nickname of one")
        .page(MANAGEMENT)
        .who(MEMBERS)
        .repeatable()
        .fields(&[kf_account("kf_account").required(), NICKNAME]),
    post("/customservice/kfaccount/del", "Deletes one")
        .page(MANAGEMENT)
        .who(MEMBERS)
        .repeatable()
        .fields(&[kf_account("kf_account").required()]),
    post("/customservice/kfaccount/inviteworker", "Invites a person's WeChat to be one")
        .page(MANAGEMENT)
        .who(MEMBERS)
        .fields(&[kf_account("kf_account").required(), text("invite_wx").required()]),
    post("/customservice/kfaccount/uploadheadimg", "Sets the portrait of one; 640×640 is best")
        .page(MANAGEMENT)
        .who(MEMBERS)
        .repeatable()
        .fields(&[kf_account("kf_account").in_query().required(), file("media", &[Format::Jpeg], 5 * MB)]),
];

pub(super) const SESSIONS: &[Endpoint] = &[
    post("/customservice/kfsession/create", "Has an agent serve a customer")
        .page(SESSION)
        .who(MEMBERS)
        .fields(&[kf_account("kf_account").required(), text("openid").required()]),
    post("/customservice/kfsession/close", "Ends that")
        .page(SESSION)
        .who(MEMBERS)
        .repeatable()
        .fields(&[kf_account("kf_account").required(), text("openid").required()]),
    get("/customservice/kfsession/getsession", "Shows who serves a customer")
        .page(SESSION)
        .who(MEMBERS)
        .fields(&[query("openid").required()]),
    get("/customservice/kfsession/getsessionlist", "Lists the customers of an agent")
        .page(SESSION)
        .who(MEMBERS)
        .fields(&[kf_account("kf_account").in_query().required()]),
    get("/customservice/kfsession/getwaitcase", "Lists those who wait; 100 at most")
        .page(SESSION)
        .who(MEMBERS),
    post("/customservice/msgrecord/getmsglist", "Lists what was said, within one day")
        .page("Customer_Service/Obtain_chat_transcript.html")
        .who(MEMBERS)
        .repeatable()
        .span("starttime", "endtime", Most::OneDay, 65417)
        .fields(&[
            number("starttime").required(),
            number("endtime").required(),
            id("msgid").required(),
            number("number").required().range(1, 10_000).errcode(65416),
        ]),
];

const TYPES: &[&str] = &[
    "text",
    "image",
    "voice",
    "video",
    "music",
    "news",
    "mpnewsarticle",
    "mpnews",
    "msgmenu",
    "wxcard",
    "miniprogrampage",
];

pub(super) const MESSAGE: &[Endpoint] = &[
    post("/cgi-bin/message/custom/send", "Sends a message to a user who did something in the last hours")
        .page(MESSAGES)
        .who(SENDERS)
        .fields(&[
            text("touser").required().errcode(40003),
            text("msgtype").required().any_of(TYPES).errcode(40008),
            object("text").required().when("msgtype", &["text"]),
            text("text.content").required().bytes(2048).errcode(45002),
            object("image").required().when("msgtype", &["image"]),
            text("image.media_id").required().errcode(40007),
            object("voice").required().when("msgtype", &["voice"]),
            text("voice.media_id").required().errcode(40007),
            object("video").required().when("msgtype", &["video"]),
            text("video.media_id").required().errcode(40007),
            text("video.thumb_media_id"),
            text("video.title"),
            text("video.description"),
            object("music").required().when("msgtype", &["music"]),
            text("music.title"),
            text("music.description"),
            text("music.musicurl").required(),
            text("music.hqmusicurl").required(),
            text("music.thumb_media_id").required().errcode(40007),
            object("news").required().when("msgtype", &["news"]),
            list("news.articles").required().items(1, 1).errcode(45008),
            text("news.articles[].title"),
            text("news.articles[].description"),
            text("news.articles[].url"),
            text("news.articles[].picurl"),
            object("mpnewsarticle").required().when("msgtype", &["mpnewsarticle"]),
            text("mpnewsarticle.article_id").required().errcode(53600),
            object("mpnews")
                .required()
                .when("msgtype", &["mpnews"])
                .obsolete("it takes old material only; use `mpnewsarticle` with an `article_id`"),
            text("mpnews.media_id").required().errcode(40007),
            object("msgmenu").required().when("msgtype", &["msgmenu"]),
            text("msgmenu.head_content"),
            list("msgmenu.list").required().items(1, usize::MAX).errcode(45098),
            id("msgmenu.list[].id").required(),
            text("msgmenu.list[].content").required().errcode(45099),
            text("msgmenu.tail_content"),
            object("wxcard").required().when("msgtype", &["wxcard"]),
            text("wxcard.card_id").required(),
            object("miniprogrampage").required().when("msgtype", &["miniprogrampage"]),
            text("miniprogrampage.title"),
            text("miniprogrampage.appid").required().errcode(40166),
            text("miniprogrampage.pagepath").required().errcode(40165),
            text("miniprogrampage.thumb_media_id").required().errcode(40007),
            object("customservice"),
            kf_account("customservice.kf_account").required(),
            object("aimsgcontext"),
            flag("aimsgcontext.is_ai_msg").required(),
        ]),
    post("/cgi-bin/message/custom/typing", "Shows a user that an answer is being written (for 15 s)")
        .page(MESSAGES)
        .who(SENDERS)
        .repeatable()
        .fields(&[
            text("touser").required().errcode(40003),
            text("command").required().any_of(&["Typing", "CancelTyping"]).errcode(45072),
        ]),
];

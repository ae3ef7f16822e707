//! Mass sending (群发).

use super::prelude::*;

const MEMBERS: Who = Who("-+-+-");
const PAGE: &str = "Message_Management/Batch_Sends_and_Originality_Checks.html";

const TYPES: &[&str] = &["mpnews", "text", "voice", "image", "mpvideo"];

/// What is sent.
const CONTENT: &[Field] = &[
    text("msgtype").required().any_of(TYPES).errcode(40008),
    object("mpnews").required().when("msgtype", &["mpnews"]),
    text("mpnews.media_id").required().errcode(40007),
    object("text").required().when("msgtype", &["text"]),
    text("text.content").required().errcode(44004),
    object("voice").required().when("msgtype", &["voice"]),
    text("voice.media_id").required().errcode(40007),
    object("mpvideo").required().when("msgtype", &["mpvideo"]),
    text("mpvideo.media_id").required().errcode(40007),
    text("mpvideo.title"),
    text("mpvideo.description"),
    object("images").required().when("msgtype", &["image"]).not_beside("image"),
    list("images.media_ids").required().items(1, usize::MAX),
    text("images.media_ids[]").errcode(40007),
    text("images.recommend"),
    flag("images.need_open_comment"),
    flag("images.only_fans_can_comment"),
    // As it was before there were several.
    object("image"),
    text("image.media_id").required().errcode(40007),
    flag("send_ignore_reprint"),
    text("clientmsgid").bytes(32).errcode(45067),
];

/// For whom, if not for all.
const TAG: Field = id("filter.tag_id").required().when("is_to_all", &["false"]);

pub(super) const ENDPOINTS: &[Endpoint] = &[
    post("/cgi-bin/message/mass/sendall", "Sends to all followers, or to those with a tag")
        .page(PAGE)
        .who(MEMBERS)
        .repeat(Repeat::With("clientmsgid"))
        .fields(&[object("filter").required(), boolean("filter.is_to_all"), TAG])
        .one_of(&[&["filter.is_to_all", "filter.tag_id"]])
        .and(CONTENT),
    post("/cgi-bin/message/mass/send", "Sends to some followers")
        .page(PAGE)
        .who(Who("---+-"))
        .repeat(Repeat::With("clientmsgid"))
        .fields(&[list("touser").required().items(2, 10_000).errcode(40130), text("touser[]").errcode(40003)])
        .and(CONTENT),
    post("/cgi-bin/message/mass/preview", "Sends to one user, to look at; 100 a day")
        .page(PAGE)
        .who(MEMBERS)
        .fields(&[text("touser").errcode(40003), text("towxname").errcode(40132)])
        .one_of(&[&["touser", "towxname"]])
        .and(CONTENT),
    post("/cgi-bin/message/mass/delete", "Takes back articles or a video; texts stay on the phones")
        .page(PAGE)
        .who(MEMBERS)
        .repeatable()
        .fields(&[
            id("msg_id").errcode(40059),
            text("url").errcode(40048),
            number("article_idx").range(0, 8).errcode(40060),
        ])
        .one_of(&[&["msg_id", "url"]]),
    post("/cgi-bin/message/mass/get", "Shows what became of it")
        .page(PAGE)
        .who(MEMBERS)
        .repeatable()
        .fields(&[id("msg_id").required().errcode(40059)]),
    post("/cgi-bin/message/mass/speed/get", "Shows how fast it is sent").page(PAGE).who(MEMBERS).repeatable(),
    post("/cgi-bin/message/mass/speed/set", "Sets that: 0 to 4 are 800,000 to 100,000 a minute")
        .page(PAGE)
        .who(MEMBERS)
        .repeatable()
        .fields(&[number("speed").required().range(0, 4).errcode(45083)]),
];

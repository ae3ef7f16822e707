//! Temporary media (临时素材), permanent material (永久素材), drafts (草稿箱), publishing (发布能力), comments (图文留言).

use super::prelude::*;
use Format::{Amr, Bmp, Gif, Jpeg, Mp3, Mp4, Png, Wav, Wma};

/// The sources speak of verified and unverified accounts; of test accounts only with temporary media.
const OWNERS: Who = Who("++++?");
const PUBLISHERS: Who = Who("-+?+-");
const COMMENTED: Who = Who("-+-+-");

const TYPES: &[&str] = &["image", "voice", "video", "thumb"];

pub(super) const TEMPORARY: &[Endpoint] = &[
    post("/cgi-bin/media/upload", "Uploads a file for 3 days")
        .page("Asset_Management/New_temporary_materials.html")
        .fields(&[
            query("type").required().any_of(TYPES).errcode(40004),
            file("media", &[Png, Jpeg, Gif], 10 * MB).when("type", &["image"]).errcode(40009),
            file("media", &[Amr, Mp3], 2 * MB).when("type", &["voice"]).errcode(40010),
            file("media", &[Mp4], 10 * MB).when("type", &["video"]).errcode(40011),
            file("media", &[Jpeg], 64 * KB).when("type", &["thumb"]).errcode(40012),
        ]),
    get("/cgi-bin/media/get", "Downloads such a file, also one that a user sent")
        .page("Asset_Management/Get_temporary_materials.html")
        .fields(&[query("media_id").required().errcode(40007)]),
    get("/cgi-bin/media/get/jssdk", "Downloads a voice of the JS-SDK in high quality (speex)")
        .page("Asset_Management/Get_temporary_materials.html")
        .who(Who("-+-+?"))
        .fields(&[query("media_id").required().errcode(40007)]),
];

const MEDIA_ID: Field = text("media_id").required().errcode(40007);

pub(super) const PERMANENT: &[Endpoint] = &[
    post("/cgi-bin/material/add_material", "Uploads a file for good")
        .page("Asset_Management/Adding_Permanent_Assets.html")
        .who(OWNERS)
        .fields(&[
            query("type").required().any_of(TYPES).errcode(40004),
            file("media", &[Bmp, Png, Jpeg, Gif], 10 * MB).when("type", &["image"]).errcode(40009),
            file("media", &[Mp3, Wma, Wav, Amr], 2 * MB).when("type", &["voice"]).errcode(40010),
            file("media", &[Mp4], 10 * MB).when("type", &["video"]).errcode(40011),
            file("media", &[Jpeg], 64 * KB).when("type", &["thumb"]).errcode(40012),
            object("description").required().when("type", &["video"]),
            text("description.title").required(),
            text("description.introduction").required(),
        ]),
    post("/cgi-bin/material/get_material", "Downloads or describes permanent material")
        .page("Asset_Management/Getting_Permanent_Assets.html")
        .who(OWNERS)
        .repeatable()
        .fields(&[MEDIA_ID]),
    post("/cgi-bin/material/del_material", "Deletes it")
        .page("Asset_Management/Deleting_Permanent_Assets.html")
        .who(OWNERS)
        .repeatable()
        .fields(&[MEDIA_ID]),
    get("/cgi-bin/material/get_materialcount", "Counts it by type")
        .page("Asset_Management/Get_the_total_of_all_materials.html")
        .who(OWNERS),
    post("/cgi-bin/material/batchget_material", "Lists it by type")
        .page("Asset_Management/Get_materials_list.html")
        .who(OWNERS)
        .repeatable()
        .fields(&[
            text("type").required().any_of(&["image", "video", "voice", "news"]).errcode(40004),
            number("offset").required().range(0, i64::MAX),
            number("count").required().range(1, 20),
        ]),
    post("/cgi-bin/media/uploadimg", "Uploads a picture for use inside an article; gives its URL")
        .page("Asset_Management/Adding_Permanent_Assets.html")
        .who(OWNERS)
        // "under 1 MB"
        .fields(&[file("media", &[Jpeg, Png], MB - 1).errcode(40009)]),
    post("/cgi-bin/media/uploadvideo", "Makes a video ready for mass sending")
        .page("Message_Management/Batch_Sends_and_Originality_Checks.html")
        .who(Who("-+-+-"))
        .fields(&[MEDIA_ID, text("title"), text("description")]),
    post("/cgi-bin/material/add_news", "Added an article")
        .page("Asset_Management/Adding_Permanent_Assets.html")
        .retired("use draft/add"),
    post("/cgi-bin/material/update_news", "Changed an article")
        .page("Asset_Management/Adding_Permanent_Assets.html")
        .retired("use draft/update"),
    post("/cgi-bin/media/uploadnews", "Uploaded an article for mass sending")
        .page("Message_Management/Batch_Sends_and_Originality_Checks.html")
        .retired("use draft/add, its media_id is sent"),
];

/// `0.1945_0_1_0.5236`: two corners, each from 0 to 1.
fn is_crop(crop: &str) -> bool {
    let numbers: Option<Vec<f64>> = crop.split('_').map(|number| number.parse().ok()).collect();
    let within = |numbers: &[f64]| numbers.iter().all(|number| (0.0..=1.0).contains(number));
    numbers.is_some_and(|numbers| numbers.len() == 4 && within(&numbers))
}

const fn crop(path: &'static str) -> Field {
    text(path).form(is_crop, "X1_Y1_X2_Y2, each from 0 to 1", "0_0_1_0.5").errcode(53406)
}

const NEWS: &[&str] = &["news"];
const NEWSPIC: &[&str] = &["newspic"];

/// An article; both in the list of draft/add and alone in draft/update.
const ARTICLE: &[Field] = &[
    text("articles[].article_type").any_of(&["news", "newspic"]),
    text("articles[].title").required().chars(32).errcode(45003),
    text("articles[].author").chars(16).errcode(45110),
    text("articles[].digest").chars(128).errcode(45004),
    // "fewer than 20,000 characters"
    text("articles[].content").required().chars(19_999).errcode(45166),
    text("articles[].content_source_url").bytes(1024).errcode(41039),
    // The type is `news` where none is given.
    text("articles[].thumb_media_id").required().without("article_type").errcode(40007),
    text("articles[].thumb_media_id").required().when("article_type", NEWS).errcode(40007),
    flag("articles[].need_open_comment"),
    flag("articles[].only_fans_can_comment"),
    flag("articles[].show_cover_pic"),
    crop("articles[].pic_crop_235_1"),
    crop("articles[].pic_crop_1_1"),
    object("articles[].image_info").required().when("article_type", NEWSPIC).errcode(53405),
    list("articles[].image_info.image_list").required().items(1, 20).errcode(53405),
    text("articles[].image_info.image_list[].image_media_id").required().errcode(40007),
    object("articles[].cover_info"),
    list("articles[].cover_info.crop_percent_list"),
    any("articles[].cover_info.crop_percent_list[].ratio"),
    any("articles[].cover_info.crop_percent_list[].x1"),
    any("articles[].cover_info.crop_percent_list[].y1"),
    any("articles[].cover_info.crop_percent_list[].x2"),
    any("articles[].cover_info.crop_percent_list[].y2"),
    object("articles[].product_info"),
    object("articles[].product_info.footer_product_info"),
    text("articles[].product_info.footer_product_info.product_key").required().errcode(53404),
];

const PAGE: &[Field] = &[
    number("offset").required().range(0, i64::MAX),
    number("count").required().range(1, 20),
    flag("no_content"),
];

pub(super) const DRAFTS: &[Endpoint] = &[
    post("/cgi-bin/draft/add", "Makes a draft of one or more articles")
        .page("Draft_Box/Add_draft.html")
        .who(OWNERS)
        .fields(&[list("articles").required().items(1, 8).errcode(45008)])
        .and(ARTICLE),
    post("/cgi-bin/draft/get", "Shows a draft")
        .page("Draft_Box/Get_draft.html")
        .who(OWNERS)
        .repeatable()
        .fields(&[MEDIA_ID]),
    post("/cgi-bin/draft/update", "Changes one article of a draft")
        .page("Draft_Box/Update_draft.html")
        .who(OWNERS)
        .repeatable()
        .fields(&[
            MEDIA_ID,
            number("index").required().range(0, 7).errcode(40114),
            object("articles").required(),
        ])
        .and(ARTICLE),
    post("/cgi-bin/draft/delete", "Deletes a draft for good")
        .page("Draft_Box/Delete_draft.html")
        .who(OWNERS)
        .repeatable()
        .fields(&[MEDIA_ID]),
    get("/cgi-bin/draft/count", "Counts the drafts").page("Draft_Box/Count_drafts.html").who(OWNERS),
    post("/cgi-bin/draft/batchget", "Lists the drafts")
        .page("Draft_Box/Get_draft_list.html")
        .who(OWNERS)
        .repeatable()
        .fields(PAGE),
    post("/cgi-bin/draft/switch", "Shows whether the account has the draft box, or switches it on for good")
        .page("Draft_Box/Temporary_MP_Switch.html")
        .who(OWNERS)
        .fields(&[query("checkonly").any_of(&["1"])]),
];

const ARTICLE_ID: Field = text("article_id").required().errcode(53600);

pub(super) const PUBLISHING: &[Endpoint] = &[
    post("/cgi-bin/freepublish/submit", "Publishes a draft: it gets a link, and is not sent to anybody")
        .page("Publish/Publish.html")
        .who(PUBLISHERS)
        .fields(&[MEDIA_ID]),
    post("/cgi-bin/freepublish/get", "Shows what became of it")
        .page("Publish/Get_status.html")
        .who(PUBLISHERS)
        .repeatable()
        .fields(&[id("publish_id").required()]),
    post("/cgi-bin/freepublish/delete", "Takes a publication, or one article of it, back for good")
        .page("Publish/Delete_posts.html")
        .who(PUBLISHERS)
        .repeatable()
        .fields(&[ARTICLE_ID, number("index").range(0, 8).errcode(40114)]),
    post("/cgi-bin/freepublish/getarticle", "Shows a publication")
        .page("Publish/Get_article_from_id.html")
        .who(PUBLISHERS)
        .repeatable()
        .fields(&[ARTICLE_ID]),
    post("/cgi-bin/freepublish/batchget", "Lists the publications")
        .page("Publish/Get_publication_records.html")
        .who(PUBLISHERS)
        .repeatable()
        .fields(PAGE),
];

const COMMENTS_PAGE: &str = "Comments_management/Image_Comments_Management_Interface.html";
const COMMENTED_ARTICLE: &[Field] =
    &[id("msg_data_id").required().errcode(88001), number("index").range(0, i64::MAX)];
const COMMENT: Field = id("user_comment_id").required().errcode(88008);

const fn about_comment(path: &'static str, does: &'static str) -> Endpoint {
    post(path, does).page(COMMENTS_PAGE).who(COMMENTED).repeatable().fields(&[COMMENT]).and(COMMENTED_ARTICLE)
}

pub(super) const COMMENTS: &[Endpoint] = &[
    about_comment("/cgi-bin/comment/open", "Lets users comment on an article").fields(&[]),
    about_comment("/cgi-bin/comment/close", "Ends that").fields(&[]),
    about_comment("/cgi-bin/comment/list", "Lists the comments").fields(&[
        number("begin").required().range(0, i64::MAX),
        number("count").required().range(1, 50).errcode(88010),
        number("type").required().range(0, 2),
    ]),
    about_comment("/cgi-bin/comment/markelect", "Puts a comment among the chosen ones (精选)"),
    about_comment("/cgi-bin/comment/unmarkelect", "Takes it from there"),
    about_comment("/cgi-bin/comment/delete", "Deletes a comment"),
    about_comment("/cgi-bin/comment/reply/add", "Answers a comment")
        .repeat(Repeat::Never)
        .fields(&[COMMENT, text("content").required().errcode(88007)]),
    about_comment("/cgi-bin/comment/reply/delete", "Deletes that answer"),
];

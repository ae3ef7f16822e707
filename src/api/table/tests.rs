//! The rows are well made, and each limit is the one that WeChat's pages name: written down here a second time.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::api::check::{FileFacts, Given, Severity, check, check_date};
use crate::api::endpoint::{Field, Kind, Limit, PAGES, Place};
use crate::api::example::Example;
use crate::api::format::Format;
use crate::api::who::AccountKind;

/// A limit as WeChat's pages have it.
enum Page {
    Bytes(usize),
    Chars(usize),
    Range(i64, i64),
    Items(usize, usize),
    /// Texts that fit, and texts that do not.
    Texts(&'static [&'static str], &'static [&'static str]),
}

use Page::{Bytes, Chars, Items, Range, Texts};

/// What must be chosen for the field to count.
type Choices = &'static [(&'static str, &'static str)];

const NEWSPIC: Choices = &[("articles[].article_type", "newspic")];

/// Endpoints (whose name begins so), field, what has to be chosen for it, limit.
const LIMITS: &[(&str, &str, Choices, Page)] = &[
    ("", "grant_type", &[], Texts(&[], &["", "credential"])),
    ("callback/check", "action", &[], Texts(&["dns", "ping", "all"], &["", "traceroute"])),
    (
        "callback/check",
        "check_operator",
        &[],
        Texts(&["CHINANET", "UNICOM", "CAP", "DEFAULT"], &["", "default"]),
    ),
    (
        "openapi/quota",
        "cgi_path",
        &[],
        Texts(&["/cgi-bin/message/custom/send"], &["", "cgi-bin/menu/get", "/x?a=b"]),
    ),
    (
        "openapi/rid",
        "rid",
        &[],
        Texts(&["61725984-6126f6f9-040f19c4"], &["", "61725984-6126f6f9", "x1725984-6126f6f9-040f19c4"]),
    ),
    ("ticket", "type", &[], Texts(&["jsapi", "wx_card"], &["", "jsapi2"])),
    ("shorten/gen", "long_data", &[], Bytes(4096)),
    ("shorten/gen", "expire_seconds", &[], Range(1, 2_592_000)),
    ("menu/", "button", &[], Items(1, 3)),
    ("menu/", "button[].name", &[], Bytes(16)),
    (
        "menu/",
        "button[].type",
        &[],
        Texts(
            &[
                "click",
                "scancode_push",
                "scancode_waitmsg",
                "pic_sysphoto",
                "pic_photo_or_album",
                "pic_weixin",
                "location_select",
            ],
            &["", "clicks", "text"],
        ),
    ),
    ("menu/", "button[].key", &[], Bytes(128)),
    ("menu/", "button[].url", &[("button[].type", "view")], Bytes(1024)),
    ("menu/", "button[].sub_button", &[("button[].name", "n")], Items(0, 5)),
    ("menu/", "button[].sub_button[].name", &[], Bytes(60)),
    ("menu/", "button[].sub_button[].type", &[], Texts(&["click", "location_select"], &["", "Click"])),
    ("menu/", "button[].sub_button[].key", &[], Bytes(128)),
    ("menu/", "button[].sub_button[].url", &[("button[].sub_button[].type", "miniprogram")], Bytes(1024)),
    ("menu/", "button[].sub_button[].sub_button", &[], Items(0, 0)),
    ("menu/", "matchrule.client_platform_type", &[], Texts(&["1", "2", "3"], &["0", "4", "iOS"])),
    ("", "kf_account", &[], KF_ACCOUNT),
    ("message/custom", "customservice.kf_account", &[], KF_ACCOUNT),
    ("customservice/", "nickname", &[], Chars(16)),
    ("customservice/", "number", &[], Range(1, 10_000)),
    ("message/custom/send", "msgtype", &[], Texts(&["text"], &["", "txt", "mpvideo"])),
    ("message/custom/send", "text.content", &[], Bytes(2048)),
    ("message/custom/send", "news.articles", &[("msgtype", "news")], Items(1, 1)),
    ("message/custom/send", "msgmenu.list", &[("msgtype", "msgmenu")], Items(1, usize::MAX)),
    ("message/custom/send", "aimsgcontext.is_ai_msg", &[], Range(0, 1)),
    ("message/custom/typing", "command", &[], Texts(&["Typing", "CancelTyping"], &["", "typing"])),
    ("message/template/subscribe", "title", &[], Chars(15)),
    ("message/template/subscribe", "data.content.value", &[], Chars(200)),
    ("wxaapi", "kidList", &[], Items(2, 5)),
    ("wxaapi", "sceneDesc", &[], Chars(15)),
    ("wxaapi", "start", &[], Range(0, i64::MAX)),
    ("wxaapi", "limit", &[], Range(1, 30)),
    ("media/upload", "type", &[], Texts(&["image", "voice", "thumb", "video"], &["", "news", "file"])),
    ("material/add", "type", &[], Texts(&["image", "voice", "thumb"], &["", "news", "file"])),
    ("material/batchget", "type", &[], Texts(&["image", "video", "voice", "news"], &["", "thumb"])),
    ("", "offset", &[], Range(0, i64::MAX)),
    ("material", "count", &[], Range(1, 20)),
    ("draft", "count", &[], Range(1, 20)),
    ("freepublish", "count", &[], Range(1, 20)),
    ("", "no_content", &[], Range(0, 1)),
    ("draft/add", "articles", &[], Items(1, 8)),
    ("draft", "articles[].article_type", &[], Texts(&["news"], &["picture"])),
    ("draft", "articles[].title", &[], Chars(32)),
    ("draft", "articles[].author", &[], Chars(16)),
    ("draft", "articles[].digest", &[], Chars(128)),
    ("draft", "articles[].content", &[], Chars(19_999)),
    ("draft", "articles[].content_source_url", &[], Bytes(1024)),
    ("draft", "articles[].need_open_comment", &[], Range(0, 1)),
    ("draft", "articles[].only_fans_can_comment", &[], Range(0, 1)),
    ("draft", "articles[].show_cover_pic", &[], Range(0, 1)),
    ("draft", "articles[].pic_crop_235_1", &[], CROP),
    ("draft", "articles[].pic_crop_1_1", &[], CROP),
    ("draft", "articles[].image_info.image_list", NEWSPIC, Items(1, 20)),
    ("draft", "index", &[], Range(0, 7)),
    ("draft", "checkonly", &[], Texts(&["1"], &["0"])),
    ("freepublish", "index", &[], Range(0, 8)),
    ("comment", "index", &[], Range(0, i64::MAX)),
    ("comment", "begin", &[], Range(0, i64::MAX)),
    ("comment", "count", &[], Range(1, 50)),
    ("comment", "type", &[], Range(0, 2)),
    ("user/info", "lang", &[], Texts(&["zh_CN", "zh_TW", "en"], &["zh", "de"])),
    ("sns", "lang", &[], Texts(&["zh_CN", "zh_TW", "en"], &["zh", "de"])),
    ("user/info/batchget", "user_list", &[], Items(1, 100)),
    ("user/info/batchget", "user_list[].lang", &[], Texts(&["zh_CN", "zh_TW", "en"], &["zh"])),
    ("user/info/updateremark", "remark", &[], Bytes(29)),
    ("changeopenid", "openid_list", &[], Items(1, 100)),
    ("tags/members/batchtagging", "openid_list", &[], Items(1, 50)),
    ("tags/members/batchuntagging", "openid_list", &[], Items(1, 50)),
    ("tags/members/batchblacklist", "openid_list", &[], Items(1, 20)),
    ("tags/members/batchunblacklist", "openid_list", &[], Items(1, 20)),
    ("tags", "tag.name", &[], Chars(30)),
    ("qrcode", "action_name", &[], Texts(&["QR_SCENE"], &["", "QR", "qr_scene"])),
    ("qrcode", "expire_seconds", &[], Range(1, 2_592_000)),
    ("qrcode", "action_info.scene.scene_id", &[], Range(1, 4_294_967_295)),
    ("qrcode", "action_info.scene.scene_id", &[("action_name", "QR_LIMIT_SCENE")], Range(1, 100_000)),
    ("qrcode", "action_info.scene.scene_str", &[("action_name", "QR_STR_SCENE")], Chars(64)),
    ("qrcode", "action_info.scene.scene_str", &[("action_name", "QR_LIMIT_STR_SCENE")], Chars(64)),
    ("message/mass", "msgtype", &[], Texts(&["mpnews"], &["", "wxcard", "news"])),
    ("message/mass", "clientmsgid", &[], Bytes(32)),
    ("message/mass", "send_ignore_reprint", &[], Range(0, 1)),
    ("message/mass", "images.media_ids", &[], Items(1, usize::MAX)),
    ("message/mass", "images.need_open_comment", &[], Range(0, 1)),
    ("message/mass", "images.only_fans_can_comment", &[], Range(0, 1)),
    ("message/mass/send", "touser", &[], Items(2, 10_000)),
    ("message/mass/delete", "article_idx", &[], Range(0, 8)),
    ("message/mass/speed/set", "speed", &[], Range(0, 4)),
    (
        "datacube",
        "begin_date",
        &[("end_date", "2014-12-07")],
        Texts(&["2014-12-07"], &["", "2014-13-07", "20141207", "2014-12-7"]),
    ),
    (
        "datacube",
        "end_date",
        &[("begin_date", "2014-12-07")],
        Texts(&["2014-12-07"], &["", "2014-02-30", "07.12.2014"]),
    ),
    ("media/voice", "format", &[], Texts(&["mp3"], &["", "amr"])),
    ("media/voice", "lang", &[], Texts(&["zh_CN", "en_US"], &["en"])),
    ("media/voice", "lfrom", &[], Texts(&["zh_CN", "en_US"], &["", "en"])),
    ("media/voice", "lto", &[], Texts(&["zh_CN", "en_US"], &["", "fr_FR"])),
];

const KF_ACCOUNT: Page = Texts(
    &["test1@test", "a@b", "abcdefghij@1234567890123456789"],
    &["", "test1", "@test", "test1@", "abcdefghijk@test", "te-st@test", "abcdefghij@12345678901234567890"],
);
const CROP: Page = Texts(&["0.1945_0_1_0.5236", "0_0_1_1"], &["0_0_1", "0_0_1_2", "a_b_c_d"]);

impl Page {
    /// Values that just fit.
    fn fitting(&self, element: &Value) -> Vec<Value> {
        match self {
            Bytes(max) => vec![json!(of_bytes(*max))],
            Chars(max) => vec![json!("好".repeat(*max))],
            Range(min, max) => vec![json!(min), json!(max)],
            Items(min, max) => vec![list(element, *min), list(element, (*max).min(min + 200))],
            Texts(good, _) => good.iter().map(|text| json!(text)).collect(),
        }
    }

    /// Values that just do not.
    fn violating(&self, element: &Value) -> Vec<Value> {
        match self {
            Bytes(max) => vec![json!(of_bytes(*max + 1))],
            Chars(max) => vec![json!("好".repeat(*max + 1))],
            Range(min, max) => [Some(min - 1), max.checked_add(1)]
                .into_iter()
                .flatten()
                .map(|number| json!(number))
                .collect(),
            Items(min, max) => [min.checked_sub(1), max.checked_add(1)]
                .into_iter()
                .flatten()
                .map(|count| list(element, count))
                .collect(),
            Texts(_, bad) => bad.iter().map(|text| json!(text)).collect(),
        }
    }
}

fn of_bytes(count: usize) -> String {
    "好".repeat(count / 3) + &"x".repeat(count % 3)
}

fn list(element: &Value, count: usize) -> Value {
    Value::Array(vec![element.clone(); count])
}

/// What `check` says about an example with these choices, and a file that fits.
fn violations(endpoint: &Endpoint, choices: &[(&str, Value)]) -> Vec<String> {
    let Example { query, body } = Example::of(endpoint, choices);
    let texts: Vec<_> = query
        .as_object()
        .expect("an object")
        .iter()
        .map(|(name, value)| {
            (name.clone(), value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
        })
        .collect();
    let query: Vec<_> = texts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let media_type =
        texts.iter().find(|(name, _)| name == "type").map_or("image", |(_, value)| value.as_str());
    let format = match (media_type, endpoint.path) {
        ("voice", _) | (_, "/cgi-bin/media/voice/addvoicetorecofortext") => Format::Mp3,
        ("video", _) => Format::Mp4,
        _ => Format::Jpeg,
    };
    let name =
        endpoint.all_fields().find(|field| field.place == Place::File).map_or("media", |field| field.path);
    let file = Some(FileFacts { name, format: Some(format), bytes: 1 });
    let raw = json!("你好");
    let body = Some(if endpoint.raw.is_some() { &raw } else { &body });
    let findings = check(endpoint, &Given { query: &query, body, file });
    let violations = findings.iter().filter(|finding| finding.severity == Severity::Violation);
    violations.map(ToString::to_string).collect()
}

fn with(choices: Choices, field: &Field, value: Value) -> Vec<(&'static str, Value)> {
    let choices = choices.iter().map(|(path, value)| (*path, json!(value)));
    choices.chain([(field.path, value)]).collect()
}

/// What a list of this field holds.
fn element_of(endpoint: &Endpoint, field: &Field, choices: Choices) -> Value {
    let choices: Vec<_> = with(choices, field, json!([{}]));
    let with_objects = Example::of(endpoint, &choices).body;
    let element = format!("{}[]", field.path);
    match endpoint.all_fields().find(|other| other.path == element) {
        Some(element) if element.kind == Kind::Number => json!(1),
        Some(_) => json!("x"),
        None => {
            let pointer = |path: &str| format!("/{}/0", path.replace("[]", "/0").replace('.', "/"));
            // draft/update has one article where draft/add has a list.
            let found = with_objects.pointer(&pointer(field.path));
            let found = found.or_else(|| with_objects.pointer(&pointer(&field.path.replacen("[]", "", 1))));
            found.cloned().expect("an element")
        }
    }
}

#[test]
fn every_limit_is_kept_to_the_last_byte_and_no_further() {
    let mut tried = 0;
    for (names, path, choices, page) in LIMITS {
        let mut rows = endpoints().filter(|endpoint| endpoint.name().starts_with(names)).peekable();
        assert!(rows.peek().is_some(), "{names}");
        for endpoint in rows {
            let Some(field) = endpoint.all_fields().find(|field| field.path == *path) else { continue };
            let element =
                if field.kind == Kind::List { element_of(endpoint, field, choices) } else { Value::Null };
            for value in page.fitting(&element) {
                let choices = with(choices, field, value);
                assert_eq!(violations(endpoint, &choices), [""; 0], "{} {path}", endpoint.path);
                tried += 1;
            }
            for value in page.violating(&element) {
                let shown: String = value.to_string().chars().take(60).collect();
                let said = violations(endpoint, &with(choices, field, value));
                let leaf = field.leaf().trim_end_matches("[]");
                assert!(
                    said.iter().any(|line| line.contains(leaf)),
                    "{} {path} = {shown}: {said:?}",
                    endpoint.path
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 400, "only {tried} values were tried");
}

#[test]
fn every_limit_of_the_table_stands_on_a_page() {
    let on_a_page = |endpoint: &Endpoint, field: &Field| {
        LIMITS.iter().any(|(names, path, ..)| endpoint.name().starts_with(names) && field.path == *path)
    };
    for endpoint in endpoints() {
        for field in endpoint.all_fields() {
            let has_limit = !matches!(field.limit, Limit::None | Limit::File(..) | Limit::ByName(_));
            assert!(!has_limit || on_a_page(endpoint, field), "{} {}", endpoint.path, field.path);
        }
    }
}

#[test]
fn what_a_row_requires_is_enough() {
    let mut count = 0;
    for endpoint in endpoints() {
        assert_eq!(violations(endpoint, &[]), [""; 0], "{}", endpoint.path);
        count += 1;
    }
    assert!(count > 120, "only {count} rows");
}

#[test]
fn without_one_of_the_things_that_it_requires_a_call_is_refused() {
    let mut tried = 0;
    for endpoint in endpoints().filter(|endpoint| endpoint.raw.is_none()) {
        let example = Example::of(endpoint, &[]);
        for (root, place) in [(&example.body, Place::Body), (&example.query, Place::Query)] {
            for name in root.as_object().expect("an object").keys() {
                let mut lacking = example.clone();
                let root = if place == Place::Body { &mut lacking.body } else { &mut lacking.query };
                root.as_object_mut().expect("an object").remove(name);
                let query = lacking.query.as_object().expect("an object").clone();
                let query: Vec<_> = query
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or("1")))
                    .collect();
                let findings =
                    check(endpoint, &Given { query: &query, body: Some(&lacking.body), file: None });
                let is_about = |field: &str| field == name || field.starts_with(&format!("{name}."));
                assert!(findings.iter().any(|finding| is_about(&finding.field)), "{} {name}", endpoint.path);
                tried += 1;
            }
        }
    }
    assert!(tried > 150, "only {tried} fields were left out");
}

#[test]
fn files_are_held_to_their_formats_and_sizes() {
    const KB: u64 = 1024;
    const MB: u64 = 1024 * KB;
    let image = [Format::Png, Format::Jpeg, Format::Gif];
    let more_images = [Format::Bmp, Format::Png, Format::Jpeg, Format::Gif];
    let voice = [Format::Amr, Format::Mp3];
    let more_voice = [Format::Mp3, Format::Wma, Format::Wav, Format::Amr];
    let (jpeg, mp4) = ([Format::Jpeg], [Format::Mp4]);
    let cases: [(&str, &str, &[Format], u64); 12] = [
        ("media/upload", "image", &image, 10 * MB),
        ("media/upload", "voice", &voice, 2 * MB),
        ("media/upload", "video", &mp4, 10 * MB),
        ("media/upload", "thumb", &jpeg, 64 * KB),
        ("material/add_material", "image", &more_images, 10 * MB),
        ("material/add_material", "voice", &more_voice, 2 * MB),
        ("material/add_material", "video", &mp4, 10 * MB),
        ("material/add_material", "thumb", &jpeg, 64 * KB),
        ("media/uploadimg", "", &[Format::Jpeg, Format::Png], MB - 1),
        ("customservice/kfaccount/uploadheadimg", "", &jpeg, 5 * MB),
        ("media/voice/addvoicetorecofortext", "", &[Format::Mp3], MB),
        ("/cv/ocr/comm", "", &[Format::Jpeg, Format::Png], 2 * MB - 1),
    ];
    let all = [Format::Bmp, Format::Gif, Format::Wma, Format::Wav, Format::Mp4, Format::Jpeg];
    for (name, media_type, formats, max) in cases {
        let endpoint = find(name).expect(name);
        let name = if name.starts_with("/cv") { "img" } else { "media" };
        let query = [("type", media_type), ("kf_account", "a@b"), ("format", "mp3"), ("voice_id", "1")];
        let body = json!({"description": {"title": "t", "introduction": "i"}});
        let refused = |format, bytes| {
            let file = Some(FileFacts { name, format, bytes });
            let findings = check(endpoint, &Given { query: &query, body: Some(&body), file });
            findings.iter().any(|finding| finding.field == name && finding.severity == Severity::Violation)
        };
        for format in formats {
            assert!(!refused(Some(*format), max) && !refused(Some(*format), 1), "{} {format}", endpoint.path);
            assert!(
                refused(Some(*format), max + 1) && refused(Some(*format), 0),
                "{} {format}",
                endpoint.path
            );
        }
        for other in all.into_iter().filter(|format| !formats.contains(format)) {
            assert!(refused(Some(other), 1), "{} {other}", endpoint.path);
        }
        assert!(refused(None, 1), "{}", endpoint.path);
    }
}

#[test]
fn values_of_templates_are_held_to_the_kind_of_their_keyword() {
    let kinds: [(&str, String, String); 9] = [
        ("thing1", "好".repeat(20), "好".repeat(21)),
        ("number2", "1".repeat(32), "1".repeat(33)),
        ("letter3", "a".repeat(32), "a".repeat(33)),
        ("symbol4", "+".repeat(5), "+".repeat(6)),
        ("character_string5", "a".repeat(32), "a".repeat(33)),
        ("phone_number6", "1".repeat(17), "1".repeat(18)),
        ("car_number7", "1".repeat(8), "1".repeat(9)),
        ("name8", "好".repeat(10), "好".repeat(10) + "x"),
        ("phrase9", "好".repeat(5), "好".repeat(6)),
    ];
    for path in ["message/template/send", "message/subscribe/bizsend"] {
        let endpoint = find(path).expect(path);
        for (keyword, good, bad) in &kinds {
            let said = |value: &str| {
                let body = json!({"touser": "o", "template_id": "t", "data": {*keyword: {"value": value}}});
                check(endpoint, &Given { body: Some(&body), ..Given::default() })
            };
            assert_eq!(said(good), [], "{keyword}");
            assert_eq!(said(bad)[0].field, format!("data.{keyword}.value"));
            assert_eq!(said(bad)[0].errcode, 47003);
        }
        for (keyword, value, is_good) in [
            ("number1", "12.5", true),
            ("number1", "abc", false),
            ("number1", "inf", false),
            ("letter1", "a1", false),
            ("character_string1", "A-12", true),
            ("character_string1", "单号", false),
            ("time1", "15:01", true),
            ("time1", "2019年10月1日 15:01~2019年10月2日 16:00", true),
            ("time1", "never", false),
            ("date1", "2019-10-01", true),
            ("date1", "明年", false),
            ("amount1", "￥39.8元", true),
            ("amount1", "free", false),
            ("phone_number1", "+86-0766-66888866", true),
            ("phone_number1", "none", false),
        ] {
            let body = json!({"touser": "o", "template_id": "t", "data": {keyword: {"value": value}}});
            let said = check(endpoint, &Given { body: Some(&body), ..Given::default() });
            assert_eq!(said.is_empty(), is_good, "{keyword} {value}: {said:?}");
        }
        let body = json!({"touser": "o", "template_id": "t", "data": {"first": {"value": "长".repeat(300)}}});
        assert_eq!(check(endpoint, &Given { body: Some(&body), ..Given::default() }), []);
    }
}

/// 2026-01-20 00:00 in China.
const MIDNIGHT: i64 = 1_768_838_400;

#[test]
fn spans_are_held_to_their_length() {
    let days = [
        ("getusersummary", 7),
        ("getusercumulate", 7),
        ("getupstreammsg", 7),
        ("getupstreammsghour", 1),
        ("getupstreammsgweek", 1),
        ("getupstreammsgmonth", 1),
        ("getupstreammsgdist", 15),
        ("getupstreammsgdistweek", 15),
        ("getupstreammsgdistmonth", 15),
        ("getinterfacesummary", 30),
        ("getinterfacesummaryhour", 1),
        ("getarticleread", 1),
        ("getarticleshare", 1),
        ("getbizsummary", 30),
        ("getarticletotaldetail", 1),
        ("getarticlesummary", 1),
        ("getarticletotal", 1),
        ("getuserread", 3),
        ("getuserreadhour", 1),
        ("getusershare", 7),
        ("getusersharehour", 1),
    ];
    let begin: jiff::civil::Date = "2026-01-20".parse().expect("a date");
    for (name, max) in days {
        let endpoint = find(&format!("datacube/{name}")).expect(name);
        let said = |days: i32| {
            let end = begin.saturating_add(jiff::Span::new().days(days - 1));
            let body = json!({"begin_date": begin.to_string(), "end_date": end.to_string()});
            check(endpoint, &Given { body: Some(&body), ..Given::default() })
        };
        assert_eq!(said(max), [], "{name}");
        assert_eq!(said(max + 1)[0].errcode, 61501, "{name}");
        assert!(said(0)[0].message.contains("before"), "{name}");
    }
    let endpoint = find("customservice/msgrecord/getmsglist").expect("a row");
    let said = |begin: i64, end: i64| {
        let body = json!({"starttime": begin, "endtime": end, "msgid": 1, "number": 10});
        check(endpoint, &Given { body: Some(&body), ..Given::default() })
    };
    assert_eq!(said(MIDNIGHT, MIDNIGHT + 86_400), []);
    assert_eq!(said(MIDNIGHT, MIDNIGHT + 86_401)[0].errcode, 65417);
    assert!(said(MIDNIGHT - 1, MIDNIGHT + 1)[0].message.contains("another day"));
    assert!(said(MIDNIGHT + 1, MIDNIGHT)[0].message.contains("before"));
    for (begin, end) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (0, i64::MAX), (i64::MIN, 0)] {
        assert_eq!(said(begin, end)[0].errcode, 65417, "{begin} {end}");
    }
}

#[test]
fn figures_are_there_of_days_that_are_over() {
    let endpoint = find("datacube/getusersummary").expect("a row");
    let said = |end: &str| {
        let body = json!({"begin_date": end, "end_date": end});
        check_date(endpoint, &body, "2026-01-20".parse().expect("a date")).map(|finding| finding.errcode)
    };
    assert_eq!(
        (said("2026-01-19"), said("2026-01-20"), said("2027-01-01")),
        (None, Some(61501), Some(61501))
    );
    let all = endpoints().filter(|row| row.path.starts_with("/datacube/"));
    assert_eq!(all.filter(|row| row.past.is_some()).count(), 21);
}

#[test]
fn mass_messages_have_what_their_type_needs_and_somebody_to_go_to() {
    let said = |body: Value| {
        let endpoint = find("message/mass/sendall").expect("a row");
        let findings = check(endpoint, &Given { body: Some(&body), ..Given::default() });
        findings.into_iter().map(|finding| finding.field).collect::<Vec<_>>()
    };
    let all = json!({"is_to_all": true});
    assert_eq!(said(json!({"filter": all, "msgtype": "image"})), ["images"]);
    let images = json!({"media_ids": ["aaa", "bbb"]});
    assert!(said(json!({"filter": all, "msgtype": "image", "images": images})).is_empty());
    assert!(said(json!({"filter": all, "msgtype": "image", "image": {"media_id": "m"}})).is_empty());
    assert_eq!(said(json!({"filter": all, "msgtype": "music"})), ["msgtype"]);
    let text = |filter: Value| said(json!({"filter": filter, "msgtype": "text", "text": {"content": "x"}}));
    assert_eq!(text(json!({"is_to_all": false})), ["filter.tag_id"]);
    assert!(text(json!({"is_to_all": false, "tag_id": 2})).is_empty());
    assert!(text(json!({"tag_id": 2})).is_empty());
    assert_eq!(text(json!({})), ["filter.is_to_all"]);
}

#[test]
fn rows_are_well_made() {
    let mut paths = BTreeSet::new();
    for endpoint in endpoints() {
        let path = endpoint.path;
        assert!(paths.insert(path), "{path} stands there twice");
        let is_word = |part: &str| {
            !part.is_empty()
                && part.chars().all(|letter| {
                    letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter)
                })
        };
        assert!(path.starts_with('/') && path[1..].split('/').all(is_word), "{path}");
        assert_eq!(find(endpoint.name()).map(|found| found.path), Some(path));
        assert!(
            endpoint.who.0.len() == 5 && endpoint.who.0.chars().all(|sign| "+-?".contains(sign)),
            "{path}"
        );
        let starts_large = endpoint.does.chars().next().is_some_and(char::is_uppercase);
        assert!(
            starts_large && !endpoint.does.ends_with('.') && endpoint.does.chars().count() <= 80,
            "{path}"
        );
        assert!(endpoint.page.is_empty() || endpoint.page.contains(".html"), "{path}");
        for field in endpoint.all_fields() {
            let parent = field.parent();
            let is_row = |path: &str| {
                let plain = path.trim_end_matches("[]");
                endpoint.all_fields().any(|other| other.path == path || other.path == plain)
            };
            assert!(parent.is_empty() || is_row(parent), "{path} {} has no row for `{parent}`", field.path);
            if let crate::api::endpoint::When::Is(other, _) = field.when {
                let beside = if parent.is_empty() { other.to_owned() } else { format!("{parent}.{other}") };
                assert!(is_row(&beside) || is_row(other), "{path} {} depends on `{other}`", field.path);
            }
        }
        for field in endpoint.one_of.iter().copied().flatten() {
            assert!(endpoint.all_fields().any(|other| other.path == *field), "{path} {field}");
        }
    }
    assert!(PAGES.starts_with("https://"));
}

#[test]
fn who_may_call_what_is_as_in_wechats_lists() {
    let lists: [(&[&str], &str); 14] = [
        (
            &[
                "token",
                "stable_token",
                "getcallbackip",
                "callback/check",
                "openapi/quota/get",
                "openapi/rid/get",
            ],
            "+++++",
        ),
        (&["media/upload", "media/get"], "+++++"),
        (&["material/add_material", "media/uploadimg", "draft/add", "draft/batchget"], "++++?"),
        (&["media/voice/translatecontent", "ticket/getticket", "get_current_selfmenu_info"], "+++++"),
        (&["menu/create", "menu/delete", "menu/addconditional"], "-+?++"),
        (&["message/custom/send", "message/custom/typing"], "-+-++"),
        (&["customservice/kfaccount/add", "customservice/kfsession/create"], "-+-+?"),
        (&["user/info", "user/get", "tags/create", "tags/members/batchblacklist"], "-+-++"),
        (&["user/info/updateremark", "message/template/send", "qrcode/create", "sns/userinfo"], "---++"),
        (&["freepublish/submit"], "-+?+-"),
        (
            &["message/mass/sendall", "message/mass/preview", "datacube/getusersummary", "comment/list"],
            "-+-+-",
        ),
        (&["message/mass/send"], "---+-"),
        (&["message/template/subscribe", "cv/ocr/comm"], "-+-+?"),
        (&["message/subscribe/bizsend"], "-?-+-"),
    ];
    for (names, who) in lists {
        for name in names {
            assert_eq!(find(name).expect(name).who.0, who, "{name}");
        }
    }
    let unverified: Vec<_> =
        endpoints().filter(|endpoint| endpoint.who.sign(AccountKind::Subscription) == '+').collect();
    assert!(unverified.iter().any(|endpoint| endpoint.name() == "media/upload"));
    assert!(unverified.iter().all(|endpoint| endpoint.name() != "message/custom/send"));
}

#[test]
fn a_path_in_the_code_is_looked_up_by_the_compiler() {
    const SEND: &Endpoint = endpoint("/cgi-bin/message/custom/send");
    assert_eq!(SEND.name(), "message/custom/send");
}

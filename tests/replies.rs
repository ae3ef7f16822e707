//! Every kind of reply, held against WeChat's own description of the passive reply (被动回复用户消息).

use std::fmt::Write as _;

use crate::support::{Door, Keys, Site, WeChat, available, element, elements, now};

/// What a message with the key's name gets; each of these is a rule.
const REPLIES: [(&str, &str); 17] = [
    ("text", r#"reply = "你好 <a href=\"https://example.com/?a=1&b=2\">链接</a>\n第二行 ]]> & <b>""#),
    ("text table", r#"reply.text = "short""#),
    (
        "template",
        r#"reply = "{{ message.content }}|{{ message.from_user }}|{{ message.to_user }}|{{ message.type }}|{{ account.app_id }}|{{ rule }}""#,
    ),
    ("image", r#"reply.image = { media_id = "m-image" }"#),
    ("voice", r#"reply.voice = { media_id = "m-voice" }"#),
    ("video", r#"reply.video = { media_id = "m-video", title = "标题", description = "说明" }"#),
    ("bare video", r#"reply.video = { media_id = "m-video" }"#),
    (
        "music",
        r#"reply.music = { thumb_media_id = "m-thumb", title = "歌", description = "谁唱的", music_url = "https://example.com/a.mp3?x=1&y=2", hq_music_url = "https://example.com/hq.mp3" }"#,
    ),
    ("bare music", r#"reply.music = { thumb_media_id = "m-thumb" }"#),
    ("transfer", "reply.transfer = true"),
    ("transfer to", r#"reply.transfer = { kf_account = "test1@test" }"#),
    ("transfer_ai", "reply.transfer_ai = true"),
    ("none", "reply.none = true"),
    ("empty", r#"reply = """#),
    ("empty template", r#"reply = "{{ message.nothing }} \n""#),
    ("empty media", r#"reply.image = { media_id = "{{ message.nothing }}" }"#),
    ("fails", "reply = \"{{ 1 // 0 }}\"\non_error = \"稍后再试\""),
];

/// The elements of the reply to each of [`REPLIES`] behind `CreateTime`, as WeChat describes them; none is `success`.
fn expected(name: &str) -> &'static [&'static str] {
    match name {
        "text" => &[
            "MsgType = text",
            "Content = 你好 <a href=\"https://example.com/?a=1&b=2\">链接</a>\n第二行 ]]> & <b>",
        ],
        "text table" => &["MsgType = text", "Content = short"],
        "template" => &[
            "MsgType = text",
            "Content = template|oABCD1234567890abcdefghijkl|gh_0123456789ab|text|wx1234567890abcdef|template",
        ],
        "image" => &["MsgType = image", "Image>MediaId = m-image"],
        "voice" => &["MsgType = voice", "Voice>MediaId = m-voice"],
        "video" => {
            &["MsgType = video", "Video>MediaId = m-video", "Video>Title = 标题", "Video>Description = 说明"]
        }
        "bare video" => &["MsgType = video", "Video>MediaId = m-video"],
        "music" => &[
            "MsgType = music",
            "Music>Title = 歌",
            "Music>Description = 谁唱的",
            "Music>MusicUrl = https://example.com/a.mp3?x=1&y=2",
            "Music>HQMusicUrl = https://example.com/hq.mp3",
            "Music>ThumbMediaId = m-thumb",
        ],
        "bare music" => &["MsgType = music", "Music>ThumbMediaId = m-thumb"],
        "transfer" => &["MsgType = transfer_customer_service"],
        "transfer to" => &["MsgType = transfer_customer_service", "TransInfo>KfAccount = test1@test"],
        "transfer_ai" => &["MsgType = transfer_biz_ai_ivr"],
        "none" | "empty" | "empty template" | "empty media" => &[],
        "fails" => &["MsgType = text", "Content = 稍后再试"],
        other => panic!("nothing is expected of `{other}`"),
    }
}

/// One account with all of it, and with news of 1, 8 and 9 articles for texts and for buttons.
fn config() -> String {
    let keys = Keys::ours();
    let mut config = format!(
        "[account]\ntoken = \"{}\"\napp_id = \"{}\"\nencoding_aes_key = \"{}\"\n",
        keys.token, keys.app_id, keys.aes
    );
    for (name, reply) in REPLIES {
        let _ = write!(config, "[[rule]]\nname = \"{name}\"\nwhen.text = \"{name}\"\n{reply}\n");
    }
    for count in NEWS {
        let articles: Vec<_> = (1..=count).map(article).collect();
        let articles = articles.join(",\n");
        for when in [
            format!("when.text = \"news {count}\""),
            format!("when.event = \"CLICK\"\nwhen.key = \"news {count}\""),
        ] {
            let _ = write!(config, "[[rule]]\n{when}\nreply.news = [\n{articles}\n]\n");
        }
    }
    for (name, text) in texts() {
        let text = text.replace('"', "\\\"");
        let _ = write!(config, "[[rule]]\nwhen.text = \"{name}\"\nreply = \"{text}\"\n");
    }
    config
}

/// As many articles as the account has; a ninth is a fault of the config.
const NEWS: [usize; 2] = [1, 8];

fn article(number: usize) -> String {
    format!(
        "{{ title = \"题{number}\", description = \"述{number}\", pic_url = \"https://example.com/{number}.jpg\", \
         url = \"https://example.com/?n={number}&m=1\" }}"
    )
}

fn expected_news(count: usize) -> Vec<String> {
    let mut expected = vec!["MsgType = news".to_owned(), format!("ArticleCount = {count}")];
    for number in 1..=count {
        for (name, value) in [
            ("Title", format!("题{number}")),
            ("Description", format!("述{number}")),
            ("PicUrl", format!("https://example.com/{number}.jpg")),
            ("Url", format!("https://example.com/?n={number}&m=1")),
        ] {
            expected.push(format!("Articles>item>{name} = {value}"));
        }
    }
    expected
}

/// Texts around the 2047 bytes that WeChat takes.
fn texts() -> Vec<(&'static str, String)> {
    let link = "<a href=\"https://example.com/\">链接</a>";
    vec![
        ("2047 bytes", "x".repeat(2047)),
        ("2048 bytes", "x".repeat(2048)),
        ("5000 bytes", "y".repeat(5000)),
        ("2047 bytes of Chinese", format!("{}x", "长".repeat(682))),
        ("2049 bytes of Chinese", "长".repeat(683)),
        ("5001 bytes of Chinese", "长".repeat(1667)),
        ("a link at the end", format!("{}{link}", "x".repeat(2047 - link.len()))),
        ("a link across the end", format!("{}{link}", "x".repeat(2040))),
        ("a link's tag across the end", format!("{}{link}{}", "x".repeat(2020), "y".repeat(3000))),
        ("a link before the end", format!("{link}{}", "x".repeat(3000))),
        ("an emoji across the end", format!("{}😀", "x".repeat(2045))),
    ]
}

/// The first piece of each of [`texts`], and a line that says how many follow.
fn expected_text(name: &str, text: &str) -> String {
    let left = match name {
        "2047 bytes" | "2047 bytes of Chinese" | "a link at the end" => return text.to_owned(),
        "2048 bytes"
        | "2049 bytes of Chinese"
        | "a link across the end"
        | "a link before the end"
        | "an emoji across the end" => 1,
        "5000 bytes" | "5001 bytes of Chinese" | "a link's tag across the end" => 2,
        other => panic!("nothing is expected of `{other}`"),
    };
    format!("{}\n（还有 {left} 条，回复“继续”查看）", &text[..1998])
}

/// Every message that is sent, with what the reply holds behind `CreateTime`.
fn cases() -> Vec<(String, Vec<String>)> {
    let text = |content: &str| WeChat::message("text", &format!("<Content><![CDATA[{content}]]></Content>"));
    let owned = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    let mut cases: Vec<_> = REPLIES.iter().map(|(name, _)| (text(name), owned(expected(name)))).collect();
    for count in NEWS {
        // One article in answer to a message, however many there are; all in answer to a button.
        let click = format!("<EventKey><![CDATA[news {count}]]></EventKey>");
        cases.push((text(&format!("news {count}")), expected_news(1)));
        cases.push((WeChat::event("CLICK", &click), expected_news(count)));
    }
    for (number, (name, content)) in texts().into_iter().enumerate() {
        let content = format!("Content = {}", expected_text(name, &content));
        // Of one user all pieces that wait would be counted.
        cases.push((
            WeChat::text_of(&format!("oReader{number}"), name),
            vec!["MsgType = text".to_owned(), content],
        ));
    }
    assert!(cases.len() > 25);
    cases
}

/// It is the reply to the message `asked`, by default of [`WeChat`], with these elements and no others.
#[track_caller]
fn holds(reply: &str, expected: &[String], asked: &str) {
    let mut found = elements(reply);
    let created = element(reply, "CreateTime").and_then(|time| time.parse::<u64>().ok()).expect("seconds");
    assert!(now().abs_diff(created) < 60, "{asked}: {reply}");
    assert_eq!(found.remove(2), format!("CreateTime = {created}"), "{asked}");
    let user = element(asked, "FromUserName").unwrap_or_else(|| "oABCD1234567890abcdefghijkl".to_owned());
    let mut all = vec![format!("ToUserName = {user}"), "FromUserName = gh_0123456789ab".to_owned()];
    all.extend_from_slice(expected);
    assert_eq!(found, all, "{asked}: {reply}");
}

#[test]
fn every_kind_of_reply_is_what_wechat_describes() {
    let keys = Keys::ours();
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand]) {
        let site = Site::behind(door).with_config(&config()).open();
        for (message, expected) in cases() {
            let answer = site.receives(&WeChat::with_token(&keys.token).pushes(&message));
            if expected.is_empty() {
                answer.acknowledges();
                continue;
            }
            answer.is(200).has("content-type", "application/xml; charset=utf-8");
            holds(&answer.text(), &expected, &message);
        }
    }
}

#[test]
fn every_kind_of_reply_is_sealed_in_secure_mode() {
    if !available("wechatpy") {
        return;
    }
    let keys = Keys::ours();
    let (messages, expected): (Vec<_>, Vec<_>) = cases().into_iter().unzip();
    let pushes = keys.seal_all(&messages);
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand]) {
        let site = Site::behind(door).with_config(&config()).open();
        let (mut sealed, mut wanted) = (Vec::new(), Vec::new());
        for ((push, message), expected) in pushes.iter().zip(&messages).zip(&expected) {
            let answer = site.receives(push);
            // Not a message, so not sealed.
            if expected.is_empty() {
                answer.acknowledges();
                continue;
            }
            let names: Vec<_> = elements(&answer.text())
                .iter()
                .map(|it| it.split(' ').next().unwrap_or_default().to_owned())
                .collect();
            assert_eq!(names, ["Encrypt", "MsgSignature", "TimeStamp", "Nonce"], "{answer}");
            sealed.push(answer);
            wanted.push((message, expected));
        }
        let opened = keys.open_all(&sealed);
        assert!(opened.len() > 20 && opened.len() == wanted.len());
        for (reply, (message, expected)) in opened.iter().zip(wanted) {
            holds(reply, expected, message);
        }
    }
}

#[test]
fn nine_articles_are_cut_to_what_wechat_takes_or_told_as_a_fault() {
    let articles: Vec<_> = (1..=9).map(article).collect();
    let config = format!(
        "[account]\ntoken = \"mytoken\"\n[[rule]]\nwhen.text = \"news\"\nreply.news = [\n{0}\n]\n\
         [[rule]]\nwhen.event = \"CLICK\"\nreply.news = [\n{0}\n]\n",
        articles.join(",\n")
    );
    let site = Site::behind(Door::ByHand).with_config(&config).open();
    let wechat = WeChat::with_token("mytoken");
    let answer = site.receives(&wechat.pushes(WeChat::event("CLICK", "<EventKey>x</EventKey>")));
    holds(&answer.text(), &expected_news(8), "CLICK");
    holds(&site.receives(&wechat.says("news")).text(), &expected_news(1), "news");
    assert!(site.stderr().contains("articles cut from 9 to 8"), "{}", site.stderr());
}

#[test]
fn what_a_user_says_stays_text_in_the_reply() {
    let config = "[account]\ntoken = \"mytoken\"\n[default]\nreply = \"{{ message.content }}\"\n";
    for door in Door::open_ones([Door::ByHand, Door::FastcgiByHand]) {
        let site = Site::behind(door).with_config(config).open();
        for (said, shown) in [
            (
                "]]&gt;&lt;/Content&gt;&lt;MsgType&gt;image&lt;/MsgType&gt;",
                "]]></Content><MsgType>image</MsgType>",
            ),
            ("a &amp;amp; b &lt;c&gt; ]] &gt; ]]]]&gt;&gt;", "a &amp; b <c> ]] > ]]]]>>"),
            ("😀\u{10fffd}&#x1F600;", "😀\u{10fffd}😀"),
            ("{{ 1 + 1 }}{% raw %}", "{{ 1 + 1 }}{% raw %}"),
        ] {
            let message = WeChat::message("text", &format!("<Content>{said}</Content>"));
            let answer = site.receives(&WeChat::with_token("mytoken").pushes(message));
            answer.replies(shown);
            assert_eq!(answer.text().matches("<MsgType>").count(), 1 + shown.matches("<MsgType>").count());
        }
    }
}

#[test]
fn nothing_is_said_where_nobody_would_see_it() {
    let config =
        "[account]\ntoken = \"mytoken\"\n[[rule]]\nwhen.type = [\"event\", \"text\"]\nreply = \"hi\"\n";
    let site = Site::behind(Door::ByHand).with_config(config).open();
    let wechat = WeChat::with_token("mytoken");
    for event in ["unsubscribe", "VIEW", "view_miniprogram", "TEMPLATESENDJOBFINISH", "MASSSENDJOBFINISH"] {
        site.receives(&wechat.pushes(WeChat::event(event, ""))).acknowledges();
    }
    for event in ["subscribe", "SCAN", "CLICK", "LOCATION", "scancode_waitmsg"] {
        site.receives(&wechat.pushes(WeChat::event(event, ""))).replies("hi");
    }
}

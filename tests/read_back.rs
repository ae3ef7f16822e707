//! What we write, others read back: random replies for a strict XML parser and for wechatpy, random answers for libfcgi.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use proptest::prelude::*;
use roxmltree::{Document, Node};
use serde_json::{Value, json};
use wxcgi::gateway::fastcgi::{Options, Signals, serve};
use wxcgi::gateway::{Application, Responder, listen};
use wxcgi::http::{Params, Request, Response};
use wxcgi::wechat::crypto::{AesKey, seal_envelope};
use wxcgi::wechat::envelope::envelope_xml;
use wxcgi::wechat::reply::{Article, Reply};
use wxcgi::wechat::xml::is_forbidden;

use crate::support::{Answer, Door, Keys, Site, WeChat, available, command};

/// A text as nobody should write it: ends of CDATA, marks of XML, what XML forbids, line breaks of all systems.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "]]>",
            "]]",
            "]",
            ">",
            "<![CDATA[",
            "<",
            "&",
            "&amp;",
            "&#0;",
            "</Content>",
            "</xml>",
            "<!--",
            "-->",
            "<?x?>",
            "\r\n",
            "\r",
            "\n",
            "\t",
            " ",
            "\0",
            "\u{1}",
            "\u{b}",
            "\u{1f}",
            "\u{7f}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\u{fffe}",
            "\u{ffff}",
            "\u{fffd}",
            "你好",
            "😀",
            "\"",
            "'",
            "{{ x }}",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// The same, and something to be seen in it: what an element that must not be empty holds.
fn nasty_id() -> impl Strategy<Value = String> {
    (nasty(), nasty()).prop_map(|(before, behind)| format!("{before}m{behind}"))
}

fn articles() -> impl Strategy<Value = Vec<Article>> {
    let article = [nasty(), nasty(), nasty(), nasty()]
        .prop_map(|[title, description, pic_url, url]| Article { title, description, pic_url, url });
    prop::collection::vec(article, 1..9)
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        nasty().prop_map(Reply::text),
        nasty_id().prop_map(|media_id| Reply::Image { media_id }),
        nasty_id().prop_map(|media_id| Reply::Voice { media_id }),
        (nasty_id(), nasty(), nasty()).prop_map(|(media_id, title, description)| Reply::Video {
            media_id,
            title,
            description
        }),
        (nasty_id(), [nasty(), nasty(), nasty(), nasty()]).prop_map(
            |(thumb_media_id, [title, description, music_url, hq_music_url])| Reply::Music {
                title,
                description,
                music_url,
                hq_music_url,
                thumb_media_id,
            }
        ),
        articles().prop_map(|articles| Reply::News { articles }),
        prop::option::of(nasty_id()).prop_map(|kf_account| Reply::TransferCustomerService { kf_account }),
        Just(Reply::TransferBizAiIvr),
    ]
}

/// `text` as a strict parser gives it back: without what XML forbids, its line breaks all alike (XML 1.0 §2.11).
fn even(text: &str) -> String {
    let clean: String = text.chars().filter(|&letter| !is_forbidden(letter)).collect();
    clean.replace("\r\n", "\n").replace('\r', "\n")
}

/// Every element of a reply in its order, as `Video>Title = text`.
fn lines_of(reply: &Reply) -> Vec<String> {
    let mut lines = vec![("MsgType", reply.msg_type())];
    let mut optional = Vec::new();
    match reply {
        Reply::Text { content } => lines.push(("Content", content)),
        Reply::Image { media_id } => lines.push(("Image>MediaId", media_id)),
        Reply::Voice { media_id } => lines.push(("Voice>MediaId", media_id)),
        Reply::Video { media_id, title, description } => {
            lines.push(("Video>MediaId", media_id));
            optional.extend([("Video>Title", title), ("Video>Description", description)]);
        }
        Reply::Music { title, description, music_url, hq_music_url, thumb_media_id } => optional.extend([
            ("Music>Title", title),
            ("Music>Description", description),
            ("Music>MusicUrl", music_url),
            ("Music>HQMusicUrl", hq_music_url),
            ("Music>ThumbMediaId", thumb_media_id),
        ]),
        Reply::News { articles } => {
            lines.push(("ArticleCount", ["", "1", "2", "3", "4", "5", "6", "7", "8"][articles.len()]));
            for article in articles {
                lines.extend([
                    ("Articles>item>Title", article.title.as_str()),
                    ("Articles>item>Description", &article.description),
                    ("Articles>item>PicUrl", &article.pic_url),
                    ("Articles>item>Url", &article.url),
                ]);
            }
        }
        Reply::TransferCustomerService { kf_account } => {
            lines.extend(kf_account.as_deref().map(|account| ("TransInfo>KfAccount", account)));
        }
        Reply::TransferBizAiIvr => {}
    }
    lines.extend(
        optional.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, &**text)),
    );
    lines.into_iter().map(|(name, text)| format!("{name} = {}", even(text))).collect()
}

/// The same out of a document, by the strict parser.
fn lines_in(node: Node<'_, '_>, path: &str, lines: &mut Vec<String>) {
    for child in node.children().filter(Node::is_element) {
        let path = format!("{path}{}", child.tag_name().name());
        if child.children().any(|inner| inner.is_element()) {
            lines_in(child, &format!("{path}>"), lines);
        } else {
            let text: String = child.children().filter_map(|inner| inner.text()).collect();
            lines.push(format!("{path} = {text}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_strict_parser_reads_every_reply(reply in reply(), to_user in nasty(), from_user in nasty(), time: u64) {
        let xml = reply.to_xml(&to_user, &from_user, time);
        let document = Document::parse(&xml).map_err(|error| TestCaseError::fail(format!("{error}: {xml}")))?;
        let mut lines = Vec::new();
        lines_in(document.root_element(), "", &mut lines);
        let mut expected = vec![
            format!("ToUserName = {}", even(&to_user)),
            format!("FromUserName = {}", even(&from_user)),
            format!("CreateTime = {time}"),
        ];
        expected.extend(lines_of(&reply));
        prop_assert_eq!(lines, expected, "{}", xml);
    }

    #[test]
    fn a_strict_parser_reads_every_envelope(message in nasty(), nonce in nasty(), time: u64, random: [u8; 16]) {
        let keys = Keys::ours();
        let encrypt = seal_envelope(&message, &AesKey::parse(&keys.aes).unwrap(), &keys.app_id, random);
        let xml = envelope_xml(&encrypt, &keys.token, time, &nonce);
        let document = Document::parse(&xml).map_err(|error| TestCaseError::fail(format!("{error}: {xml}")))?;
        let mut lines = Vec::new();
        lines_in(document.root_element(), "", &mut lines);
        prop_assert_eq!(lines.len(), 4);
        prop_assert_eq!(&lines[0], &format!("Encrypt = {encrypt}"));
        prop_assert_eq!(&lines[2..], &[format!("TimeStamp = {time}"), format!("Nonce = {}", even(&nonce))]);
    }
}

/// What wechatpy makes of `reply`. It strips the white space around a text.
fn as_wechatpy_reads(reply: &Reply) -> Value {
    let mut read = json!({
        "type": reply.msg_type(), "ToUserName": "oUser", "FromUserName": "gh_0123456789ab", "CreateTime": "1700000000"
    });
    match reply {
        Reply::Text { content } => read["Content"] = json!(content),
        Reply::Image { media_id } => read["Image"] = json!(media_id),
        Reply::Voice { media_id } => read["Voice"] = json!(media_id),
        Reply::Video { media_id, title, description } => {
            read["Video"] = json!({"media_id": media_id, "title": title, "description": description});
        }
        Reply::Music { title, description, music_url, hq_music_url, thumb_media_id } => {
            read["Music"] = json!({
                "title": title, "description": description, "music_url": music_url, "hq_music_url": hq_music_url,
                "thumb_media_id": thumb_media_id,
            });
        }
        Reply::News { articles } => {
            let articles = articles.iter().map(|article| {
                let Article { title, description, pic_url, url } = article;
                json!({"title": title, "description": description, "image": pic_url, "url": url})
            });
            read["Articles"] = articles.collect();
        }
        Reply::TransferCustomerService { .. } | Reply::TransferBizAiIvr => {}
    }
    without_absent(&read)
}

/// The same without what is empty, which wechatpy leaves out or calls null, and without the space that it strips.
fn without_absent(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(even(text).trim()),
        Value::Number(number) => json!(number.to_string()),
        Value::Array(values) => values.iter().map(without_absent).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), without_absent(value)))
            .filter(|(_, value)| *value != json!("") && !value.is_null())
            .collect(),
        other => other.clone(),
    }
}

/// Kinds that wechatpy 1.8.18 knows; it stumbles over a single article.
fn reply_for_wechatpy() -> impl Strategy<Value = Reply> {
    reply().prop_filter("unknown to wechatpy", |reply| match reply {
        Reply::News { articles } => articles.len() > 1,
        other => *other != Reply::TransferBizAiIvr,
    })
}

proptest! {
    // A case is one run of Python.
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn wechatpy_reads_every_reply_sealed_or_not(
        replies in prop::collection::vec((reply_for_wechatpy(), any::<[u8; 16]>()), 100..150),
    ) {
        if !available("wechatpy") {
            return Ok(());
        }
        let keys = Keys::ours();
        let key = AesKey::parse(&keys.aes).unwrap();
        let documents: Vec<_> =
            replies.iter().map(|(reply, _)| reply.to_xml("oUser", "gh_0123456789ab", 1_700_000_000)).collect();
        let envelopes: Vec<_> = replies.iter().zip(&documents).map(|((_, random), xml)| {
            envelope_xml(&seal_envelope(xml, &key, &keys.app_id, *random), &keys.token, 1_700_000_000, "1320562132")
        }).collect();
        prop_assert_eq!(&keys.open_envelopes(&envelopes), &documents);
        let read = keys.read_replies(&documents);
        for ((reply, _), read) in replies.iter().zip(&read) {
            prop_assert_eq!(without_absent(read), as_wechatpy_reads(reply));
        }
    }
}

/// Answers with the body of the request, as often as the query says, with the status and the headers that it says.
struct Echo;

const STATUSES: [u16; 8] = [200, 400, 403, 404, 405, 413, 415, 503];
const HEADERS: [(&str, &str); 4] = [
    ("Allow", "GET, POST"),
    ("Retry-After", "60"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Long", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
];

impl Application for Echo {
    fn max_body(&self, _: &Params) -> usize {
        1 << 20
    }

    fn handle(&self, request: &Request, responder: Responder) {
        let numbers: Vec<usize> = str::from_utf8(request.query())
            .unwrap()
            .split('&')
            .map(|number| number.parse().unwrap())
            .collect();
        responder.respond(echo(numbers[0], numbers[1], request.body.repeat(numbers[2])));
    }

    fn unanswered(&self) -> Response {
        Response::text(500, "unanswered")
    }
}

fn echo(status: usize, headers: usize, body: Vec<u8>) -> Response {
    let headers = HEADERS.iter().enumerate().filter(|(place, _)| headers >> place & 1 == 1);
    Response {
        status: STATUSES[status],
        headers: headers.map(|(_, header)| *header).collect(),
        body: Cow::Owned(body),
        ..Response::text(200, "")
    }
}

/// Whether the header of a record lies across two reads of cgi-fcgi. It puts the second part into other memory then
/// (`&header + headerLen`, in units of a header) and ends with [`PROTOCOL_ERROR`].
fn trips_cgi_fcgi(response: &Response) -> bool {
    const READ: usize = 8192;
    let mut document = Vec::new();
    response.write_to(&mut document, false);
    let contents = document.chunks(65_535).map(<[u8]>::len).chain([0, 0]);
    let headers = contents.scan(0, |end, content| Some(std::mem::replace(end, *end + 8 + content)));
    headers.into_iter().any(|header| header % READ > READ - 8)
}

/// The exit code of cgi-fcgi for what it does not understand.
const PROTOCOL_ERROR: i32 = 253;

/// What libfcgi's client gets for this request.
fn through_libfcgi(socket: &Path, query: &str, body: &[u8]) -> Answer {
    // A short read may still bring it to trip.
    let mut outputs = (0..8).map(|_| {
        let mut client = command("cgi-fcgi")
            .env_clear()
            .args(["-bind", "-connect"])
            .arg(socket)
            .envs([
                ("REQUEST_METHOD", "POST"),
                ("QUERY_STRING", query),
                ("CONTENT_LENGTH", &body.len().to_string()),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cgi-fcgi runs");
        client.stdin.take().expect("a pipe").write_all(body).expect("it reads");
        client.wait_with_output().expect("it ends")
    });
    let output = outputs.find(|output| output.status.code() != Some(PROTOCOL_ERROR));
    let output =
        output.unwrap_or_else(|| panic!("cgi-fcgi takes ?{query} with {} bytes for an error", body.len()));
    assert!(output.status.success(), "{}", output.status);
    Answer::from_cgi(&output.stdout, format!("POST ?{query}, {} bytes", body.len()))
}

#[test]
fn libfcgi_reads_answers_of_every_size() {
    if !available("cgi-fcgi") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("fcgi.sock");
    let listeners = vec![listen(&format!("unix:{}", socket.display()), 0o600).expect("a socket")];
    let (signals, handle) = Signals::by_hand().expect("sockets");
    let options = Options { signals: Some(signals), allowed_peers: None, ..Options::default() };
    let server = thread::spawn(move || serve(listeners, options, &Echo));

    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(any::<u8>(), 65_400..65_600),
        (any::<u8>(), 0..300_000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    let cases = (0..STATUSES.len(), 0..16_usize, 0..4_usize, body);
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let result =
        proptest::test_runner::TestRunner::new(config).run(&cases, |(status, headers, times, body)| {
            prop_assume!(!trips_cgi_fcgi(&echo(status, headers, body.repeat(times))));
            let answer = through_libfcgi(&socket, &format!("{status}&{headers}&{times}"), &body);
            prop_assert_eq!(answer.status, STATUSES[status]);
            prop_assert!(answer.body == body.repeat(times), "another body");
            let length = (times * body.len()).to_string();
            prop_assert_eq!(answer.header("content-length"), Some(&*length));
            for (place, (name, value)) in HEADERS.iter().enumerate() {
                let expected = (headers >> place & 1 == 1).then_some(*value);
                prop_assert_eq!(answer.header(&name.to_lowercase()), expected);
            }
            Ok(())
        });
    handle.end();
    server.join().expect("no panic").expect("no error");
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn libfcgi_reads_what_the_program_echoes() {
    if !Door::FastcgiByHand.is_open() {
        return;
    }
    let config = "[account]\ntoken = \"mytoken\"\n[default]\nreply = \"{{ message.content }}\"\n";
    let site = Site::behind(Door::FastcgiByHand).with_config(config).open();
    let wechat = WeChat::with_token("mytoken");
    let texts = (nasty_id(), 1..40_usize);
    let config = ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() };
    let result = proptest::test_runner::TestRunner::new(config).run(&texts, |(text, times)| {
        // As an `echostr` they have twelve bytes a character at most: what a request may say of itself.
        let text: String = text.repeat(times).chars().take(1000).collect();
        let answer = site.receives(&wechat.verifies(&text));
        prop_assert_eq!(answer.status, 200);
        prop_assert!(answer.body == text.as_bytes(), "{} for {:?}", answer, text);

        let content: String = even(&text).trim().chars().take(400).collect();
        let answer = site.receives(&wechat.says(&content.replace("]]>", "]]]]><![CDATA[>")));
        let reply = answer.text();
        let document =
            Document::parse(&reply).map_err(|error| TestCaseError::fail(format!("{error}: {reply}")))?;
        let mut lines = Vec::new();
        lines_in(document.root_element(), "", &mut lines);
        // What could be a user's own link has a wide bracket.
        let wide = |text: &str| text.replace('<', "＜");
        let expected = wide(&format!("Content = {content}"));
        prop_assert!(lines.iter().any(|line| wide(line) == expected), "{}: {:?}", reply, content);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

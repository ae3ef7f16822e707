//! The bots that people write by hand: each config in `examples/`, behind a real server.

use std::fs;

use crate::support::{Door, Site, WeChat, now, repository};

/// A site with one of our examples, at its own path.
#[track_caller]
fn example(door: Door, file: &str, path: &str) -> Site {
    let config = repository().join("examples").join(file);
    let config = fs::read_to_string(&config).unwrap_or_else(|e| panic!("{}: {e}", config.display()));
    Site::behind(door).with_config(&config).at(path).open()
}

/// The account's token in all examples.
fn wechat() -> WeChat {
    WeChat::with_token("mytoken")
}

#[test]
fn the_echo_says_every_text_again_and_verifies_at_its_one_path() {
    for door in Door::open_ones([Door::ApacheCgid, Door::NginxUnix]) {
        let site = example(door, "echo.toml", "/auth");
        site.receives(&wechat().verifies("8259041741")).is(200).says("8259041741");
        for text in ["你好", "天气", "a<b & c", "😀", "]]&gt;"] {
            site.receives(&wechat().says(text)).replies(text);
        }
        site.receives(&wechat().verifies("8259041741").to("/weixin"))
            .is(404)
            .keeps_quiet_about(&["8259041741"]);
        site.receives(&wechat().pushes(WeChat::message("voice", "<MediaId>v</MediaId>"))).acknowledges();
    }
}

#[test]
fn the_weather_bot_knows_the_weather_echoes_and_says_when_it_is_lost() {
    for door in Door::open_ones([Door::ApacheCgi, Door::NginxTcp]) {
        let site = example(door, "weather.toml", "/weixin");
        site.receives(&wechat().verifies("8259041741")).is(200).says("8259041741");
        site.receives(&wechat().says("天气")).replies("北京天气挺好的！");
        site.receives(&wechat().says(" 天气 ")).replies("北京天气挺好的！");
        site.receives(&wechat().says("天气？")).replies("北京天气挺好的！");
        site.receives(&wechat().says("天气预报？")).replies("天气预报？");
        let image =
            "<PicUrl><![CDATA[http://mmbiz.qpic.cn/0]]></PicUrl><MediaId><![CDATA[media_id]]></MediaId>";
        site.receives(&wechat().pushes(WeChat::message("image", image))).acknowledges();
        for (kind, fields) in [
            ("voice", "<MediaId><![CDATA[m]]></MediaId><Format><![CDATA[amr]]></Format>"),
            ("video", "<MediaId><![CDATA[m]]></MediaId><ThumbMediaId><![CDATA[t]]></ThumbMediaId>"),
            ("shortvideo", "<MediaId><![CDATA[m]]></MediaId><ThumbMediaId><![CDATA[t]]></ThumbMediaId>"),
            ("location", "<Location_X>23.1</Location_X><Location_Y>113.3</Location_Y><Scale>20</Scale>"),
            ("link", "<Title><![CDATA[t]]></Title><Url><![CDATA[https://mp.weixin.qq.com/]]></Url>"),
        ] {
            site.receives(&wechat().pushes(WeChat::message(kind, fields))).replies("嗯？我听不太懂");
        }
        // Nobody asked, so nobody is answered.
        site.receives(&wechat().pushes(WeChat::event("unsubscribe", ""))).acknowledges();
    }
}

#[test]
fn the_picture_bot_replies_a_picture_by_its_media_id() {
    for door in Door::open_ones([Door::ApacheProxyFcgi, Door::LighttpdCgi]) {
        let site = example(door, "picture.toml", "/wechat_api/");
        site.receives(&wechat().verifies("8259041741")).is(200).says("8259041741");
        let image = WeChat::message("image", "<MediaId><![CDATA[theirs]]></MediaId>");
        for request in [wechat().says("图片"), wechat().says("来张图"), wechat().pushes(image)] {
            let answer = site.receives(&request);
            answer.is(200).has("content-type", "application/xml; charset=utf-8");
            assert_eq!(answer.reply("MsgType"), "image");
            assert_eq!(answer.reply("MediaId"), "xkA9oYsvQe4mZc2LrGqT0uWp7hBdN1fJ");
        }
        site.receives(&wechat().says("你好")).replies("发“图片”看看");
    }
}

#[test]
fn the_template_swaps_the_names_and_tells_the_time() {
    for door in Door::open_ones([Door::ApacheFcgid, Door::NginxFcgiwrap]) {
        let site = example(door, "template.toml", "/");
        site.receives(&wechat().verifies("8259041741")).is(200).says("8259041741");
        let before = now();
        let answer = site.receives(&wechat().says("你好"));
        let after = now();
        answer.is(200);
        assert_eq!(answer.reply("ToUserName"), "oABCD1234567890abcdefghijkl");
        assert_eq!(answer.reply("FromUserName"), "gh_0123456789ab");
        let created: u64 = answer.reply("CreateTime").parse().expect("seconds");
        assert!((before..=after).contains(&created), "{created} is not between {before} and {after}");
        let content = answer.reply("Content");
        assert!(content.contains("oABCD1234567890abcdefghijkl 对 gh_0123456789ab 说：你好"), "{answer}");
        assert!((before..=after).any(|second| content.contains(&format!("回复于 {second}"))), "{answer}");

        let clock = site.receives(&wechat().says("几点了")).reply("Content");
        let clock = clock.strip_prefix("现在是 ").unwrap_or_else(|| panic!("{clock}"));
        let shape: String = clock.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00 00:00:00");
        // China has had no daylight saving time since 1991: always eight hours ahead of UTC.
        let minutes =
            |clock: &str| clock[11..13].parse::<u64>().unwrap() * 60 + clock[14..16].parse::<u64>().unwrap();
        let beijing = (now() / 60 + 8 * 60) % (24 * 60);
        let late = (beijing + 24 * 60 - minutes(clock)) % (24 * 60);
        assert!(late <= 1, "{clock} is {late} minutes late");
    }
}

#[test]
fn the_one_answer_goes_to_every_message_at_every_path() {
    for door in Door::open_ones([Door::ApacheHtaccess, Door::LighttpdFastcgi, Door::NginxKeepalive]) {
        let site = example(door, "received.toml", "/weixin");
        site.receives(&wechat().verifies("8259041741")).is(200).says("8259041741");
        site.receives(&wechat().says("你好")).replies("你好，消息已收到");
        let image = WeChat::message("image", "<MediaId><![CDATA[m]]></MediaId>");
        site.receives(&wechat().pushes(image)).replies("你好，消息已收到");
        site.receives(&wechat().pushes(WeChat::event("VIEW", ""))).acknowledges();
        site.receives(&wechat().pushes(WeChat::message("hologram", ""))).acknowledges();
    }
}

#[test]
fn the_usual_paths_work_behind_every_server() {
    let config = fs::read_to_string(repository().join("examples/received.toml")).expect("the example");
    for path in ["/", "/weixin", "/wechat_api/", "/auth"] {
        let config = config.replace("[account]", &format!("[account]\npath = \"{path}\""));
        for door in Door::open_ones([
            Door::ByHand,
            Door::ApacheCgid,
            Door::ApacheProxyFcgi,
            Door::ApacheFcgid,
            Door::NginxUnix,
            Door::NginxFcgiwrap,
            Door::LighttpdCgi,
            Door::LighttpdFastcgi,
        ]) {
            let site = Site::behind(door).with_config(&config).at(path).open();
            site.receives(&wechat().verifies("8259041741")).is(200).says("8259041741");
            site.receives(&wechat().says("你好")).replies("你好，消息已收到");
            site.receives(&wechat().verifies("8259041741").to("/elsewhere")).is(404);
        }
    }
}

#[test]
fn the_usual_paths_work_on_a_shared_host() {
    if !Door::ApacheHtaccess.is_open() {
        return;
    }
    for path in ["/", "/weixin", "/wechat_api/", "/auth"] {
        let site = example(Door::ApacheHtaccess, "received.toml", path);
        site.receives(&wechat().verifies("8259041741")).is(200).says("8259041741");
        site.receives(&wechat().says("你好")).replies("你好，消息已收到");
    }
}

#[test]
fn every_example_is_driven_by_a_test() {
    let mut files: Vec<_> = fs::read_dir(repository().join("examples"))
        .expect("the examples")
        .map(|entry| entry.expect("an entry").path())
        // Their golden tests lie in a folder beside them.
        .filter(|path| path.is_file())
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    files.sort();
    let tests = [
        include_str!("examples.rs"),
        include_str!("dialogs.rs"),
        include_str!("chat.rs"),
        include_str!("programs.rs"),
    ];
    let tests = tests.concat();
    let has_golden_tests = |file: &str| repository().join("examples/tests").join(file).exists();
    for file in files.iter().filter(|file| !has_golden_tests(file)) {
        assert!(tests.contains(&format!("\"{file}\"")), "no test drives examples/{file}");
    }
    assert!(files.len() >= 5, "{files:?}");
}

//! What a call is told.

use serde_json::json;

use super::*;
use crate::api::table::find;

fn of_body(path: &str, body: &Value) -> Vec<Finding> {
    check(find(path).expect(path), &Given { body: Some(body), ..Given::default() })
}

fn lines(path: &str, body: &Value) -> Vec<String> {
    of_body(path, body).iter().map(ToString::to_string).collect()
}

#[test]
fn a_finding_names_the_field_the_limit_what_was_given_and_the_cure() {
    let body = json!({"touser": "o1", "msgtype": "text", "text": {"content": "x".repeat(2050)}});
    assert_eq!(
        lines("message/custom/send", &body),
        ["`text.content` has 2050 bytes, at most 2048 are allowed; shorten it by 2"]
    );
    let body = json!({"touser": "o1", "msgtype": "imag", "image": {"media_id": "m"}});
    assert_eq!(
        lines("message/custom/send", &body)[0],
        "`msgtype` is `imag`; did you mean `image`? There are: text, image, voice, video, music, news, mpnewsarticle, \
         mpnews, msgmenu, wxcard, miniprogrampage"
    );
    let body =
        json!({"touser": "o1", "msgtype": "news", "news": {"articles": [{"title": "1"}, {"title": "2"}]}});
    assert_eq!(
        lines("message/custom/send", &body),
        ["`news.articles` has 2 elements, at most 1 is allowed; leave 1 out"]
    );
    let body = json!({"openid_list": vec!["o"; 51], "tagid": "134"});
    assert_eq!(
        lines("tags/members/batchtagging", &body),
        [
            "`openid_list` has 51 elements, at most 50 are allowed; leave 1 out, or call once for every 50",
            "`tagid` is a text, not a whole number; write it without quotes"
        ]
    );
    let body = json!({"action_name": "QR_LIMIT_SCENE", "action_info": {"scene": {"scene_id": 100_001}}});
    assert_eq!(
        lines("qrcode/create", &body),
        ["`action_info.scene.scene_id` is 100001, 1 to 100000 are allowed; write a number of 1 to 100000"]
    );
    assert_eq!(
        lines("message/custom/send", &json!({"touser": "o1", "msgtype": "text"})),
        ["`text` is missing with `msgtype` = `text`; add an object"]
    );
}

#[test]
fn a_menu_is_looked_at_button_by_button() {
    let body = json!({"button": [
        {"name": "今日歌曲", "type": "click"},
        {"name": "菜单", "sub_button": [
            {"name": "搜索", "type": "view", "key": "no matter"},
            {"name": "a", "type": "click", "key": "K", "sub_button": [{}]}]},
        {"name": "今日歌曲今日", "type": "miniprogram", "url": "u", "appid": "a"}]});
    assert_eq!(
        lines("menu/create", &body),
        [
            "`button[2].name` has 18 bytes, at most 16 are allowed; shorten it by 2",
            "`button[0].key` is missing; add a text",
            "`button[2].pagepath` is missing with `type` = `miniprogram`; add a text",
            "`button[1].sub_button[0].url` is missing; add a text",
            "`button[1].sub_button[1].sub_button` has 1 element, at most 0 are allowed; leave 1 out",
        ]
    );
    let both = json!({"button": [{"name": "a", "type": "click", "key": "K", "sub_button": [
        {"name": "b", "type": "click", "key": "K"}]}]});
    assert_eq!(
        lines("menu/create", &both),
        [
            "`button[0].type` stands beside `sub_button`, which takes its place; leave one of them out",
            "`button[0].key` stands beside `sub_button`, which takes its place; leave one of them out",
        ]
    );
    let with_empty = json!({"button": [{"name": "a", "type": "click", "key": "K", "sub_button": []}]});
    assert_eq!(of_body("menu/create", &with_empty), []);
    let empty = json!({"button": [{"name": "a", "sub_button": []}]});
    assert_eq!(of_body("menu/create", &empty)[0].field, "button[0].type");
}

#[test]
fn what_is_not_known_passes_and_a_slip_is_warned_of() {
    let body = json!({"touser": "o", "msgtype": "text", "text": {"content": "x"}, "something_new": 1});
    assert_eq!(of_body("message/custom/send", &body), []);
    let body = json!({"touser": "o", "msgtype": "text", "text": {"content": "x"}, "customservise": {}});
    assert_eq!(
        lines("message/custom/send", &body),
        ["`customservise` is no field that is known here; did you mean `customservice`?"]
    );
    let found = of_body("menu/create", &json!({"button": [{"nmae": "a", "type": "click", "key": "K"}]}));
    assert_eq!((found[0].field.as_str(), found[0].severity), ("button[0].name", Severity::Violation));
    assert_eq!((found[1].field.as_str(), found[1].severity), ("button[0].nmae", Severity::Warning));
    let query = [("openid", "o"), ("lagn", "en")];
    let found = check(find("user/info").expect("a row"), &Given { query: &query, ..Given::default() });
    assert_eq!(found[0].to_string(), "`lagn` is no field that is known here; did you mean `lang`?");
}

#[test]
fn one_of_several_fields_is_enough_and_needed() {
    let body = json!({"button": [{"name": "a", "type": "click", "key": "K"}], "matchrule": {}});
    let found = of_body("menu/addconditional", &body);
    assert!(found[0].cure.contains("`matchrule.client_platform_type`"), "{found:?}");
    for rule in [json!({"tag_id": "2"}), json!({"client_platform_type": 1})] {
        let body = json!({"button": [{"name": "a", "type": "click", "key": "K"}], "matchrule": rule});
        assert_eq!(of_body("menu/addconditional", &body), []);
    }
    assert_eq!(of_body("message/mass/delete", &json!({"url": "https://example.com/"})), []);
    assert_eq!(of_body("message/mass/delete", &json!({}))[0].field, "msg_id");
}

#[test]
fn what_wechat_took_away_is_warned_of() {
    let body = json!({"button": [{"name": "a", "type": "click", "key": "K"}], "matchrule": {"tag_id": 2, "sex": "1"}});
    let found = of_body("menu/addconditional", &body);
    assert_eq!((found.len(), found[0].severity), (1, Severity::Warning), "{found:?}");
    assert_eq!(
        lines("shorturl", &json!({})),
        ["`/cgi-bin/shorturl` is no longer served by WeChat; use shorten/gen, or a short URL of your own"]
    );
}

#[test]
fn who_cannot_call_is_told_before() {
    let send = find("message/custom/send").expect("a row");
    let unverified = [AccountKind::Subscription, AccountKind::Service];
    let said = check_account(send, &unverified).expect("a warning");
    assert_eq!(
        said.to_string(),
        "`/cgi-bin/message/custom/send` is not for an unverified subscription account (公众号) or an unverified service \
         account (服务号) (48001); it is for: verified subscription account (公众号), verified service account (服务号), \
         test account (测试号)"
    );
    assert_eq!(check_account(send, &[AccountKind::Subscription, AccountKind::Test]), None);
    assert_eq!(check_account(find("menu/create").expect("a row"), &unverified), None);
    assert_eq!(check_account(send, &[]), None);
}

#[test]
fn a_text_body_is_measured_in_bytes() {
    let said = |text: &str| {
        let query = [("lfrom", "zh_CN"), ("lto", "en_US")];
        let body = Value::from(text);
        check(
            find("media/voice/translatecontent").expect("a row"),
            &Given { query: &query, body: Some(&body), file: None },
        )
    };
    assert_eq!(said(&"好".repeat(200)), []);
    assert_eq!(
        said(&("好".repeat(200) + "x"))[0].to_string(),
        "`body` has 601 bytes, at most 600 are allowed; shorten it by 1"
    );
    assert_eq!(said("")[0].to_string(), "`body` is empty; give the text");
}

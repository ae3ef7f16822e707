//! wechatpy and node's wechat-api at the stand-in for WeChat's API. They are written for the original and are none of our
//! making: where the stand-in refuses what they send, or they do not understand what it answers, it is shaped to us.

use std::fs;

use serde_json::{Value, json};

use crate::support::{FOLLOWERS, FakeWechat, MEDIA, Peer, available};

const JPEG: &[u8] = b"\xff\xd8\xff\xe0\x00\x10JFIF a cat \xff\xd9";

fn menu() -> Value {
    json!({"button": [
        {"type": "click", "name": "今日歌曲", "key": "V1001_TODAY_MUSIC"},
        {"name": "菜单", "sub_button": [
            {"type": "view", "name": "搜索", "url": "https://www.soso.com/?a=1&b=<2>"},
            {"type": "scancode_push", "name": "扫码推事件", "key": "rselfmenu_0_1", "sub_button": []}]}]})
}

/// A picture on disk, and what holds it.
fn picture() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cat.jpg");
    fs::write(&path, JPEG).expect("writable");
    (folder, path.to_str().expect("UTF-8").to_owned())
}

#[test]
fn wechatpy_runs_against_the_stand_in() {
    if !available("wechatpy") {
        return;
    }
    let fake = FakeWechat::start();
    let mut peer = Peer::wechatpy(&fake);

    assert_eq!(peer.gets("menu.get", &json!([])), Value::Null, "46003 is none to it");
    assert_eq!(peer.gets("menu.create", &json!([menu()]))["errcode"], 0);
    assert_eq!(peer.gets("menu.get", &json!([]))["menu"]["button"][0], with_list(&menu()["button"][0]));
    assert_eq!(peer.calls("menu.create", &json!([long_name()])), Err(40018));
    peer.gets("menu.delete", &json!([]));
    assert_eq!(peer.gets("menu.get", &json!([])), Value::Null);

    peer.gets("message.send_text", &json!(["o00001", "你好 \"<a href='x'>\""]));
    assert_eq!(
        fake.last("/cgi-bin/message/custom/send").json().expect("JSON")["text"]["content"],
        "你好 \"<a href='x'>\""
    );
    peer.gets("message.send_image", &json!(["o00001", "MEDIA"]));
    peer.gets(
        "message.send_articles",
        &json!(["o00001", [{"title": "题", "description": "d", "url": "u", "image": "i"}]]),
    );
    assert_eq!(peer.calls("message.send_text", &json!(["o00001", "好".repeat(683)])), Err(45002));

    let user = peer.gets("user.get", &json!(["o00002"]));
    assert_eq!((&user["openid"], &user["subscribe"]), (&json!("o00002"), &json!(1)));
    let page = peer.gets("user.get_followers", &json!([]));
    assert_eq!(
        (&page["total"], &page["count"], &page["next_openid"]),
        (&json!(FOLLOWERS), &json!(10_000), &json!("o10000"))
    );
    let users = peer.gets("user.get_batch", &json!([["o00001", "o00002"]]));
    assert_eq!(users[1]["openid"], "o00002");
    assert_eq!(peer.calls("user.get_batch", &json!([vec!["o"; 101]])), Err(40032));

    assert_eq!(peer.gets("tag.create", &json!(["广东"])), json!({"id": 135, "name": "广东"}));
    assert_eq!(peer.gets("tag.get", &json!([]))[1]["name"], "广东");
    peer.gets("tag.tag_user", &json!([134, ["o00001", "o00002"]]));
    assert_eq!(peer.gets("tag.get_tag_users", &json!([134]))["count"], 50);
    assert_eq!(peer.calls("tag.tag_user", &json!([134, vec!["o"; 51]])), Err(40032));

    let (_folder, file) = picture();
    let uploaded = peer.gets("media.upload", &json!(["image", {"file": file}]));
    assert_eq!(
        (&uploaded["type"], &uploaded["media_id"]),
        (&json!("image"), &json!(format!("media-{}", JPEG.len())))
    );
    assert_eq!(peer.calls("media.upload", &json!(["picture", {"file": file}])), Err(40004));
    assert_eq!(
        peer.gets("media.download", &json!(["picture"])),
        json!({"type": "image/jpeg", "hex": hex::encode(MEDIA)})
    );
    assert_eq!(peer.calls("media.download", &json!(["gone"])), Err(40007));
    peer.gets("material.add", &json!(["image", {"file": file}]));

    let code = json!({"expire_seconds": 1800, "action_name": "QR_SCENE", "action_info": {"scene": {"scene_id": 123}}});
    assert_eq!(peer.gets("qrcode.create", &json!([code]))["expire_seconds"], 1800);
    let filled = json!(["o00001", "TEMPLATE", {"thing1": {"value": "巧克力"}}, "https://example.com/"]);
    assert!(peer.gets("message.send_template", &filled)["msgid"].is_u64());

    let fetches = fake.fetches();
    fake.void_access_tokens();
    assert_eq!(peer.gets("user.get", &json!(["o00003"]))["openid"], "o00003", "40001 makes it fetch another");
    assert_eq!((fetches, fake.fetches()), (1, 2));
}

#[test]
fn wechat_api_runs_against_the_stand_in() {
    if !available("wechat-api") {
        return;
    }
    let fake = FakeWechat::start();
    let mut peer = Peer::wechat_api(&fake);

    assert_eq!(peer.calls("getMenu", &json!([])), Err(46003));
    assert_eq!(peer.gets("createMenu", &json!([menu()]))["errcode"], 0);
    assert_eq!(peer.gets("getMenu", &json!([]))["menu"]["button"][0], with_list(&menu()["button"][0]));
    assert_eq!(peer.calls("createMenu", &json!([long_name()])), Err(40018));
    peer.gets("removeMenu", &json!([]));
    assert_eq!(peer.calls("getMenu", &json!([])), Err(46003));

    peer.gets("sendText", &json!(["o00001", "你好 \"<a href='x'>\""]));
    assert_eq!(
        fake.last("/cgi-bin/message/custom/send").json().expect("JSON")["text"]["content"],
        "你好 \"<a href='x'>\""
    );
    peer.gets("sendImage", &json!(["o00001", "MEDIA"]));
    peer.gets(
        "sendNews",
        &json!(["o00001", [{"title": "题", "description": "d", "url": "u", "picurl": "i"}]]),
    );
    assert_eq!(peer.calls("sendText", &json!(["o00001", "好".repeat(683)])), Err(45002));

    let user = peer.gets("getUser", &json!(["o00002"]));
    assert_eq!((&user["openid"], &user["subscribe"]), (&json!("o00002"), &json!(1)));
    let page = peer.gets("getFollowers", &json!([]));
    assert_eq!(
        (&page["total"], &page["count"], &page["next_openid"]),
        (&json!(FOLLOWERS), &json!(10_000), &json!("o10000"))
    );
    let users = peer.gets("batchGetUsers", &json!([["o00001", "o00002"]]));
    assert_eq!(users["user_info_list"][1]["openid"], "o00002");
    assert_eq!(peer.calls("batchGetUsers", &json!([vec!["o"; 101]])), Err(40032));

    assert_eq!(peer.gets("createTag", &json!(["广东"]))["tag"], json!({"id": 135, "name": "广东"}));
    assert_eq!(peer.gets("getTags", &json!([]))["tags"][1]["name"], "广东");
    peer.gets("membersBatchtagging", &json!([134, ["o00001", "o00002"]]));
    assert_eq!(peer.calls("membersBatchtagging", &json!([134, vec!["o"; 51]])), Err(40032));

    let (_folder, file) = picture();
    let uploaded = peer.gets("uploadMedia", &json!([file, "image"]));
    assert_eq!(
        (&uploaded["type"], &uploaded["media_id"]),
        (&json!("image"), &json!(format!("media-{}", JPEG.len())))
    );
    assert_eq!(peer.calls("uploadMedia", &json!([file, "picture"])), Err(40004));
    assert_eq!(
        peer.gets("getMedia", &json!(["picture"])),
        json!({"type": "image/jpeg", "hex": hex::encode(MEDIA)})
    );
    peer.gets("uploadMaterial", &json!([file, "image"]));

    assert_eq!(peer.gets("createTmpQRCode", &json!([123, 1800]))["expire_seconds"], 1800);
    let filled = json!(["o00001", "TEMPLATE", "https://example.com/", {"thing1": {"value": "巧克力"}}]);
    assert!(peer.gets("sendTemplate", &filled)["msgid"].is_u64());
    assert!(peer.gets("getTicket", &json!([]))["ticket"].is_string());

    fake.void_access_tokens();
    assert_eq!(peer.calls("getUser", &json!(["o00003"])), Err(40001));
    assert_eq!(fake.fetches(), 1);
    peer.gets("forget", &json!([]));
    assert_eq!(peer.gets("getUser", &json!(["o00003"]))["openid"], "o00003");
    assert_eq!(fake.fetches(), 2);
}

/// As WeChat gives back a button.
fn with_list(button: &Value) -> Value {
    let mut button = button.clone();
    button["sub_button"] = json!([]);
    button
}

fn long_name() -> Value {
    json!({"button": [{"type": "click", "name": "六个汉字太长", "key": "K"}]})
}

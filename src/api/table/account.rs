//! Credentials, WeChat's addresses, quotas; tickets, short keys, what the console was told.

use super::prelude::*;

const SECRET: Auth<'static> = Auth::App { id: "appid", secret: Some("secret") };
const MEMBERS: Who = Who("-+-+?");

pub(super) const CREDENTIALS: &[Endpoint] = &[
    get("/cgi-bin/token", "Fetches an access_token; the one before dies within 5 minutes")
        .page("Basic_Information/Get_access_token.html")
        .auth(SECRET)
        .repeat(Repeat::Never)
        .fields(&[query("grant_type").required().any_of(&["client_credential"]).errcode(40002)]),
    post("/cgi-bin/stable_token", "Gives the access_token that lives, or fetches one")
        .page("Basic_Information/getStableAccessToken.html")
        .auth(SECRET)
        .repeatable()
        .fields(&[
            text("grant_type").required().any_of(&["client_credential"]).errcode(40002),
            boolean("force_refresh"),
        ]),
    get("/cgi-bin/getcallbackip", "Lists the addresses that callbacks come from (推送服务器 IP)")
        .page("Basic_Information/Get_the_WeChat_server_IP_address.html"),
    get("/cgi-bin/get_api_domain_ip", "Lists the addresses of the API (API 服务器 IP)")
        .page("Basic_Information/Get_the_WeChat_server_IP_address.html"),
    post("/cgi-bin/callback/check", "Has WeChat resolve and ping the callback's host (网络检测)")
        .page("Basic_Information/Network_Detection.html")
        .repeatable()
        .fields(&[
            text("action").required().any_of(&["dns", "ping", "all"]).errcode(40202),
            text("check_operator")
                .required()
                .any_of(&["CHINANET", "UNICOM", "CAP", "DEFAULT"])
                .errcode(40203),
        ]),
];

/// A path as the quota tools want it.
fn is_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['?', '#'])
}

/// `61725984-6126f6f9-040f19c4`
fn is_rid(rid: &str) -> bool {
    let is_part = |part: &str| part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    rid.split('-').count() == 3 && rid.split('-').all(is_part)
}

const CGI_PATH: Field = text("cgi_path")
    .required()
    .form(is_path, "a path with its leading `/`, no host, no query", "/cgi-bin/menu/get")
    .errcode(76003);

pub(super) const QUOTA: &[Endpoint] = &[
    post("/cgi-bin/clear_quota", "Clears all daily counters; 10 times a month")
        .page("openApi/clear_quota.html")
        .fields(&[text("appid").required()]),
    post("/cgi-bin/clear_quota/v2", "The same without an access_token, for when its quota is used up")
        .page("openApi/clearQuotaByAppSecret.html")
        .auth(Auth::App { id: "appid", secret: Some("appsecret") }),
    post("/cgi-bin/openapi/quota/get", "Shows the quota of one endpoint")
        .page("openApi/get_api_quota.html")
        .repeatable()
        .fields(&[CGI_PATH]),
    post("/cgi-bin/openapi/quota/clear", "Clears the counter of one endpoint; 50 times a month")
        .fields(&[CGI_PATH]),
    post("/cgi-bin/openapi/rid/get", "Shows the call that a `rid` of the last 7 days belongs to")
        .page("openApi/get_rid_info.html")
        .repeatable()
        .fields(&[text("rid")
            .required()
            .form(is_rid, "three groups of 8 hex digits", "61725984-6126f6f9-040f19c4")
            .errcode(76002)]),
];

pub(super) const TICKETS: &[Endpoint] =
    &[get("/cgi-bin/ticket/getticket", "Fetches a ticket for the JS-SDK or for cards")
        .page("OA_Web_Apps/JS-SDK.html")
        .fields(&[query("type").required().any_of(&["jsapi", "wx_card"])])];

pub(super) const SHORT_KEYS: &[Endpoint] = &[
    post("/cgi-bin/shorten/gen", "Keeps up to 4 KB under a short key (短key托管)")
        .page("Account_Management/KEY_Shortener.html")
        .who(MEMBERS)
        .fields(&[
            text("long_data").required().bytes(4096).errcode(9_410_010),
            number("expire_seconds").range(1, 2_592_000),
        ]),
    post("/cgi-bin/shorten/fetch", "Gives what a short key stands for")
        .page("Account_Management/KEY_Shortener.html")
        .who(MEMBERS)
        .repeatable()
        .fields(&[text("short_key").required().errcode(9_410_011)]),
    post("/cgi-bin/shorturl", "Shortened a URL")
        .page("Account_Management/URL_Shortener.html")
        .retired("use shorten/gen, or a short URL of your own"),
];

pub(super) const CONSOLE: &[Endpoint] =
    &[get("/cgi-bin/get_current_autoreply_info", "Shows the automatic replies of the console")
        .page("Message_Management/Getting_Rules_for_Auto_Replies.html")
        .who(Who("?+?++"))];

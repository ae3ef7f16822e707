//! Web login (网页授权). It has no access_token of the account.

use super::prelude::*;

const SECRET: Auth<'static> = Auth::App { id: "appid", secret: Some("secret") };
const PAGE: &str = "OA_Web_Apps/Wechat_webpage_authorization.html";
const MEMBERS: Who = Who("---++");
const OPENID: Field = query("openid").required().errcode(40003);
const USER_TOKEN: Field = query("access_token").required().errcode(40014);

pub(super) const LOGIN: &[Endpoint] = &[
    get("/sns/oauth2/access_token", "Turns a login's `code` into the user's openid and token")
        .page(PAGE)
        .who(MEMBERS)
        .auth(SECRET)
        // A code works once.
        .repeat(Repeat::Never)
        .fields(&[
            query("code").required().errcode(41008),
            query("grant_type").required().any_of(&["authorization_code"]).errcode(40002),
        ]),
    get("/sns/oauth2/refresh_token", "Renews the user's token, for 30 days")
        .page(PAGE)
        .who(MEMBERS)
        .auth(Auth::App { id: "appid", secret: None })
        .fields(&[
            query("grant_type").required().any_of(&["refresh_token"]).errcode(40002),
            query("refresh_token").required().errcode(41003),
        ]),
    get("/sns/userinfo", "Shows the user who agreed to it (snsapi_userinfo)")
        .page(PAGE)
        .who(MEMBERS)
        .auth(Auth::None)
        .fields(&[USER_TOKEN, OPENID, query("lang").any_of(&["zh_CN", "zh_TW", "en"])]),
    get("/sns/auth", "Says whether a user's token is valid")
        .page(PAGE)
        .who(MEMBERS)
        .auth(Auth::None)
        .fields(&[USER_TOKEN, OPENID]),
];

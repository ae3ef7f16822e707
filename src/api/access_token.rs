//! Where access_tokens come from, and what it means when none comes.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/Basic_Information/getStableAccessToken.html>

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Client;
use super::error::{ApiError, Reach, Refusal};
use super::shared::Issued;
use super::{Auth, Body, Call, Credentials, Method, TokenSource};
use crate::secret::Secret;

/// `/cgi-bin/stable_token`: all who ask get the same one.
pub const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
/// `/cgi-bin/token`: who asks makes the one before invalid.
pub const TOKEN: &str = "/cgi-bin/token";

/// Where AppSecret and IP whitelist are, since December 2025.
const PLATFORM: &str = "微信开发者平台 (developers.weixin.qq.com/platform) → 我的业务 → 公众号/服务号";

/// Whether a new access_token is wanted where the old one is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// The same is fine, if WeChat says so.
    No,
    /// The old one is to die at once: it has become known. At most 20 times a day, 30 s apart.
    Yes,
}

/// Asks WeChat for an access_token.
pub(super) fn fetch(
    client: &Client,
    credentials: &Credentials,
    force: Force,
    until: Instant,
) -> Result<Issued, ApiError> {
    let (app_id, app_secret) = (credentials.app_id()?, credentials.app_secret()?.expose());
    let answer = match client.settings().token {
        TokenSource::Stable => {
            let body = json!({
                "grant_type": "client_credential",
                "appid": app_id,
                "secret": app_secret,
                "force_refresh": force == Force::Yes,
            });
            let body = Body::Json(&body);
            let call = Call { method: Method::Post, body, auth: Auth::None, ..Call::get(STABLE_TOKEN, &[]) };
            client.call(&Call { idempotent: force == Force::No, ..call }, &[], until)
        }
        TokenSource::Classic => {
            let query = [("grant_type", "client_credential")];
            let call = Call { auth: Auth::None, ..Call::get(TOKEN, &query) };
            client.call(&call, &[("appid", app_id), ("secret", app_secret)], until)
        }
    };
    issued(client, &answer.map_err(explain)?, "access_token")
}

/// No access_token and no ticket lives longer.
const LONGEST_LIFE: Duration = Duration::from_secs(7200);

/// The value that an answer hands out. What claims to live longer than any does is not believed: it would be kept by all
/// processes long after its end.
pub(super) fn issued(client: &Client, answer: &Value, name: &str) -> Result<Issued, ApiError> {
    let value = answer.get(name).and_then(Value::as_str).filter(|value| !value.is_empty());
    let expires_in = answer.get("expires_in").and_then(Value::as_u64).filter(|seconds| *seconds > 0);
    match (value, expires_in) {
        (Some(value), Some(seconds)) => {
            let expires_in = Duration::from_secs(seconds).min(LONGEST_LIFE);
            Ok(Issued { value: Secret::new(value), expires_in })
        }
        _ => Err(client.transport(Reach::Unknown, format!("answered without a good `{name}`")).into()),
    }
}

/// Some numbers mean something of their own when they come from here.
fn explain(error: ApiError) -> ApiError {
    let ApiError::Refused(refusal) = error else { return error };
    let advice = match refusal.errcode {
        40001 => format!(
            "the AppSecret is wrong; copy the one of WeChat's console into `account.app_secret` ({PLATFORM}); a reset \
             there makes the old one invalid"
        ),
        40164 => whitelist_advice(&refusal.errmsg),
        45009 => {
            "the account has fetched all access_tokens of this day; see whether another program fetches them \
                  too, and use `api.token = \"stable\"`"
                .to_owned()
        }
        _ => return refusal.into(),
    };
    Refusal { advice: Some(advice), ..refusal }.into()
}

/// What to write where, for `invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist`.
fn whitelist_advice(errmsg: &str) -> String {
    let mut words = errmsg.split([' ', ',']);
    let address = words.find_map(|word| word.parse::<IpAddr>().ok()).map(|ip| ip.to_canonical());
    let line =
        address.map_or_else(|| "this machine's public address".to_owned(), |ip| format!("the line `{ip}`"));
    format!(
        "this machine is not in the account's IP whitelist; add {line} to API IP白名单: {PLATFORM} (before December \
         2025: mp.weixin.qq.com → 设置与开发 → 基本配置); it works some minutes later"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ApiSettings;

    #[test]
    fn nothing_lives_longer_than_wechats_own_do() {
        let client = Client::new(ApiSettings::default());
        let life = |expires_in: Value| {
            let answer = json!({"ticket": "t", "expires_in": expires_in});
            issued(&client, &answer, "ticket").map(|issued| issued.expires_in.as_secs()).ok()
        };
        for (expires_in, expected) in [
            (json!(7200), Some(7200)),
            (json!(60), Some(60)),
            (json!(u64::MAX), Some(7200)),
            (json!(4_000_000_000_u64), Some(7200)),
            (json!(0), None),
            (json!(-1), None),
            (json!("7200"), None),
        ] {
            assert_eq!(life(expires_in.clone()), expected, "{expires_in}");
        }
    }

    #[test]
    fn the_address_to_be_added_is_taken_from_the_message() {
        for (errmsg, line) in [
            (
                "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 6172",
                "the line `203.0.113.7`",
            ),
            ("invalid ip ::ffff:203.0.113.7, not in whitelist", "the line `203.0.113.7`"),
            ("invalid ip 2001:db8::7, not in whitelist", "the line `2001:db8::7`"),
            ("not in whitelist", "this machine's public address"),
        ] {
            assert!(whitelist_advice(errmsg).contains(&format!("add {line} to API IP白名单")), "{errmsg}");
        }
    }
}

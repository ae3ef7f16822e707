//! Pages of the account's own: the signature that the JS-SDK wants, and the URL where users log in.
//!
//! Pure: no I/O, no clock.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html>,
//! <https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/Wechat_webpage_authorization.html>

use sha1::{Digest, Sha1};

/// The signature of a page for `wx.config`, 40 hex digits. `url` is the page exactly as the browser has it, without `#…`;
/// nothing is decoded or encoded.
#[must_use]
pub fn sign_page(ticket: &str, nonce: &str, timestamp: u64, url: &str) -> String {
    let signed = format!("jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={url}");
    hex::encode(Sha1::digest(signed))
}

/// The part of an address that is signed: all before `#`.
#[must_use]
pub fn page_of(url: &str) -> &str {
    url.split_once('#').map_or(url, |(page, _)| page)
}

/// What a login is to be like.
#[derive(Debug, Clone, Copy)]
pub struct Login<'l> {
    /// Where the user comes back.
    pub redirect: &'l str,
    /// Whether name and picture are asked for too.
    pub userinfo: bool,
    /// What comes back with the code.
    pub state: &'l str,
    /// Whether the user is asked again.
    pub force_popup: bool,
    /// Whether he sees the snapshot page.
    pub force_snapshot: bool,
}

/// Why there is no such URL.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// WeChat would show an error page.
    #[error("`{0}` is no address to come back to; write it with https://")]
    Redirect(String),
    /// More than 128 bytes, or other than letters and digits.
    #[error("the state is {0} bytes long or has more than letters and digits; at most 128 are allowed")]
    State(usize),
}

/// The URL that a user opens in WeChat to log in. The order of the parameters and the fragment at the end matter.
///
/// # Errors
///
/// If `redirect` is no URL, or `state` is not what WeChat takes.
pub fn login_url(app_id: &str, login: &Login<'_>) -> Result<String, LoginError> {
    let Login { redirect, userinfo, state, force_popup, force_snapshot } = *login;
    if !redirect.starts_with("https://") && !redirect.starts_with("http://") {
        return Err(LoginError::Redirect(redirect.to_owned()));
    }
    if state.len() > 128 || !state.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(LoginError::State(state.len()));
    }
    let scope = if userinfo { "snsapi_userinfo" } else { "snsapi_base" };
    let redirect = percent_encode(redirect);
    let popup = if force_popup { "&forcePopup=true" } else { "" };
    let snapshot = if force_snapshot { "&forceSnapShot=true" } else { "" };
    Ok(format!(
        "https://open.weixin.qq.com/connect/oauth2/authorize?appid={app_id}&redirect_uri={redirect}\
         &response_type=code&scope={scope}&state={state}{popup}{snapshot}#wechat_redirect"
    ))
}

/// Percent-encodes all but letters, digits and `-._~`.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: &str =
        "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg";

    #[test]
    fn a_page_is_signed_as_wechats_example_is() {
        let url = "http://mp.weixin.qq.com?params=value";
        assert_eq!(
            sign_page(TICKET, "Wm3WZYTPz0wzccnW", 1_414_587_457, url),
            "0f9de62fce790f9a083d5c99e95740ceb90c27ed"
        );
        let url = page_of("https://example.com/页面?a=1&b=%E4%BD%A0#there");
        assert_eq!(
            sign_page(TICKET, "abc123", 1_700_000_000, url),
            "60d061814d1a72bf2f1731f9bde2233aa0bfd5e3"
        );
    }

    #[test]
    fn a_login_has_its_parameters_in_wechats_order() {
        let login = Login {
            redirect: "https://example.com/login?a=1&b=你",
            userinfo: true,
            state: "x1",
            force_popup: true,
            force_snapshot: false,
        };
        assert_eq!(
            login_url("wx1", &login).as_deref(),
            Ok("https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx1\
                &redirect_uri=https%3A%2F%2Fexample.com%2Flogin%3Fa%3D1%26b%3D%E4%BD%A0\
                &response_type=code&scope=snsapi_userinfo&state=x1&forcePopup=true#wechat_redirect")
        );
        let too_long = "a".repeat(129);
        for (redirect, state) in [("example.com", ""), ("https://e/", "a-b"), ("https://e/", &too_long)] {
            assert!(login_url("wx1", &Login { redirect, state, ..login }).is_err(), "{redirect} {state}");
        }
        assert!(login_url("wx1", &Login { state: &too_long[1..], ..login }).is_ok());
    }
}

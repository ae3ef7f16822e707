//! The status page of a responder: which requests ask for it, who may see it, and what it says about the config.
//!
//! Whoever may not see it, gets what he would get if there were none.

mod page;

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::SystemTime;

use ipnet::IpNet;

use crate::gateway::Responder;
use crate::http::{Request, Response};
use crate::logging::address_shown;

/// Where the page is, and who may see it.
#[derive(Debug)]
pub(super) struct StatusPage {
    /// The path of the callback; `None` if it may be any.
    callback: Option<String>,
    /// Who may see it beside this machine itself.
    allowed: Vec<IpNet>,
}

/// How the page is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For people: `…/status`.
    Text,
    /// For Prometheus: `…/status?prometheus`.
    Prometheus,
}

/// What the page says about the config and the log.
#[derive(Debug)]
pub(super) struct About {
    /// How many configs were taken since the start, the present one included.
    pub(super) generation: u64,
    /// When the present one was taken.
    pub(super) taken: SystemTime,
    /// What is wrong with the file as it lies there now; the present config is another one then.
    pub(super) faults: Vec<String>,
    /// What the log says; `None` if that is not for whoever runs this account.
    pub(super) log: Option<AboutLog>,
}

/// What the page says about the log, which is one for all accounts.
#[derive(Debug)]
pub(super) struct AboutLog {
    /// The last line that was an error.
    pub(super) last_error: Option<(SystemTime, String)>,
}

/// Headers by which a proxy or a tunnel says that it asks for somebody else: then `REMOTE_ADDR` may be its own. One
/// that adds none of them cannot be told from this machine itself.
const FORWARDED: [&[u8]; 11] = [
    b"HTTP_CF_CONNECTING_IP",
    b"HTTP_CLIENT_IP",
    b"HTTP_FORWARDED",
    b"HTTP_TRUE_CLIENT_IP",
    b"HTTP_VIA",
    b"HTTP_X_CLIENT_IP",
    b"HTTP_X_CLUSTER_CLIENT_IP",
    b"HTTP_X_FORWARDED_FOR",
    b"HTTP_X_FORWARDED_HOST",
    b"HTTP_X_FORWARDED_PROTO",
    b"HTTP_X_REAL_IP",
];

impl StatusPage {
    /// The page of the callback at the path `callback`, for this machine and for `allowed`.
    pub(super) fn new(callback: Option<String>, allowed: Vec<IpNet>) -> Self {
        Self { callback, allowed }
    }

    /// Whether a request asks for the page, and how. One with another query may be a call of WeChat.
    pub(super) fn format_asked(&self, request: &Request) -> Option<Format> {
        let format = match request.query() {
            b"" => Format::Text,
            b"prometheus" => Format::Prometheus,
            _ => return None,
        };
        let is_read = matches!(request.method(), Some(b"GET" | b"HEAD"));
        (is_read && request.paths().any(|path| self.is_at(&path))).then_some(format)
    }

    fn is_at(&self, path: &[u8]) -> bool {
        let Some(before) = path.strip_suffix(b"/status") else { return false };
        self.callback.as_deref().is_none_or(|callback| before == callback.as_bytes())
    }

    /// Answers with the page, or as if there were none.
    pub(super) fn respond(&self, request: &Request, format: Format, about: About, responder: Responder) {
        if self.may_see(request) {
            let page = move |door: Option<&_>| {
                door.map_or_else(not_found, |door| page::response(format, door, &about))
            };
            return responder.respond_with_page(page);
        }
        let from = address_shown(request.remote_addr());
        log::warn!(target: "account", kind = "status page"; "the status page is not for {from}; answered 404");
        responder.respond(not_found());
    }

    /// This machine itself, unless it asks for somebody else, and who is listed.
    fn may_see(&self, request: &Request) -> bool {
        let Ok(address) = request.remote_addr().parse::<IpAddr>() else { return false };
        let address = address.to_canonical();
        let is_forwarded = request.params.iter().any(|(name, _)| FORWARDED.contains(&name));
        (address.is_loopback() && !is_forwarded)
            || self.allowed.iter().any(|network| network.contains(&address))
    }
}

/// As the callback answers on other paths than its own.
pub(super) fn not_found() -> Response {
    Response::text(404, Cow::Borrowed("not found\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Params;

    fn request(variables: &[(&str, &str)]) -> Request {
        let mut params = Params::new();
        params.push(b"REQUEST_METHOD", b"GET");
        for (name, value) in variables {
            params.push(name.as_bytes(), value.as_bytes());
        }
        Request::new(params, Vec::new())
    }

    fn asked(callback: Option<&str>, variables: &[(&str, &str)]) -> Option<Format> {
        StatusPage::new(callback.map(str::to_owned), Vec::new()).format_asked(&request(variables))
    }

    #[test]
    fn the_page_is_below_the_callback() {
        let at = |path| ("SCRIPT_NAME", path);
        let (text, callback) = (Some(Format::Text), Some("/weixin"));
        assert_eq!(asked(callback, &[at("/weixin/status")]), text);
        assert_eq!(asked(callback, &[at("/weixin"), ("PATH_INFO", "/status")]), text);
        assert_eq!(asked(callback, &[at("/wx.cgi"), ("REQUEST_URI", "/weixin/status?")]), text);
        assert_eq!(asked(Some(""), &[at("/status")]), text);
        for path in ["/weixin", "/weixin/", "/status", "/weixin/status/", "/weixin/x/status", "/weixinstatus"]
        {
            assert_eq!(asked(callback, &[at(path)]), None, "{path}");
        }
        // Any path may be the callback's.
        for path in ["/status", "/weixin/status", "/a/b/status"] {
            assert_eq!(asked(None, &[at(path)]), text, "{path}");
        }
    }

    #[test]
    fn a_call_of_wechat_is_never_taken_for_a_look_at_the_page() {
        let at = ("SCRIPT_NAME", "/weixin/status");
        assert_eq!(asked(None, &[at, ("QUERY_STRING", "prometheus")]), Some(Format::Prometheus));
        for query in ["signature=1&echostr=2", "prometheus=1", "json"] {
            assert_eq!(asked(None, &[at, ("QUERY_STRING", query)]), None, "{query}");
        }
        assert_eq!(asked(None, &[at, ("REQUEST_METHOD", "POST")]), None);
        assert_eq!(asked(None, &[at, ("REQUEST_METHOD", "HEAD")]), Some(Format::Text));
    }

    #[test]
    fn this_machine_and_who_is_listed_may_see_it() {
        let allowed = ["10.0.0.5/32", "192.168.0.0/16", "2001:db8::/32"].map(|it| it.parse().unwrap());
        let page = StatusPage::new(None, allowed.to_vec());
        let may_see = |variables: &[(&str, &str)]| page.may_see(&request(variables));
        let from = |address| ("REMOTE_ADDR", address);
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "::ffff:127.0.0.1",
            "10.0.0.5",
            "192.168.255.255",
            "::ffff:192.168.0.1",
            "2001:db8::7",
        ] {
            assert!(may_see(&[from(address)]), "{address}");
        }
        for address in
            ["", "-", "unix:", "localhost", "10.0.0.6", "192.169.0.1", "2001:db9::1", "0.0.0.0", "127.1"]
        {
            assert!(!may_see(&[from(address)]), "{address}");
        }
        assert!(!may_see(&[]));
    }

    #[test]
    fn this_machine_is_not_believed_to_ask_for_itself_behind_a_proxy() {
        let page = StatusPage::new(None, vec!["10.0.0.5/32".parse().unwrap()]);
        for name in [
            "HTTP_X_FORWARDED_FOR",
            "HTTP_X_FORWARDED_HOST",
            "HTTP_X_FORWARDED_PROTO",
            "HTTP_FORWARDED",
            "HTTP_X_REAL_IP",
            "HTTP_VIA",
            "HTTP_CF_CONNECTING_IP",
            "HTTP_TRUE_CLIENT_IP",
            "HTTP_X_CLIENT_IP",
            "HTTP_X_CLUSTER_CLIENT_IP",
            "HTTP_CLIENT_IP",
        ] {
            let forwarded = (name, "127.0.0.1");
            assert!(!page.may_see(&request(&[("REMOTE_ADDR", "127.0.0.1"), forwarded])), "{name}");
            assert!(!page.may_see(&request(&[("REMOTE_ADDR", "::1"), forwarded])), "{name}");
            // Listed by the operator, who knows what stands there.
            assert!(page.may_see(&request(&[("REMOTE_ADDR", "10.0.0.5"), forwarded])), "{name}");
        }
        // A proxy that hides its client still says that there is one.
        assert!(!page.may_see(&request(&[("REMOTE_ADDR", "::1"), ("HTTP_X_FORWARDED_FOR", "")])));
        assert!(page.may_see(&request(&[("REMOTE_ADDR", "::1"), ("HTTP_X_REQUEST_ID", "7")])));
    }
}

//! `[api]`: how WeChat's API is reached.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use ureq::http::Uri;
use ureq::http::uri::Scheme;

use super::fault::Fault;
use super::server::duration_within;
use super::table::Table;
use super::value;
use crate::api::{ApiSettings, TokenSource};

/// The range of waits for an answer.
const WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// The range of waits for a file, and for all attempts.
const LONG_WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

pub(super) fn read(table: Option<Table<'_>>, folder: &Path) -> ApiSettings {
    let mut settings = ApiSettings::default();
    let Some(table) = table else { return settings };
    if let Some(base_url) = table.parsed("base_url", base_url) {
        if base_url.travel == Travel::WithinReach {
            table.faults.push(
                Fault::at(table.key_span("base_url"), "AppSecret and access_token go there unencrypted")
                    .cure("use https://, unless nobody else can listen on the way")
                    .warning(),
            );
        }
        settings.base_url = base_url.text;
    }
    settings.proxy = value::secret(&table, "proxy", folder).filter(|proxy| {
        let is_proxy = is_proxy(proxy.expose());
        if !is_proxy {
            let fault = Fault::at(table.key_span("proxy"), "`proxy` is no address of an HTTP proxy");
            table
                .faults
                .push(fault.cure("write it as \"http://host:port\" or \"http://user:password@host:port\""));
        }
        is_proxy
    });
    for (key, range, wait) in [
        ("timeout", WAIT, &mut settings.timeout),
        ("connect_timeout", WAIT, &mut settings.connect_timeout),
        ("transfer_timeout", LONG_WAIT, &mut settings.transfer_timeout),
        ("retry_for", LONG_WAIT, &mut settings.retry_for),
    ] {
        if let Some(given) = table.parsed(key, |text| duration_within(text, &range)) {
            *wait = given;
        }
    }
    if let Some(token) = table.parsed("token", token_source) {
        settings.token = token;
    }
    table.finish();
    settings
}

fn token_source(name: &str) -> Result<TokenSource, String> {
    match name {
        "stable" => Ok(TokenSource::Stable),
        "classic" => Ok(TokenSource::Classic),
        _ => Err(format!(
            "`{name}` is neither \"stable\" (/cgi-bin/stable_token) nor \"classic\" (/cgi-bin/token)"
        )),
    }
}

/// Where a server is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BaseUrl {
    /// Without a slash at its end.
    pub(super) text: String,
    pub(super) travel: Travel,
}

/// Who could read what is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Travel {
    /// Nobody: it is encrypted, or stays on this machine.
    Safe,
    /// Who is near: it goes through a private network in the clear.
    WithinReach,
    /// Anybody on the way: it goes through the net in the clear.
    Open,
}

fn base_url(text: &str) -> Result<BaseUrl, String> {
    let url = address(text, "https://api.weixin.qq.com")?;
    if url.travel == Travel::Open {
        return Err(format!("`{text}` would send the AppSecret unencrypted through the net; use https://"));
    }
    Ok(url)
}

/// The address of a server, as `example` is one.
pub(super) fn address(text: &str, example: &str) -> Result<BaseUrl, String> {
    let example = format!("write one like \"{example}\"");
    let is_bare = !text.contains(['?', '#', '@']);
    let uri: Uri =
        text.parse().ok().filter(|_| is_bare).ok_or_else(|| format!("this is no address; {example}"))?;
    let (Some(scheme), Some(host)) = (uri.scheme(), uri.host().filter(|host| !host.is_empty())) else {
        return Err(format!("`{text}` is no whole address; {example}"));
    };
    let travel = if *scheme == Scheme::HTTPS {
        Travel::Safe
    } else if *scheme == Scheme::HTTP {
        travel_of(host)
    } else {
        return Err(format!("`{text}` is neither https:// nor http://; {example}"));
    };
    Ok(BaseUrl { text: text.trim_end_matches('/').to_owned(), travel })
}

/// Who could read what goes to this host in the clear.
pub(super) fn travel_of(host: &str) -> Travel {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let (is_here, is_near) = match address.map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(v4)) => (v4.is_loopback(), v4.is_private() || v4.is_link_local()),
        Ok(IpAddr::V6(v6)) => (v6.is_loopback(), v6.is_unique_local() || v6.is_unicast_link_local()),
        Err(_) => (host == "localhost", is_private_name(host)),
    };
    match (is_here, is_near) {
        (true, _) => Travel::Safe,
        (false, true) => Travel::WithinReach,
        (false, false) => Travel::Open,
    }
}

/// Names that the public name service does not have.
fn is_private_name(host: &str) -> bool {
    let endings = [".local", ".internal", ".lan", ".home.arpa", ".localhost"];
    !host.contains('.') || endings.iter().any(|ending| host.ends_with(ending))
}

fn is_proxy(text: &str) -> bool {
    let uri = text.parse::<Uri>();
    uri.is_ok_and(|uri| {
        let is_http = uri.scheme().is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme));
        is_http
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.path() == "/"
            && uri.query().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Thoroughness};
    use super::*;

    /// What a config with these lines below `[api]` comes to, and its faults.
    fn read(lines: &str) -> (Option<ApiSettings>, Vec<String>) {
        let text = format!("[account]\ntoken = \"mytoken\"\n[api]\n{lines}\n");
        let (config, faults) = Config::parse(&text, Path::new("/nowhere"), Thoroughness::Full);
        (config.map(|config| config.api), faults.into_iter().map(|fault| fault.message).collect())
    }

    #[test]
    fn every_key_reaches_the_client() {
        let (settings, faults) = read(
            "base_url = \"https://sh.api.weixin.qq.com/\"\nproxy = \"http://me:hunter2@10.0.0.1:3128\"\n\
             timeout = \"1s\"\nconnect_timeout = \"2s\"\ntransfer_timeout = \"10m\"\nretry_for = \"3s\"\n\
             token = \"classic\"",
        );
        assert_eq!(faults, [] as [String; 0]);
        let settings = settings.unwrap();
        assert_eq!(settings.base_url, "https://sh.api.weixin.qq.com");
        assert_eq!(settings.proxy.as_ref().unwrap().expose(), "http://me:hunter2@10.0.0.1:3128");
        let waits =
            [settings.timeout, settings.connect_timeout, settings.transfer_timeout, settings.retry_for];
        assert_eq!(waits.map(|wait| wait.as_secs()), [1, 2, 600, 3]);
        assert_eq!(settings.token, TokenSource::Classic);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn secrets_leave_this_machine_encrypted() {
        let warning = "AppSecret and access_token go there unencrypted";
        for (url, told) in [
            ("http://127.0.0.1:8080", None),
            ("http://[::1]:8080/wx", None),
            ("http://localhost", None),
            ("https://wx.example.com/prefix", None),
            ("http://10.1.2.3", Some(warning)),
            ("http://wx-proxy:8080", Some(warning)),
            ("http://proxy.internal", Some(warning)),
        ] {
            let (settings, faults) = read(&format!("base_url = \"{url}\""));
            assert_eq!(faults.first().map(String::as_str), told, "{url}");
            assert_eq!(settings.unwrap().base_url, url);
        }
        for url in [
            "http://api.weixin.qq.com",
            "http://8.8.8.8",
            "http://10.example.com",
            "http://127.0.0.1.example",
        ] {
            let (settings, faults) = read(&format!("base_url = \"{url}\""));
            assert!(
                settings.is_none() && faults[0].contains("unencrypted through the net"),
                "{url}: {faults:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_reached_is_a_fault() {
        for (line, told) in [
            ("base_url = \"api.weixin.qq.com\"", "is no whole address"),
            ("base_url = \"https://\"", "this is no address"),
            ("base_url = \"https://me:pw@host\"", "this is no address"),
            ("base_url = \"https://host/?a=b\"", "this is no address"),
            ("base_url = \"ftp://host\"", "is neither https:// nor http://"),
            ("proxy = \"socks5://127.0.0.1:1\"", "no address of an HTTP proxy"),
            ("proxy = \"127.0.0.1\"", "no address of an HTTP proxy"),
            ("proxy = \"http://127.0.0.1/path\"", "no address of an HTTP proxy"),
            ("timeout = \"0s\"", "`0s` is too little; it may be 100ms to 60s"),
            ("retry_for = \"2h\"", "`2h` is too much; it may be 100ms to 3600s"),
            ("token = \"stabel\"", "neither \"stable\""),
            ("hots = \"x\"", "unknown API key `hots`"),
        ] {
            let (settings, faults) = read(line);
            assert!(
                settings.is_none() && faults.len() == 1 && faults[0].contains(told),
                "{line}: {faults:?}"
            );
        }
    }
}

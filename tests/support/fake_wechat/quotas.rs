//! How often a day and a minute each endpoint may be called.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Seen;
use super::tokens::Refusal;

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

/// Calls of a day, as WeChat's page on limits lists them for an official account.
const DAILY: &[(&str, usize)] = &[
    ("/cgi-bin/menu/create", 1000),
    ("/cgi-bin/menu/get", 10_000),
    ("/cgi-bin/menu/delete", 1000),
    ("/cgi-bin/menu/addconditional", 2000),
    ("/cgi-bin/menu/delconditional", 2000),
    ("/cgi-bin/menu/trymatch", 20_000),
    ("/cgi-bin/media/upload", 100_000),
    ("/cgi-bin/media/get", 200_000),
    ("/cgi-bin/message/custom/send", 500_000),
    ("/cgi-bin/message/mass/sendall", 100),
    ("/cgi-bin/message/mass/send", 100),
    ("/cgi-bin/message/template/send", 100_000),
    ("/cgi-bin/qrcode/create", 100_000),
    ("/cgi-bin/user/get", 500),
    ("/cgi-bin/user/info", 5_000_000),
    ("/cgi-bin/user/info/updateremark", 10_000),
    ("/cgi-bin/draft/add", 1000),
    ("/cgi-bin/freepublish/submit", 100),
    ("/cgi-bin/freepublish/delete", 10),
    ("/cgi-bin/ticket/getticket", 1_000_000),
];
/// Where WeChat names no number.
const OTHERWISE: usize = 5000;

#[derive(Debug, Default)]
pub(super) struct Quotas {
    daily: HashMap<String, usize>,
    per_minute: HashMap<String, usize>,
    used: HashMap<String, usize>,
    /// When this minute's calls were.
    recent: HashMap<String, Vec<Duration>>,
    day: u64,
}

impl Quotas {
    pub(super) fn allow_a_day(&mut self, path: &str, calls: usize) {
        self.daily.insert(path.to_owned(), calls);
    }

    pub(super) fn allow_a_minute(&mut self, path: &str, calls: usize) {
        self.per_minute.insert(path.to_owned(), calls);
    }

    /// So many calls of today are gone.
    pub(super) fn use_up(&mut self, path: &str, calls: usize) {
        *self.used.entry(path.to_owned()).or_default() += calls;
    }

    /// Counts a call; what WeChat says if it is one too many.
    pub(super) fn count(&mut self, path: &str, now: Duration) -> Result<(), Refusal> {
        let day = now.as_secs() / DAY.as_secs();
        if day != self.day {
            self.day = day;
            self.used.clear();
        }
        let recent = self.recent.entry(path.to_owned()).or_default();
        recent.retain(|then| *then + MINUTE > now);
        if self.per_minute.get(path).is_some_and(|most| recent.len() >= *most) {
            return Err((45011, "api minute-quota reach limit, must slower, retry next minute"));
        }
        if self.used.get(path).is_some_and(|used| *used >= self.most(path)) {
            return Err((45009, "reach max api daily quota limit"));
        }
        self.recent.entry(path.to_owned()).or_default().push(now);
        self.use_up(path, 1);
        Ok(())
    }

    fn most(&self, path: &str) -> usize {
        let listed = || DAILY.iter().find(|(listed, _)| *listed == path).map(|(_, calls)| *calls);
        self.daily.get(path).copied().or_else(listed).unwrap_or(OTHERWISE)
    }

    /// What a tool for quotas does.
    pub(super) fn answer(&mut self, seen: &Seen) -> Result<Value, Refusal> {
        let done = || json!({"errcode": 0, "errmsg": "ok"});
        Ok(match seen.path.as_str() {
            "/cgi-bin/openapi/quota/get" => {
                let path = path(seen)?;
                let (most, used) = (self.most(&path), self.used.get(&path).copied().unwrap_or(0));
                let mut answer = done();
                answer["quota"] =
                    json!({"daily_limit": most, "used": used, "remain": most.saturating_sub(used)});
                answer["rate_limit"] = json!({"call_count": 1000, "refresh_second": 60});
                answer
            }
            "/cgi-bin/openapi/quota/clear" => {
                self.used.remove(&path(seen)?);
                done()
            }
            _ => {
                self.used.clear();
                done()
            }
        })
    }
}

/// Whether it is one of the calls that show and clear quotas; they are not counted.
pub(super) fn is_tool(path: &str) -> bool {
    path.starts_with("/cgi-bin/clear_quota") || path.starts_with("/cgi-bin/openapi/quota/")
}

fn path(seen: &Seen) -> Result<String, Refusal> {
    let body = seen.json()?;
    let path = body["cgi_path"].as_str().filter(|path| path.starts_with('/') && !path.contains('?'));
    path.map(ToOwned::to_owned).ok_or((76003, "invalid cgi_path"))
}

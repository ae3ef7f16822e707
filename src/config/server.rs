//! `[server]`: how requests are taken, and the limits of both doors.
//!
//! Every limit has a range: a typing error is not to leave the process without bounds, nor to refuse WeChat itself.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::fault::Fault;
use super::table::Table;
use super::value::{duration, size};
use crate::gateway::{Deadlines, ParamLimits, Size, fastcgi};

/// `[server]`.
#[derive(Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// The largest body, bytes. Default 256 KiB.
    pub max_body: usize,
    /// WeChat has its answer by then. Default 4.5 s.
    pub deadline: Duration,
    /// Timestamps further from now are refused; `None` takes any. Default 10 minutes.
    pub clock_skew: Option<Duration>,
    /// The status page: who may see it beside this machine itself. `None` is off.
    pub status: Option<Vec<IpNet>>,
    /// FastCGI connections served at once; `None` is as many as the descriptors allow.
    pub max_connections: Option<u32>,
    /// How much the parameters of a FastCGI request may be.
    pub params: ParamLimits,
    /// How long each wait may take.
    pub deadlines: Deadlines,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            max_body: 256 << 10,
            deadline: Duration::from_millis(4500),
            clock_skew: Some(Duration::from_secs(600)),
            status: None,
            max_connections: None,
            params: ParamLimits::default(),
            deadlines: Deadlines::default(),
        }
    }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The range of `deadline`: WeChat hangs up after 5 s.
const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_millis(4999);
/// The range of `clock_skew`. Below it a request that was under way for a while would be refused.
const CLOCK_SKEW: RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_secs(24 * 3600);
/// The range of waits for a peer.
const WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// The range of waits that may well be long.
const LONG_WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

impl ServerSettings {
    pub(super) fn read(table: Option<Table<'_>>) -> Self {
        let mut settings = Self::default();
        let Some(table) = table else { return settings };
        read_size(&table, "max_body", 64..=16 * MIB, &mut settings.max_body);
        settings.read_times(&table);
        settings.read_status(&table);
        settings.read_limits(&table);
        table.finish();
        settings
    }

    fn read_times(&mut self, table: &Table<'_>) {
        if let Some(deadline) = table.parsed("deadline", |text| {
            duration_within(text, &DEADLINE).map_err(|why| format!("{why}; WeChat hangs up after 5 s"))
        }) {
            self.deadline = deadline;
        }
        if let Some(skew) = table.parsed("clock_skew", |text| match text {
            "off" => Ok(None),
            _ => duration_within(text, &CLOCK_SKEW).map(Some).map_err(|why| format!("{why}, or \"off\"")),
        }) {
            self.clock_skew = skew;
        }
    }

    fn read_status(&mut self, table: &Table<'_>) {
        let is_on = table.flag("status").unwrap_or(false);
        let listed = table.texts("status_allow").unwrap_or_default();
        let mut allowed = Vec::with_capacity(listed.len());
        for text in listed {
            match network(text.value) {
                Ok(network) => allowed.push(network),
                Err(why) => table.faults.push(
                    Fault::at(text.span, format!("`{}` {why}", text.value))
                        .cure("write \"10.0.0.5\", \"192.168.0.0/16\" or \"2001:db8::/32\""),
                ),
            }
        }
        if !is_on && !allowed.is_empty() {
            let fault = Fault::at(table.key_span("status_allow"), "there is no status page to see");
            table.faults.push(fault.cure("switch it on: status = true").warning());
        }
        self.status = is_on.then_some(allowed);
    }

    fn read_limits(&mut self, table: &Table<'_>) {
        self.max_connections = table.integer_within("max_connections", "connections", 1..=65_536);
        // WeChat's own requests and what web servers add come to some thirty parameters and 1 KiB.
        let params = &mut self.params;
        read_size(table, "max_params", 4 * KIB..=MIB, &mut params.size);
        read_size(table, "max_param_value", KIB..=MIB, &mut params.value);
        if let Some(count) = table.integer_within("max_param_count", "parameters", 64..=4096) {
            params.count = usize::try_from(count).unwrap_or(usize::MAX);
        }
        let waits = &mut self.deadlines;
        for (key, range, wait) in [
            ("first_byte_timeout", WAIT, &mut waits.first_byte),
            ("request_timeout", WAIT, &mut waits.request),
            ("answer_timeout", LONG_WAIT, &mut waits.answer),
            ("write_timeout", WAIT, &mut waits.write),
            ("idle_timeout", LONG_WAIT, &mut waits.idle),
            ("linger_timeout", WAIT, &mut waits.linger),
            ("drain_timeout", LONG_WAIT, &mut waits.drain),
        ] {
            if let Some(given) = table.parsed(key, |text| duration_within(text, &range)) {
                *wait = given;
            }
        }
    }

    /// Hands on what holds for the whole process of a FastCGI responder.
    pub fn limit(&self, options: &mut fastcgi::Options) {
        if let Some(max_connections) = self.max_connections {
            options.max_connections = usize::try_from(max_connections).unwrap_or(usize::MAX);
        }
        options.params = self.params;
        options.deadlines = self.deadlines.clone();
    }
}

/// An address, or a network of them. One of IPv4 that is written as IPv6 (`::ffff:10.0.0.0/104`) becomes IPv4, as
/// the addresses do that are looked for in it.
fn network(text: &str) -> Result<IpNet, &'static str> {
    const MAPPED: u8 = 96;
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let given =
        address.or_else(|_| text.parse::<IpNet>()).or(Err("is neither an IP address nor a network"))?;
    match given.addr().to_canonical() {
        canonical if canonical == given.addr() => Ok(given),
        v4 => {
            let prefix = given.prefix_len().checked_sub(MAPPED);
            prefix.and_then(|prefix| IpNet::new(v4, prefix).ok()).ok_or("is wider than all of IPv4")
        }
    }
}

fn read_size(table: &Table<'_>, key: &'static str, range: RangeInclusive<usize>, bytes: &mut usize) {
    let parse = |text: &str| size(text).map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    if let Some(given) = table.parsed(key, |text| within(text, parse, &range, |it| Size(*it).to_string())) {
        *bytes = given;
    }
}

/// A duration in this range.
pub(super) fn duration_within(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    within(text, duration, range, |it| format!("{it:?}"))
}

/// What `parse` makes of `text`, if it lies in `range`.
fn within<T: PartialOrd>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<T, String> {
    let value = parse(text)?;
    if range.contains(&value) {
        return Ok(value);
    }
    let what = if value < *range.start() { "little" } else { "much" };
    Err(format!("`{text}` is too {what}; it may be {} to {}", show(range.start()), show(range.end())))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, Thoroughness};
    use super::*;

    /// What a config with these lines below `[server]` comes to, and its faults.
    fn read(lines: &str) -> (Option<ServerSettings>, Vec<String>) {
        let text = format!("[account]\ntoken = \"mytoken\"\n[server]\n{lines}\n");
        let (config, faults) = Config::parse(&text, Path::new("/nowhere"), Thoroughness::Full);
        (config.map(|config| config.server), faults.into_iter().map(|fault| fault.message).collect())
    }

    #[test]
    fn every_limit_reaches_the_door() {
        let (settings, faults) = read(
            "max_connections = 7\nmax_params = \"8KiB\"\nmax_param_count = 65\nmax_param_value = \"2KiB\"\n\
             first_byte_timeout = \"1s\"\nrequest_timeout = \"2s\"\nanswer_timeout = \"10m\"\n\
             write_timeout = \"3s\"\nidle_timeout = \"1h\"\nlinger_timeout = \"100ms\"\ndrain_timeout = \"9s\"",
        );
        assert_eq!(faults, [] as [String; 0]);
        let mut options = fastcgi::Options::default();
        settings.unwrap().limit(&mut options);
        assert_eq!(options.max_connections, 7);
        assert_eq!(options.params, ParamLimits { size: 8192, count: 65, value: 2048 });
        let secs = Duration::from_secs;
        let deadlines = Deadlines {
            first_byte: secs(1),
            request: secs(2),
            answer: secs(600),
            write: secs(3),
            idle: secs(3600),
            linger: Duration::from_millis(100),
            drain: secs(9),
        };
        assert_eq!(options.deadlines, deadlines);
    }

    #[test]
    fn the_status_page_is_off_unless_switched_on() {
        assert_eq!(read("").0.unwrap().status, None);
        assert_eq!(read("status = false").0.unwrap().status, None);
        assert_eq!(read("status = true").0.unwrap().status, Some(Vec::new()));
        let (settings, faults) =
            read("status = true\nstatus_allow = [\"10.0.0.5\", \"192.168.0.0/16\", \"2001:db8::/32\"]");
        let networks: Vec<_> = settings.unwrap().status.unwrap().iter().map(IpNet::to_string).collect();
        assert_eq!(
            (networks, faults),
            (vec!["10.0.0.5/32".into(), "192.168.0.0/16".into(), "2001:db8::/32".into()], vec![])
        );
        let (settings, faults) = read("status_allow = \"10.0.0.5\"");
        assert!(settings.unwrap().status.is_none() && faults == ["there is no status page to see"]);
        for bad in ["localhost", "10.0.0.5/33", "10.0.0", "::ffff:10.0.0.0/129", ""] {
            let (settings, faults) = read(&format!("status = true\nstatus_allow = [\"{bad}\"]"));
            assert!(settings.is_none() && faults[0].contains("neither an IP address nor a network"), "{bad}");
        }
    }

    #[test]
    fn a_network_of_ipv4_may_be_written_as_ipv6() {
        let listed = |text| read(&format!("status = true\nstatus_allow = \"{text}\""));
        for (text, meant) in [
            ("::ffff:10.0.0.5", "10.0.0.5/32"),
            ("::ffff:10.0.0.5/128", "10.0.0.5/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
        ] {
            let meant: IpNet = meant.parse().unwrap();
            assert_eq!(listed(text).0.unwrap().status, Some(vec![meant]), "{text}");
        }
        let (settings, faults) = listed("::ffff:10.0.0.0/95");
        assert!(settings.is_none() && faults == ["`::ffff:10.0.0.0/95` is wider than all of IPv4"]);
    }

    #[test]
    fn the_clock_may_differ_by_half_a_minute_at_least() {
        assert_eq!(read("clock_skew = \"30s\"").0.unwrap().clock_skew, Some(Duration::from_secs(30)));
        assert_eq!(read("clock_skew = \"24h\"").0.unwrap().clock_skew, Some(Duration::from_secs(86_400)));
        assert_eq!(read("clock_skew = \"off\"").0.unwrap().clock_skew, None);
        assert_eq!(read("deadline = \"100ms\"").0.unwrap().deadline, Duration::from_millis(100));
    }

    #[test]
    fn what_is_not_given_stays_as_it_is() {
        let mut options = fastcgi::Options::default();
        let (connections, deadlines) = (options.max_connections, options.deadlines.clone());
        read("").0.unwrap().limit(&mut options);
        assert_eq!((options.max_connections, options.deadlines), (connections, deadlines));
        assert_eq!(options.params, ParamLimits::default());
    }

    #[test]
    fn a_limit_out_of_its_range_is_a_fault_that_tells_the_range() {
        for (line, told) in [
            ("max_body = \"63\"", "`63` is too little; it may be 64B to 16MiB"),
            ("max_body = \"17MiB\"", "`17MiB` is too much; it may be 64B to 16MiB"),
            ("deadline = \"99ms\"", "`99ms` is too little; it may be 100ms to 4.999s"),
            ("deadline = \"5s\"", "`5s` is too much; it may be 100ms to 4.999s; WeChat hangs up after 5 s"),
            ("clock_skew = \"1ms\"", "`1ms` is too little; it may be 30s to 86400s, or \"off\""),
            ("clock_skew = \"0s\"", "`0s` is too little"),
            ("clock_skew = \"25h\"", "`25h` is too much; it may be 30s to 86400s, or \"off\""),
            ("clock_skew = \"soon\"", "or \"1h\", or \"off\""),
            ("max_params = \"1KiB\"", "`1KiB` is too little; it may be 4KiB to 1MiB"),
            ("max_param_value = \"1GiB\"", "it may be 1KiB to 1MiB"),
            ("max_param_count = 63", "`max_param_count` is a number of parameters, 64 to 4096"),
            ("max_connections = 0", "`max_connections` is a number of connections, 1 to 65536"),
            ("max_connections = \"many\"", "expected a whole number"),
            ("first_byte_timeout = \"0s\"", "`0s` is too little; it may be 100ms to 60s"),
            ("request_timeout = \"61s\"", "`61s` is too much; it may be 100ms to 60s"),
            ("write_timeout = \"soon\"", "`soon` is no duration"),
            ("idle_timeout = \"2h\"", "it may be 100ms to 3600s"),
            ("drain_timeout = \"1ms\"", "it may be 100ms to 3600s"),
        ] {
            let (settings, faults) = read(line);
            assert!(
                settings.is_none() && faults.len() == 1 && faults[0].contains(told),
                "{line}: {faults:?}"
            );
        }
    }
}

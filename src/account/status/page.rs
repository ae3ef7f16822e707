//! How the status page looks: lines for people, and Prometheus's text format 0.0.4.
//!
//! Both are made of the same list of figures. What is free text (the faults) stands in the lines for people only.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::{Display, Write as _};
use std::time::SystemTime;

use super::{About, Format};
use crate::clock::unix_seconds;
use crate::gateway::{Histogram, Status};
use crate::http::Response;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The page in `format`.
pub(super) fn response(format: Format, door: &Status, about: &About) -> Response {
    let response = match format {
        Format::Text => Response::text(200, text(door, about)),
        Format::Prometheus => Response {
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            ..Response::text(200, prometheus(door, about))
        },
    };
    response.with_header("Cache-Control", "no-store")
}

/// A number, or one for each value of a label.
struct Figure {
    /// What people read; php-fpm's words where it has the same.
    words: &'static str,
    /// What Prometheus reads, without `wxcgi_`. What only grows ends in `_total`.
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: Vec<(String, u64)>,
}

impl Figure {
    fn one(words: &'static str, name: &'static str, help: &'static str, value: u64) -> Self {
        Self { words, name, help, label: "", values: vec![(String::new(), value)] }
    }

    fn each<T: Display>(
        words: &'static str,
        (name, label): (&'static str, &'static str),
        help: &'static str,
        values: impl IntoIterator<Item = (T, u64)>,
    ) -> Self {
        let values = values.into_iter().map(|(value, count)| (value.to_string(), count)).collect();
        Self { words, name, help, label, values }
    }
}

fn figures(door: &Status, about: &About) -> Vec<Figure> {
    let (connections, counts) = (&door.connections, &door.counts);
    let waiting = [
        ("idle", connections.idle),
        ("reading", connections.reading),
        ("answering", connections.answering),
        ("writing", connections.writing),
        ("closing", connections.closing),
        ("shed", connections.shed),
    ];
    let waiting = waiting.map(|(state, count)| (state, count as u64));
    let requests = counts.requests.iter().copied();
    let timeouts = counts.timeouts.iter().copied();
    vec![
        Figure::one("accepted conn", "connections_accepted_total", "Connections accepted.", counts.accepted),
        Figure::one("open conn", "connections_open", "Connections served now.", connections.open as u64),
        Figure::one("max open conn", "connections_peak", "The most served at once.", counts.peak as u64),
        Figure::one("conn limit", "connections_limit", "`max_connections`.", connections.most as u64),
        Figure::each(
            "conn",
            ("connections_waiting", "state"),
            "Connections that wait, by what they wait for.",
            waiting,
        ),
        Figure::one(
            "shed conn",
            "connections_shed_total",
            "Connections answered 503, too many.",
            counts.shed,
        ),
        Figure::one(
            "accept pauses",
            "accept_pauses_total",
            "Moments in which nobody could be accepted, most often for want of descriptors.",
            counts.accept_pauses,
        ),
        Figure::one(
            "protocol errors",
            "protocol_errors_total",
            "Connections closed because they broke FastCGI.",
            counts.broken,
        ),
        Figure::each("timeouts", ("timeouts_total", "limit"), "Waits that took too long.", timeouts),
        Figure::one(
            "queue",
            "requests_queued",
            "Requests whose handler has not answered yet.",
            connections.answering as u64,
        ),
        Figure::each("requests", ("requests_total", "status"), "Requests answered.", requests),
        Figure::one(
            "unanswered",
            "requests_unanswered_total",
            "Requests answered in the place of a handler that gave no answer.",
            counts.unanswered,
        ),
        Figure::one(
            "abandoned",
            "requests_abandoned_total",
            "Requests whose web server hung up before the answer.",
            counts.abandoned,
        ),
        Figure::one(
            "config generation",
            "config_generation",
            "Configs taken since the start.",
            about.generation,
        ),
        Figure::one(
            "config faults",
            "config_faults",
            "Faults of the config file; while there are any, the config before goes on.",
            about.faults.len() as u64,
        ),
    ]
}

fn text(door: &Status, about: &About) -> String {
    let mut page = String::with_capacity(2048);
    let mut line = |words: &str, value: &dyn Display| {
        let _ = writeln!(page, "{:<29}{value}", format!("{words}: "));
    };
    line("version", &VERSION);
    line("start time", &time(door.started));
    line("start since", &format_args!("{} s", door.uptime.as_secs()));
    for figure in figures(door, about) {
        for (label, value) in &figure.values {
            line(format!("{} {label}", figure.words).trim_end(), value);
        }
    }
    let times = &door.counts.times;
    line("requests in all", &times.count());
    for (bound, count) in times.cumulative() {
        line(&format!("answered within {bound} ms"), &count);
    }
    line("config taken", &time(about.taken));
    for fault in &about.faults {
        line("config fault", fault);
    }
    match about.log.as_ref().map(|log| &log.last_error) {
        Some(Some((when, error))) => line("last error", &format_args!("{} {error}", time(*when))),
        Some(None) => line("last error", &"none"),
        None => {}
    }
    page
}

fn prometheus(door: &Status, about: &About) -> String {
    let mut page = String::with_capacity(4096);
    let (started, taken) = (unix_seconds(door.started), unix_seconds(about.taken));
    let last_error = about.log.as_ref().and_then(|log| log.last_error.as_ref());
    let last_error = last_error.map(|(when, _)| ("", unix_seconds(*when)));
    let head = [
        Figure::each("", ("info", "version"), "The program.", [(VERSION, 1)]),
        Figure::one("", "start_time_seconds", "When the process began.", started),
        Figure::one("", "config_taken_timestamp_seconds", "When the config was taken.", taken),
        Figure::each(
            "",
            ("last_error_timestamp_seconds", ""),
            "When the log had its last error.",
            last_error,
        ),
    ];
    for figure in head.into_iter().chain(figures(door, about)) {
        let Figure { name, help, label, values, .. } = figure;
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        let _ = write!(page, "# HELP wxcgi_{name} {help}\n# TYPE wxcgi_{name} {kind}\n");
        for (value, count) in values {
            let labels = if label.is_empty() { String::new() } else { format!("{{{label}=\"{value}\"}}") };
            let _ = writeln!(page, "wxcgi_{name}{labels} {count}");
        }
    }
    push_histogram(&mut page, &door.counts.times);
    page
}

fn push_histogram(page: &mut String, times: &Histogram) {
    const NAME: &str = "wxcgi_request_duration_seconds";
    let _ = write!(
        page,
        "# HELP {NAME} From the first byte of a request to its answer; WeChat hangs up after 5.\n\
         # TYPE {NAME} histogram\n"
    );
    for (bound, count) in times.cumulative() {
        let bound = std::time::Duration::from_millis(bound).as_secs_f64();
        let _ = writeln!(page, "{NAME}_bucket{{le=\"{bound}\"}} {count}");
    }
    let (count, sum) = (times.count(), times.sum().as_secs_f64());
    let _ = write!(page, "{NAME}_bucket{{le=\"+Inf\"}} {count}\n{NAME}_sum {sum}\n{NAME}_count {count}\n");
}

/// As the log writes it.
fn time(time: SystemTime) -> impl Display {
    jiff::Timestamp::try_from(time).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::AboutLog;
    use super::*;
    use crate::gateway::{Connections, Counts, Tally};

    fn door() -> Status {
        Status {
            started: UNIX_EPOCH + Duration::from_secs(1_795_251_600),
            uptime: Duration::from_secs(75),
            connections: Connections { open: 6, most: 1024, idle: 2, answering: 3, ..Connections::default() },
            counts: Counts { accepted: 9, peak: 7, shed: 1, ..Counts::default() },
        }
    }

    fn about(last_error: Option<&str>) -> About {
        About {
            generation: 2,
            taken: UNIX_EPOCH + Duration::from_secs(1_795_251_660),
            faults: vec!["wx.toml:3:1: unknown key".to_owned()],
            log: Some(AboutLog {
                last_error: last_error
                    .map(|error| (UNIX_EPOCH + Duration::from_secs(1_795_251_661), error.to_owned())),
            }),
        }
    }

    #[test]
    fn people_read_a_line_for_each_number() {
        let page = text(&door(), &about(Some("config: it is wrong")));
        for line in [
            "start time:                  2026-11-21T09:00:00Z",
            "start since:                 75 s",
            "accepted conn:               9",
            "open conn:                   6",
            "max open conn:               7",
            "conn idle:                   2",
            "queue:                       3",
            "config generation:           2",
            "config fault:                wx.toml:3:1: unknown key",
            "last error:                  2026-11-21T09:01:01Z config: it is wrong",
        ] {
            assert!(page.lines().any(|it| it == line), "no `{line}` in\n{page}");
        }
        assert!(text(&door(), &about(None)).ends_with("last error:                  none\n"));
    }

    #[test]
    fn a_long_label_stands_apart_from_its_number() {
        let mut timeouts = Tally::default();
        for limit in ["first_byte_timeout", "a_limit_with_a_longer_name"] {
            timeouts.add(limit);
        }
        let door = Status { counts: Counts { timeouts, ..Counts::default() }, ..door() };
        let page = text(&door, &about(None));
        assert!(page.contains("\ntimeouts first_byte_timeout: 1\n"), "{page}");
        assert!(page.contains("\ntimeouts a_limit_with_a_longer_name: 1\n"), "{page}");
    }

    #[test]
    fn the_log_is_left_out_for_whom_it_is_not() {
        let about = About { log: None, ..about(Some("of another account")) };
        let (text, prometheus) = (text(&door(), &about), prometheus(&door(), &about));
        assert!(!text.contains("last error") && !text.contains("of another account"), "{text}");
        assert!(!prometheus.contains("\nwxcgi_last_error_timestamp_seconds"), "{prometheus}");
    }

    /// Each sample stands below the one HELP and the one TYPE of its family (prometheus.io, exposition formats).
    #[test]
    fn prometheus_reads_families_each_with_help_and_type() {
        let page = prometheus(&door(), &about(None));
        assert!(page.ends_with('\n') && !page.contains("wx.toml"), "{page}");
        let (mut families, mut current) = (Vec::new(), "");
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                current = rest.split_once(' ').expect("a name and a text").0;
                assert!(!families.contains(&current), "{current} twice");
                families.push(current);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, current);
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            } else {
                let (name, value) = line.rsplit_once(' ').expect("a name and a number");
                assert!(name.starts_with(current), "{line} below {current}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        for sample in [
            "wxcgi_connections_waiting{state=\"answering\"} 3",
            "wxcgi_connections_accepted_total 9",
            "wxcgi_config_faults 1",
            "wxcgi_request_duration_seconds_bucket{le=\"0.001\"} 0",
            "wxcgi_request_duration_seconds_bucket{le=\"+Inf\"} 0",
        ] {
            assert!(page.lines().any(|line| line == sample), "no `{sample}` in\n{page}");
        }
        assert!(!page.contains("\nwxcgi_last_error_timestamp_seconds"), "{page}");
        let page = prometheus(&door(), &about(Some("x")));
        assert!(page.contains("\nwxcgi_last_error_timestamp_seconds 1795251661\n"), "{page}");
    }
}

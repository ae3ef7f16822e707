//! `wxcgi stats`: statistics (数据统计), asked for in as many calls as they take.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz};
use serde_json::{Value, json};

use super::output::{Table, need};
use super::session::Question;
use super::{Failure, Options, Session, print, progress};
use crate::api::endpoint::{Endpoint, Most};
use crate::api::table::{SECTIONS, find};
use crate::spelling::did_you_mean;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "WHAT is WeChat's name with or without its `get`: usersummary (who came and went), usercumulate (how many follow),
upstreammsg (messages of users), interfacesummary (callbacks, failures, times), bizsummary, articleread, …; without it
all are listed. WeChat has figures up to yesterday, after 8:00 in Beijing.
Examples:
  wxcgi stats usersummary
  wxcgi stats interfacesummary --days 30
  wxcgi stats upstreammsg --from 2026-11-01 --to 2026-11-20 --csv messages.csv"
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    /// Which figures
    what: Option<String>,
    /// The first day [default: so many --days before the last]
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// The last day [default: yesterday]
    #[arg(long, value_name = "DATE")]
    to: Option<Date>,
    /// How many days
    #[arg(long, default_value_t = 7, conflicts_with = "from")]
    days: u16,
    /// Write CSV to this file; `-` is stdout
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let Some(what) = &args.what else { return list_all() };
    let row = row_of(what)?;
    let (from, to) = span(args, SystemTime::now())?;
    let session = Session::open(&args.options)?;
    let Some(figures) = fetch(&session, row, from, to)? else { return Ok(()) };
    if let Some(path) = &args.csv {
        let text = Table::of_all(&figures).csv()?;
        if path.as_os_str() == "-" {
            return print(text.as_bytes());
        }
        return std::fs::write(path, text)
            .map_err(|error| Failure::Failed(format!("cannot write `{}`: {error}", path.display())));
    }
    session.show(&json!({"list": figures}), |_| {
        if figures.is_empty() {
            return format!("no figures from {from} to {to}");
        }
        let plots = plots(&figures);
        if plots.is_empty() { Table::of_all(&figures).for_people() } else { plots }
    })
}

fn rows() -> impl Iterator<Item = &'static Endpoint> {
    SECTIONS.iter().flat_map(|section| section.endpoints).filter(|row| row.path.starts_with("/datacube/"))
}

fn name_of(row: &Endpoint) -> &'static str {
    row.path.strip_prefix("/datacube/get").unwrap_or(row.path)
}

fn list_all() -> Result<(), Failure> {
    let mut text = String::new();
    for row in rows() {
        let _ = writeln!(text, "{:22} {}", name_of(row), row.does);
    }
    print(text.as_bytes())
}

fn row_of(what: &str) -> Result<&'static Endpoint, Failure> {
    let name = what.strip_prefix("get").unwrap_or(what);
    find(&format!("/datacube/get{name}")).ok_or_else(|| {
        let near = did_you_mean(name, rows().map(name_of));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Failure::Usage(format!("no figures `{what}`{near} (`wxcgi stats` lists them)"))
    })
}

/// The first and the last day, by Beijing's calendar.
fn span(args: &Args, now: SystemTime) -> Result<(Date, Date), Failure> {
    let wrong = |error: jiff::Error| Failure::Usage(error.to_string());
    let now = Timestamp::try_from(now).map_err(wrong)?;
    let yesterday = tz::offset(8).to_datetime(now).date().yesterday().map_err(wrong)?;
    let to = args.to.unwrap_or(yesterday);
    let from = match args.from {
        Some(from) => from,
        None => to.checked_sub((i64::from(args.days.max(1)) - 1).days()).map_err(wrong)?,
    };
    if to > yesterday {
        return Err(Failure::Usage(format!(
            "WeChat has figures up to yesterday, {yesterday}; {to} is later"
        )));
    }
    if from > to { Err(Failure::Usage(format!("{from} is later than {to}"))) } else { Ok((from, to)) }
}

/// Spans of as many days as one call may have.
fn spans(from: Date, to: Date, days: i64) -> Vec<(Date, Date)> {
    let mut spans = Vec::new();
    let mut begin = from;
    loop {
        let end = begin.saturating_add((days - 1).days()).min(to);
        spans.push((begin, end));
        if end >= to {
            return spans;
        }
        begin = end.saturating_add(1.day());
    }
}

fn fetch(
    session: &Session,
    row: &'static Endpoint,
    from: Date,
    to: Date,
) -> Result<Option<Vec<Value>>, Failure> {
    let days = match row.span.map(|span| span.most) {
        Some(Most::Days(days)) => days,
        _ => 1,
    };
    let spans = spans(from, to, days);
    let bar = progress::of_things(spans.len() as u64, "calls");
    let mut figures = Vec::new();
    for (begin, end) in spans {
        let dates = json!({"begin_date": begin.to_string(), "end_date": end.to_string()});
        if let Some(answer) = session.ask(row, &Question::body(dates))? {
            figures.extend_from_slice(need(&answer, "list", Value::as_array)?);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((!session.is_dry_run()).then_some(figures))
}

/// What tells figures apart, and is no figure itself.
const KEYS: [&str; 8] =
    ["ref_date", "ref_hour", "user_source", "msg_type", "share_scene", "count_interval", "msgid", "title"];

/// A bar chart of each figure, by day (and hour); those of one day are added up.
fn plots(figures: &[Value]) -> String {
    let mut charts: BTreeMap<&str, BTreeMap<String, i64>> = BTreeMap::new();
    for figure in figures.iter().filter_map(Value::as_object) {
        let Some(date) = figure.get("ref_date").and_then(Value::as_str) else { continue };
        let hour = figure.get("ref_hour").and_then(Value::as_i64);
        let when = hour.map_or_else(|| date.to_owned(), |hour| format!("{date} {:02}:00", hour / 100));
        for (name, value) in figure.iter().filter(|(name, _)| !KEYS.contains(&name.as_str())) {
            if let Some(value) = value.as_i64() {
                let sum = charts.entry(name).or_default().entry(when.clone()).or_default();
                *sum = sum.saturating_add(value);
            }
        }
    }
    let charts = charts.iter().map(|(name, bars)| format!("{name}\n{}", chart(bars)));
    charts.collect::<Vec<_>>().join("\n")
}

fn chart(bars: &BTreeMap<String, i64>) -> String {
    const WIDTH: i64 = 40;
    let most = bars.values().map(|value| value.saturating_abs()).max().unwrap_or(0).max(1);
    let digits = bars.values().map(|value| value.to_string().len()).max().unwrap_or(1);
    let mut text = String::new();
    for (when, value) in bars {
        let eighths = usize::try_from(value.saturating_abs().saturating_mul(WIDTH * 8) / most).unwrap_or(0);
        let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        let line = format!("  {when}  {value:>digits$}  {}{rest}", "█".repeat(eighths / 8));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().expect("a date")
    }

    #[test]
    fn a_long_time_is_asked_for_in_pieces_without_gaps() {
        let pieces = spans(date("2026-02-20"), date("2026-03-08"), 7);
        let pieces: Vec<_> = pieces.iter().map(|(from, to)| format!("{from}/{to}")).collect();
        assert_eq!(pieces, ["2026-02-20/2026-02-26", "2026-02-27/2026-03-05", "2026-03-06/2026-03-08"]);
        assert_eq!(spans(date("2026-02-20"), date("2026-02-20"), 1).len(), 1);
    }

    #[test]
    fn days_are_beijings_and_end_yesterday() {
        let args = |from: Option<&str>, to: Option<&str>| Args {
            options: Options { config: None, json: false, dry_run: false, unchecked: false },
            what: None,
            from: from.map(date),
            to: to.map(date),
            days: 7,
            csv: None,
        };
        // 2023-11-15 06:13 in Beijing, still the 14th in London.
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        let of = |from, to| span(&args(from, to), now);
        assert_eq!(of(None, None).unwrap(), (date("2023-11-08"), date("2023-11-14")));
        assert_eq!(
            of(Some("2023-11-01"), Some("2023-11-02")).unwrap(),
            (date("2023-11-01"), date("2023-11-02"))
        );
        assert!(of(None, Some("2023-11-15")).is_err());
        assert!(of(Some("2023-11-03"), Some("2023-11-02")).is_err());
    }

    #[test]
    fn figures_of_one_day_are_added_and_drawn_to_scale() {
        let figures = [
            json!({"ref_date": "2026-11-01", "user_source": 0, "new_user": 3, "cancel_user": 0}),
            json!({"ref_date": "2026-11-01", "user_source": 30, "new_user": 1, "cancel_user": 0}),
            json!({"ref_date": "2026-11-02", "user_source": 0, "new_user": 1, "cancel_user": 0}),
        ];
        let drawn = plots(&figures);
        let expected = format!(
            "cancel_user\n  2026-11-01  0\n  2026-11-02  0\n\nnew_user\n  2026-11-01  4  {}\n  2026-11-02  1  {}\n",
            "█".repeat(40),
            "█".repeat(10)
        );
        assert_eq!(drawn, expected);
    }
}

//! Hours, weekdays and dates in a time zone.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::SystemTime;

use jiff::civil::{Date, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

/// A time zone: a name of the IANA database, of which this program has a copy, or a fixed offset.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Zone {
    name: String,
    found: OnceLock<TimeZone>,
}

impl Zone {
    /// Where most users are.
    pub const DEFAULT: &str = "Asia/Shanghai";

    /// The zone that is called so: `Asia/Shanghai`, `UTC`, `+08:00`.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn parse(name: &str) -> Result<Self, String> {
        let found = time_zone(name).ok_or_else(|| {
            format!("`{name}` is no time zone; write one like \"Asia/Shanghai\", \"UTC\" or \"+08:00\"")
        })?;
        Ok(Self { name: name.to_owned(), found: OnceLock::from(found) })
    }

    /// The time there.
    fn local(&self, now: SystemTime) -> Zoned {
        let zone = self.found.get_or_init(|| time_zone(&self.name).unwrap_or(TimeZone::UTC));
        Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone())
    }

    /// When the day that is on ends there, in Unix seconds.
    pub(super) fn end_of_day(&self, now: SystemTime) -> u64 {
        let tomorrow = self.local(now).date().tomorrow().ok().and_then(|date| self.start_of(date));
        tomorrow.and_then(|start| u64::try_from(start).ok()).unwrap_or(u64::MAX)
    }

    /// When a day begins there, in Unix seconds.
    fn start_of(&self, date: Date) -> Option<i64> {
        let zone = self.found.get_or_init(|| time_zone(&self.name).unwrap_or(TimeZone::UTC));
        date.to_zoned(zone.clone()).ok().map(|start| start.timestamp().as_second())
    }

    /// The Unix seconds of a moment written as `2026-12-31`, `2026-12-31 18:00` or with an offset of its own. A date
    /// alone is when that day begins or, for an `end`, when the next one does.
    ///
    /// # Errors
    ///
    /// If there is no such moment.
    pub fn moment(&self, text: &str, is_end: bool) -> Result<i64, String> {
        let bad =
            || format!("`{text}` is no date or time; write one like \"2026-12-31\" or \"2026-12-31 18:00\"");
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Ok(timestamp.as_second());
        }
        let time: jiff::civil::DateTime = text.parse().map_err(|_| bad())?;
        if text.contains(':') {
            let zone = self.found.get_or_init(|| time_zone(&self.name).unwrap_or(TimeZone::UTC));
            return time.to_zoned(zone.clone()).map(|at| at.timestamp().as_second()).map_err(|_| bad());
        }
        let date = if is_end { time.date().tomorrow().map_err(|_| bad())? } else { time.date() };
        self.start_of(date).ok_or_else(bad)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::from(Self::DEFAULT.to_owned())
    }
}

impl From<String> for Zone {
    fn from(name: String) -> Self {
        Self { name, found: OnceLock::new() }
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

fn time_zone(name: &str) -> Option<TimeZone> {
    let Some(sign) = name.chars().next().filter(|sign| matches!(sign, '+' | '-')) else {
        return TimeZone::get(name).ok();
    };
    let (hours, minutes) = name[1..].split_once(':').unwrap_or((&name[1..], "0"));
    let (hours, minutes): (i32, i32) = (whole(hours)?, whole(minutes)?);
    let seconds = (hours * 60 + minutes) * 60;
    let seconds = if sign == '-' { -seconds } else { seconds };
    (hours <= 14 && minutes < 60).then_some(TimeZone::fixed(Offset::from_seconds(seconds).ok()?))
}

/// A number of one or two digits, and nothing else.
fn whole<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Times at which something holds: within one of the hours, on one of the weekdays and on one of the dates. What is
/// empty does not matter. Hours that go on past midnight belong to the day on which they began.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Calendar {
    /// Whose clock counts.
    pub zone: Zone,
    /// Times of day.
    pub hours: Vec<Hours>,
    /// Days of the week.
    pub weekdays: Vec<Weekdays>,
    /// Days of the year, or of one year.
    pub dates: Vec<Dates>,
}

impl Calendar {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: SystemTime) -> bool {
        let now = self.zone.local(now);
        let (today, minute) = (now.date(), i16::from(now.hour()) * 60 + i16::from(now.minute()));
        if self.hours.is_empty() {
            return self.has_day(today);
        }
        self.hours.iter().any(|hours| match hours.day_of(minute) {
            Some(Day::Today) => self.has_day(today),
            Some(Day::Yesterday) => today.yesterday().is_ok_and(|yesterday| self.has_day(yesterday)),
            None => false,
        })
    }

    /// The time that it looks at, as people read it: `Sat 2026-11-21 20:46 in Asia/Shanghai`.
    pub(super) fn shown(&self, now: SystemTime) -> String {
        format!("{} in {}", self.zone.local(now).strftime("%a %Y-%m-%d %H:%M"), self.zone.name)
    }

    fn has_day(&self, date: Date) -> bool {
        let weekday = date.weekday().to_monday_zero_offset();
        (self.weekdays.is_empty() || self.weekdays.iter().any(|days| days.contains(weekday)))
            && (self.dates.is_empty() || self.dates.iter().any(|dates| dates.contains(date)))
    }
}

/// On which day hours began that hold now.
#[derive(Debug, PartialEq, Eq)]
enum Day {
    Today,
    Yesterday,
}

/// From a time of day up to another, in minutes since midnight; if the second is the lesser, on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    from: i16,
    to: i16,
}

impl FromStr for Hours {
    type Err = String;

    /// `9:00-18:00`; `22:00-6:00` goes on past midnight.
    fn from_str(text: &str) -> Result<Self, String> {
        let minutes = |time: &str| {
            let (hours, minutes) = time.trim().split_once(':')?;
            let (hours, minutes): (i16, i16) = (whole(hours)?, whole(minutes)?);
            let all = hours * 60 + minutes;
            (minutes < 60 && all <= 24 * 60).then_some(all)
        };
        text.split_once('-')
            .and_then(|(from, to)| Some(Self { from: minutes(from)?, to: minutes(to)? }))
            .filter(|hours| hours.from != hours.to && hours.from < 24 * 60)
            .ok_or_else(|| {
                format!("`{text}` is no span of hours; write one like \"9:00-18:00\" or \"22:00-6:00\"")
            })
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{}:{:02}-{}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl Hours {
    fn day_of(self, minute: i16) -> Option<Day> {
        let Self { from, to } = self;
        if minute >= from && (minute < to || to < from) {
            return Some(Day::Today);
        }
        (to < from && minute < to).then_some(Day::Yesterday)
    }
}

/// From a day of the week to another, both included, counted from Monday as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weekdays {
    from: i8,
    to: i8,
}

/// How weekdays are written: as in English, short or long, or in Chinese.
const WEEKDAYS: [[&str; 4]; 7] = [
    ["mon", "monday", "周一", "星期一"],
    ["tue", "tuesday", "周二", "星期二"],
    ["wed", "wednesday", "周三", "星期三"],
    ["thu", "thursday", "周四", "星期四"],
    ["fri", "friday", "周五", "星期五"],
    ["sat", "saturday", "周六", "星期六"],
    ["sun", "sunday", "周日", "星期日"],
];

impl FromStr for Weekdays {
    type Err = String;

    /// `mon`, `mon-fri`, `周六-周日`; `sat-mon` goes on into the next week.
    fn from_str(text: &str) -> Result<Self, String> {
        let weekday = |name: &str| {
            let name = name.trim().to_lowercase();
            let place = WEEKDAYS.iter().position(|names| names.contains(&name.as_str()));
            place.and_then(|place| i8::try_from(place).ok())
        };
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        weekday(from)
            .zip(weekday(to))
            .map(|(from, to)| Self { from, to })
            .ok_or_else(|| format!("`{text}` is no weekday; write one like \"mon\", \"mon-fri\" or \"周六\""))
    }
}

impl fmt::Display for Weekdays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |day: i8| {
            usize::try_from(day).ok().and_then(|day| WEEKDAYS.get(day)).map_or("", |names| names[0])
        };
        write!(f, "{}-{}", name(self.from), name(self.to))
    }
}

impl Weekdays {
    fn contains(self, weekday: i8) -> bool {
        debug_assert!(Weekday::from_monday_zero_offset(weekday).is_ok());
        within(self.from, self.to, weekday)
    }
}

/// From a day to another, both included: of one year, or of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dates {
    /// Year, month and day as one number: 20261001.
    Once(i32, i32),
    /// Month and day as one number, 1001; if the second is the lesser, into the next year.
    Yearly(i32, i32),
}

impl FromStr for Dates {
    type Err = String;

    /// `2026-10-01`, `2026-10-01..2026-10-07`; without a year they are those of each: `12-25`, `12-30..01-02`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let impossible = |day: &str| {
            format!(
                "`{}` is no day; write one like \"2026-10-01\", \"12-25\" or \"10-01..10-07\"",
                day.trim()
            )
        };
        let number = |day: &str| day_number(day.trim()).ok_or_else(|| impossible(day));
        match (number(from)?, number(to)?) {
            (Self::Once(from, _), Self::Once(to, _)) if from <= to => Ok(Self::Once(from, to)),
            (Self::Yearly(from, _), Self::Yearly(to, _)) => Ok(Self::Yearly(from, to)),
            (Self::Once(..), Self::Once(..)) => Err(format!("`{text}` ends before it begins")),
            _ => Err(format!("`{text}`: write both days with the year, or both without")),
        }
    }
}

impl fmt::Display for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |number: &i32| format!("{:02}-{:02}", number / 100 % 100, number % 100);
        match self {
            Self::Once(from, to) => {
                write!(f, "{}-{}..{}-{}", from / 10_000, day(from), to / 10_000, day(to))
            }
            Self::Yearly(from, to) => write!(f, "{}..{}", day(from), day(to)),
        }
    }
}

impl Dates {
    fn contains(self, date: Date) -> bool {
        let day = i32::from(date.month()) * 100 + i32::from(date.day());
        match self {
            Self::Once(from, to) => (from..=to).contains(&(i32::from(date.year()) * 10_000 + day)),
            Self::Yearly(from, to) => within(from, to, day),
        }
    }
}

fn day_number(day: &str) -> Option<Dates> {
    let parts: Vec<&str> = day.split('-').collect();
    let (year, month, day) = match parts.as_slice() {
        [year, month, day] if year.len() == 4 => (Some(year.parse().ok()?), whole(month)?, whole(day)?),
        [month, day] => (None, whole(month)?, whole(day)?),
        _ => return None,
    };
    // Each year has the days of a leap year, some less.
    Date::new(year.unwrap_or(2024), month, day).ok()?;
    let number = i32::from(month) * 100 + i32::from(day);
    Some(match year {
        Some(year) => Dates::Once(i32::from(year) * 10_000 + number, 0),
        None => Dates::Yearly(number, 0),
    })
}

/// Whether `it` lies between two others, both included, going round if the second is the lesser.
fn within<N: PartialOrd + Copy>(from: N, to: N, it: N) -> bool {
    if from <= to { from <= it && it <= to } else { from <= it || it <= to }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> SystemTime {
        time.parse::<Timestamp>().unwrap().into()
    }

    fn calendar(hours: &[&str], weekdays: &[&str], dates: &[&str]) -> Calendar {
        Calendar {
            zone: Zone::default(),
            hours: hours.iter().map(|text| text.parse().unwrap()).collect(),
            weekdays: weekdays.iter().map(|text| text.parse().unwrap()).collect(),
            dates: dates.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn hours_begin_with_their_first_minute_and_end_before_their_last() {
        let day = calendar(&["9:00-18:00", "20:30-21:00"], &[], &[]);
        for (time, holds) in [
            ("08:59:59", false),
            ("09:00:00", true),
            ("17:59:59", true),
            ("18:00:00", false),
            ("20:45:00", true),
        ] {
            assert_eq!(day.holds(at(&format!("2026-11-21T{time}+08:00"))), holds, "{time}");
        }
        assert!(calendar(&["0:00-24:00"], &[], &[]).holds(at("2026-11-21T23:59:59+08:00")));
    }

    #[test]
    fn hours_past_midnight_belong_to_the_day_on_which_they_began() {
        let friday_night = calendar(&["22:00-06:00"], &["fri"], &[]);
        // The 20th of November 2026 is a Friday.
        for (time, holds) in [
            ("2026-11-20T05:00:00+08:00", false),
            ("2026-11-20T22:00:00+08:00", true),
            ("2026-11-21T05:59:00+08:00", true),
            ("2026-11-21T06:00:00+08:00", false),
            ("2026-11-21T23:00:00+08:00", false),
        ] {
            assert_eq!(friday_night.holds(at(time)), holds, "{time}");
        }
    }

    #[test]
    fn weekdays_and_dates_go_round() {
        for (weekdays, dates, time, holds) in [
            (&["sat-mon"] as &[_], &[] as &[_], "2026-11-23T12:00:00+08:00", true),
            (&["sat-mon"], &[], "2026-11-24T12:00:00+08:00", false),
            (&["周六", "Sunday"], &[], "2026-11-22T12:00:00+08:00", true),
            (&[], &["12-30..01-02"], "2027-01-02T23:59:00+08:00", true),
            (&[], &["12-30..01-02"], "2027-01-03T00:00:00+08:00", false),
            (&[], &["2026-10-01..2026-10-07"], "2026-10-07T23:59:00+08:00", true),
            (&[], &["2026-10-01..2026-10-07"], "2027-10-07T12:00:00+08:00", false),
            (&[], &["02-29"], "2028-02-29T12:00:00+08:00", true),
            (&["mon"], &["11-24"], "2026-11-24T12:00:00+08:00", false),
        ] {
            assert_eq!(
                calendar(&[], weekdays, dates).holds(at(time)),
                holds,
                "{weekdays:?} {dates:?} {time}"
            );
        }
    }

    #[test]
    fn the_zone_says_what_time_it_is() {
        // Half past seven in the morning in China, summer time in Berlin.
        let now = at("2026-07-01T23:30:00Z");
        for (zone, hour) in [
            ("Asia/Shanghai", "7:30"),
            ("UTC", "23:30"),
            ("+05:30", "5:00"),
            ("-3", "20:30"),
            ("Europe/Berlin", "1:30"),
        ] {
            let (hours, minutes) = hour.split_once(':').unwrap();
            let end = format!("{hours}:{}", minutes.parse::<u8>().unwrap() + 1);
            let mut calendar = calendar(&[&format!("{hour}-{end}")], &[], &[]);
            calendar.zone = Zone::parse(zone).unwrap();
            assert!(calendar.holds(now), "{zone}");
        }
        for bad in ["", "Shanghai", "+8h", "+15:00", "+08:60", "++1", "+"] {
            assert!(Zone::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_moment_is_a_date_or_a_time() {
        let zone = Zone::default();
        for (text, is_end, expected) in [
            ("2026-12-31", false, "2026-12-31T00:00:00+08:00"),
            ("2026-12-31", true, "2027-01-01T00:00:00+08:00"),
            ("2026-12-31 18:00", true, "2026-12-31T18:00:00+08:00"),
            ("2026-12-31T18:00:00Z", true, "2026-12-31T18:00:00Z"),
        ] {
            let expected = expected.parse::<Timestamp>().unwrap().as_second();
            assert_eq!(zone.moment(text, is_end), Ok(expected), "{text}");
        }
        for bad in ["2026-02-30", "tomorrow", "2026-12-31 25:00", "12-31"] {
            assert!(zone.moment(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in [
            "9-18",
            "9:00",
            "9:60-10:00",
            "25:00-26:00",
            "9:00-9:00",
            "24:00-1:00",
            "-1:00-2:00",
            "+9:00-10:00",
        ] {
            assert!(bad.parse::<Hours>().is_err(), "{bad}");
        }
        for bad in ["", "mo", "mon-", "mon-fri-sat"] {
            assert!(bad.parse::<Weekdays>().is_err(), "{bad}");
        }
        for bad in [
            "2026-02-29",
            "02-30",
            "13-01",
            "2026-10-07..2026-10-01",
            "2026-10-01..10-07",
            "10-01-",
            "26-1-1",
        ] {
            assert!(bad.parse::<Dates>().is_err(), "{bad}");
        }
    }
}

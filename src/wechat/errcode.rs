//! What WeChat's API answers when it does not do what was asked: `errcode`, and what to do about it.
//!
//! WeChat says so with HTTP 200 and `{"errcode":40013,"errmsg":"invalid appid rid: …"}`; an answer without `errcode` is
//! a success. `errmsg` changes its wording: only the number decides. Pure: no I/O, no clock.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html>

use serde_json::Value;

/// A line a code; looked at only when something went wrong.
const TABLE: &str = include_str!("errcode.txt");

/// What a program does about an `errcode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// WeChat is busy: the same again, later and later, if doing it twice does no harm.
    Retry,
    /// The access_token is not valid any more: the same again once, with a new one. From the calls that hand out
    /// access_tokens it means a wrong AppSecret instead.
    Token,
    /// Too much at once: not before the next minute.
    Rate,
    /// The limit of the day (of Beijing) or of the month is reached.
    Quota,
    /// The operator has to change something; until then it will not work.
    Config,
    /// The account's administrator is being asked for consent.
    Admin,
    /// It does not work with this user, or not now.
    User,
    /// The request is wrong.
    Permanent,
    /// What was named does not exist: to delete it is done.
    Gone,
    /// It was done before.
    Done,
}

impl Class {
    /// The class of an `errcode`. What is not known will not get better by repeating.
    #[must_use]
    pub fn of(errcode: i64) -> Self {
        Meaning::of(errcode).map_or(Self::Permanent, |meaning| meaning.class)
    }

    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "retry" => Self::Retry,
            "token" => Self::Token,
            "rate" => Self::Rate,
            "quota" => Self::Quota,
            "config" => Self::Config,
            "admin" => Self::Admin,
            "user" => Self::User,
            "permanent" => Self::Permanent,
            "gone" => Self::Gone,
            "done" => Self::Done,
            _ => return None,
        })
    }

    /// What a person can do about it, as far as the class tells.
    #[must_use]
    pub fn cure(self) -> Option<&'static str> {
        match self {
            Self::Retry => Some("try again later"),
            Self::Token => Some("see whether another program fetches access_tokens for the same account"),
            Self::Rate => Some("try again in a minute or two"),
            Self::Quota => Some("wait until midnight in Beijing; `wxcgi quota` shows what is left"),
            Self::Config => Some("see to it in WeChat's console"),
            Self::Admin => Some("ask the administrator to confirm it on the phone, then try again"),
            Self::User | Self::Permanent | Self::Gone | Self::Done => None,
        }
    }
}

/// What is known of an `errcode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// What a program does about it.
    pub class: Class,
    /// What it means, in words.
    pub sentence: &'static str,
    /// What a person can do about it.
    pub cure: Option<&'static str>,
}

impl Meaning {
    /// Looks an `errcode` up.
    ///
    /// # Example
    ///
    /// ```
    /// # use wxcgi::wechat::errcode::{Class, Meaning};
    /// let meaning = Meaning::of(40164).unwrap();
    /// assert_eq!(meaning.class, Class::Config);
    /// assert!(meaning.sentence.contains("IP白名单"));
    /// ```
    #[must_use]
    pub fn of(errcode: i64) -> Option<Self> {
        lines().find(|(code, _)| *code == errcode).map(|(_, meaning)| meaning)
    }
}

/// All codes that are known.
fn lines() -> impl Iterator<Item = (i64, Meaning)> {
    TABLE.lines().filter_map(read_line)
}

fn read_line(line: &'static str) -> Option<(i64, Meaning)> {
    let (code, line) = line.split_once(' ')?;
    let (class, line) = line.split_once(' ')?;
    let (sentence, cure) = line.split_once(" | ").map_or((line, None), |(left, right)| (left, Some(right)));
    let class = Class::parse(class)?;
    Some((code.parse().ok()?, Meaning { class, sentence, cure: cure.or(class.cure()) }))
}

/// What an answer says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// All went well.
    Success,
    /// WeChat did not do what was asked.
    Refused {
        /// WeChat's number.
        errcode: i64,
        /// WeChat's words.
        errmsg: &'a str,
    },
    /// It is none of WeChat's answers: no object, or one with an `errcode` that is no whole number.
    Foreign,
}

/// What an answer says of itself. WeChat sometimes writes the number as a text.
///
/// # Example
///
/// ```
/// # use wxcgi::wechat::errcode::{Verdict, verdict};
/// # use serde_json::json;
/// assert_eq!(verdict(&json!({"errcode": 0, "errmsg": "ok"})), Verdict::Success);
/// let refused = Verdict::Refused { errcode: 40013, errmsg: "no" };
/// assert_eq!(verdict(&json!({"errcode": "40013", "errmsg": "no"})), refused);
/// assert_eq!(verdict(&json!({"errcode": "none"})), Verdict::Foreign);
/// ```
#[must_use]
pub fn verdict(answer: &Value) -> Verdict<'_> {
    let Some(object) = answer.as_object() else { return Verdict::Foreign };
    let errcode = match object.get("errcode") {
        None => Some(0),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(digits)) => digits.trim().parse().ok(),
        Some(_) => None,
    };
    match errcode {
        Some(0) => Verdict::Success,
        Some(errcode) => {
            let errmsg = object.get("errmsg").and_then(Value::as_str).unwrap_or_default();
            Verdict::Refused { errcode, errmsg }
        }
        None => Verdict::Foreign,
    }
}

/// The number under which WeChat can be asked about a call: it ends the `errmsg`, and lives for 7 days.
#[must_use]
pub fn rid(errmsg: &str) -> Option<&str> {
    let (_, rid) = errmsg.rsplit_once("rid: ")?;
    let end = rid.find(|letter: char| !letter.is_ascii_hexdigit() && letter != '-').unwrap_or(rid.len());
    Some(&rid[..end]).filter(|rid| !rid.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_line_of_the_table_is_read_and_no_code_stands_there_twice() {
        let written = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        let mut codes: Vec<i64> = lines().map(|(code, _)| code).collect();
        assert!(written > 300 && codes.len() == written, "{written} lines, {} read", codes.len());
        assert!(codes.is_sorted());
        codes.dedup();
        assert_eq!(codes.len(), written);
    }

    #[test]
    fn codes_have_the_class_that_says_what_to_do() {
        for (class, codes) in [
            (Class::Retry, &[-1, 45061, 45085, 61450, 268_487_001, 268_487_002, 268_488_001][..]),
            (Class::Token, &[40001, 40014, 42001, 48012]),
            (Class::Rate, &[45011, 42010, 45066]),
            (Class::Quota, &[45009, 45028, 48006, 43100, 45101, 45104, 65305]),
            (Class::Admin, &[89501, 89502, 89503, 89504, 89505]),
            (Class::User, &[40003, 43004, 43005, 43019, 43101, 45015, 45047, 45059, 46004, 48002, 49003]),
            (Class::User, &[50001, 50002, 50003, 50005, 65302, 65315]),
            (Class::Config, &[40013, 40125, 40164, 40243, 43104, 43106, 45035, 45062, 45064, 45087, 45094]),
            (Class::Config, &[45501, 48001, 48003, 48004, 48008, 48015, 48021, 48022, 50004, 50007, 53504]),
            (Class::Config, &[53505, 61004, 61007, 61016, 61023, 65306, 65309, 65319, 65400, 88000, 89506]),
            (Class::Config, &[89507, 200_011]),
            (Class::Done, &[45065, 43116, 88005]),
            (Class::Gone, &[40007, 46003, 65301, 88001, 88008, 53600]),
            (Class::Permanent, &[41001, 47001, 45002, 1_234_567]),
        ] {
            for code in codes {
                assert_eq!(Class::of(*code), class, "{code}");
            }
        }
    }

    #[test]
    fn an_answer_without_a_code_is_a_success() {
        for success in [json!({"access_token": "x"}), json!({"errcode": 0}), json!({"errcode": " 0 "})] {
            assert_eq!(verdict(&success), Verdict::Success, "{success}");
        }
        let refused = |errcode, errmsg| Verdict::Refused { errcode, errmsg };
        assert_eq!(verdict(&json!({"errcode": -1, "errmsg": 7})), refused(-1, ""));
        assert_eq!(verdict(&json!({"errcode": "45009", "errmsg": "m"})), refused(45009, "m"));
    }

    #[test]
    fn an_answer_that_wechat_does_not_give_is_no_success() {
        for answer in [
            json!({"errcode": "abc"}),
            json!({"errcode": ""}),
            json!({"errcode": 40001.0}),
            json!({"errcode": 0.0}),
            json!({"errcode": u64::MAX}),
            json!({"errcode": null}),
            json!({"errcode": true}),
            json!({"errcode": [0]}),
            json!([]),
            json!(0),
            json!("ok"),
            json!(null),
        ] {
            assert_eq!(verdict(&answer), Verdict::Foreign, "{answer}");
        }
    }

    #[test]
    fn the_rid_is_found_wherever_a_message_has_one() {
        assert_eq!(rid("invalid appid rid: 61725984-6126f6f9-040f19c4"), Some("61725984-6126f6f9-040f19c4"));
        assert_eq!(rid("no rid: 6-1, sorry"), Some("6-1"));
        assert_eq!(rid("invalid appid hint: [x]"), None);
        assert_eq!(rid("rid: "), None);
    }
}

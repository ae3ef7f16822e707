//! Text that must not be seen: passwords, tokens, keys.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::files::read_file;

/// A secret text that prints as `***`, so that no log line, error or `{:?}` can give it away.
///
/// Only [`Secret::expose`] shows it; whoever searches for that word finds every place where it leaves our hands.
/// It deliberately cannot be serialised.
///
/// # Example
///
/// ```
/// # use wxcgi::secret::Secret;
/// let app_secret = Secret::new("hunter2");
/// assert_eq!(format!("{app_secret} {app_secret:?}"), "*** ***");
/// assert_eq!(app_secret.expose(), "hunter2");
/// ```
///
/// Two of them cannot be compared: `==` takes the longer the more is right. What a peer sends is proved by a digest,
/// see [`verify_signature`](crate::wechat::signature::verify_signature).
///
/// ```compile_fail,E0369
/// # use wxcgi::secret::Secret;
/// assert!(Secret::new("hunter2") == Secret::new("hunter2"));
/// ```
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Keep it out of logs, file names, cache keys and error messages.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret stands that is needed now and then: looked up when it is, so that it is written nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretSource {
    /// In the config itself.
    Literal(String),
    /// In the environment variable of this name.
    Env(String),
    /// In this file, alone.
    File(PathBuf),
}

/// A file with one secret is no larger than this, bytes.
pub(crate) const MAX_SECRET: u64 = 64 << 10;

impl SecretSource {
    /// The secret.
    ///
    /// # Errors
    ///
    /// In words for the log, if it is not there.
    pub fn resolve(&self) -> Result<Secret, String> {
        match self {
            Self::Literal(text) => Ok(Secret::new(text.clone())),
            Self::Env(name) => std::env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .map(Secret::new)
                .ok_or_else(|| format!("the environment variable `{name}` is not set")),
            Self::File(path) => {
                let shown = path.display();
                let (bytes, _) = read_file(path, MAX_SECRET)
                    .map_err(|error| format!("cannot read the secret in `{shown}`: {error}"))?;
                let text =
                    String::from_utf8(bytes).map_err(|_| format!("the secret in `{shown}` is not UTF-8"))?;
                let secret = text.trim_end_matches(['\r', '\n']);
                if secret.is_empty() {
                    return Err(format!("the secret file `{shown}` is empty"));
                }
                Ok(Secret::new(secret))
            }
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("***"),
            Self::Env(name) => write!(f, "Env({name:?})"),
            Self::File(path) => write!(f, "File({path:?})"),
        }
    }
}

/// `text` with `***` in place of each of `secrets`, and of what one begins with: who repeats it may have cut it.
///
/// # Example
///
/// ```
/// # use wxcgi::secret::hide;
/// assert_eq!(hide("no route for ?secret=0123456789abc&a=b", ["0123456789abcdef"]), "no route for ?secret=***&a=b");
/// ```
pub fn hide<'s>(text: &str, secrets: impl IntoIterator<Item = &'s str>) -> String {
    secrets.into_iter().fold(text.to_owned(), |text, secret| hide_one(&text, secret))
}

fn hide_one(text: &str, secret: &str) -> String {
    /// With so many bytes it is the secret's beginning, and no word that happens to be like it.
    const TELLING: usize = 8;
    let end = (TELLING..=secret.len()).find(|end| secret.is_char_boundary(*end));
    let Some(head) = end.and_then(|end| secret.get(..end)) else { return text.to_owned() };
    let (mut hidden, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(head) {
        hidden.push_str(&rest[..at]);
        hidden.push_str("***");
        let same = rest[at..].chars().zip(secret.chars()).take_while(|(found, letter)| found == letter);
        rest = &rest[at + same.map(|(letter, _)| letter.len_utf8()).sum::<usize>()..];
    }
    hidden + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_cut_secrets_are_hidden_and_nothing_else() {
        let hidden = |text| hide(text, ["0123456789abcdef", "猫猫x-secret", "密码密码", "short", ""]);
        for (text, expected) in [
            ("", ""),
            ("0123456789abcdef", "***"),
            ("a0123456789abcdef0123456789abcdefz", "a******z"),
            ("\"0123456789\" is cut", "\"***\" is cut"),
            ("0123456 short", "0123456 short"),
            ("猫猫x-secret猫", "***猫"),
            ("用密码密码进", "用***进"),
        ] {
            assert_eq!(hidden(text), expected, "{text}");
        }
    }

    #[test]
    fn a_secret_inside_another_value_stays_hidden() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(***)");
        assert_eq!(format!("{:#?}", [Secret::new("hunter2")]), "[\n    ***,\n]");
    }

    #[test]
    fn a_secret_is_looked_up_where_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let file = |content: &[u8]| {
            std::fs::write(folder.path().join("key"), content).unwrap();
            let found = SecretSource::File(folder.path().join("key")).resolve();
            found
                .map(|secret| secret.expose().to_owned())
                .map_err(|why| why.replace(folder.path().to_str().unwrap(), ""))
        };
        assert_eq!(file(b" hunter2\r\n"), Ok(" hunter2".to_owned()));
        assert_eq!(file(b"\n"), Err("the secret file `/key` is empty".to_owned()));
        assert_eq!(file(b"\xff"), Err("the secret in `/key` is not UTF-8".to_owned()));
        assert_eq!(SecretSource::Literal("a".into()).resolve().unwrap().expose(), "a");
        assert!(!SecretSource::Env("PATH".into()).resolve().unwrap().expose().is_empty());
        let missing = SecretSource::Env("WXCGI_NO_SUCH".into()).resolve().unwrap_err();
        assert_eq!(missing, "the environment variable `WXCGI_NO_SUCH` is not set");
        let shown =
            format!("{:?}", [SecretSource::Literal("hunter2".into()), SecretSource::Env("KEY".into())]);
        assert_eq!(shown, "[***, Env(\"KEY\")]");
    }

    #[test]
    fn the_length_of_a_secret_is_hidden_too() {
        assert_eq!(format!("{:>12}|{}", Secret::new("a"), Secret::default()), "***|***");
    }
}

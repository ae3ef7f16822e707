//! Text that must not be seen: passwords, tokens, keys.

use std::fmt;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_inside_another_value_stays_hidden() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(***)");
        assert_eq!(format!("{:#?}", [Secret::new("hunter2")]), "[\n    ***,\n]");
    }

    #[test]
    fn the_length_of_a_secret_is_hidden_too() {
        assert_eq!(format!("{:>12}|{}", Secret::new("a"), Secret::default()), "***|***");
    }
}

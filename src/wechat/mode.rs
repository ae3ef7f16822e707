//! How the bodies of an account's callbacks travel (消息加解密方式).
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Message_Management/Message_encryption_and_decryption_instructions.html>

use std::fmt;

/// How one callback came. The later ones protect more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// 明文模式: an open body, which nothing protects from being changed on the way.
    Plaintext,
    /// 兼容模式: the same message twice, open and sealed; the answer may be either.
    Compatible,
    /// 安全模式: a sealed body only, and a sealed answer. `success` is sent as it is in every mode.
    Secure,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext => "plaintext mode (明文模式)",
            Self::Compatible => "compatible mode (兼容模式)",
            Self::Secure => "secure mode (安全模式)",
        })
    }
}

/// `account.mode`: the weakest mode that an account takes.
///
/// The callback itself says how it comes, and its word alone is not enough: who captured one signed query could send
/// any open body with it. So the operator says what is too weak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AcceptedMode {
    /// Whatever comes: good while the console is being switched over.
    #[default]
    Any,
    /// Nothing is weaker, so this is the same as [`AcceptedMode::Any`], said on purpose.
    Plaintext,
    /// Sealed messages, with or without an open copy.
    Compatible,
    /// Sealed messages without an open copy.
    Secure,
}

impl AcceptedMode {
    /// Reads the word of a config.
    ///
    /// # Errors
    ///
    /// If there is no such mode: a sentence with those that there are.
    pub fn parse(word: &str) -> Result<Self, String> {
        Ok(match word {
            "any" => Self::Any,
            "plaintext" => Self::Plaintext,
            "compatible" => Self::Compatible,
            "secure" => Self::Secure,
            _ => return Err(format!("no mode `{word}`; there are any, plaintext, compatible, secure")),
        })
    }

    /// Whether a callback that came like this is strong enough.
    #[must_use]
    pub fn takes(self, found: Mode) -> bool {
        let weakest = match self {
            Self::Any | Self::Plaintext => Mode::Plaintext,
            Self::Compatible => Mode::Compatible,
            Self::Secure => Mode::Secure,
        };
        found >= weakest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_refuses_what_is_weaker_than_its_mode() {
        let modes = [Mode::Plaintext, Mode::Compatible, Mode::Secure];
        for (word, taken) in [
            ("any", [true, true, true]),
            ("plaintext", [true, true, true]),
            ("compatible", [false, true, true]),
            ("secure", [false, false, true]),
        ] {
            let accepted = AcceptedMode::parse(word).unwrap();
            assert_eq!(modes.map(|mode| accepted.takes(mode)), taken, "{word}");
        }
        assert!(AcceptedMode::parse("Secure").is_err());
    }
}

//! How the bodies of an account's callbacks travel (消息加解密方式).
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Message_Management/Message_encryption_and_decryption_instructions.html>

/// The mode that the operator chose in WeChat's console, and so what we accept.
///
/// A callback says by `encrypt_type=aes` that its body is sealed. The callback's word alone is not enough: who
/// captured one signed query could send any plain body with it, and so [`Mode::Secure`] refuses plain ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// 明文模式: plain bodies, which nothing protects from being changed on the way.
    #[default]
    Plaintext,
    /// 兼容模式: each body has the plain fields and the sealed ones; the answer may be either.
    Compatible,
    /// 安全模式: sealed bodies only, and sealed answers. `success` is sent as it is in every mode.
    Secure,
}

impl Mode {
    /// Whether a body without an envelope is accepted.
    #[must_use]
    pub fn accepts_plaintext(self) -> bool {
        self != Self::Secure
    }

    /// Whether a body with an envelope can come, so that an `EncodingAESKey` is needed.
    #[must_use]
    pub fn needs_key(self) -> bool {
        self != Self::Plaintext
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secure_mode_refuses_plain_bodies_and_only_the_plain_one_needs_no_key() {
        let rules =
            [Mode::Plaintext, Mode::Compatible, Mode::Secure].map(|m| (m.accepts_plaintext(), m.needs_key()));
        assert_eq!(rules, [(true, false), (true, true), (false, true)]);
    }
}

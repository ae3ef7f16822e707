//! Kinds of accounts, and who of them may call an endpoint.

use std::fmt;

/// A kind of account, as WeChat's lists of permissions (接口权限说明) tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// 公众号 (the former 订阅号), not verified; a personal one can never be verified.
    Subscription,
    /// 公众号, verified (已认证).
    VerifiedSubscription,
    /// 服务号, not verified.
    Service,
    /// 服务号, verified.
    VerifiedService,
    /// 测试号
    Test,
}

impl AccountKind {
    /// All, in the order of [`Who`]'s signs.
    pub const ALL: [Self; 5] =
        [Self::Subscription, Self::VerifiedSubscription, Self::Service, Self::VerifiedService, Self::Test];
}

impl fmt::Display for AccountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subscription => "unverified subscription account (公众号)",
            Self::VerifiedSubscription => "verified subscription account (公众号)",
            Self::Service => "unverified service account (服务号)",
            Self::VerifiedService => "verified service account (服务号)",
            Self::Test => "test account (测试号)",
        })
    }
}

/// Who may call an endpoint: a sign for each of [`AccountKind::ALL`]. `+` may, `-` gets 48001, `?` the sources differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who(pub &'static str);

impl Who {
    /// Every account.
    pub const ALL: Self = Self("+++++");

    /// The sign of a kind.
    #[must_use]
    pub fn sign(self, kind: AccountKind) -> char {
        char::from(self.0.as_bytes()[kind as usize])
    }

    /// The kinds that have this sign.
    pub fn with_sign(self, sign: char) -> impl Iterator<Item = AccountKind> {
        AccountKind::ALL.into_iter().filter(move |kind| self.sign(*kind) == sign)
    }

    /// Whether all of `kinds` are refused; not if there are none.
    #[must_use]
    pub fn refuses_all(self, kinds: &[AccountKind]) -> bool {
        !kinds.is_empty() && kinds.iter().all(|kind| self.sign(*kind) == '-')
    }
}

/// Who may, for people.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("every account");
        }
        let names = |sign| self.with_sign(sign).map(|kind| kind.to_string()).collect::<Vec<_>>().join(", ");
        f.write_str(&names('+'))?;
        let unsure = names('?');
        if unsure.is_empty() { Ok(()) } else { write!(f, "; not certain: {unsure}") }
    }
}

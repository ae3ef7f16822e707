//! Tickets: what pages of the account sign with.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/OA_Web_Apps/JS-SDK.html>

use super::Call;

/// `/cgi-bin/ticket/getticket`
pub const GET_TICKET: &str = "/cgi-bin/ticket/getticket";

/// What a ticket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticket {
    /// The JS-SDK (`wx.config`).
    Jsapi,
    /// Cards (卡券).
    WxCard,
}

impl Ticket {
    /// WeChat's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsapi => "jsapi",
            Self::WxCard => "wx_card",
        }
    }

    /// The call that gives it.
    pub(super) fn call(self) -> Call<'static> {
        match self {
            Self::Jsapi => Call::get(GET_TICKET, &[("type", "jsapi")]),
            Self::WxCard => Call::get(GET_TICKET, &[("type", "wx_card")]),
        }
    }
}

//! The table of WeChat's API: every endpoint that Official Accounts have, with its fields and limits.
//!
//! A file holds the rows of one subject, a constant those of one section. What WeChat adds later is not in it and may be
//! called all the same.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Getting_Started/Overview.html> and the pages that the
//! rows name.

mod account;
mod ai;
mod customer;
mod datacube;
mod mass;
mod media;
mod menu;
mod template;
mod user;
mod web;

use super::endpoint::Endpoint;

/// What rows are written with.
mod prelude {
    pub(super) use super::super::Auth;
    pub(super) use super::super::endpoint::{
        Endpoint, Field, Limit, Most, Repeat, any, boolean, file, flag, id, list, number, object, query, text,
    };
    pub(super) use super::super::format::Format;
    pub(super) use super::super::who::Who;

    pub(super) const KB: u64 = 1 << 10;
    pub(super) const MB: u64 = 1 << 20;

    pub(super) const fn get(path: &'static str, does: &'static str) -> Endpoint {
        Endpoint::get(path, does)
    }

    pub(super) const fn post(path: &'static str, does: &'static str) -> Endpoint {
        Endpoint::post(path, does)
    }
}

/// Endpoints that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// The rows.
    pub endpoints: &'static [Endpoint],
}

const fn section(title: &'static str, endpoints: &'static [Endpoint]) -> Section {
    Section { title, endpoints }
}

/// All endpoints.
pub const SECTIONS: &[Section] = &[
    section("Credentials and addresses", account::CREDENTIALS),
    section("Quotas", account::QUOTA),
    section("Custom menu (自定义菜单)", menu::ENDPOINTS),
    section("Customer-service accounts (客服帐号)", customer::ACCOUNTS),
    section("Customer-service sessions (客服会话)", customer::SESSIONS),
    section("Customer-service messages (客服消息)", customer::MESSAGE),
    section("Template messages (模板消息)", template::TEMPLATE),
    section("Subscription messages (订阅消息)", template::SUBSCRIPTION),
    section("Temporary media (临时素材)", media::TEMPORARY),
    section("Permanent material (永久素材)", media::PERMANENT),
    section("Drafts (草稿箱)", media::DRAFTS),
    section("Publishing (发布能力)", media::PUBLISHING),
    section("Comments (图文留言)", media::COMMENTS),
    section("Users (用户管理)", user::USERS),
    section("Tags (标签)", user::TAGS),
    section("Blacklist (黑名单)", user::BLACKLIST),
    section("QR codes with a parameter (带参数二维码)", user::QR_CODES),
    section("Short keys (短key托管)", account::SHORT_KEYS),
    section("Tickets (JS-SDK, 卡券)", account::TICKETS),
    section("Web login (网页授权)", web::LOGIN),
    section("Mass sending (群发)", mass::ENDPOINTS),
    section("Statistics (数据统计)", datacube::ENDPOINTS),
    section("Speech and pictures (智能接口)", ai::ENDPOINTS),
    section("Set in the console", account::CONSOLE),
];

/// All rows.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    SECTIONS.iter().flat_map(|section| section.endpoints)
}

/// The row of a path, or of its [name](Endpoint::name).
#[must_use]
pub fn find(path: &str) -> Option<&'static Endpoint> {
    endpoints().find(|endpoint| endpoint.path == path || endpoint.name() == path)
}

/// The row of a path that stands in the code; a path that the table does not have does not compile.
///
/// # Panics
///
/// If there is no such row; in a constant that is an error of the compiler.
#[must_use]
pub const fn endpoint(path: &str) -> &'static Endpoint {
    let mut at = 0;
    while at < SECTIONS.len() {
        let endpoints = SECTIONS[at].endpoints;
        let mut row = 0;
        while row < endpoints.len() {
            if same(endpoints[row].path.as_bytes(), path.as_bytes()) {
                return &endpoints[row];
            }
            row += 1;
        }
        at += 1;
    }
    panic!("the table has no such path")
}

/// `==`, which constants cannot use yet.
const fn same(left: &[u8], right: &[u8]) -> bool {
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}

#[cfg(test)]
mod tests;

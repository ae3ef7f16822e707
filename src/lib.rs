//! The server side of a WeChat Official Account (微信公众号), as a CGI program or a FastCGI responder.
//!
//! The rooms of the house, from the ground up; each knows only those below it:
//!
//! | floor | room | what it does |
//! |---|---|---|
//! | 1 | [`gateway`] | requests in, answers out: CGI and FastCGI; knows no WeChat |
//! | 0 | [`wechat`] | WeChat's protocol as pure functions |
//! | 0 | [`http`] | request and response |
//! | 0 | [`secret`] | text that prints as `***` |

pub mod gateway;
pub mod http;
pub mod secret;
pub mod wechat;

//! What the tests speak in: a [`Site`] behind a [`Door`], a [`WeChat`] that sends to it, an [`Answer`] to judge.

mod answer;
mod door;
mod processes;
mod request;
mod servers;
mod site;
mod tools;
mod wechat;

pub(crate) use answer::{Answer, element};
pub(crate) use door::Door;
pub(crate) use request::Request;
pub(crate) use servers::adapted;
pub(crate) use site::Site;
pub(crate) use tools::{available, command, program, python, repository};
pub(crate) use wechat::{WeChat, now};

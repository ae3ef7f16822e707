//! What the tests speak in: a [`Site`] behind a [`Door`], a [`WeChat`] that sends to it, an [`Answer`] to judge.

mod answer;
mod door;
mod fastcgi;
mod load;
mod processes;
mod request;
mod servers;
mod site;
mod size;
mod tools;
mod wechat;
mod wechatpy;

pub(crate) use answer::{Answer, element, elements};
pub(crate) use door::Door;
pub(crate) use fastcgi::{answer_on, records};
pub(crate) use load::Load;
pub(crate) use processes::{PATIENCE, connections, descriptors, memory_kib, wait_until};
pub(crate) use request::Request;
pub(crate) use servers::{adapted, free_port, write_config};
pub(crate) use site::Site;
pub(crate) use size::sized;
pub(crate) use tools::{available, command, need, program, python, repository, web_user};
pub(crate) use wechat::{WeChat, now};
pub(crate) use wechatpy::{Keys, envelope};

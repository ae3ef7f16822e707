//! What the tests speak in: a [`Site`] behind a [`Door`], a [`WeChat`] that sends to it, an [`Answer`] to judge.

mod answer;
mod door;
mod fake_wechat;
mod fastcgi;
mod load;
mod machine;
mod peer;
mod pipe;
mod processes;
mod records;
mod request;
mod servers;
mod site;
mod size;
mod tools;
mod wechat;
mod wechatpy;
mod wire;

pub(crate) use answer::{Answer, element, elements};
pub(crate) use door::Door;
pub(crate) use fake_wechat::{APP_ID, APP_SECRET, FOLLOWERS, FakeWechat, ITEMS, MEDIA, Trouble};
pub(crate) use fastcgi::answer_on;
pub(crate) use load::Load;
pub(crate) use machine::Machine;
pub(crate) use peer::Peer;
pub(crate) use pipe::FullPipe;
pub(crate) use processes::{PATIENCE, Process, connections, output_in_time, wait_until};
pub(crate) use records::{begin, kind, padded, pair, record, request, stream};
pub(crate) use request::Request;
pub(crate) use servers::{adapted, free_port, write_config};
pub(crate) use site::Site;
pub(crate) use size::sized;
pub(crate) use tools::{available, command, need, node_path, program, python, repository, web_user};
pub(crate) use wechat::{WeChat, now};
pub(crate) use wechatpy::{Keys, envelope};
pub(crate) use wire::{Wire, Witness};

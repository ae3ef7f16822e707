//! WeChat's protocol as pure functions: no I/O, no clock, no chance but what is passed in.
//!
//! The way of one message: [`signature`] proves who sent it, [`crypto`] opens it if it came sealed, [`xml`] makes a
//! tree of it, [`message`] and [`event`] give the tree's fields their names and types. The way of the answer:
//! [`reply`] says what can be said, [`limits`] how much of it, and [`envelope`] seals it.

pub mod crypto;
pub mod envelope;
pub mod errcode;
pub mod event;
mod field;
pub mod limits;
pub mod menu;
pub mod message;
pub mod mode;
mod readback;
pub mod reply;
pub mod signature;
pub mod web;
pub mod xml;

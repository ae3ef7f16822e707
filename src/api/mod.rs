//! WeChat's API, as one account calls it.

pub mod check;
pub mod endpoint;
pub mod example;
pub mod format;
pub mod table;
pub mod who;

//! What carries an action out that is no reply by itself: programs, HTTP servers, other WeChat servers, chatbots.

pub mod program;

//! The program as WeChat and the operator see it: through real web servers, and by hand.

mod support;

mod bad_input;
mod examples;
mod fastcgi_peers;
mod golden;
mod secure;
mod snippets;
mod verification;

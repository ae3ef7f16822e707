//! The FastCGI door (FastCGI 1.0, Responder role): one loop over the listeners and all connections.
//!
//! The loop reads, parses and calls the handler in place; a handler that would block answers later through its
//! [`Responder`](super::Responder), and the loop goes on meanwhile. A connection that waits, for its peer or for an
//! answer, costs a descriptor and a little memory, never a thread.
//!
//! | file | subject |
//! |---|---|
//! | `record` | the bytes of the protocol |
//! | `connection` | one connection as a state machine, without I/O |
//! | `stream`, `peer` | a connection with its socket, its deadlines and its place |
//! | `entrance` | the listeners |
//! | `room` | how many connections there is room for |
//! | `answers`, `signals` | what comes from other threads and from outside |
//! | `server` | the loop |

mod answers;
mod connection;
mod entrance;
mod peer;
mod record;
mod room;
mod server;
mod signals;
mod stream;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), expect(dead_code, reason = "the tests use all of it"))]
mod wire;

use std::env;
use std::net::IpAddr;

use super::{Deadlines, ParamLimits};

#[cfg(any(test, fuzzing))]
pub(crate) use connection::fuzzing;
pub use server::serve;
pub use signals::{Handle, Signals};

/// How a loop serves.
#[derive(Debug)]
pub struct Options {
    /// More connections than this are answered 503. Default: 1024, or half of what
    /// RLIMIT_NOFILE can be raised to, if that is less; as many more are read to be answered so.
    pub max_connections: usize,
    /// How much the parameters of a request may be.
    pub params: ParamLimits,
    /// How long each wait may take.
    pub deadlines: Deadlines,
    /// Who may connect over TCP; `None` is anybody. Default: FCGI_WEB_SERVER_ADDRS of the environment.
    pub allowed_peers: Option<Vec<IpAddr>>,
    /// What ends the loop. Default: the signals of the process, taken when the loop starts.
    pub signals: Option<Signals>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: room::default_max_connections(),
            params: ParamLimits::default(),
            deadlines: Deadlines::default(),
            allowed_peers: env::var("FCGI_WEB_SERVER_ADDRS")
                .ok()
                .filter(|list| !list.is_empty())
                .map(|list| parse_addresses(&list)),
            signals: None,
        }
    }
}

/// The addresses of a comma list. One that cannot be read lets nobody in.
fn parse_addresses(list: &str) -> Vec<IpAddr> {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries
        .filter_map(|entry| {
            let address = entry.parse::<IpAddr>();
            if address.is_err() {
                log::error!(target: "gateway", "`{entry}` in FCGI_WEB_SERVER_ADDRS is no IP address; left out");
            }
            address.ok().map(|address| address.to_canonical())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_web_servers_holds_addresses_of_both_families() {
        let expected: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(parse_addresses(" 127.0.0.1, nonsense,,::1"), expected);
        assert_eq!(parse_addresses("::ffff:127.0.0.1"), expected[..1]);
        assert!(parse_addresses("").is_empty());
    }
}

//! What processes share: the same for a file of SQLite and for Redis, whatever happens to either.

mod log;
mod processes;
mod readme;
mod redis;
mod server;
mod subject;
mod suite;
mod tls;

pub(crate) use server::RedisServer;

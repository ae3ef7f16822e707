//! What processes share: the same for a file of SQLite and for Redis, whatever happens to either.

mod log;
mod processes;
mod redis;
mod server;
mod subject;
mod suite;

pub(crate) use server::RedisServer;

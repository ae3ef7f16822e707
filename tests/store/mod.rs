//! What processes share: the same for a file of SQLite and for Redis, whatever happens to either.

mod subject;
mod suite;

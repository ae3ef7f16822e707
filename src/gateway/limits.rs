//! How much and how long: the caps and the deadlines of both doors.
//!
//! A callback of WeChat has some thirty parameters of together 1 KiB and a body below 5 KiB, and WeChat hangs up
//! after 5 s. The caps leave a wide margin; the deadlines keep a request that comes in slowly, its answer and a
//! queue before it within the five seconds.

use std::time::Duration;

/// All parameters of a request together, as they stand on the wire (128 KiB).
pub(crate) const MAX_PARAMS: usize = 128 * 1024;

/// How many parameters a request may have.
pub(crate) const MAX_PAIRS: usize = 256;

/// The longest value of one parameter (16 KiB).
pub(crate) const MAX_VALUE: usize = 16 * 1024;

/// How many times its cap a refused stream is still read and thrown away, so that the web server takes our answer.
pub(crate) const DISCARD_FACTOR: usize = 8;

/// How many bytes are still read from a peer that was answered before it had sent all (256 KiB).
pub(crate) const MAX_LINGER: usize = 256 * 1024;

/// Each name in here ends a wait that would otherwise be up to the peer.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// FastCGI: from the accepted connection to its first byte.
    pub first_byte: Duration,
    /// From the first byte (CGI: from the start) to the last of a request; after it a 408.
    pub request: Duration,
    /// From the call of the handler to its answer; after it the door answers [`unanswered`] itself.
    ///
    /// [`unanswered`]: crate::gateway::Application::unanswered
    pub answer: Duration,
    /// FastCGI: for a peer to take its answer.
    pub write: Duration,
    /// FastCGI: how long a kept connection may do nothing.
    pub idle: Duration,
    /// For throwing away what is left of a body that was refused.
    pub linger: Duration,
    /// FastCGI: from SIGTERM to the end.
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(3),
            request: Duration::from_secs(3),
            // Far beyond the 5 s of WeChat: a handler that is held back on purpose is not to be cut off here.
            answer: Duration::from_secs(30),
            write: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            linger: Duration::from_secs(1),
            drain: Duration::from_secs(5),
        }
    }
}

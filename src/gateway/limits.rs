//! How much and how long: the caps and the deadlines of both doors.
//!
//! A callback of WeChat has some thirty parameters of together 1 KiB and a body below 5 KiB, and WeChat hangs up
//! after 5 s. The caps leave a wide margin; the deadlines keep a request that comes in slowly, its answer and a
//! queue before it within the five seconds.
//!
//! Whoever hits one of them finds it in the log under the name that it has in the config, with its number.

use std::fmt;
use std::time::Duration;

/// How many times its cap a refused stream is still read and thrown away, so that the web server takes our answer.
pub(crate) const DISCARD_FACTOR: usize = 8;

/// How many bytes are still read from a peer that was answered before it had sent all (256 KiB).
pub(crate) const MAX_LINGER: usize = 256 * 1024;

/// How much the parameters of a FastCGI request may be. CGI has them from the kernel, which has caps of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamLimits {
    /// `max_params`: all together, bytes as they stand on the wire.
    pub size: usize,
    /// `max_param_count`: how many.
    pub count: usize,
    /// `max_param_value`: the longest value, bytes.
    pub value: usize,
}

impl Default for ParamLimits {
    fn default() -> Self {
        Self { size: 128 << 10, count: 256, value: 16 << 10 }
    }
}

/// Each name in here ends a wait that would otherwise be up to the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A number of bytes as a config has it: `256KiB`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size(pub(crate) usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            size if size >= 1 << 20 && size % (1 << 20) == 0 => write!(f, "{}MiB", size >> 20),
            size if size >= 1 << 10 && size % (1 << 10) == 0 => write!(f, "{}KiB", size >> 10),
            size => write!(f, "{size}B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_a_config_has_them() {
        let written = [0, 100, 1 << 10, 1025, 256 << 10, 3 << 20].map(|size| Size(size).to_string());
        assert_eq!(written, ["0B", "100B", "1KiB", "1025B", "256KiB", "3MiB"]);
    }
}

//! Progress bars, on a terminal only: stderr of a program stays free of them.

use std::io::{IsTerminal, Read, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const STYLE: &str = "{bar:30} {pos}/{len} {msg} ({eta})";
const BYTES: &str = "{bar:30} {bytes}/{total_bytes} ({eta})";
const UNKNOWN: &str = "{spinner} {bytes}";

fn bar(length: Option<u64>, style: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(length, target);
    ProgressStyle::with_template(style).map(|style| bar.set_style(style)).ok();
    bar
}

/// Things done of so many.
pub(super) fn of_things(length: u64, message: &'static str) -> ProgressBar {
    let bar = bar(Some(length), STYLE);
    bar.set_message(message);
    bar
}

/// A file on its way; its bar goes with it.
#[derive(Debug)]
pub(super) struct Transfer(ProgressBar);

impl Transfer {
    pub(super) fn of(bytes: u64) -> Self {
        Self(bar(Some(bytes), BYTES))
    }

    pub(super) fn unknown() -> Self {
        Self(bar(None, UNKNOWN))
    }

    /// From the start: a file that is sent again begins again.
    pub(super) fn wrap_read<R: Read>(&self, reader: R) -> impl Read + use<R> {
        self.0.set_position(0);
        self.0.wrap_read(reader)
    }

    pub(super) fn wrap_write<W: Write>(&self, writer: W) -> impl Write + use<W> {
        self.0.wrap_write(writer)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

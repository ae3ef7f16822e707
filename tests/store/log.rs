//! What stores in this process write to the log.

use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};

/// Keeps the lines of stores.
struct Collector(Mutex<Vec<String>>);

static COLLECTOR: Collector = Collector(Mutex::new(Vec::new()));

impl Log for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "store"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().expect("no panic").push(format!("{} {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

/// Begins to keep them.
pub(super) fn collect() {
    if log::set_logger(&COLLECTOR).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// The lines so far that name this.
pub(super) fn logged(name: &str) -> Vec<String> {
    let lines = COLLECTOR.0.lock().expect("no panic");
    lines.iter().filter(|line| line.contains(name)).cloned().collect()
}

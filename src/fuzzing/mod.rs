//! What must hold for any input: one function for each fuzz target in `fuzz/`, named alike.
//!
//! No part of the program. Compiled for the tests, which hold every kept input of `fuzz/corpus` and `fuzz/regressions`
//! against its function, and for cargo-fuzz (`--cfg fuzzing`), which looks for further ones: see `fuzz/run`.

mod answer;
mod config;
mod envelope;
mod query;
mod xml;

pub use crate::gateway::fastcgi::fuzzing::{fastcgi_stream, params};
pub use config::config;
pub use envelope::envelope;
pub use query::query;
pub use xml::xml;

/// What panics if something does not hold for its input.
pub type Property = fn(&[u8]);

/// All of them, by the names of their targets.
pub const PROPERTIES: [(&str, Property); 6] = [
    ("fastcgi_stream", fastcgi_stream),
    ("params", params),
    ("query", query),
    ("xml", xml),
    ("envelope", envelope),
    ("config", config),
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    use super::*;

    /// The files of a folder below `fuzz`; none if it is not there.
    fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target);
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn the_kept_inputs_hold() {
        let mut failed = Vec::new();
        for (target, property) in PROPERTIES {
            let corpus = inputs("corpus", target);
            assert!(corpus.len() >= 5, "fuzz/corpus/{target} has {} files", corpus.len());
            for file in corpus.into_iter().chain(inputs("regressions", target)) {
                let input = fs::read(&file).unwrap();
                if catch_unwind(|| property(&input)).is_err() {
                    failed.push(file);
                }
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn every_kept_input_belongs_to_a_target() {
        for folder in ["corpus", "regressions"] {
            let targets = inputs(folder, "");
            assert!(
                targets.iter().all(|target| {
                    PROPERTIES.iter().any(|(name, _)| target.file_name() == Some(name.as_ref()))
                }),
                "{targets:?}"
            );
        }
    }
}

//! All followers in a file, in steps that survive a break at any point.
//!
//! After each step the lines are on the disk, then the state beside them says how long the file is and which openid was
//! the last; it replaces the state before in one go. Whoever goes on cuts the file to that length, so that half a step,
//! or one whose state was not written, leaves nothing behind, and asks for those behind that openid.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{INFOS, LIST, infos};
use crate::cli::wechat::output::{cell, need};
use crate::cli::wechat::{Failure, Session, beside, paging, print_line, progress};

/// What of a user stands in a line of CSV.
const COLUMNS: [&str; 10] = [
    "openid",
    "unionid",
    "subscribe_time",
    "subscribe_scene",
    "remark",
    "tagid_list",
    "qr_scene",
    "qr_scene_str",
    "language",
    "groupid",
];

/// How users are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// With a head of names
    Csv,
    /// An object a line, as WeChat gives it
    Jsonl,
}

impl Format {
    /// As asked for, else by the ending of the file.
    pub(super) fn of(asked: Option<Self>, file: &Path) -> Result<Self, Failure> {
        let ending = file.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match (asked, ending.as_deref()) {
            (Some(format), _) => Ok(format),
            (None, Some("csv")) => Ok(Self::Csv),
            (None, Some("jsonl" | "ndjson")) => Ok(Self::Jsonl),
            _ => Err(Failure::Usage(format!("`{}`: say --format csv or --format jsonl", file.display()))),
        }
    }
}

/// How far an export has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    app_id: String,
    format: Format,
    openids_only: bool,
    /// The last openid that stands in the file.
    after: String,
    /// The length of the file up to there, bytes.
    length: u64,
    written: u64,
    total: u64,
}

pub(super) fn run(
    session: &Session,
    path: &Path,
    format: Format,
    openids_only: bool,
    restart: bool,
) -> Result<(), Failure> {
    if session.is_dry_run() {
        return paging::openids(session, LIST, &json!({}), "", |_, _| Ok(()));
    }
    let app_id = session.app_id()?.to_owned();
    let fresh = State { app_id, format, openids_only, after: String::new(), length: 0, written: 0, total: 0 };
    let mut export = Export::open(path, fresh, restart)?;
    let resumed = export.state.written;
    if resumed > 0 {
        let State { written, total, .. } = export.state;
        eprintln!("wxcgi: going on after {written} of {total} followers; --restart begins anew");
    }
    let bar = progress::of_things(export.state.total, "followers");
    let after = export.state.after.clone();
    paging::openids(session, LIST, &json!({}), &after, |openids, answer| {
        let total = need(answer, "total", Value::as_u64)?;
        export.state.total = total;
        bar.set_length(total);
        for batch in openids.chunks(paging::batch_size(INFOS, "user_list")) {
            let users = if openids_only {
                batch.iter().map(|openid| json!({"openid": openid})).collect()
            } else {
                ask(session, batch)?
            };
            let last = batch.last().and_then(Value::as_str).unwrap_or_default();
            export.add(&users, last)?;
            bar.set_position(export.state.written);
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    let written = export.finish()?;
    if session.is_json() {
        return print_line(&json!({"written": written, "file": path}).to_string());
    }
    print_line(&format!("wrote {written} followers to {}", path.display()))
}

fn ask(session: &Session, openids: &[Value]) -> Result<Vec<Value>, Failure> {
    let openids: Vec<_> = openids.iter().filter_map(Value::as_str).collect();
    let answer = session.ask(INFOS, &infos(&openids))?.unwrap_or_default();
    need(&answer, "user_info_list", Value::as_array).cloned()
}

/// A file that grows, and the state beside it.
struct Export {
    path: PathBuf,
    file: File,
    state: State,
}

impl Export {
    /// Goes on with the export of `fresh`'s account to this file, or begins one.
    fn open(path: &Path, fresh: State, restart: bool) -> Result<Self, Failure> {
        let before = if restart { None } else { read_state(path)? };
        if let Some(state) = &before
            && !state.is_of(&fresh)
        {
            return Err(Failure::Usage(format!(
                "`{}` belongs to an export of another account or format; --restart begins anew",
                state_path(path).display()
            )));
        }
        if before.is_none() && !restart && fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0) {
            return Err(Failure::Usage(format!(
                "`{}` is there already; --restart overwrites it",
                path.display()
            )));
        }
        // Who follows whom is nobody else's business.
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| unwritable(path, &error))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| Failure::Failed(format!("another export is writing `{}`", path.display())))?;
        let state = before.unwrap_or(fresh);
        file.set_len(state.length)?;
        file.seek(SeekFrom::End(0))?;
        let mut export = Self { path: path.to_owned(), file, state };
        if export.state.length == 0 && export.state.format == Format::Csv {
            let head = if export.state.openids_only { &COLUMNS[..1] } else { &COLUMNS[..] };
            export.write(&csv_line(head.iter().map(|name| (*name).to_owned()))?)?;
            export.save()?;
        }
        Ok(export)
    }

    /// One step: the lines, then the state.
    fn add(&mut self, users: &[Value], last: &str) -> Result<(), Failure> {
        let mut lines = Vec::new();
        for user in users {
            match self.state.format {
                Format::Jsonl => lines.extend(format!("{user}\n").bytes()),
                Format::Csv if self.state.openids_only => lines.extend(csv_line([cell(user.get("openid"))])?),
                Format::Csv => lines.extend(csv_line(COLUMNS.map(|name| cell(user.get(name))))?),
            }
        }
        self.write(&lines)?;
        last.clone_into(&mut self.state.after);
        self.state.written += users.len() as u64;
        self.save()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        written.map_err(|error| unwritable(&self.path, &error))?;
        self.state.length += bytes.len() as u64;
        Ok(())
    }

    fn save(&self) -> Result<(), Failure> {
        let (path, new) = (state_path(&self.path), beside(&self.path, "state.new"));
        let text = json!(self.state).to_string();
        let save = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            fs::rename(&new, &path)
        };
        save().map_err(|error| unwritable(&path, &error))
    }

    /// The whole is written: the state goes.
    fn finish(self) -> Result<u64, Failure> {
        let path = state_path(&self.path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unwritable(&path, &error)),
            _ => Ok(self.state.written),
        }
    }
}

impl State {
    fn is_of(&self, other: &Self) -> bool {
        (&self.app_id, self.format, self.openids_only) == (&other.app_id, other.format, other.openids_only)
    }
}

fn read_state(path: &Path) -> Result<Option<State>, Failure> {
    let path = state_path(path);
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
            Failure::Failed(format!("cannot understand `{}`: {error}; --restart begins anew", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Failed(format!("cannot read `{}`: {error}", path.display()))),
    }
}

fn state_path(path: &Path) -> PathBuf {
    beside(path, "state")
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot write `{}`: {error}", path.display()))
}

fn csv_line(cells: impl IntoIterator<Item = String>) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let cells: Vec<String> = cells.into_iter().collect();
    writer.write_record(cells).map_err(|error| Failure::Failed(error.to_string()))?;
    writer.into_inner().map_err(|error| Failure::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(after: &str) -> State {
        State {
            app_id: "wx1".to_owned(),
            format: Format::Csv,
            openids_only: true,
            after: after.to_owned(),
            length: 0,
            written: 0,
            total: 3,
        }
    }

    fn users(openids: &[&str]) -> Vec<Value> {
        openids.iter().map(|openid| json!({"openid": openid})).collect()
    }

    #[test]
    fn what_was_written_after_the_last_state_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.csv");
        let mut export = Export::open(&path, state(""), false).unwrap();
        export.add(&users(&["o1", "o2"]), "o2").unwrap();
        // As if killed between the lines and the state, in the middle of a line.
        export.file.write_all(b"o3\no").unwrap();
        drop(export);
        let mut export = Export::open(&path, state(""), false).unwrap();
        assert_eq!((export.state.after.as_str(), export.state.written), ("o2", 2));
        export.add(&users(&["o3"]), "o3").unwrap();
        assert_eq!(export.finish().unwrap(), 3);
        assert_eq!(fs::read_to_string(&path).unwrap(), "openid\no1\no2\no3\n");
        assert!(!state_path(&path).exists());
    }

    #[test]
    fn an_export_of_another_account_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.csv");
        drop(Export::open(&path, state(""), false).unwrap());
        let other = State { app_id: "wx2".to_owned(), ..state("") };
        assert!(matches!(Export::open(&path, other.clone(), false), Err(Failure::Usage(_))));
        let export = Export::open(&path, other, true).unwrap();
        // Another at the same time is refused.
        assert!(matches!(Export::open(&path, state(""), true), Err(Failure::Failed(_))));
        assert_eq!(export.finish().unwrap(), 0);
        // A whole file is not overwritten.
        assert!(matches!(Export::open(&path, state(""), false), Err(Failure::Usage(_))));
    }
}

//! The log: to stderr, which is the web server's error log, or to a file that rotates by its size.
//!
//! Each line leaves in one write to a file opened for appending, so that many processes can write to one file and no
//! line is torn. No line waits: what nobody reads from a full stderr is lost. ureq and rustls stay
//! out of the log: ureq's trace lines hold whole URLs, with secrets in them.
//!
//! A line with a `kind` is one that strangers can bring about: of each kind a few are written in ten seconds, and then
//! how many more there were, so that a flood hides nothing else.

mod rate_limit;
mod stderr;

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use log::{Level, LevelFilter, Log, Metadata, Record};
use rate_limit::{Kind, RateLimit, WINDOW};
use rustix::fs::OFlags;
use simplelog::{ConfigBuilder, LevelPadding, WriteLogger};
use stderr::Stderr;

/// A pipe that nobody reads is an error, not a wait.
const WITHOUT_WAITING: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Starts the log. A second call changes nothing: a process has one log.
///
/// A log file that cannot be written is no reason to leave a message unanswered: the log goes to stderr then, and
/// says so.
pub fn start(level: LevelFilter, file: Option<&RotatingFile>) {
    let opened = file.map(|file| file.open().map_err(|error| (file, error)));
    let (sink, failed) = match opened {
        Some(Ok(file)) => (Sink::File(file), None),
        Some(Err(failed)) => (Sink::Stderr, Some(failed)),
        None => (Sink::Stderr, None),
    };
    if log::set_logger(LOG.get_or_init(|| Limited::new(level, sink))).is_ok() {
        log::set_max_level(level);
    }
    if let Some((file, error)) = failed {
        log::error!(
            target: "log",
            "cannot write `{}`: {error}; logging to stderr; give a plain file in a folder that wxcgi's user may write",
            file.path.display()
        );
    }
}

static LOG: OnceLock<Limited> = OnceLock::new();

/// Writes how many lines were held back, as far as their time is over, and says when to call again; for a loop that
/// may have nothing else to log. A flood that ends is told of by the next line of any kind as well, and by
/// [`Log::flush`].
pub fn summarize(now: Instant) -> Option<Instant> {
    LOG.get().and_then(|log| log.summarize(now))
}

/// The last error that the log was told of, held back or not, and when that was.
#[must_use]
pub fn last_error() -> Option<(SystemTime, String)> {
    LOG.get()?.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The log of this process, with floods kept out of it.
struct Limited {
    log: Box<WriteLogger<Lines>>,
    limit: Mutex<RateLimit>,
    last_error: Mutex<Option<(SystemTime, String)>>,
    /// Whether there may be something to summarize: asked in every turn of a loop, which should cost nothing.
    holds: AtomicBool,
}

impl Limited {
    fn new(level: LevelFilter, sink: Sink) -> Self {
        // The line is put together in memory: simplelog writes it piece by piece.
        let log = WriteLogger::new(level, format(), Lines::to(sink));
        Self { log, limit: Mutex::default(), last_error: Mutex::default(), holds: AtomicBool::new(false) }
    }

    fn summarize(&self, now: Instant) -> Option<Instant> {
        if !self.holds.load(Ordering::Relaxed) {
            return None;
        }
        let mut limit = self.limit();
        self.write_summaries(limit.take_over(now));
        let next = limit.next_over();
        self.holds.store(next.is_some(), Ordering::Relaxed);
        next
    }

    /// Whether a line may be written; windows that are over end first, whether or not lines were held back in them.
    fn admits(&self, record: &Record<'_>, now: Instant) -> bool {
        let mut limit = self.limit();
        self.write_summaries(limit.take_over(now));
        let admitted = limit.admits(record, now);
        if !admitted {
            self.holds.store(true, Ordering::Relaxed);
        }
        admitted
    }

    fn write_summaries(&self, kinds: Vec<Kind>) {
        for Kind { name, level, target, held, .. } in kinds {
            let window = WINDOW.as_secs();
            let record = &mut Record::builder();
            let record = record.level(level).target(&target);
            self.log.log(&record.args(format_args!("… and {held} more of `{name}` in {window} s")).build());
        }
    }

    fn limit(&self) -> MutexGuard<'_, RateLimit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Limited {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.log.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if record.level() == Level::Error {
            let line = format!("{}: {}", record.target(), record.args()).replace(['\r', '\n'], " ");
            let last = Some((SystemTime::now(), line));
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = last;
        }
        if self.admits(record, Instant::now()) {
            self.log.log(record);
        }
    }

    /// Also tells what was held back so far: to be called when the process ends.
    fn flush(&self) {
        let held = self.limit().take_all();
        self.write_summaries(held);
        self.log.flush();
    }
}

fn format() -> simplelog::Config {
    ConfigBuilder::new()
        .set_time_format_custom(time::macros::format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second]Z"
        ))
        .set_time_level(LevelFilter::Error)
        .set_target_level(LevelFilter::Error)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .set_level_padding(LevelPadding::Off)
        .add_filter_ignore_str("ureq")
        .add_filter_ignore_str("rustls")
        .build()
}

/// Where lines go.
#[derive(Debug)]
enum Sink {
    Stderr,
    File(OpenFile),
}

/// Collects a line and passes it on whole.
#[derive(Debug)]
struct Lines {
    sink: Sink,
    /// Also where a line goes that the file does not take.
    stderr: Stderr,
    line: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(piece);
        if piece.ends_with(b"\n") {
            // Nobody is left to tell that the log cannot be written.
            let _ = self.flush();
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.make_one_line();
        let written = match &mut self.sink {
            Sink::File(file) => file.append(&self.line).or_else(|error| {
                let path = file.settings.path.display();
                let complaint = format!("wxcgi: cannot write the log `{path}`: {error}; the line is:\n");
                let _ = self.stderr.append(complaint.as_bytes());
                self.stderr.append(&self.line)
            }),
            Sink::Stderr => self.stderr.append(&self.line),
        };
        self.line.clear();
        written
    }
}

impl Lines {
    fn to(sink: Sink) -> Self {
        Self { sink, stderr: Stderr::default(), line: Vec::new() }
    }

    /// A message of several lines, as a panic of a library may have, becomes one.
    fn make_one_line(&mut self) {
        if let Some((_, inner)) = self.line.split_last_mut() {
            inner.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
    }
}

/// A log file that becomes `file.1` when it is full, `file.1` becoming `file.2`, and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotatingFile {
    /// The file.
    pub path: PathBuf,
    /// Its size, bytes, beyond which it is rotated. Processes that write at the same moment may exceed it by a line
    /// each.
    pub max_size: u64,
    /// How many rotated files are kept.
    pub keep: u32,
}

/// The file as this process holds it.
#[derive(Debug)]
struct OpenFile {
    settings: RotatingFile,
    file: File,
    /// Device and inode: another process may have rotated the file away under us.
    identity: (u64, u64),
}

impl RotatingFile {
    fn open(&self) -> io::Result<OpenFile> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(WITHOUT_WAITING)
            .open(&self.path)?;
        let metadata = file.metadata()?;
        Ok(OpenFile { settings: self.clone(), file, identity: (metadata.dev(), metadata.ino()) })
    }

    /// `file.7`
    fn rotated(&self, number: u32) -> PathBuf {
        self.beside(&number.to_string())
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".");
        path.push(ending);
        path.into()
    }

    /// Moves all files on by one number; the oldest is overwritten.
    fn shift(&self) -> io::Result<()> {
        let oldest = (1..self.keep).find(|&number| !self.rotated(number).exists()).unwrap_or(self.keep);
        for number in (1..oldest).rev() {
            std::fs::rename(self.rotated(number), self.rotated(number + 1))?;
        }
        std::fs::rename(&self.path, self.rotated(1))
    }
}

impl OpenFile {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let size = self.follow()?;
        if size > 0 && size + line.len() as u64 > self.settings.max_size {
            self.rotate(line.len() as u64)?;
        }
        self.file.write_all(line)
    }

    /// Opens the file anew if its path leads to another one by now, and gives its size.
    fn follow(&mut self) -> io::Result<u64> {
        if let Ok(metadata) = std::fs::metadata(&self.settings.path)
            && (metadata.dev(), metadata.ino()) == self.identity
        {
            return Ok(metadata.len());
        }
        *self = self.settings.open()?;
        Ok(self.file.metadata()?.len())
    }

    /// One process rotates; the others go on writing to the file that they have, under whatever name it then lies.
    fn rotate(&mut self, needed: u64) -> io::Result<()> {
        let path = self.settings.beside("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(WITHOUT_WAITING)
            .open(path)?;
        if lock.try_lock().is_err() {
            return Ok(());
        }
        // Look again once the lock is held: another process may have rotated before us.
        let size = self.follow()?;
        if size > 0 && size + needed > self.settings.max_size {
            self.settings.shift()?;
            self.follow()?;
        }
        Ok(())
    }
}

/// Characters of foreign text that a log line shows.
const SHOWN: usize = 60;

/// A text that came from outside, in backticks, harmless in a log: short, on one line, without control characters.
#[must_use]
pub fn shown(text: &str) -> String {
    shown_up_to(text, SHOWN)
}

/// The same with as many characters as `most`.
#[must_use]
pub fn shown_up_to(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most) + 4);
    shown.push('`');
    for letter in text.chars().take(most) {
        match letter {
            '`' => shown.push('\''),
            _ if letter.is_control() => shown.extend(letter.escape_default()),
            _ => shown.push(letter),
        }
    }
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown.push('`');
    shown
}

/// The address of a client for the log; in backticks if it does not look like one.
#[must_use]
pub fn address_shown(address: &str) -> Cow<'_, str> {
    let is_plain = address.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-%".contains(&byte));
    if is_plain && address.len() <= SHOWN { Cow::Borrowed(address) } else { Cow::Owned(shown(address)) }
}

/// An openid for the log: `oUser…3f`, so that lines about one user can be told together and nobody else can use it;
/// in full if `personal_data` says so.
#[must_use]
pub fn openid_shown(openid: &str, personal_data: bool) -> Cow<'_, str> {
    const HEAD: usize = 5;
    const TAIL: usize = 2;
    let plain = openid.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'`');
    match (plain, personal_data) {
        (true, true) => Cow::Borrowed(openid),
        (true, false) if openid.len() <= HEAD + TAIL => Cow::Borrowed("…"),
        (true, false) => Cow::Owned(format!("{}…{}", &openid[..HEAD], &openid[openid.len() - TAIL..])),
        (false, true) => Cow::Owned(shown(openid)),
        (false, false) => Cow::Borrowed("…"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn file_in(folder: &Path, max_size: u64, keep: u32) -> RotatingFile {
        RotatingFile { path: folder.join("wx.log"), max_size, keep }
    }

    #[test]
    fn a_full_file_is_moved_on_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let settings = file_in(folder.path(), 10, 2);
        let mut file = settings.open().unwrap();
        for line in ["one 567\n", "two 567\n", "3\n", "four\n", "5\n", "six\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(read(&settings.path), "six\n");
        assert_eq!(read(&settings.rotated(1)), "four\n5\n");
        assert_eq!(read(&settings.rotated(2)), "two 567\n3\n");
        assert!(!settings.rotated(3).exists());
    }

    #[test]
    fn a_file_rotated_by_another_process_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let settings = file_in(folder.path(), 1 << 20, 2);
        let mut file = settings.open().unwrap();
        file.append(b"old\n").unwrap();
        std::fs::rename(&settings.path, settings.rotated(1)).unwrap();
        file.append(b"new\n").unwrap();
        assert_eq!(std::fs::read_to_string(&settings.path).unwrap(), "new\n");
    }

    #[test]
    fn a_pipe_as_log_or_lock_is_an_error_and_no_wait() {
        let folder = tempfile::tempdir().unwrap();
        let settings = file_in(folder.path(), 4, 2);
        let make_pipe =
            |path: &Path| rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap();
        make_pipe(&settings.beside("lock"));
        let mut file = settings.open().unwrap();
        file.append(b"fills it\n").unwrap();
        assert!(file.append(b"rotates it\n").is_err());
        std::fs::remove_file(&settings.path).unwrap();
        make_pipe(&settings.path);
        assert!(settings.open().is_err());
    }

    #[test]
    fn a_line_longer_than_the_limit_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let settings = file_in(folder.path(), 4, 2);
        let mut file = settings.open().unwrap();
        file.append(b"longer than four\n").unwrap();
        assert_eq!(std::fs::read_to_string(&settings.path).unwrap(), "longer than four\n");
    }

    #[test]
    fn a_message_of_several_lines_is_written_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let settings = file_in(folder.path(), 1 << 20, 2);
        let mut lines = Lines::to(Sink::File(settings.open().unwrap()));
        for piece in ["[ERROR] ", "left\r\n right", "\n", "next", "\n"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        let written = std::fs::read_to_string(&settings.path).unwrap();
        assert_eq!(written, "[ERROR] left   right\nnext\n");
    }

    #[test]
    fn a_flood_is_a_few_lines_and_a_number_and_hides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let settings = file_in(folder.path(), 1 << 20, 2);
        let log = Limited::new(LevelFilter::Info, Sink::File(settings.open().unwrap()));
        let flood = [("kind", "forged signature")];
        for number in 0..5000 {
            let record = &mut Record::builder();
            let record = record.level(log::Level::Warn).target("callback").key_values(&flood);
            log.log(&record.args(format_args!("forged {number}")).build());
        }
        log.log(
            &Record::builder().level(log::Level::Error).target("gateway").args(format_args!("real")).build(),
        );
        assert_eq!(log.summarize(Instant::now()).map(|next| next > Instant::now()), Some(true));
        assert_eq!(log.summarize(Instant::now() + WINDOW), None);
        log.flush();
        let written = std::fs::read_to_string(&settings.path).unwrap();
        let lines: Vec<_> = written.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
        assert_eq!(lines.len(), 12, "{written}");
        assert_eq!(lines[9], "[WARN] callback: forged 9");
        assert_eq!(lines[10], "[ERROR] gateway: real");
        assert_eq!(lines[11], "[WARN] callback: … and 4990 more of `forged signature` in 10 s");
    }

    #[test]
    fn the_end_tells_what_was_held_back_so_far() {
        let folder = tempfile::tempdir().unwrap();
        let settings = file_in(folder.path(), 1 << 20, 2);
        let log = Limited::new(LevelFilter::Info, Sink::File(settings.open().unwrap()));
        let kind = [("kind", "slow")];
        for _ in 0..12 {
            log.log(
                &Record::builder().target("gateway").key_values(&kind).args(format_args!("slow")).build(),
            );
        }
        log.flush();
        log.flush();
        let written = std::fs::read_to_string(&settings.path).unwrap();
        assert!(written.ends_with("… and 2 more of `slow` in 10 s\n"), "{written}");
        assert_eq!(written.lines().count(), 11);
    }

    #[test]
    fn a_line_now_and_then_is_no_flood() {
        let folder = tempfile::tempdir().unwrap();
        let settings = file_in(folder.path(), 1 << 20, 2);
        let log = Limited::new(LevelFilter::Info, Sink::File(settings.open().unwrap()));
        let kind = [("kind", "slow")];
        let record = Record::builder().target("gateway").key_values(&kind).build();
        let start = Instant::now();
        for hour in 0..25 {
            assert!(log.admits(&record, start + Duration::from_secs(3600 * hour)), "hour {hour}");
        }
        let later = start + Duration::from_secs(3600 * 25);
        assert!((0..10).all(|_| log.admits(&record, later)));
        assert!(!log.admits(&record, later));
        assert!(log.admits(&record, later + WINDOW));
        log.flush();
        let written = std::fs::read_to_string(&settings.path).unwrap();
        assert!(written.ends_with("… and 1 more of `slow` in 10 s\n"), "{written}");
        assert_eq!(written.lines().count(), 1, "{written}");
    }

    #[test]
    fn foreign_text_cannot_forge_a_line() {
        assert_eq!(shown("a\nERROR `x`"), "`a\\nERROR 'x'`");
        assert_eq!(shown(&"长".repeat(61)), format!("`{}…`", "长".repeat(60)));
    }

    #[test]
    fn an_address_is_shown_as_it_is_and_anything_else_in_quotes() {
        assert_eq!(address_shown("2001:db8::1"), "2001:db8::1");
        assert_eq!(address_shown("1.2.3.4 met rule 1"), "`1.2.3.4 met rule 1`");
    }

    #[test]
    fn an_openid_is_shortened_unless_personal_data_is_wanted() {
        assert_eq!(openid_shown("oUserABCDEF3f", false), "oUser…3f");
        assert_eq!(openid_shown("oUserABCDEF3f", true), "oUserABCDEF3f");
        assert_eq!(openid_shown("o1", false), "…");
        assert_eq!(openid_shown("o\n1234567890", true), "`o\\n1234567890`");
    }
}

//! The account at a moment, for commands that ask it in this process what it would answer: nothing is uploaded, nothing
//! is sent, and what is remembered is forgotten with it.

use std::cell::RefCell;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Failure;
use crate::callback::{Answered, Circumstances, Means, SUCCESS, Terms, answer};
use crate::chance::random;
use crate::clock::unix_seconds;
use crate::delivery::{Answer, Order};
use crate::gateway::{Application, Responder};
use crate::handlers::Equipment;
use crate::http::{Params, Request, Response};
use crate::rules::{MediaFile, MediaLibrary};
use crate::store::Store;
use crate::store::sqlite::{Journal, Sqlite};
use crate::wechat::limits::{MAX_TEXT_BYTES, split_text};
use crate::wechat::reply::Reply;

/// A test takes no longer than a handler may.
const PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);

/// The account at a moment, with the same chance each time: of several replies always the same is chosen.
pub(super) struct Moment<'a> {
    terms: &'a Arc<Terms>,
    means: &'a TestMeans,
    now: SystemTime,
    ordered: RefCell<Vec<Reply>>,
}

impl<'a> Moment<'a> {
    pub(super) fn new(terms: &'a Arc<Terms>, means: &'a TestMeans, now: SystemTime) -> Self {
        Self { terms, means, now, ordered: RefCell::default() }
    }

    /// All that the message was answered, where that was ordered from delivery: texts are whole, however long.
    pub(super) fn into_ordered(self) -> Vec<Reply> {
        self.ordered.into_inner()
    }

    /// What comes first of an answer that was ordered, as if it came in time.
    fn first(&self, order: &Order, replies: &[Reply]) -> Answer {
        let first = replies.first().map(|reply| match reply {
            Reply::Text { content } => {
                Reply::text(split_text(content, MAX_TEXT_BYTES).next().unwrap_or_default())
            }
            other => other.clone(),
        });
        Answer::new(&order.met, first.as_ref(), (&order.user, &order.account), unix_seconds(self.now))
    }
}

impl Application for Moment<'_> {
    fn max_body(&self, _: &Params) -> usize {
        usize::MAX
    }

    fn handle(&self, request: &Request, responder: Responder) {
        let circumstances = Circumstances { now: self.now, random: || Some([0; 16]) };
        responder.respond(match answer(self.terms, request, circumstances) {
            Answered::Now(response) => response,
            Answered::Later(pending) => match pending.respond(self.means) {
                Ok(response) => response,
                Err(order) => {
                    let replies = pending.work_out(&order, self.means);
                    let response = pending.respond_with(&self.first(&order, &replies));
                    self.ordered.replace(replies);
                    response
                }
            },
        });
    }

    fn unanswered(&self) -> Response {
        Response::text(200, SUCCESS)
    }
}

/// What rules remember in a test goes into a store of its own, in a folder that is removed with it.
#[derive(Debug)]
pub(super) struct TestMeans {
    folder: PathBuf,
    store: Arc<dyn Store>,
    equipment: Equipment,
}

impl TestMeans {
    pub(super) fn new(equipment: Equipment) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::Failed(format!("cannot make a folder for the store: {error}"));
        let name = random::<8>()
            .map_err(failed)?
            .iter()
            .fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
        let folder = std::env::temp_dir().join(format!("wxcgi-test-{name}"));
        DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let store = Sqlite::new(folder.join("store.db"), Journal::default(), Duration::from_secs(2), "test");
        Ok(Self { folder, store: Arc::new(store), equipment })
    }
}

impl Drop for TestMeans {
    fn drop(&mut self) {
        // What is left in a folder for temporary files harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl MediaLibrary for TestMeans {
    /// Nothing is uploaded in a test: a file is its own media_id.
    fn media_id(&self, file: &MediaFile) -> Result<String, String> {
        Ok(file.path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }
}

impl Means for TestMeans {
    fn store(&self) -> Result<Arc<dyn Store>, String> {
        Ok(Arc::clone(&self.store))
    }

    /// Two tests at the same time may well send the same event.
    fn knows_repeats(&self) -> bool {
        false
    }

    fn equipment(&self) -> Option<&Equipment> {
        Some(&self.equipment)
    }

    fn until(&self) -> Instant {
        Instant::now() + PATIENCE
    }
}

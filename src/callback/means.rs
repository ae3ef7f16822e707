//! By what an answer is worked out that takes more than the config and the message.

use std::sync::Arc;
use std::time::Instant;

use crate::delivery::{Answer, Order};
use crate::handlers::Equipment;
use crate::rules::{MediaFile, MediaLibrary, NoLibrary};
use crate::store::Store;

/// By what an answer is worked out that takes more than the config and the message.
pub trait Means: MediaLibrary {
    /// The store of the account.
    ///
    /// # Errors
    ///
    /// In words for the log, if it cannot be opened.
    fn store(&self) -> Result<Arc<dyn Store>, String>;

    /// Whether a message that comes twice is a repeat of WeChat's.
    fn knows_repeats(&self) -> bool {
        true
    }

    /// With what handlers and guards of rules work; `None` where nobody is asked.
    fn equipment(&self) -> Option<&Equipment> {
        None
    }

    /// What may take long is over by then.
    fn until(&self) -> Instant;

    /// What the user who sent the order has waiting for him; `None` if there is nothing.
    ///
    /// # Errors
    ///
    /// In words for the log, if it cannot be found out.
    fn fetch(&self, order: &Order) -> Result<Option<Answer>, String> {
        let _ = order;
        Ok(None)
    }

    /// Whether the message is still to be answered from here; if so, nobody else answers it any more.
    fn claim(&self) -> bool {
        true
    }
}

/// Where nothing can be asked or uploaded.
#[derive(Debug)]
pub(super) struct NoMeans;

impl MediaLibrary for NoMeans {
    fn media_id(&self, file: &MediaFile) -> Result<String, String> {
        NoLibrary.media_id(file)
    }
}

impl Means for NoMeans {
    fn store(&self) -> Result<Arc<dyn Store>, String> {
        Err("the store cannot be asked from here".to_owned())
    }

    fn until(&self) -> Instant {
        Instant::now()
    }

    fn fetch(&self, _order: &Order) -> Result<Option<Answer>, String> {
        Err("what waits for a user could not be looked up in time".to_owned())
    }
}

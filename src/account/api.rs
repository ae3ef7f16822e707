//! WeChat's API as the account of a config calls it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{Api, Credentials};
use crate::config::Config;
use crate::store::Store;
use crate::store::sqlite::{Journal, Sqlite};

/// The API of the account that `config` describes; what its processes share lies in the folder `state`. Nothing is
/// opened before the first call.
#[must_use]
pub fn open_api(config: &Config, state: &Path) -> Api {
    let account = &config.account;
    let app_id = account.app_id.clone();
    let name = app_id.as_deref().unwrap_or_default();
    let store = Sqlite::new(state.join("state.db"), Journal::default(), Duration::from_secs(5), name);
    let credentials = Credentials { app_id: app_id.clone(), app_secret: account.app_secret.clone() };
    let store: Arc<dyn Store> = Arc::new(store);
    Api::new(config.api.clone(), credentials, &store)
}

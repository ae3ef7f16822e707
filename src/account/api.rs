//! WeChat's API as the account of a config calls it.

use std::path::Path;
use std::sync::Arc;

use crate::api::{Api, Credentials};
use crate::config::{Config, account_in_store};
use crate::store::{Store, StoreError};

/// The API of the account that `config` describes, which was read from `path`. What its processes share lies in its
/// store, which may be in the folder `state`. Nothing is opened before the first call.
///
/// # Errors
///
/// If there is no place for the store.
pub fn open_api(config: &Config, path: &Path, state: Option<&Path>) -> Result<Api, StoreError> {
    let account = &config.account;
    let name = account_in_store(account.app_id.as_deref(), path);
    let store: Arc<dyn Store> = config.store.open(&name, path, state)?.into();
    let credentials = Credentials { app_id: account.app_id.clone(), app_secret: account.app_secret.clone() };
    Ok(Api::new(config.api.clone(), credentials, &store))
}

//! WeChat's API as the account of a config calls it.

use std::path::Path;
use std::sync::Arc;

use crate::api::{Api, ApiSettings, Credentials};
use crate::config::{AccountSettings, Config, StoreSettings, account_in_store};
use crate::store::{Store, StoreError};

/// What the API of an account takes, as its config says it.
#[derive(Debug)]
pub(super) struct ApiParts {
    settings: ApiSettings,
    credentials: Credentials,
    store: StoreSettings,
}

impl ApiParts {
    pub(super) fn of(account: &AccountSettings, settings: ApiSettings, store: StoreSettings) -> Self {
        let credentials =
            Credentials { app_id: account.app_id.clone(), app_secret: account.app_secret.clone() };
        Self { settings, credentials, store }
    }

    /// The API for the config that was read from `path`; what its processes share lies where `[store]` says, else in the
    /// folder `state`. Nothing is opened before the first call.
    pub(super) fn open(&self, path: &Path, state: Option<&Path>) -> Result<Api, StoreError> {
        Ok(self.api(&self.open_store(path, state)?))
    }

    /// The store of the account; see [`Self::open`].
    pub(super) fn open_store(&self, path: &Path, state: Option<&Path>) -> Result<Arc<dyn Store>, StoreError> {
        let name = account_in_store(self.credentials.app_id.as_deref(), path);
        Ok(Arc::from(self.store.open(&name, state)?))
    }

    /// The API, whose processes share a store.
    pub(super) fn api(&self, store: &Arc<dyn Store>) -> Api {
        Api::new(self.settings.clone(), self.credentials.clone(), store)
    }
}

/// The API of the account that `config` describes, which was read from `path`. Nothing is opened before the first call.
///
/// # Errors
///
/// If the config names no store and there is no folder `state` for one.
pub fn open_api(config: &Config, path: &Path, state: Option<&Path>) -> Result<Api, StoreError> {
    ApiParts::of(&config.account, config.api.clone(), config.store.clone()).open(path, state)
}

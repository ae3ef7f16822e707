//! One value of the store that many change: what one of them reads, changes and puts back is put back only if nobody else
//! changed it meanwhile.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Store, StoreError};

/// So often a change is tried again because others were faster.
const MAX_ATTEMPTS: usize = 64;

/// What becomes of a value that was looked at.
pub(super) enum Change<T> {
    /// It stays as it is.
    None(T),
    /// It is kept as it is now.
    Keep(T),
}

/// Changes the value of `key`, which lives for the time `life` from then on.
pub(super) fn change<R: Default + Serialize + DeserializeOwned, T>(
    store: &dyn Store,
    key: &str,
    life: Duration,
    mut change: impl FnMut(&mut R) -> Change<T>,
) -> Result<T, StoreError> {
    for _ in 0..MAX_ATTEMPTS {
        let value = store.get(key)?;
        let version = value.as_ref().map(|value| value.version);
        let record = value.and_then(|value| serde_json::from_slice(&value.bytes).ok());
        let mut record: R = record.unwrap_or_default();
        let made = match change(&mut record) {
            Change::None(made) => return Ok(made),
            Change::Keep(made) => made,
        };
        let bytes = serde_json::to_vec(&record).unwrap_or_default();
        if store.put_if(key, version, &bytes, life)? {
            return Ok(made);
        }
    }
    Err(StoreError {
        place: key.split('/').next().unwrap_or_default().to_owned(),
        cause: format!("was changed by others {MAX_ATTEMPTS} times in a row"),
    })
}

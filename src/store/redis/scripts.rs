//! The steps that Redis does as one.

use std::sync::LazyLock;

use redis::Script;

/// The script that these texts are, one after the other.
macro_rules! script {
    ($($file:literal),*) => {
        LazyLock::new(|| Script::new(concat!(include_str!("common.lua"), $("\n", include_str!($file)),*)))
    };
}

pub(super) static GET: LazyLock<Script> = script!("get.lua");
pub(super) static PUT: LazyLock<Script> = script!("put.lua");
pub(super) static REMOVE: LazyLock<Script> = script!("remove.lua");
pub(super) static LEASE: LazyLock<Script> = script!("lease.lua");
pub(super) static RELEASE: LazyLock<Script> = script!("release.lua");
pub(super) static CLAIM: LazyLock<Script> = script!("claim.lua", "claim-take.lua");
pub(super) static LOOK: LazyLock<Script> = script!("claim.lua", "claim-look.lua");
pub(super) static RENEW: LazyLock<Script> = script!("claim.lua", "claim-renew.lua");
pub(super) static FINISH: LazyLock<Script> = script!("claim.lua", "claim-finish.lua");
pub(super) static COUNT: LazyLock<Script> = script!("count.lua");

//! How a new version of a unit takes the place of the running one.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    pub order: UpdateOrder,
    /// So long may the new one take to become ready (and healthy, if it has a health check).
    pub health_wait_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    StopFirst,
    /// Both run for a moment; the published ports go over when the new one is ready.
    StartFirst,
}

impl Update {
    pub const HEALTH_WAIT_MS: u64 = 60_000;
}

impl Default for Update {
    fn default() -> Self {
        Self {
            order: UpdateOrder::StopFirst,
            health_wait_ms: Self::HEALTH_WAIT_MS,
        }
    }
}

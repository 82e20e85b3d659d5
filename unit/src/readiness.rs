//! When those that wait for a unit may start.

use crate::{Protocol, ServiceKind, duration};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    pub mode: ReadinessMode,
    /// From `Started` on. Of a job this is for ever unless it is given, of a oneshot its `start_timeout`.
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadinessMode {
    /// The command has been executed.
    Started,
    /// `READY=1` came over the notify socket.
    Notify,
    /// The health check has succeeded.
    Healthy,
    /// A connection to the port, made inside the container's network namespace, is accepted.
    Port { protocol: Protocol, port: u16 },
    /// A line of output matches the pattern (syntax of the crate `regex-lite`).
    Log { pattern: String },
    /// The command has ended with success.
    Exit,
}

impl Readiness {
    pub const TIMEOUT_MS: u64 = 60_000;

    /// What an empty `[readiness]` says for a service of this kind.
    #[must_use]
    pub fn default_of(kind: ServiceKind, start_timeout_ms: u64) -> Self {
        let (mode, timeout_ms) = match kind {
            ServiceKind::Simple => (ReadinessMode::Started, Self::TIMEOUT_MS),
            ServiceKind::Notify => (ReadinessMode::Notify, Self::TIMEOUT_MS),
            ServiceKind::Oneshot => (ReadinessMode::Exit, start_timeout_ms),
            ServiceKind::Job => (ReadinessMode::Exit, duration::MILLISECONDS_MAX),
        };
        Self { mode, timeout_ms }
    }
}

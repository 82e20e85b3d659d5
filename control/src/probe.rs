//! PID 1 ◀▶ `prober`: one JSON message per `SOCK_SEQPACKET` datagram on descriptor 3.
//!
//! Each probe is answered once, unless it is cancelled. A prober that was killed has forgotten all of them: PID 1 starts
//! it again and asks anew those it still wants to know.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use unit::Protocol;

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum ProbeRequest {
    /// Look once. With [`ProbeNetwork::Container`] the network namespace rides along.
    Probe(Probe),
    /// The answer is not wanted any more; none comes, except one that was on its way. Its connection is closed, which
    /// would keep the container's network alive: to be sent when a run ends. Of an unknown probe: nothing.
    Cancel { id: u64 },
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Probe {
    /// Chosen by PID 1; one that is under way is replaced by another of the same number.
    pub id: u64,
    pub kind: ProbeKind,
    pub network: ProbeNetwork,
    /// From the prober's reading of this message to its answer.
    pub timeout_ms: u64,
}

/// Where to look.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum ProbeNetwork {
    Container {
        /// Its own address, for what listens there alone: asked when nobody listens on 127.0.0.1 nor ::1.
        address: Option<IpAddr>,
    },
    /// The machine's own, for a unit with `mode = "host"`.
    Machine,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// GET; redirects are not followed: their status counts.
    Http(HttpProbe),
    /// Connect, and close.
    Tcp { port: u16 },
    /// Whether somebody listens, for `[readiness]`: TCP by connecting; UDP by the kernel's table, so that no stray
    /// datagram gets to the service. At once; whoever waits asks again.
    PortOpen { protocol: Protocol, port: u16 },
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct HttpProbe {
    pub port: u16,
    /// With its query; begins with `/`.
    pub path: String,
    /// `Host:`; default `localhost:PORT`.
    pub host: Option<String>,
    /// Ranges of status codes that mean success, both ends included.
    pub status: Vec<(u16, u16)>,
    /// They replace those that the prober would send (`User-Agent`, `Accept`, `Host`).
    pub headers: Vec<(String, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct ProbeReply {
    pub id: u64,
    pub outcome: ProbeOutcome,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum ProbeOutcome {
    Success,
    Failure {
        /// One line for operators: `connection refused on 127.0.0.1:8080`.
        reason: String,
    },
}

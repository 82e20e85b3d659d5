//! PID 1 ◀▶ `netd`: one JSON message per `SOCK_SEQPACKET` datagram on descriptor 3.
//!
//! `netd` sends `Ready` once the machine's network is up (or `Degraded`, when there is no link or no lease yet; it
//! goes on trying and sends `Ready` later). PID 1 begins with `Kept`, a `Held` per
//! attached run, `Synced` and `Reserve`; the last at a boot only when the units have been read.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use unit::{NetworkMode, Port, UnitName};

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum NetRequest {
    /// What the machine has kept can be read: its state is mounted, and it has its name. No server is asked for an address
    /// before that.
    Kept,
    /// Host ports that units publish, running or not, as ranges with both ends: the kernel gives none of them to a
    /// connection of the machine's own. Takes the place of the former word; those that runs hold are reserved as well.
    Reserve { ports: Vec<(u16, u16)> },
    /// At the start of a connection, one for each run that holds a network; its namespace rides along.
    /// (One message each: a datagram carries at most 253 descriptors, unix(7).)
    Held(AttachRequest),
    /// That was all of them: whatever else `netd` finds of runs is released.
    Synced,
    /// Make a network namespace with everything in it. Answered `Attached` (the namespace rides along) or `AttachFailed`;
    /// before the machine's first lease only when that is there, for the sake of its name servers, or soon after (2 s).
    Attach(AttachRequest),
    /// Lead the published ports of the unit to this run of it, whichever run they lead to now, in one step; the unit's
    /// address is this run's from now on. Harmless when it is the case already. Answered `Flipped` or `FlipFailed`, and
    /// then everything is as it was.
    Flip { unit: UnitName, run: u64 },
    /// The run has ended: its ports are free, its address too as soon as the kernel has removed the link. With `keep`, and
    /// its namespace riding along, another run of the unit will follow by itself: it may have all of that, if it asks for the
    /// same and comes soon.
    Detach {
        unit: UnitName,
        run: u64,
        #[serde(default)]
        keep: bool,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct AttachRequest {
    pub unit: UnitName,
    pub run: u64,
    /// Another run of the unit has its ports and its address: this one publishes nothing until there is a `Flip` to it.
    #[serde(default)]
    pub beside: bool,
    pub mode: NetworkMode,
    pub ports: Vec<Port>,
    pub hostname: String,
    /// Host name → address or `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum NetReply {
    /// The machine's network is up.
    Ready {
        link: String,
        address: String,
        gateway: Option<Ipv4Addr>,
        how: String,
    },
    /// No usable link (yet): containers start all the same; why, in one line.
    Degraded { message: String },
    Attached {
        unit: UnitName,
        run: u64,
        address: Option<Ipv4Addr>,
        /// Text of the container's /etc/hosts and /etc/resolv.conf.
        hosts: String,
        resolv_conf: String,
        /// As `ps` shows them: `0.0.0.0:7001->6379/tcp`.
        ports: Vec<String>,
    },
    /// One readable line that names both owners of a port in use.
    AttachFailed {
        unit: UnitName,
        run: u64,
        message: String,
        /// It is the unit's definition that can't be had, now or later.
        #[serde(default)]
        lasting: bool,
    },
    /// With the ports as they are published now.
    Flipped {
        unit: UnitName,
        run: u64,
        ports: Vec<String>,
    },
    /// One readable line.
    FlipFailed {
        unit: UnitName,
        run: u64,
        message: String,
    },
}

//! The client's states and times (RFC 2131 section 4.4).
//!
//! ```text
//! Rebooting ───────────ack─────────────────┐
//!     │ nak, no answer                     ▼
//!     ▼                                    │
//! Selecting ──offer──▶ Requesting ──ack──▶ Bound ──T1──▶ Renewing ──T2──▶ Rebinding ──end──▶ Selecting
//!     ▲                    │ nak, no answer   ▲              │ ack            │ ack
//!     └────────────────────┘                  └──────────────┴────────────────┘
//! ```
//!
//! It begins in Rebooting when it knows an address that it had before: one round trip instead of two.
//! Each state knows its own next time; `tick` does what has come due. It never gives up.

mod held;
#[cfg(test)]
mod tests;

use super::message::{Incoming, Kind, Lease, Outgoing, parse};
use crate::netlink::route::Mac;
use held::Held;
use std::net::Ipv4Addr;

/// The first answer is missed now and then by a link that is just coming up: ask again soon, then ever more seldom.
const RETRY_MS_MIN: u64 = 250;
const RETRY_MS_MAX: u64 = 30_000;
/// Requests for the address of before, without an answer: a server that doesn't know it must be silent (RFC 2131 section
/// 4.3.2), and then whoever waits for the network waits in vain.
const REBOOT_REQUESTS_MAX: u32 = 1;
/// Requests for one offer before looking for another.
const REQUESTS_MAX: u32 = 4;
/// RFC 2131 section 4.4.5: an extension is asked for at most once a minute.
const EXTEND_RETRY_MS_MIN: u64 = 60_000;
/// After the cable was out: so long to hear from the old server before starting anew in what may be another network.
const VERIFY_MS: u64 = 10_000;
/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To every server, from a link that may have no address.
    Broadcast(Vec<u8>),
    /// To one server, from the address in use.
    Unicast { server: Ipv4Addr, message: Vec<u8> },
    /// The lease is in force (again).
    Bound(Lease),
    /// The lease is over: its address must not be used any longer.
    Lost,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Rebooting {
        address: Ipv4Addr,
        attempt: u32,
        next_ms: u64,
    },
    Selecting {
        attempt: u32,
        next_ms: u64,
    },
    Requesting {
        address: Ipv4Addr,
        server: Ipv4Addr,
        attempt: u32,
        next_ms: u64,
    },
    Bound {
        held: Held,
    },
    Renewing {
        held: Held,
        next_ms: u64,
    },
    Rebinding {
        held: Held,
        until_ms: u64,
        next_ms: u64,
    },
}

#[derive(Debug)]
pub(crate) struct Client {
    mac: Mac,
    hostname: Option<String>,
    /// The address to ask for: the one that is on the link already, or was the last time.
    wanted: Option<Ipv4Addr>,
    random: u64,
    transaction: u32,
    started_ms: u64,
    state: State,
}

impl Client {
    /// The first message is due at once: call `tick`.
    pub(crate) fn new(
        now_ms: u64,
        mac: Mac,
        hostname: Option<String>,
        wanted: Option<Ipv4Addr>,
        seed: u64,
    ) -> Self {
        let state = State::Selecting {
            attempt: 0,
            next_ms: now_ms,
        };
        let mut client = Self {
            mac,
            hostname,
            wanted,
            random: seed | 1,
            transaction: 0,
            started_ms: now_ms,
            state,
        };
        client.begin(now_ms);
        if let Some(address) = wanted {
            client.state = State::Rebooting {
                address,
                attempt: 0,
                next_ms: now_ms,
            };
        }
        client
    }

    /// When `tick` has something to do; None: never.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        let at = match &self.state {
            State::Rebooting { next_ms, .. }
            | State::Selecting { next_ms, .. }
            | State::Requesting { next_ms, .. } => *next_ms,
            State::Bound { held } => held.renew_at_ms,
            State::Renewing { held, next_ms } => held.rebind_at_ms.min(*next_ms),
            State::Rebinding {
                until_ms, next_ms, ..
            } => *until_ms.min(next_ms),
        };
        (at != u64::MAX).then_some(at)
    }

    /// Whether a message may come in: while bound, no socket is needed.
    pub(crate) fn listens(&self) -> bool {
        !matches!(self.state, State::Bound { .. })
    }

    pub(crate) fn tick(&mut self, now_ms: u64, outputs: &mut Vec<Output>) {
        if self.deadline_ms().is_none_or(|at| now_ms < at) {
            return;
        }
        match self.state.clone() {
            State::Rebooting { attempt, .. } if attempt >= REBOOT_REQUESTS_MAX => {
                self.begin(now_ms);
                self.discover(now_ms, 0, outputs);
            }
            State::Rebooting {
                address, attempt, ..
            } => self.request_again(now_ms, address, attempt, outputs),
            State::Selecting { attempt, .. } => self.discover(now_ms, attempt, outputs),
            State::Requesting { attempt, .. } if attempt >= REQUESTS_MAX => {
                self.begin(now_ms);
                self.discover(now_ms, 0, outputs);
            }
            State::Requesting {
                address,
                server,
                attempt,
                ..
            } => {
                self.request(now_ms, address, server, attempt, outputs);
            }
            State::Bound { held } => {
                self.transaction = self.random_number();
                self.started_ms = now_ms;
                self.extend(now_ms, held, outputs);
            }
            State::Renewing { held, .. } => self.extend(now_ms, held, outputs),
            State::Rebinding { until_ms, .. } if now_ms >= until_ms => self.lose(now_ms, outputs),
            State::Rebinding { held, until_ms, .. } => {
                self.rebind(now_ms, held, until_ms, outputs);
            }
        }
    }

    pub(crate) fn receive(&mut self, now_ms: u64, bytes: &[u8], outputs: &mut Vec<Output>) {
        let Some(Incoming {
            kind,
            server,
            lease,
        }) = parse(bytes, self.transaction, self.mac)
        else {
            return;
        };
        match (&self.state, kind) {
            (State::Rebooting { .. }, Kind::Acknowledge) => {
                self.bind(now_ms, server, lease, outputs);
            }
            (State::Rebooting { .. }, Kind::Refuse) => {
                self.wanted = None;
                self.begin(now_ms);
                self.discover(now_ms, 0, outputs);
            }
            (State::Selecting { .. }, Kind::Offer) => {
                self.request(now_ms, lease.address, server, 0, outputs);
            }
            (State::Requesting { server: asked, .. }, Kind::Acknowledge) if *asked == server => {
                self.bind(now_ms, server, lease, outputs);
            }
            (State::Requesting { server: asked, .. }, Kind::Refuse) if *asked == server => {
                self.wanted = None;
                self.begin(now_ms);
                // Not at once: a server that offers and refuses in turn would be asked without a pause.
                self.state = State::Selecting {
                    attempt: 1,
                    next_ms: now_ms + RETRY_MS_MIN,
                };
            }
            (State::Renewing { .. } | State::Rebinding { .. }, Kind::Acknowledge) => {
                self.bind(now_ms, server, lease, outputs);
            }
            (State::Renewing { .. } | State::Rebinding { .. }, Kind::Refuse) => {
                self.wanted = None;
                self.lose(now_ms, outputs);
            }
            // An offer that comes late, an answer twice, or not a server's message at all.
            (
                _,
                Kind::Offer | Kind::Acknowledge | Kind::Refuse | Kind::Discover | Kind::Request,
            ) => {}
        }
    }

    /// The carrier was gone and is back: the network may be another one.
    pub(crate) fn carrier_returned(&mut self, now_ms: u64, outputs: &mut Vec<Output>) {
        match self.state.clone() {
            State::Rebooting { address, .. } => self.request_again(now_ms, address, 0, outputs),
            State::Selecting { .. } | State::Requesting { .. } => {
                self.begin(now_ms);
                self.discover(now_ms, 0, outputs);
            }
            State::Bound { held }
            | State::Renewing { held, .. }
            | State::Rebinding { held, .. } => {
                self.transaction = self.random_number();
                self.started_ms = now_ms;
                let until_ms = held.end_ms.min(now_ms + VERIFY_MS);
                self.rebind(now_ms, held, until_ms, outputs);
            }
        }
    }

    fn begin(&mut self, now_ms: u64) {
        self.transaction = self.random_number();
        self.started_ms = now_ms;
        self.state = State::Selecting {
            attempt: 0,
            next_ms: now_ms,
        };
    }

    fn lose(&mut self, now_ms: u64, outputs: &mut Vec<Output>) {
        outputs.push(Output::Lost);
        self.begin(now_ms);
        self.discover(now_ms, 0, outputs);
    }

    /// `INIT-REBOOT` of RFC 2131 section 4.3.2: from no address, to no server in particular.
    fn request_again(
        &mut self,
        now_ms: u64,
        address: Ipv4Addr,
        attempt: u32,
        outputs: &mut Vec<Output>,
    ) {
        let own = Ipv4Addr::UNSPECIFIED;
        let message = self.message(now_ms, Kind::Request, own, Some(address), None);
        outputs.push(Output::Broadcast(message));
        let next_ms = now_ms + self.retry_ms(attempt);
        self.state = State::Rebooting {
            address,
            attempt: attempt + 1,
            next_ms,
        };
    }

    fn discover(&mut self, now_ms: u64, attempt: u32, outputs: &mut Vec<Output>) {
        let message = self.message(
            now_ms,
            Kind::Discover,
            Ipv4Addr::UNSPECIFIED,
            self.wanted,
            None,
        );
        outputs.push(Output::Broadcast(message));
        let next_ms = now_ms + self.retry_ms(attempt);
        self.state = State::Selecting {
            attempt: attempt.saturating_add(1),
            next_ms,
        };
    }

    fn request(
        &mut self,
        now_ms: u64,
        address: Ipv4Addr,
        server: Ipv4Addr,
        attempt: u32,
        outputs: &mut Vec<Output>,
    ) {
        let own = Ipv4Addr::UNSPECIFIED;
        let message = self.message(now_ms, Kind::Request, own, Some(address), Some(server));
        outputs.push(Output::Broadcast(message));
        let next_ms = now_ms + self.retry_ms(attempt);
        self.state = State::Requesting {
            address,
            server,
            attempt: attempt + 1,
            next_ms,
        };
    }

    fn extend(&mut self, now_ms: u64, held: Held, outputs: &mut Vec<Output>) {
        if now_ms >= held.rebind_at_ms {
            let until_ms = held.end_ms;
            return self.rebind(now_ms, held, until_ms, outputs);
        }
        let message = self.message(now_ms, Kind::Request, held.address, None, None);
        outputs.push(Output::Unicast {
            server: held.server,
            message,
        });
        let wait = (held.rebind_at_ms - now_ms) / 2;
        self.state = State::Renewing {
            held,
            next_ms: now_ms + wait.max(EXTEND_RETRY_MS_MIN),
        };
    }

    fn rebind(&mut self, now_ms: u64, held: Held, until_ms: u64, outputs: &mut Vec<Output>) {
        let message = self.message(now_ms, Kind::Request, held.address, None, None);
        outputs.push(Output::Broadcast(message));
        let left = until_ms.saturating_sub(now_ms);
        let wait = if left <= VERIFY_MS {
            VERIFY_MS / 5
        } else {
            (left / 2).max(EXTEND_RETRY_MS_MIN)
        };
        self.state = State::Rebinding {
            held,
            until_ms,
            next_ms: now_ms + wait,
        };
    }

    fn bind(&mut self, now_ms: u64, server: Ipv4Addr, lease: Lease, outputs: &mut Vec<Output>) {
        let held = Held::new(now_ms, server, &lease);
        self.wanted = Some(lease.address);
        self.state = State::Bound { held };
        outputs.push(Output::Bound(lease));
    }

    fn message(
        &self,
        now_ms: u64,
        kind: Kind,
        own: Ipv4Addr,
        requested: Option<Ipv4Addr>,
        server: Option<Ipv4Addr>,
    ) -> Vec<u8> {
        let seconds = now_ms.saturating_sub(self.started_ms) / 1000;
        Outgoing {
            kind,
            transaction: self.transaction,
            mac: self.mac,
            seconds: u16::try_from(seconds).unwrap_or(u16::MAX),
            own,
            requested,
            server,
            hostname: self.hostname.as_deref(),
        }
        .encode()
    }

    /// Doubling, a tenth more or less, so that a rack of machines doesn't ask in step.
    fn retry_ms(&mut self, attempt: u32) -> u64 {
        let wait = RETRY_MS_MIN
            .checked_shl(attempt)
            .unwrap_or(RETRY_MS_MAX)
            .min(RETRY_MS_MAX);
        wait - wait / 10 + u64::from(self.random_number()) % (wait / 5)
    }

    /// xorshift64 (Marsaglia): not for secrets.
    fn random_number(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        u32::try_from(self.random >> 32).unwrap_or(0)
    }
}

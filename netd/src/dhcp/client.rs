//! The client's states and times (RFC 2131 section 4.4).
//!
//! ```text
//! Selecting ──offer──▶ Requesting ──ack──▶ Bound ──T1──▶ Renewing ──T2──▶ Rebinding ──end──▶ Selecting
//!     ▲                    │ nak, no answer   ▲              │ ack            │ ack
//!     └────────────────────┘                  └──────────────┴────────────────┘
//! ```
//!
//! Each state knows its own next time; `tick` does what has come due. It never gives up.

use super::message::{Incoming, Kind, Lease, Outgoing, parse};
use crate::netlink::route::Mac;
use std::net::Ipv4Addr;

/// The first answer is missed now and then by a link that is just coming up: ask again soon, then ever more seldom.
const RETRY_MS_MIN: u64 = 250;
const RETRY_MS_MAX: u64 = 30_000;
/// Requests for one offer before looking for another.
const REQUESTS_MAX: u32 = 4;
/// RFC 2131 section 4.4.5: an extension is asked for at most once a minute.
const EXTEND_RETRY_MS_MIN: u64 = 60_000;
/// After the cable was out: so long to hear from the old server before starting anew in what may be another network.
const VERIFY_MS: u64 = 10_000;
/// A shorter lease would have the client do nothing but renew.
const LEASE_SECONDS_MIN: u32 = 60;

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

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    address: Ipv4Addr,
    server: Ipv4Addr,
    renew_at_ms: u64,
    rebind_at_ms: u64,
    end_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Client {
    mac: Mac,
    hostname: Option<String>,
    /// The address to ask for: the one that is already on the link.
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
        client
    }

    /// When `tick` has something to do; None: never.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        let at = match &self.state {
            State::Selecting { next_ms, .. } | State::Requesting { next_ms, .. } => *next_ms,
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
        let held = if lease.seconds == u32::MAX {
            let never = u64::MAX;
            Held {
                address: lease.address,
                server,
                renew_at_ms: never,
                rebind_at_ms: never,
                end_ms: never,
            }
        } else {
            let length_ms = u64::from(lease.seconds.max(LEASE_SECONDS_MIN)) * 1000;
            let part = |seconds: Option<u32>, thousandths: u64| {
                let given = seconds.map(|seconds| u64::from(seconds) * 1000);
                given
                    .filter(|ms| *ms > 0 && *ms < length_ms)
                    .unwrap_or(length_ms / 1000 * thousandths)
            };
            let rebind_ms = part(lease.rebind_seconds, 875);
            let renew_ms = part(lease.renew_seconds, 500).min(rebind_ms);
            Held {
                address: lease.address,
                server,
                renew_at_ms: now_ms + renew_ms,
                rebind_at_ms: now_ms + rebind_ms,
                end_ms: now_ms + length_ms,
            }
        };
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

#[cfg(test)]
mod tests {
    use super::super::message::tests::{MAC, reply};
    use super::*;

    const LEASE: (u8, &[u8]) = (51, &[0, 0, 14, 16]); // an hour
    const HOUR_MS: u64 = 3_600_000;
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    fn new_client() -> Client {
        Client::new(1000, MAC, Some("box".into()), None, 42)
    }

    fn tick(client: &mut Client, now_ms: u64) -> Vec<Output> {
        let mut outputs = Vec::new();
        client.tick(now_ms, &mut outputs);
        outputs
    }

    fn receive(client: &mut Client, now_ms: u64, kind: u8) -> Vec<Output> {
        let mut outputs = Vec::new();
        client.receive(
            now_ms,
            &reply(kind, client.transaction, &[LEASE]),
            &mut outputs,
        );
        outputs
    }

    fn bound() -> Client {
        let mut client = new_client();
        tick(&mut client, 1000);
        receive(&mut client, 1001, 2);
        let outputs = receive(&mut client, 1002, 5);
        assert!(matches!(outputs[..], [Output::Bound(_)]));
        client
    }

    #[test]
    fn two_round_trips_and_no_waiting_give_an_address() {
        let mut client = new_client();
        assert!(matches!(
            tick(&mut client, 1000)[..],
            [Output::Broadcast(_)]
        ));
        assert!(matches!(
            receive(&mut client, 1001, 2)[..],
            [Output::Broadcast(_)]
        ));
        assert!(client.listens());
        let outputs = receive(&mut client, 1002, 5);
        let [Output::Bound(lease)] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!(lease.address, Ipv4Addr::new(10, 0, 2, 15));
        assert!(!client.listens());
        assert_eq!(client.deadline_ms(), Some(1002 + HOUR_MS / 2));
    }

    #[test]
    fn it_asks_for_ever_with_ever_longer_waits() {
        let mut client = new_client();
        let (mut now, mut waits) = (1000, Vec::new());
        for _ in 0..20 {
            assert!(matches!(tick(&mut client, now)[..], [Output::Broadcast(_)]));
            let next = client.deadline_ms().unwrap();
            waits.push(next - now);
            now = next;
        }
        assert!(
            waits[0] <= 275 && waits[19] >= 27_000 && waits[19] <= 33_000,
            "{waits:?}"
        );
    }

    #[test]
    fn it_renews_with_its_server_then_with_any_and_then_gives_the_address_up() {
        let mut client = bound();
        let mut seen = Vec::new();
        let mut now = 0;
        while let Some(at) = client.deadline_ms() {
            now = at;
            let outputs = tick(&mut client, at);
            let lost = outputs.contains(&Output::Lost);
            seen.extend(outputs.into_iter().map(|output| match output {
                Output::Unicast { server, .. } => {
                    assert_eq!(server, SERVER);
                    'u'
                }
                Output::Broadcast(_) => 'b',
                Output::Bound(_) => '!',
                Output::Lost => 'x',
            }));
            if lost {
                break;
            }
        }
        let seen: String = seen.into_iter().collect();
        assert!(
            seen.starts_with("uu") && seen.contains("bb") && seen.ends_with("xb"),
            "{seen}"
        );
        assert_eq!(now, 1002 + HOUR_MS);
    }

    #[test]
    fn an_answer_extends_the_lease() {
        let mut client = bound();
        let at = client.deadline_ms().unwrap();
        tick(&mut client, at);
        assert!(matches!(
            receive(&mut client, at + 1, 5)[..],
            [Output::Bound(_)]
        ));
        assert_eq!(client.deadline_ms(), Some(at + 1 + HOUR_MS / 2));
    }

    #[test]
    fn a_refusal_loses_the_address_at_once() {
        let mut client = bound();
        let at = client.deadline_ms().unwrap();
        tick(&mut client, at);
        let outputs = receive(&mut client, at + 1, 6);
        assert!(matches!(outputs[..], [Output::Lost, Output::Broadcast(_)]));
    }

    #[test]
    fn after_the_cable_was_out_the_lease_is_verified_and_dropped_without_an_answer() {
        let mut client = bound();
        let mut outputs = Vec::new();
        client.carrier_returned(5000, &mut outputs);
        assert!(matches!(outputs[..], [Output::Broadcast(_)]));
        let mut lost_at = None;
        while lost_at.is_none() {
            let at = client.deadline_ms().unwrap();
            lost_at = tick(&mut client, at).contains(&Output::Lost).then_some(at);
        }
        assert_eq!(lost_at, Some(5000 + VERIFY_MS));
    }

    #[test]
    fn an_offer_from_another_exchange_changes_nothing() {
        let mut client = bound();
        assert_eq!(receive(&mut client, 2000, 2), []);
        assert_eq!(receive(&mut client, 2000, 5), []);
        let mut outputs = Vec::new();
        client.receive(2000, &reply(6, 1, &[]), &mut outputs);
        assert_eq!(outputs, []);
    }

    #[test]
    fn a_server_that_refuses_what_it_offers_is_not_asked_without_a_pause() {
        let mut client = new_client();
        tick(&mut client, 1000);
        receive(&mut client, 1001, 2);
        assert_eq!(receive(&mut client, 1002, 6), []);
        assert!(client.deadline_ms().unwrap() >= 1002 + RETRY_MS_MIN);
    }

    #[test]
    fn a_lease_for_ever_has_no_next_time() {
        let mut client = new_client();
        tick(&mut client, 1000);
        receive(&mut client, 1001, 2);
        let mut outputs = Vec::new();
        client.receive(
            1002,
            &reply(5, client.transaction, &[(51, &[255; 4])]),
            &mut outputs,
        );
        assert_eq!(client.deadline_ms(), None);
    }
}

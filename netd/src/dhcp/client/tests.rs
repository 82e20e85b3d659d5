//! The client against servers that answer, refuse, or say nothing.

use super::*;
use crate::dhcp::message::tests::{MAC, reply};

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

fn rebooted() -> Client {
    let address = Ipv4Addr::new(10, 0, 2, 15);
    let mut client = Client::new(1000, MAC, None, Some(address), 42);
    assert!(matches!(
        tick(&mut client, 1000)[..],
        [Output::Broadcast(_)]
    ));
    client
}

#[test]
fn one_round_trip_gives_the_address_of_before() {
    let mut client = rebooted();
    assert_eq!(receive(&mut client, 1001, 2), [], "no offer was asked for");
    assert!(matches!(
        receive(&mut client, 1002, 5)[..],
        [Output::Bound(_)]
    ));
}

#[test]
fn an_address_of_before_that_is_refused_or_unknown_is_followed_by_a_search() {
    let mut refused = rebooted();
    let asked = refused.transaction;
    assert!(matches!(
        receive(&mut refused, 1001, 6)[..],
        [Output::Broadcast(_)]
    ));
    assert!(matches!(refused.state, State::Selecting { .. }));
    assert_ne!(refused.transaction, asked);
    assert_eq!(refused.wanted, None);

    let mut unknown = rebooted();
    let at = unknown.deadline_ms().unwrap();
    assert!(at <= 1000 + 2 * RETRY_MS_MIN);
    assert!(matches!(tick(&mut unknown, at)[..], [Output::Broadcast(_)]));
    receive(&mut unknown, at + 1, 2);
    assert!(matches!(
        receive(&mut unknown, at + 2, 5)[..],
        [Output::Bound(_)]
    ));
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

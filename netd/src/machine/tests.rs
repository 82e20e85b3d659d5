//! The machine's link as its rules say it, without a kernel.

use super::*;
use crate::plan::command_line::wish;
use crate::plan::subnet::Subnet;

fn link(index: u32, carrier: bool) -> Link {
    Link {
        index,
        name: format!("eth{}", index - 2),
        mac: [2, 0, 0, 0, 0, 1],
        loopback: false,
        physical: true,
        up: carrier,
        carrier,
        carrier_losses: 0,
        operational: carrier,
        mtu: 1500,
        peer: None,
    }
}

fn machine(command_line: &str) -> Machine {
    machine_with(command_line, None)
}

fn machine_with(command_line: &str, remembered: Option<RememberedLease>) -> Machine {
    let mut machine = not_begun(command_line, remembered);
    handle(&mut machine, 0, Event::Begin);
    machine
}

fn not_begun(command_line: &str, remembered: Option<RememberedLease>) -> Machine {
    let mut machine = nothing_read(command_line);
    let hostname = None;
    let kept = Kept {
        hostname,
        remembered,
    };
    handle(&mut machine, 0, Event::Kept(&kept));
    machine
}

fn nothing_read(command_line: &str) -> Machine {
    Machine::new(Outset {
        wish: wish(command_line).unwrap(),
        found: Vec::new(),
        seed: 7,
    })
}

fn handle(machine: &mut Machine, now_ms: u64, event: Event<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    machine.handle(now_ms, event, &mut actions);
    actions
}

fn degraded(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|action| match action {
        Action::Tell(NetReply::Degraded { message }) => Some(message.as_str()),
        _ => None,
    })
}

const STATIC: &str = "ip=192.168.1.5::192.168.1.1:255.255.255.0:::off:9.9.9.9";

#[test]
fn a_link_is_brought_up_and_chosen_once_it_has_a_carrier() {
    let mut machine = machine("");
    assert_eq!(
        handle(&mut machine, 0, Event::Link(&link(2, false))),
        [Action::BringUp { link: 2 }]
    );
    let actions = handle(&mut machine, 5, Event::Link(&link(2, true)));
    assert!(matches!(actions[..], [Action::Broadcast(_)]), "{actions:?}");
    let listening = machine.listening().unwrap();
    assert_eq!(
        (listening.name.as_str(), listening.has_address),
        ("eth0", false)
    );
}

#[test]
fn nobody_is_asked_for_an_address_before_what_was_kept_can_be_read() {
    let mut machine = nothing_read("");
    let up = handle(&mut machine, 0, Event::Link(&link(2, false)));
    assert_eq!(up, [Action::BringUp { link: 2 }]);
    assert_eq!(handle(&mut machine, 5, Event::Link(&link(2, true))), []);
    assert_eq!(machine.listening(), None);
    let kept = Kept {
        hostname: Some("keel".into()),
        remembered: None,
    };
    let actions = handle(&mut machine, 9, Event::Kept(&kept));
    let [Action::Broadcast(message)] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert!(message.windows(4).any(|bytes| bytes == b"keel"));
}

#[test]
fn a_link_made_by_software_is_left_alone_unless_it_is_named() {
    let veth = Link {
        physical: false,
        ..link(2, false)
    };
    assert_eq!(handle(&mut machine(""), 0, Event::Link(&veth)), []);
    let named = handle(&mut machine("ip=eth0:dhcp"), 0, Event::Link(&veth));
    assert_eq!(named, [Action::BringUp { link: 2 }]);
}

#[test]
fn a_static_address_is_ready_at_once() {
    let mut machine = machine(STATIC);
    let actions = handle(&mut machine, 0, Event::Link(&link(2, true)));
    let [
        Action::Configure {
            link: 2,
            reply: NetReply::Ready { address, how, .. },
            ..
        },
    ] = &actions[..]
    else {
        panic!("{actions:?}")
    };
    assert_eq!(
        (address.as_str(), how.as_str()),
        ("192.168.1.5/24", "static")
    );
    assert_eq!(machine.resolution().resolvers, [Ipv4Addr::new(9, 9, 9, 9)]);
    assert_eq!(machine.deadline_ms(), None);
}

#[test]
fn trouble_is_told_once_and_says_what_to_look_at() {
    let mut none = machine("");
    assert_eq!(none.deadline_ms(), Some(LINK_WAIT_MS));
    let actions = handle(&mut none, LINK_WAIT_MS, Event::Tick);
    assert!(
        degraded(&actions).unwrap().contains("no driver"),
        "{actions:?}"
    );
    assert_eq!(handle(&mut none, LINK_WAIT_MS + 1, Event::Tick), []);

    let mut unplugged = machine("");
    handle(&mut unplugged, 0, Event::Link(&link(2, false)));
    let actions = handle(&mut unplugged, LEASE_WAIT_MS, Event::Tick);
    assert!(
        degraded(&actions).unwrap().contains("no carrier on eth0"),
        "{actions:?}"
    );

    let mut silent = machine("");
    handle(&mut silent, 0, Event::Link(&link(2, true)));
    let actions = handle(&mut silent, LEASE_WAIT_MS, Event::Tick);
    assert!(
        degraded(&actions)
            .unwrap()
            .contains("DHCP server on link eth0"),
        "{actions:?}"
    );

    let mut off = not_begun("ip=off", None);
    let actions = handle(&mut off, 0, Event::Begin);
    assert!(
        degraded(&actions).unwrap().contains("ip=off"),
        "{actions:?}"
    );
}

#[test]
fn before_the_drivers_are_there_nothing_is_missed() {
    let mut machine = not_begun("", None);
    assert_eq!(machine.deadline_ms(), None);
    assert_eq!(handle(&mut machine, 60_000, Event::Tick), []);
    handle(&mut machine, 60_000, Event::Begin);
    assert_eq!(machine.deadline_ms(), Some(60_000 + LINK_WAIT_MS));
    handle(&mut machine, 60_001, Event::Begin);
    assert_eq!(machine.deadline_ms(), Some(60_000 + LINK_WAIT_MS));

    let mut ready = not_begun(STATIC, None);
    let actions = handle(&mut ready, 5, Event::Link(&link(2, true)));
    assert!(
        matches!(actions[..], [Action::Configure { .. }]),
        "a link is used when it is there: {actions:?}"
    );
}

#[test]
fn a_lost_carrier_is_told_and_its_return_too() {
    let mut machine = machine(STATIC);
    handle(&mut machine, 0, Event::Link(&link(2, true)));
    let actions = handle(&mut machine, 50, Event::Link(&link(2, false)));
    assert!(
        degraded(&actions).unwrap().contains("no carrier on eth0"),
        "{actions:?}"
    );
    let actions = handle(&mut machine, 60, Event::Link(&link(2, true)));
    assert!(
        matches!(actions[..], [Action::Tell(NetReply::Ready { .. })]),
        "{actions:?}"
    );
}

#[test]
fn another_link_takes_over_from_one_without_carrier() {
    let mut machine = machine(STATIC);
    handle(&mut machine, 0, Event::Link(&link(2, true)));
    handle(&mut machine, 1, Event::Link(&link(3, true)));
    let actions = handle(&mut machine, 50, Event::Link(&link(2, false)));
    assert!(
        matches!(
            actions[..],
            [
                Action::Deconfigure { link: 2, .. },
                Action::Configure { link: 3, .. }
            ]
        ),
        "{actions:?}"
    );
}

#[test]
fn a_link_without_a_server_gives_the_next_one_its_turn() {
    let mut machine = machine("");
    handle(&mut machine, 0, Event::Link(&link(2, true)));
    handle(&mut machine, 1, Event::Link(&link(3, true)));
    assert_eq!(machine.listening().unwrap().link, 2);
    handle(&mut machine, LEASE_WAIT_MS, Event::Tick);
    assert_eq!(machine.listening().unwrap().link, 3);
    handle(&mut machine, 2 * LEASE_WAIT_MS, Event::Tick);
    assert_eq!(machine.listening().unwrap().link, 2);
}

#[test]
fn a_configuration_that_the_kernel_refuses_is_told_and_tried_again() {
    let mut machine = machine(STATIC);
    handle(&mut machine, 0, Event::Link(&link(2, true)));
    let actions = handle(&mut machine, 1, Event::ConfigureFailed("no such gateway"));
    assert_eq!(degraded(&actions), Some("no such gateway"));
    assert_eq!(handle(&mut machine, 2, Event::Link(&link(2, true))), []);
    assert_eq!(machine.deadline_ms(), Some(1 + CONFIGURE_RETRY_MS));
    let actions = handle(&mut machine, 1 + CONFIGURE_RETRY_MS, Event::Tick);
    assert!(
        matches!(actions[..], [Action::Configure { .. }]),
        "{actions:?}"
    );
}

#[test]
fn a_link_that_is_pulled_out_is_forgotten() {
    let mut machine = machine(STATIC);
    handle(&mut machine, 0, Event::Link(&link(2, true)));
    let actions = handle(&mut machine, 9, Event::LinkGone(2));
    assert!(
        degraded(&actions).unwrap().contains("no Ethernet link"),
        "{actions:?}"
    );
    let actions = handle(&mut machine, 20, Event::Link(&link(5, true)));
    assert!(
        matches!(actions[..], [Action::Configure { link: 5, .. }]),
        "{actions:?}"
    );
}

#[test]
fn a_carrier_that_was_out_between_two_looks_has_the_lease_verified() {
    let mut machine = machine("");
    let first = handle(&mut machine, 0, Event::Link(&link(2, true)));
    assert!(matches!(first[..], [Action::Broadcast(_)]), "{first:?}");
    let same = handle(&mut machine, 1, Event::Link(&link(2, true)));
    assert_eq!(same, [], "nothing has happened");
    let lost = Link {
        carrier_losses: 1,
        ..link(2, true)
    };
    let again = handle(&mut machine, 2, Event::Link(&lost));
    assert!(matches!(again[..], [Action::Broadcast(_)]), "{again:?}");
    assert_eq!(handle(&mut machine, 3, Event::Link(&lost)), []);
}

#[test]
fn it_is_settled_when_the_first_news_is_told() {
    assert!(machine("ip=off").is_settled());

    let mut by_hand = machine(STATIC);
    assert!(!by_hand.is_settled());
    handle(&mut by_hand, 0, Event::Link(&link(2, true)));
    assert!(by_hand.is_settled());

    let mut by_dhcp = machine("");
    handle(&mut by_dhcp, 0, Event::Link(&link(2, true)));
    assert!(!by_dhcp.is_settled(), "no lease yet");
}

/// A lease of the card that [`link`] is.
fn remembered() -> RememberedLease {
    let config = LinkConfig {
        address: Ipv4Addr::new(10, 88, 3, 4),
        prefix: 16,
        routes: Vec::new(),
        resolvers: Vec::new(),
        domain: None,
        mtu: Some(1400),
    };
    RememberedLease::new(link(2, true).mac, &config)
}

#[test]
fn a_remembered_lease_says_what_to_expect_of_the_same_card_and_is_written_when_it_changes() {
    let mut machine = machine_with("", Some(remembered()));
    assert_eq!(machine.mtu(), 1500, "which card it will be is not known");
    assert_eq!(machine.networks(), [Subnet::of([10, 88, 0, 0].into(), 16)]);
    handle(&mut machine, 0, Event::Link(&link(2, true)));
    assert_eq!(machine.mtu(), 1400);
    assert_eq!(machine.lease_to_remember(), None, "there is none yet");

    let other_card = Link {
        mac: [2, 0, 0, 0, 0, 2],
        ..link(2, true)
    };
    let mut exchanged = machine_with("", Some(remembered()));
    handle(&mut exchanged, 0, Event::Link(&other_card));
    assert_eq!(exchanged.mtu(), 1500);

    let mut actions = Vec::new();
    let config = LinkConfig {
        address: Ipv4Addr::new(10, 0, 2, 15),
        prefix: 24,
        routes: Vec::new(),
        resolvers: Vec::new(),
        domain: None,
        mtu: None,
    };
    machine.configure(config, &mut actions);
    assert!(machine.lease_to_remember().is_some());
    assert_eq!(machine.lease_to_remember(), None, "once");

    let mut fixed = machine_with(STATIC, None);
    handle(&mut fixed, 0, Event::Link(&link(2, true)));
    assert_eq!(fixed.lease_to_remember(), None, "nobody leased it");
}

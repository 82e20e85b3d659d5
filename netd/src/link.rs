//! The machine's link, as the kernel is told: address, routes, size of packets.

use crate::machine::LinkConfig;
use crate::netlink::route::{self, Link, LinkAddress, LinkChange, LinkKey, set_link};
use crate::netlink::{Batch, NetlinkError, Socket};
use std::time::Duration;

/// Looks at a link that was just brought up, and the time between two. A virtual card has its carrier by then, a real one
/// after seconds: of that the kernel tells.
const LOOKS: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Let it look for a carrier, and say how it stands: a carrier that is there at once would be told of up to a second
/// later.
pub(crate) fn bring_up(socket: &mut Socket, link: u32) -> Result<Link, NetlinkError> {
    let key = LinkKey::Index(link);
    let mut batch = Batch::new();
    let up = LinkChange {
        up: true,
        ..LinkChange::default()
    };
    set_link(&mut batch, key, &up);
    route::get_link(&mut batch, key);
    let mut found = route::last_link(socket, &batch)?;
    for _ in 1..LOOKS {
        if found.carrier {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
        let mut batch = Batch::new();
        route::get_link(&mut batch, key);
        found = route::last_link(socket, &batch)?;
    }
    Ok(found)
}

/// Give the link what `config` says, and take from it what a former configuration left.
pub(crate) fn configure(
    socket: &mut Socket,
    link: u32,
    config: &LinkConfig,
) -> Result<(), NetlinkError> {
    let wanted = LinkAddress {
        link,
        address: config.address,
        prefix: config.prefix,
    };
    let mut batch = Batch::new();
    for found in route::addresses(socket)? {
        if found.link == link && found != wanted {
            route::delete_address(&mut batch, found);
        }
    }
    if let Some(mtu) = config.mtu {
        let change = LinkChange {
            up: true,
            mtu: Some(mtu),
            ..LinkChange::default()
        };
        set_link(&mut batch, LinkKey::Index(link), &change);
    }
    route::add_address(&mut batch, wanted);
    // Routes to the link itself first: a gateway may be reached by one of them.
    let mut routes = config.routes.clone();
    routes.sort_by_key(|route| route.gateway.is_some());
    for route in routes {
        route::add_route(&mut batch, link, route);
    }
    socket.run(&batch)
}

/// The kernel removes the routes with the address.
pub(crate) fn deconfigure(
    socket: &mut Socket,
    link: u32,
    config: &LinkConfig,
) -> Result<(), NetlinkError> {
    let mut batch = Batch::new();
    let at = LinkAddress {
        link,
        address: config.address,
        prefix: config.prefix,
    };
    route::delete_address(&mut batch, at);
    socket.run(&batch)
}

//! The machine's own link: what the pure part decides is done here, to the kernel and the DHCP socket.

use super::{Daemon, Flow};
use crate::dhcp::port::DhcpPort;
use crate::lease_file;
use crate::link;
use crate::machine::{Action, Event, LinkConfig};
use crate::places::{Keep, replace};
use crate::plan::files;
use control::net::NetReply;
use std::io;
use std::thread;
use sys::clock::since_boot_ms;

impl Daemon {
    pub(super) fn hear_dhcp(&mut self) -> Flow {
        while let Some(message) = self.dhcp.as_ref().and_then(|(_, port)| port.receive()) {
            self.tell_machine(Event::Message(&message));
        }
        Flow::Continue
    }

    pub(super) fn tell_machine(&mut self, event: Event<'_>) {
        let mut actions = Vec::new();
        self.machine.handle(since_boot_ms(), event, &mut actions);
        for action in actions {
            self.perform(action);
        }
        self.match_dhcp_port();
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::BringUp { link } => match link::bring_up(&mut self.route, link) {
                Ok(link) => self.tell_machine(Event::Link(&link)),
                Err(error) => log::warn!("{error}"),
            },
            Action::Broadcast(message) => self.transmit(|port| port.broadcast(&message)),
            Action::Unicast { server, message } => {
                self.transmit(|port| port.unicast(server, &message));
            }
            Action::Configure {
                link,
                config,
                reply,
            } => self.configure(link, &config, &reply),
            Action::Deconfigure { link, config } => {
                if let Err(error) = link::deconfigure(&mut self.route, link, &config) {
                    log::warn!("{error}");
                }
                self.write_resolvers();
            }
            Action::Tell(reply) => self.send(&reply, None),
        }
    }

    fn configure(&mut self, link: u32, config: &LinkConfig, reply: &NetReply) {
        // First: the link's gateway may be an address that the bridge has.
        self.make_way(config.network());
        if let Err(error) = link::configure(&mut self.route, link, config) {
            return self.tell_machine(Event::ConfigureFailed(&error.to_string()));
        }
        self.write_resolvers();
        // Containers first: PID 1 has more to do for them than for the news, which it prints.
        self.answer_if_settled(since_boot_ms());
        self.send(reply, None);
        if let Some(lease) = self.machine.lease_to_remember() {
            lease_file::write(&self.places.lease(), &lease);
        }
    }

    fn write_resolvers(&self) {
        let text = files::resolv_conf(&self.machine.resolution());
        let path = self.places.resolvers();
        if let Err(error) = replace(&path, text.as_bytes(), Keep::UntilReboot) {
            log::warn!("can't write {}: {error}", path.display());
        }
    }

    /// Have the socket that the exchange needs now, and none when it needs none.
    fn match_dhcp_port(&mut self) {
        let wanted = self.machine.listening();
        if wanted.as_ref() == self.dhcp.as_ref().map(|(listening, _)| listening) {
            return;
        }
        if let Some((_, port)) = self.dhcp.take() {
            // A packet socket is closed only when no processor can be using it any more (synchronize_net() in
            // net/packet/af_packet.c), which takes 10 to 30 ms: not here, where containers wait.
            thread::spawn(move || drop(port));
        }
        let Some(listening) = wanted else { return };
        let opened = if listening.has_address {
            DhcpPort::udp(&listening.name)
        } else {
            DhcpPort::packet(listening.link)
        };
        match opened {
            Ok(port) => self.dhcp = Some((listening, port)),
            Err(error) => log::error!(
                "can't open a DHCP socket on link {}: {error}",
                listening.name
            ),
        }
    }

    fn transmit(&mut self, send: impl FnOnce(&DhcpPort) -> io::Result<()>) {
        self.match_dhcp_port();
        if let Some((listening, port)) = &self.dhcp
            && let Err(error) = send(port)
        {
            // It will be sent again.
            log::warn!(
                "can't send a DHCP message on link {}: {error}",
                listening.name
            );
        }
    }
}

//! Clients of the control socket: taken on, heard, answered, closed.

use crate::connection::{Connection, Incoming, Last, Waits};
use crate::limits;
use crate::machine::Machine;
use crate::source::Source;
use control::reply::{Denial, Reply};
use std::os::fd::{AsFd, OwnedFd};
use supervisor::{Event, Ticket};
use sys::clock::since_boot_ms;
use sys::epoll::{Interest, Ready};

impl Machine {
    pub(crate) fn accept(&mut self) {
        // One at a time and level-triggered: the next wait tells of the next client.
        let Ok((stream, _)) = self.listener.accept() else {
            return;
        };
        let socket = OwnedFd::from(stream);
        if sys::descriptor::set_nonblocking(socket.as_fd(), true).is_err() {
            return;
        }
        let id = self.id();
        let Ok(token) = self
            .registry
            .watch(&socket, Interest::Read, Source::Connection { id })
        else {
            return;
        };
        self.connections
            .insert(id, Connection::new(socket, token, since_boot_ms()));
        if self.connections.len() > limits::CONNECTIONS_MAX {
            let limit = limits::CONNECTIONS_MAX;
            self.deny(id, Denial::TooManyConnections { limit });
        }
    }

    pub(crate) fn connection_ready(&mut self, id: u64, ready: Ready) {
        if ready.readable || ready.hung_up {
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            match connection.read() {
                Incoming::More => {}
                Incoming::Closed => return self.close(id),
                Incoming::Denied(reason) => self.deny(id, reason),
                Incoming::Request(request) => {
                    connection.deadline_ms = None;
                    connection.waits = Waits::Nothing;
                    self.request(id, request);
                }
            }
        }
        self.flush_connection(id);
    }

    pub(crate) fn wait(&mut self, id: u64, waits: Waits) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.waits = waits;
        }
    }

    pub(crate) fn deny(&mut self, id: u64, reason: Denial) {
        self.reply_last(id, &Reply::Denied { reason });
    }

    pub(crate) fn reply(&mut self, id: u64, reply: &Reply) {
        self.queue_reply(id, reply, Last::No);
    }

    pub(crate) fn reply_last(&mut self, id: u64, reply: &Reply) {
        self.queue_reply(id, reply, Last::Yes);
    }

    /// The last reply of a connection, as it goes over the socket.
    pub(crate) fn reply_frame(&mut self, id: u64, frame: Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.reply_frame(frame);
            connection.waits = Waits::Nothing;
        }
        self.flush_connection(id);
    }

    fn queue_reply(&mut self, id: u64, reply: &Reply, last: Last) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.reply(reply, last);
            connection.deadline_ms = None;
            if last == Last::Yes {
                connection.waits = Waits::Nothing;
            }
        }
        self.flush_connection(id);
    }

    fn flush_connection(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match connection.flush() {
            Err(_) => self.close(id),
            Ok(true) if connection.finished => self.close(id),
            Ok(true) => self
                .registry
                .change(&connection.socket, Interest::Read, connection.token),
            Ok(false) => {
                self.registry
                    .change(&connection.socket, Interest::ReadWrite, connection.token)
            }
        }
    }

    pub(crate) fn close(&mut self, id: u64) {
        let Some(Connection {
            socket,
            token,
            waits,
            ..
        }) = self.connections.remove(&id)
        else {
            return;
        };
        self.registry.unwatch(&socket, token);
        match waits {
            Waits::Logs => self.cancel_query(id),
            Waits::Exec => self.cancel_exec(id),
            Waits::Job => self.cancel_jobs_of(id),
            Waits::Upload => self.cancel_upload(id),
            Waits::Dump => self.cancel_dump(id),
            Waits::Outcome => self.event(Event::Withdrawn { ticket: Ticket(id) }),
            Waits::Request | Waits::Ready | Waits::Reexec | Waits::Shutdown | Waits::Nothing => {}
        }
    }
}

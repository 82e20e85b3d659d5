//! Requests of the control socket: answered from what is known, or handed to the supervisor.

use crate::connection::{Connection, Incoming, Last, Waits};
use crate::job::Purpose;
use crate::machine::Machine;
use crate::source::descriptors_needed;
use control::reply::{Denial, Reply};
use control::request::Request;
use supervisor::{Event, Outcome, Ticket, UnitId};
use sys::epoll::{Interest, Ready};
use sys::power::PowerAction;
use unit::UnitName;

impl Machine {
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

    fn request(&mut self, id: u64, request: Request) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.descriptors.len() < descriptors_needed(&request) {
            return self.deny(id, Denial::MissingDescriptors);
        }
        let descriptors = std::mem::take(&mut connection.descriptors);
        let ending = self.ending.is_some();
        match request {
            Request::Ps => {
                let all = self.all_statuses();
                self.reply_last(id, &Reply::Units(all));
            }
            Request::Status { unit } => match self.status_by_name(&unit) {
                Ok(status) => self.reply_last(id, &Reply::Unit(Box::new(status))),
                Err(reason) => self.deny(id, reason),
            },
            Request::BootChart => {
                let chart = self.chart.report(&self.boot.chart);
                self.reply_last(id, &Reply::BootChart(chart));
            }
            Request::Trace => {
                let lines = self.supervisor.trace();
                self.reply_last(id, &Reply::Trace(lines));
            }
            Request::Top => {
                let top = Box::new(crate::top::top(&self.boot));
                self.reply_last(id, &Reply::Top(top));
            }
            Request::WaitReady => self.wait_ready(id),
            Request::Logs(query) => {
                if let Some(unknown) = query
                    .units
                    .iter()
                    .find(|name| self.unit_id(name).is_err())
                    .cloned()
                    && let Err(reason) = self.unit_id(&unknown)
                {
                    return self.deny(id, reason);
                }
                if let Some(output) = descriptors.into_iter().next() {
                    self.wait(id, Waits::Logs);
                    self.query_logs(id, query, output);
                }
            }
            Request::Start { .. }
            | Request::Stop { .. }
            | Request::Restart { .. }
            | Request::Exec(_)
            | Request::ImageLoad
            | Request::ImageLs
                if ending =>
            {
                self.deny(id, Denial::ShuttingDown);
            }
            Request::Start { units } => {
                self.command(id, &units, |units, ticket| Event::Start { units, ticket })
            }
            Request::Stop { units } => {
                self.command(id, &units, |units, ticket| Event::Stop { units, ticket })
            }
            Request::Restart { units } => {
                self.command(id, &units, |units, ticket| Event::Restart { units, ticket })
            }
            Request::Exec(exec) => self.exec(id, exec, &descriptors),
            Request::ImageLoad => {
                let Some(archive) = descriptors.into_iter().next() else {
                    return;
                };
                self.wait(id, Waits::Job);
                let purpose = Purpose::ImageLoad { connection: id };
                if let Err(error) = self.start_job(purpose, &[c"store", c"load", c"-"], &archive) {
                    self.reply_last(
                        id,
                        &Reply::Failed {
                            message: format!("store: {error}"),
                        },
                    );
                }
            }
            Request::ImageLs => {
                self.wait(id, Waits::Job);
                let null = std::fs::File::open("/dev/null").map(Into::into);
                let purpose = Purpose::ImageLs { connection: id };
                let started = null
                    .and_then(|null| self.start_job(purpose, &[c"store", c"ls", c"--json"], &null));
                if let Err(error) = started {
                    self.reply_last(
                        id,
                        &Reply::Failed {
                            message: format!("store: {error}"),
                        },
                    );
                }
            }
            Request::PowerOff => self.end_by_request(id, PowerAction::PowerOff),
            Request::Reboot => self.end_by_request(id, PowerAction::Reboot),
        }
    }

    fn end_by_request(&mut self, id: u64, action: PowerAction) {
        self.wait(id, Waits::Shutdown);
        self.reply(id, &Reply::Accepted);
        self.begin_shutdown(action, "keelctl");
    }

    fn command(
        &mut self,
        id: u64,
        names: &[String],
        event: impl FnOnce(Vec<UnitId>, Option<Ticket>) -> Event,
    ) {
        let mut units = Vec::new();
        for name in names {
            match self.unit_id(name) {
                Ok(unit) => units.push(unit),
                Err(reason) => return self.deny(id, reason),
            }
        }
        self.wait(id, Waits::Outcome);
        self.reply(id, &Reply::Accepted);
        let event = event(units, Some(Ticket(id)));
        self.event(event);
    }

    pub(crate) fn outcome(&mut self, ticket: Ticket, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.reply_last(ticket.0, &Reply::Done),
            Outcome::Failed { message } => self.reply_last(ticket.0, &Reply::Failed { message }),
            Outcome::ShuttingDown => self.deny(ticket.0, Denial::ShuttingDown),
        }
    }

    fn wait_ready(&mut self, id: u64) {
        self.wait(id, Waits::Ready);
        if self.announced {
            self.boot_settled_replies();
        }
    }

    /// Tell those who wait for the boot's end.
    pub(crate) fn boot_settled_replies(&mut self) {
        let Some((ready, failed)) = self.settled else {
            return;
        };
        let reply = if failed == 0 {
            Reply::Done
        } else {
            let names: Vec<String> = self.failing_units();
            Reply::Failed {
                message: format!(
                    "{ready} units are ready, {failed} are not: {}",
                    names.join(", ")
                ),
            }
        };
        let waiting: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.waits == Waits::Ready)
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.reply_last(id, &reply);
        }
    }

    /// The unit of a name as an operator writes it.
    pub(crate) fn unit_id(&self, name: &str) -> Result<UnitId, Denial> {
        let plain = name.strip_suffix(".container").unwrap_or(name);
        if let Some(index) = UnitName::new(plain).and_then(|name| self.set.find(&name)) {
            return Ok(UnitId(index));
        }
        if let Some(bad) = self.bad.iter().find(|bad| bad.name == plain) {
            let message = bad
                .diagnostics
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n");
            return Err(Denial::BadUnit {
                unit: plain.to_owned(),
                message,
            });
        }
        let nearest = self.set.nearest(plain).map(ToString::to_string);
        Err(Denial::UnknownUnit {
            unit: plain.to_owned(),
            nearest,
        })
    }

    fn wait(&mut self, id: u64, waits: Waits) {
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
            Waits::Request | Waits::Outcome | Waits::Ready | Waits::Shutdown | Waits::Nothing => {}
        }
    }
}

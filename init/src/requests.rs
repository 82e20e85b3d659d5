//! Requests of the control socket: answered from what is known, or handed to the supervisor.

use crate::connection::Waits;
use crate::job::Purpose;
use crate::machine::Machine;
use crate::source::descriptors_needed;
use control::reply::{Denial, Reply};
use control::request::Request;
use supervisor::{Event, Outcome, Ticket, UnitId};
use sys::power::PowerAction;
use unit::UnitName;

impl Machine {
    pub(crate) fn request(&mut self, id: u64, request: Request) {
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
}

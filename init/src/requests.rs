//! Requests of the control socket: answered from what is known, or handed to the supervisor.

use crate::connection::Waits;
use crate::job::Purpose;
use crate::limits;
use crate::machine::Machine;
use crate::source::descriptors_needed;
use crate::upload::Intent;
use control::reply::{Denial, Reply};
use control::request::Request;
use std::ffi::CString;
use std::os::fd::OwnedFd;
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
                let least = limits::ASIDE_UNITS_MIN;
                self.reply_aside(id, least, |it| Reply::Units(it.all_statuses()));
            }
            Request::List { memory } => {
                let least = limits::ASIDE_ROWS_MIN;
                self.reply_aside(id, least, |it| Reply::Rows(it.rows(memory)));
            }
            Request::Status { unit } => match self.status_by_name(&unit) {
                Ok(status) => self.reply_last(id, &Reply::Unit(Box::new(status))),
                Err(reason) => self.deny(id, reason),
            },
            Request::BootChart => {
                let least = limits::ASIDE_UNITS_MIN;
                self.reply_aside(id, least, |it| {
                    Reply::BootChart(it.chart.report(&it.boot.chart))
                });
            }
            Request::Trace => {
                let least = limits::ASIDE_UNITS_MIN;
                self.reply_aside(id, least, |it| Reply::Trace(it.supervisor.trace()));
            }
            Request::TraceDump => {
                if let Some(pipe) = descriptors.into_iter().next() {
                    self.dump(id, pipe);
                }
            }
            Request::Why { unit } => {
                self.about(id, &unit, |it, unit| Reply::Why(it.why(unit)));
            }
            Request::History { unit } => {
                self.about(id, &unit, |it, unit| Reply::History(it.history(unit)));
            }
            Request::Timers => {
                let timers = self.timer_statuses();
                self.reply_last(id, &Reply::Timers(timers));
            }
            Request::Graph => {
                let least = limits::ASIDE_UNITS_MIN;
                self.reply_aside(id, least, |it| Reply::Graph(Box::new(it.graph())));
            }
            Request::Kin { unit } => {
                self.about(id, &unit, |it, unit| Reply::Graph(Box::new(it.kin(unit))));
            }
            Request::Top => {
                let top = Box::new(crate::top::top(&self.boot, &self.turns));
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
            | Request::ResetFailed { .. }
            | Request::Reload { .. }
            | Request::Choose(_)
            | Request::Apply { .. }
            | Request::Pause { .. }
            | Request::Unpause { .. }
            | Request::Exec(_)
            | Request::ImageLoad
            | Request::ImageLoadAs { .. }
            | Request::ImageLs
            | Request::Reexec
                if ending =>
            {
                self.deny(id, Denial::ShuttingDown);
            }
            Request::Reexec => self.ask_for_reexec(id),
            Request::Start { units } | Request::Restart { units }
                if let Some(message) = self.bar(&units) =>
            {
                self.reply_last(id, &Reply::Failed { message });
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
            Request::ResetFailed { units } => {
                let names = self.named_or_all(units);
                self.command(id, &names, |units, ticket| Event::ResetFailed {
                    units,
                    ticket,
                })
            }
            Request::Reload { units } => {
                self.command(id, &units, |units, ticket| Event::Reload { units, ticket })
            }
            Request::Choose(choice) => self.choose(id, &choice),
            Request::Diff => self.upload_from(id, Intent::Diff, descriptors),
            Request::Apply { wait } => self.upload_from(id, Intent::Apply { wait }, descriptors),
            Request::Pause { units } => {
                self.command(id, &units, |units, ticket| Event::Pause { units, ticket })
            }
            Request::Unpause { units } => {
                self.command(id, &units, |units, ticket| Event::Unpause { units, ticket })
            }
            Request::Exec(exec) => self.exec(id, exec, &descriptors),
            Request::ImageLoad => self.load_image(id, None, descriptors),
            Request::ImageLoadAs { name } => self.load_image(id, Some(name), descriptors),
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

    /// The store program judges the name.
    fn load_image(&mut self, id: u64, name: Option<String>, descriptors: Vec<OwnedFd>) {
        let Some(archive) = descriptors.into_iter().next() else {
            return;
        };
        self.wait(id, Waits::Job);
        let purpose = Purpose::ImageLoad { connection: id };
        let started = match name.map(CString::new).transpose() {
            Ok(name) => {
                let mut arguments = vec![c"store", c"load", c"-"];
                if let Some(name) = &name {
                    arguments.extend([c"--name", name]);
                }
                self.start_job(purpose, &arguments, &archive)
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = started {
            self.reply_last(
                id,
                &Reply::Failed {
                    message: format!("store: {error}"),
                },
            );
        }
    }

    fn about(&mut self, id: u64, unit: &str, answer: impl FnOnce(&Self, UnitId) -> Reply) {
        match self.unit_id(unit) {
            Ok(unit) => {
                let reply = answer(self, unit);
                self.reply_last(id, &reply);
            }
            Err(reason) => self.deny(id, reason),
        }
    }

    fn upload_from(&mut self, id: u64, intent: Intent, descriptors: Vec<OwnedFd>) {
        if let Some(pipe) = descriptors.into_iter().next() {
            self.upload(id, intent, pipe);
        }
    }

    fn named_or_all(&self, named: Vec<String>) -> Vec<String> {
        if !named.is_empty() {
            return named;
        }
        let all = self.units.set().units().iter();
        all.map(|unit| unit.name.to_string()).collect()
    }

    /// Why one of them is not to be started, if the operator has decided so.
    fn bar(&self, names: &[String]) -> Option<String> {
        let units = names.iter().filter_map(|name| self.unit_id(name).ok());
        let mut units = units.filter_map(|unit| self.units.get(unit));
        units.find_map(|unit| {
            let bar = self.units.choices().bar(unit)?;
            let advice = bar.advice(&unit.name);
            Some(format!("unit `{}` {bar}; {advice}", unit.name))
        })
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
        if let Some(unit) = UnitName::new(plain).and_then(|name| self.units.find(&name)) {
            return Ok(unit);
        }
        if let Some(bad) = self.units.bad().iter().find(|bad| bad.name == plain) {
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
        let nearest = self.units.set().nearest(plain).map(ToString::to_string);
        Err(Denial::UnknownUnit {
            unit: plain.to_owned(),
            nearest,
        })
    }
}

//! Steps of a unit's start and stop.
//!
//! ```text
//! pre_start, post_stop    a container of its own: the unit's mounts, environment, limits and the run's network; a root of
//!                         its own (the unit's image or the step's), which is forgotten with it
//! post_start, pre_stop    in the unit's container
//! ```
//!
//! Time limits are the supervisor's: it kills a step that takes too long. What a step prints goes into the unit's log.

use crate::inside::Command;
use crate::launcher::{self, Beside};
use crate::machine::Machine;
use crate::step::{Asked, Born, Home, Output, Pipes, Purpose};
use std::os::fd::AsFd;
use supervisor::{Exit, Hook, HookKind, RunId, UnitId};
use unit::LaunchRoot;

impl Machine {
    pub(crate) fn run_hook(&mut self, unit: UnitId, run: RunId, hook: Hook) {
        let asked = Asked {
            unit,
            run,
            purpose: Purpose::Hook(hook),
            timeout_ms: None,
        };
        let Some(step) = self.hook_of(unit, hook).cloned() else {
            return self.event(asked.ended(Some("the unit has no such step".into())));
        };
        match hook.kind {
            HookKind::PostStart | HookKind::PreStop => {
                let (argv, output) = (step.command, Output::Log);
                self.run_inside(asked, Command { argv, output });
            }
            HookKind::PreStart | HookKind::PostStop => {
                if let Err(reason) = self.run_beside(&asked, hook, step) {
                    self.event(asked.ended(Some(reason)));
                }
            }
        }
    }

    fn hook_of(&self, unit: UnitId, hook: Hook) -> Option<&unit::Hook> {
        let (_, container) = self.container(unit)?;
        let service = &container.service;
        let list = match hook.kind {
            HookKind::PreStart => &service.pre_start,
            HookKind::PostStart => &service.post_start,
            HookKind::PreStop => &service.pre_stop,
            HookKind::PostStop => &service.post_stop,
        };
        list.get(usize::try_from(hook.index).ok()?)
    }

    /// In a container of its own.
    fn run_beside(&mut self, asked: &Asked, hook: Hook, step: unit::Hook) -> Result<(), String> {
        let id = self.id();
        self.filter_devices()?;
        let Some((found, container)) = self.container(asked.unit) else {
            return Err("not a container".into());
        };
        let mut spec = launcher::spec(found, container, asked.run);
        spec.group = format!("{}.{}-{}", spec.group, hook.kind.name(), hook.index);
        spec.root = LaunchRoot::Scratch;
        spec.container.entrypoint = Some(step.command);
        spec.container.command = None;
        if let Some(image) = step.image {
            // What the unit says about users and folders is about its own image.
            spec.container.image = image;
            spec.container.user = None;
            spec.container.working_dir = None;
        }
        if hook.kind == HookKind::PostStop {
            let exit = self.runs.get(&asked.run.0).and_then(|run| run.exit);
            spec.environment = exit.map(exit_environment).unwrap_or_default();
        }
        let pipes = Pipes::new(Output::Log).map_err(|error| format!("pipe: {error}"))?;
        let (null, stdout, stderr) = (&self.null, &pipes.stdout, &pipes.stderr);
        let (null, stdout, stderr) = (null.as_fd(), stdout.as_fd(), stderr.as_fd());
        let launcher = launcher::start(&spec, Beside::Nothing, null, stdout, stderr)?;
        let told = self.let_go(asked.run, &launcher.go);
        let born = Born {
            home: Home::Own(launcher.group),
            child: launcher.child,
            report: launcher.report,
            readers: pipes.readers,
        };
        // From here on its end is told, whatever becomes of it: without a word it is off.
        self.begin_step(id, *asked, born);
        if let Err(error) = told {
            log::error!("{error}");
        }
        Ok(())
    }
}

/// How the container has ended: `EXIT_CODE` and `EXIT_STATUS` as in systemd.exec(5).
fn exit_environment(exit: Exit) -> Vec<String> {
    let (code, status) = match exit {
        Exit::Code(code) => ("exited", code.to_string()),
        Exit::Signal { signal, .. } => {
            let name = unit::signal::display(signal);
            let plain = name.strip_prefix("SIG").unwrap_or(&name).to_owned();
            ("killed", plain)
        }
    };
    vec![format!("EXIT_CODE={code}"), format!("EXIT_STATUS={status}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_run_is_told_as_systemd_does() {
        let killed = Exit::Signal {
            signal: 15,
            out_of_memory: false,
        };
        assert_eq!(
            exit_environment(killed),
            ["EXIT_CODE=killed", "EXIT_STATUS=TERM"]
        );
        assert_eq!(
            exit_environment(Exit::Code(3)),
            ["EXIT_CODE=exited", "EXIT_STATUS=3"]
        );
    }
}

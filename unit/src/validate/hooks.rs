//! `pre_start`, `post_start`, `pre_stop` and `post_stop` of `[service]`.

use super::argv::{self, Before};
use crate::check::Check;
use crate::fault::Fault;
use crate::file::{HookTable, ServiceTable};
use crate::{Hook, HookFailure, Service, ServiceKind, image_reference};

/// Longer lists are a script; each step costs a process, and a stop waits for all of them.
const HOOKS_MAX: usize = 32;
const TIMEOUT_MS: u64 = 30_000;

/// Where the step runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// A container made for it.
    Own,
    /// The unit's, while it runs.
    Unit,
}

pub(crate) fn validate(check: &mut Check<'_>, table: &ServiceTable, service: &mut Service) {
    service.pre_start = hooks(check, "pre_start", &table.pre_start, Room::Own);
    service.post_start = hooks(check, "post_start", &table.post_start, Room::Unit);
    service.pre_stop = hooks(check, "pre_stop", &table.pre_stop, Room::Unit);
    service.post_stop = hooks(check, "post_stop", &table.post_stop, Room::Own);
    if let (Some(first), true) = (
        table.post_start.first(),
        service.kind == ServiceKind::Oneshot,
    ) {
        check.refuse(
            &first.span,
            "`service.post_start` runs in the running container, and a oneshot has started only when it has ended",
            "use `post_stop`, or `type = \"job\"`",
        );
    }
}

fn hooks(check: &mut Check<'_>, name: &str, tables: &[HookTable], room: Room) -> Vec<Hook> {
    let key = format!("service.{name}");
    if let Some(first) = tables.get(HOOKS_MAX) {
        let fault = Fault::new("has too many steps", format!("at most {HOOKS_MAX}"));
        check.fault(&key, &first.span, fault);
    }
    let hooks = tables.iter().map(|table| hook(check, &key, table, room));
    hooks.collect()
}

fn hook(check: &mut Check<'_>, key: &str, table: &HookTable, room: Room) -> Hook {
    let command_key = format!("{key}.command");
    let command = argv::validate(check, &command_key, table.command.as_ref(), Before::Nothing);
    if let Some(written) = table
        .command
        .as_ref()
        .filter(|words| words.get_ref().is_empty())
    {
        let fault = Fault::new("is empty", "a program and its arguments");
        check.fault(&format!("{key}.command"), &written.span(), fault);
    }
    let image = check.value(
        &format!("{key}.image"),
        table.image.as_ref(),
        image_reference::normalise,
    );
    if let (Some(written), Some(_), Room::Unit) = (&table.image, &image, room) {
        check.refuse(
            &written.span(),
            format!("`{key}` runs in the unit's own container, so it cannot name an image"),
            "take `image` out, or use `pre_start` or `post_stop`",
        );
    }
    let choices = [("fail", HookFailure::Fail), ("ignore", HookFailure::Ignore)];
    Hook {
        command: command.unwrap_or_default(),
        image,
        timeout_ms: check
            .duration(&format!("{key}.timeout"), table.timeout.as_ref(), 1)
            .unwrap_or(TIMEOUT_MS),
        on_failure: check
            .choice(
                &format!("{key}.on_failure"),
                table.on_failure.as_ref(),
                &choices,
            )
            .unwrap_or(HookFailure::Fail),
    }
}

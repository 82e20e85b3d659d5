//! `[update]`: how a new version takes over.

use super::service::kind_name;
use crate::check::Check;
use crate::file::UnitFile;
use crate::{Network, NetworkMode, Service, Update, UpdateOrder};

pub(crate) fn validate(
    check: &mut Check<'_>,
    file: &UnitFile,
    service: &Service,
    network: &Network,
) -> Update {
    let table = &file.update;
    let choices = [
        ("stop-first", UpdateOrder::StopFirst),
        ("start-first", UpdateOrder::StartFirst),
    ];
    let order = check.choice("update.order", table.order.as_ref(), &choices);
    if let (Some(UpdateOrder::StartFirst), Some(written)) = (order, &table.order) {
        if let (NetworkMode::Host, Some(mode)) = (network.mode, &file.network.mode) {
            check.conflict(
                &written.span(),
                "`update.order = \"start-first\"` has both versions listen at the same time, which the machine's own network cannot",
                &mode.span(),
                "here",
                "use `order = \"stop-first\"`, or `mode = \"bridge\"` and `[[ports]]`",
            );
        }
        if service.kind.ends() {
            let name = kind_name(service.kind);
            check.refuse(
                &written.span(),
                format!("a {name} ends by itself, so no version takes over from another"),
                "take `order` out",
            );
        }
    }
    Update {
        order: order.unwrap_or(UpdateOrder::StopFirst),
        health_wait_ms: check
            .duration("update.health_wait", table.health_wait.as_ref(), 1)
            .unwrap_or(Update::HEALTH_WAIT_MS),
    }
}

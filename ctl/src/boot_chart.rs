//! `keelctl boot-chart`.

use crate::chart::Until;
use crate::failure::Failure;
use crate::options::Invocation;
use crate::{chart, output};
use control::machine::{Machine, Patience};
use control::reply::Reply;
use control::request::Request;
use std::path::Path;

pub(crate) fn boot_chart(
    invocation: &Invocation,
    machine: &Machine,
    file: Option<&Path>,
    until: Until,
) -> Result<(), Failure> {
    let request = Request::BootChart;
    let boot = match machine.ask(&request, invocation.patience(Patience::USUAL), |_| {})? {
        Reply::BootChart(boot) => boot,
        other => return Err(Failure::from_reply(other)),
    };
    let text = if invocation.json {
        serde_json::to_string_pretty(&boot)
            .map_err(|error| Failure::Failed(format!("not writable as JSON: {error}")))?
            + "\n"
    } else {
        chart::svg(&boot, until)
    };
    match file {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::Failed(format!("{}: {error}", path.display()))),
        None => output::print(&text),
    }
}

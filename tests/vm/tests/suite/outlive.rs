//! Containers outlive their supervisor, its helpers, and their own former version.

use crate::apply::Folder;
use crate::{helpers, reexec, replace, site};
use vm::{Checks, Guest, Setup, actor_archive, container};

pub(crate) const SCENARIO: &str = "outlive";
pub(crate) const WEB: u16 = 7201;

/// Says a number every so often, each once.
const WRITER: &str = "entrypoint = [\"sh\", \"-c\", \
     \"i=0; while :; do echo line-$i.; i=$((i+1)); sleep 0.02; done\"]\nstop_signal = \"SIGKILL\"\n";

/// Is killed from outside.
const ENDER: &str = "entrypoint = [\"sh\", \"-c\", \"echo born; exec sleep infinity\"]\n\
     stop_signal = \"SIGKILL\"\n[service]\nrestart = \"always\"\nrestart_delay = \"100ms\"\n";

fn setup() -> Setup {
    let probe = container(
        "probe",
        "entrypoint = [\"sleep\", \"infinity\"]\nuser = \"0\"\nstop_signal = \"SIGKILL\"\n\
         volumes = [\"/sys/fs/cgroup:/machine/cgroup\"]\n[network]\nmode = \"host\"\n",
    );
    Setup::named(SCENARIO)
        .own_disk(2 << 30)
        .units([
            probe,
            container("writer", WRITER),
            container("ender", ENDER),
        ])
        .port(WEB)
        .port(site::HTTP)
        .udp_port(site::DATAGRAMS)
}

pub(crate) fn containers_outlive_their_supervisor_its_helpers_and_their_former_version() {
    let mut checks = Checks::of(SCENARIO);
    // Built before the machine runs.
    let _ = actor_archive();
    let setup = setup();
    let folder = Folder::at(setup.file("units"));
    let guest = setup.boot();
    guest.ready();
    folder.put(replace::web("1"));
    guest.told(&["apply", "--wait", folder.path()]);
    guest.answers(WEB);
    reexec::rules(&mut checks, &guest);
    helpers::rules(&mut checks, &guest);
    replace::rules(&mut checks, &guest, &folder);
    site::rules(&mut checks, &guest, &folder);
    checks.that("it switches off in order, and the log is clean", || {
        guest.power_off();
        guest.serial_log_is_clean(&[]);
    });
    checks.end();
}

/// SIGKILL for every process of a group below the machine's cgroup root (cgroup-v2.rst, `cgroup.kill`).
pub(crate) fn kill_group(guest: &Guest, group: &str) {
    let script = format!("for f in /machine/cgroup/{group}/cgroup.kill; do echo 1 > $f; done");
    guest.shell("probe", &script);
}

/// What must stay: run and process of each, but of the one that is killed all the time.
pub(crate) fn lives(guest: &Guest) -> Vec<(String, u64, Option<i32>)> {
    let units = guest.machine.ps().unwrap();
    let others = units.into_iter().filter(|unit| unit.name != "ender");
    others.map(|unit| (unit.name, unit.run, unit.pid)).collect()
}

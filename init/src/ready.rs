//! The boot's end: said on the console, and to those who wait for it.

use crate::connection::Waits;
use crate::console;
use crate::machine::Machine;
use control::reply::Reply;
use sys::clock::since_boot_ms;

impl Machine {
    pub(crate) fn settled(&mut self, ready: u32, failed: u32) {
        self.settled = Some((ready, failed));
        // The chart is of the units: a slow DHCP server does not make their boot longer.
        self.chart.ready(since_boot_ms());
        self.announce_ready();
    }

    /// Ready is said when the units are, and not before it is known whether the machine can be reached: a published
    /// port without the machine's address would refuse whoever believed us.
    pub(crate) fn announce_ready(&mut self) {
        let Some((ready, failed)) = self.settled else {
            return;
        };
        if self.announced || !self.network.is_known() {
            return;
        }
        self.announced = true;
        let now = since_boot_ms();
        if failed == 0 {
            console::say(format_args!("ready {ready} units {now} ms"));
        } else {
            console::say(format_args!(
                "degraded {ready} units ready, {failed} failed, {now} ms"
            ));
        }
        crate::gasp::rehearse(&self.boot.cmdline, "ready");
        self.boot_settled_replies();
        // The boot is over: what only it needed is not kept in memory.
        self.boot
            .free(format!("{}/e2fsck", sys::paths::PROGRAMS).as_ref());
        self.hasten_rest();
    }

    pub(crate) fn wait_ready(&mut self, id: u64) {
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
}

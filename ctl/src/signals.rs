//! Signals as something to wait for, so that a terminal is always put back and a call always ended in order.

use crate::failure::Failure;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use std::os::fd::{AsFd, BorrowedFd};

/// What a signal means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caught {
    /// The terminal's window has a new size.
    Resized,
    /// We were stopped, and the shell has used the terminal meanwhile.
    Continued,
    /// Its number.
    End(i32),
}

#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// From here on they are only told by [`Self::take`].
    pub(crate) fn block() -> Result<Self, Failure> {
        let signals = [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGWINCH,
            Signal::SIGCONT,
        ];
        sys::signal::descriptor(&signals)
            .map(Self)
            .map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")))
    }

    pub(crate) fn take(&self) -> Option<Caught> {
        let signal = self.0.read_signal().ok().flatten()?.ssi_signo;
        let signal = i32::try_from(signal).unwrap_or(0);
        Some(match Signal::try_from(signal) {
            Ok(Signal::SIGWINCH) => Caught::Resized,
            Ok(Signal::SIGCONT) => Caught::Continued,
            _ => Caught::End(signal),
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

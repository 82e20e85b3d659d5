//! Terminals (termios(3), ioctl_tty(2)): raw mode that is always undone, and window sizes.

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Size of a terminal's window in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
}

/// The window size of a terminal (`TIOCGWINSZ`).
///
/// # Errors
/// `ENOTTY` when it is not a terminal.
pub fn window_size(terminal: BorrowedFd<'_>) -> io::Result<WindowSize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the kernel writes one `struct winsize` into `size`, which lives until the call returns.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(WindowSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// Set it (`TIOCSWINSZ`); the processes in front of the terminal get `SIGWINCH`.
///
/// # Errors
/// `ENOTTY` when it is not a terminal.
pub fn set_window_size(terminal: BorrowedFd<'_>, size: WindowSize) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the kernel reads one `struct winsize` from `size`, which lives until the call returns.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A terminal in raw mode (cfmakeraw(3)): every key goes to whoever reads. Dropping it restores what was before.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// # Errors
    /// `ENOTTY` when it is not a terminal.
    pub fn enter(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        let terminal = terminal.try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mode = Self { terminal, before };
        mode.again()?;
        Ok(mode)
    }

    /// Set it once more, after a stop and continue in which the shell has set its own.
    ///
    /// # Errors
    /// As tcsetattr(3).
    pub fn again(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        cfmakeraw(&mut raw);
        Ok(tcsetattr(&self.terminal, SetArg::TCSADRAIN, &raw)?)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Nothing can be done for a terminal that has gone away.
        let _ = tcsetattr(self.terminal.as_fd(), SetArg::TCSADRAIN, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;
    use nix::sys::termios::LocalFlags;

    #[test]
    fn raw_mode_ends_with_its_guard() {
        let pty = openpty(None, None).unwrap();
        let local = |pty: &nix::pty::OpenptyResult| tcgetattr(&pty.slave).unwrap().local_flags;
        let before = local(&pty);
        let raw = RawMode::enter(pty.slave.as_fd()).unwrap();
        assert!(!local(&pty).contains(LocalFlags::ECHO));
        drop(raw);
        assert_eq!(local(&pty), before);
    }

    #[test]
    fn a_window_size_is_read_back() {
        let pty = openpty(None, None).unwrap();
        let size = WindowSize {
            rows: 24,
            columns: 81,
        };
        set_window_size(pty.master.as_fd(), size).unwrap();
        assert_eq!(window_size(pty.slave.as_fd()).unwrap(), size);
    }

    #[test]
    fn a_pipe_has_no_window() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(window_size(reader.as_fd()).is_err());
    }
}

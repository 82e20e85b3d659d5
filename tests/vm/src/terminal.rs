//! A program at a terminal.

use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);

/// Run `command` with a terminal of 24 lines and 80 columns. Each pair of `talk` is what to wait for on the screen, and
/// what to type then. Answers the screen and how the program ended.
///
/// # Panics
/// When what is waited for, or the end, does not come in `timeout`; with the screen.
#[must_use]
pub fn in_a_terminal(
    command: &mut Command,
    talk: &[(&str, &str)],
    timeout: Duration,
) -> (String, ExitStatus) {
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None).unwrap();
    let slave = |terminal: &std::os::fd::OwnedFd| Stdio::from(terminal.try_clone().unwrap());
    let mut child = command
        .stdin(slave(&terminal.slave))
        .stdout(slave(&terminal.slave))
        .stderr(slave(&terminal.slave))
        .spawn()
        .unwrap();
    drop(terminal.slave);
    // The command keeps descriptors of the slave: while it lives, the master's reader would not see the end.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let screen = Arc::new(Mutex::new(Vec::new()));
    let mut keyboard = File::from(terminal.master);
    let reader = {
        let (screen, mut master) = (Arc::clone(&screen), keyboard.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO: the last slave is closed.
            while let Ok(bytes @ 1..) = master.read(&mut buffer) {
                let mut screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
                screen.extend_from_slice(&buffer[..bytes]);
            }
        })
    };
    let shown = || {
        let screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&screen).into_owned()
    };
    let deadline = Instant::now() + timeout;
    let mut seen = 0;
    for (wait_for, type_it) in talk {
        loop {
            let screen = shown();
            if let Some(at) = screen.get(seen..).and_then(|rest| rest.find(wait_for)) {
                seen += at + wait_for.len();
                break;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("`{wait_for}` does not come on the screen: {screen}");
            }
            std::thread::sleep(POLL);
        }
        keyboard.write_all(type_it.as_bytes()).unwrap();
    }
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("it does not end; the screen: {}", shown());
        }
        std::thread::sleep(POLL);
    };
    reader.join().unwrap();
    (shown(), status)
}

//! What is told to PID 1.

use control::log::LogReply;
use std::os::fd::{AsFd, OwnedFd};

/// Tell PID 1; a PID 1 that has closed its end needs no answer.
pub(crate) fn say(control: &OwnedFd, reply: &LogReply) {
    if let Ok(bytes) = serde_json::to_vec(reply)
        && let Err(error) = sys::socket::send(control.as_fd(), &bytes, &[])
    {
        log::warn!("PID 1: {error}");
    }
}

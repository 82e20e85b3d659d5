//! The control protocol over a virtio-serial port: one request with its streams between `keelctl` on the build host
//! and `relay` on the machine.
//!
//! ```text
//! keelctl ──unix socket──▶ QEMU ──virtio-serial──▶ relay ──control.sock, pipes, terminal──▶ PID 1, launcher, logd
//!
//! host:    zeros, hello(id) │ open(streams) data(control) data(stdin)… end(stdin) resize … close
//! target:       welcome(id) │ data(control) data(stdout) data(stderr) credit … end … close(message)
//!               a close of the host's is answered with one
//! ```
//!
//! The port is a byte stream that outlives its users: a host may go away in the middle of a frame, in either direction,
//! and the next one connects to what is left in the queues. Invariants:
//! - A session has a random id. Every frame ends with it, so that nothing of another session is ever taken for a frame.
//! - A hello is preceded by more zeros than the longest frame: whatever frame the target was in the middle of ends in
//!   them, has the wrong id, and is dropped whole. From there the target hunts for the next hello.
//! - The host hunts for the welcome with its own id and skips everything before it.
//! - Per channel at most [`WINDOW_BYTES`] are under way: a side that does not read its data stops its own stream,
//!   not the others, and neither side ever has to hold more than that.
//! - A host that leaves says so and reads on until the target has said the same, and the target says nothing more then.
//!   Whatever QEMU can't deliver, because its reader is gone in that moment, costs the port one of its 128 buffers for
//!   good (hw/char/virtio-serial-bus.c: `discard_throttle_data`); without them it takes nothing any more.
//! - The relay never looks into requests and replies: they are bytes of channel `Control`, so that a new
//!   request needs no new relay.
//!
//! `wire` is bytes ↔ frames, `session` is one side of a session, both without any I/O; `machine` and the relay do that.
//! To add a frame: a variant of `Frame` with its code in `wire`, and what each side does about it in `session`.

mod session;
mod wire;

pub use session::{Event, Session, new_session_id};
pub use wire::{Channel, Decoder, Frame, FrameBroken, Streams};

/// Version of this framing; hello and welcome carry it. (The version of requests is [`crate::VERSION`].)
pub const SERIAL_VERSION: u8 = 1;

/// Most data bytes of a frame: large enough that headers and wake-ups don't count when an image is loaded.
pub const FRAME_DATA_MAX: usize = 64 << 10;

/// Data of one channel that its receiver has not taken yet: covers the round trip through QEMU at full speed.
pub const WINDOW_BYTES: usize = 512 << 10;

/// PID 1 opens the ports, and hands them to the relay from this descriptor on, in the order of the names that are its
/// arguments.
pub const FIRST_PORT: i32 = 4;

/// Names of the ports in `/sys/class/virtio-ports/*/name`: this and a number from 0.
pub const PORT_NAME: &str = "keelson.control.";

//! The ports as PID 1 hands them over: it has them open all the time (a port can be opened once only), to see when somebody
//! at the other side opens one.

use crate::Port;
use control::serial::FIRST_PORT;
use std::fs::File;
use std::io;
use std::os::fd::RawFd;

/// One for each name, from descriptor [`FIRST_PORT`] on.
///
/// # Errors
/// When one of the descriptors is none.
pub fn handed_over(names: impl Iterator<Item = String>) -> io::Result<Vec<Port>> {
    let numbers = (FIRST_PORT..).zip(names);
    let port = |(number, name): (RawFd, String)| {
        let device = sys::descriptor::inherited(number)?;
        Ok(Port::new(name, File::from(device)))
    };
    numbers.map(port).collect()
}

//! relay: see the library. Started by `init` where the machine has virtio-serial ports.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    sys::kmsg::install("relay");
    let ports = match relay::find(Path::new("/sys/class/virtio-ports"), Path::new("/dev")) {
        Ok(ports) if ports.is_empty() => {
            log::info!("no virtio-serial port named keelson.control.N: nothing to carry");
            return ExitCode::SUCCESS;
        }
        Ok(ports) => ports,
        Err(error) => {
            log::error!("/sys/class/virtio-ports: {error}");
            return ExitCode::FAILURE;
        }
    };
    match relay::serve(ports, Path::new(sys::paths::CONTROL_SOCKET)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("cannot wait for the ports: {error}");
            ExitCode::FAILURE
        }
    }
}

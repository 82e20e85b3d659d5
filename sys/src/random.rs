//! The kernel's random numbers (random(4), getrandom(2)).

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;

/// `_IOW('R', 0x03, int[2])`
const RNDADDENTROPY: u32 = 0x4008_5203;

/// `struct rand_pool_info` of linux/random.h with room for one seed.
#[repr(C)]
struct PoolInfo {
    entropy_bits: i32,
    bytes: i32,
    seed: [u8; SEED_BYTES],
}

/// 256 bits: what the pool can hold, so more would add nothing.
pub const SEED_BYTES: usize = 32;

/// Random bytes, whether or not the pool has been seeded yet.
///
/// # Errors
/// As getrandom(2).
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    get(libc::GRND_INSECURE)
}

/// Random bytes that nobody can guess; none while the pool has not been seeded.
///
/// # Errors
/// As getrandom(2).
pub fn good_bytes<const N: usize>() -> io::Result<Option<[u8; N]>> {
    match get(libc::GRND_NONBLOCK) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn get<const N: usize>(flags: u32) -> io::Result<[u8; N]> {
    // Beyond that a signal may cut it short (getrandom(2)).
    const { assert!(N <= 256) };
    let mut bytes = [0; N];
    loop {
        // SAFETY: the pointer and length are those of an array that outlives the call.
        let done = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, flags) };
        match usize::try_from(done) {
            Ok(read) if read == N => return Ok(bytes),
            Ok(_) => {}
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Stir a seed in and count all of its bits: it has to be one that nobody knows and that never comes again.
///
/// # Errors
/// As ioctl(2): `EPERM` without `CAP_SYS_ADMIN`.
pub fn credit(seed: [u8; SEED_BYTES]) -> io::Result<()> {
    let pool = OpenOptions::new().write(true).open("/dev/urandom")?;
    const { assert!(SEED_BYTES == 32) };
    let info = PoolInfo {
        entropy_bits: 256,
        bytes: 32,
        seed,
    };
    // SAFETY: the kernel reads the two numbers and as many bytes behind them as the second says, all of them in `info`.
    let done = unsafe {
        libc::ioctl(
            pool.as_raw_fd(),
            RNDADDENTROPY as libc::Ioctl,
            std::ptr::from_ref(&info),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{bytes, good_bytes};

    #[test]
    fn random_bytes_are_not_the_same_twice() {
        let [one, other] = [(); 2].map(|()| bytes::<32>().unwrap());
        assert_ne!(one, other);
        assert_ne!(good_bytes::<32>().unwrap(), Some(one));
    }
}

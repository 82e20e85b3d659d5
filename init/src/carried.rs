//! What outlives PID 1's own program: descriptors, by their numbers, and what is known by one.
//!
//! ```text
//! #[serde(with = "carried")] socket: OwnedFd       ── serialised ─▶ 17, and noted: 17 stays open over execve(2)
//!                                                  ◀─ read ──────── 17 is owned by the new program
//! ```
//!
//! Every structure below [`crate::machine::Machine`] says in its own file how it is handed over: with `derive`, and
//! this for the fields that are more than data. A field that says nothing does not compile.
//!
//! In a check ([`Reading::Check`]) nothing is taken over: each number becomes a descriptor of `/dev/null`.

use nix::sys::signalfd::SignalFd;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use sys::cgroup::{Cgroup, Events};
use sys::clone::Child;
use sys::epoll::Epoll;
use sys::power::PowerAction;
use sys::uevent::UeventSocket;
use sys::watchdog::Watchdog;

/// How descriptors are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// They are ours now.
    TakeOver,
    /// Only to see whether all of it can be understood.
    Check,
}

#[derive(Debug)]
struct State {
    /// Written.
    numbers: Vec<RawFd>,
    reading: Reading,
    /// Read: none can have two owners.
    taken: BTreeSet<RawFd>,
}

thread_local! {
    static STATE: RefCell<State> = const {
        RefCell::new(State {
            numbers: Vec::new(),
            reading: Reading::Check,
            taken: BTreeSet::new(),
        })
    };
}

/// Serialise; comes back with the numbers of the descriptors that must stay open.
pub(crate) fn writing<T>(write: impl FnOnce() -> T) -> (T, Vec<RawFd>) {
    STATE.with_borrow_mut(|state| state.numbers.clear());
    let written = write();
    let numbers = STATE.with_borrow_mut(|state| std::mem::take(&mut state.numbers));
    (written, numbers)
}

pub(crate) fn reading<T>(reading: Reading, read: impl FnOnce() -> T) -> T {
    STATE.with_borrow_mut(|state| {
        state.reading = reading;
        state.taken.clear();
    });
    read()
}

fn give(descriptor: impl AsFd) -> RawFd {
    let number = descriptor.as_fd().as_raw_fd();
    STATE.with_borrow_mut(|state| state.numbers.push(number));
    number
}

fn take(number: RawFd) -> io::Result<OwnedFd> {
    let reading = STATE.with_borrow_mut(|state| {
        if state.taken.insert(number) {
            Ok(state.reading)
        } else {
            Err(io::Error::other(format!("descriptor {number} twice")))
        }
    })?;
    match reading {
        Reading::TakeOver => sys::descriptor::inherited(number)
            .map_err(|error| io::Error::other(format!("descriptor {number}: {error}"))),
        Reading::Check => File::open("/dev/null").map(OwnedFd::from),
    }
}

/// Something that is more than data, and its form between two programs.
pub(crate) trait Carried: Sized {
    type Form: Serialize + DeserializeOwned;

    fn form(&self) -> Self::Form;

    /// # Errors
    /// When there is no such descriptor.
    fn from_form(form: Self::Form) -> io::Result<Self>;
}

/// For `#[serde(with = "carried")]`.
///
/// # Errors
/// As the serialiser.
pub(crate) fn serialize<T: Carried, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.form().serialize(serializer)
}

/// For `#[serde(with = "carried")]`.
///
/// # Errors
/// As the deserialiser; when there is no such descriptor.
pub(crate) fn deserialize<'de, T: Carried, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let form = T::Form::deserialize(deserializer)?;
    T::from_form(form).map_err(D::Error::custom)
}

macro_rules! by_number {
    ($($kind:ty),*) => {$(
        impl Carried for $kind {
            type Form = RawFd;

            fn form(&self) -> RawFd {
                give(self)
            }

            fn from_form(number: RawFd) -> io::Result<Self> {
                take(number).map(Self::from)
            }
        }
    )*};
}

// An epoll set keeps its entries: it knows open files, and their numbers are the same in the next program.
by_number!(OwnedFd, File, UnixListener, Epoll, UeventSocket, Events);

impl<T: Carried> Carried for Option<T> {
    type Form = Option<T::Form>;

    fn form(&self) -> Self::Form {
        self.as_ref().map(T::form)
    }

    fn from_form(form: Self::Form) -> io::Result<Self> {
        form.map(T::from_form).transpose()
    }
}

impl<T: Carried> Carried for Vec<T> {
    type Form = Vec<T::Form>;

    fn form(&self) -> Self::Form {
        self.iter().map(T::form).collect()
    }

    fn from_form(form: Self::Form) -> io::Result<Self> {
        form.into_iter().map(T::from_form).collect()
    }
}

impl Carried for Child {
    type Form = (i32, RawFd);

    fn form(&self) -> Self::Form {
        (self.pid, give(&self.pidfd))
    }

    fn from_form((pid, number): Self::Form) -> io::Result<Self> {
        let pidfd = take(number)?;
        Ok(Self { pid, pidfd })
    }
}

impl Carried for (Child, u64) {
    type Form = ((i32, RawFd), u64);

    fn form(&self) -> Self::Form {
        (self.0.form(), self.1)
    }

    fn from_form((child, number): Self::Form) -> io::Result<Self> {
        Ok((Child::from_form(child)?, number))
    }
}

/// The folder is its name.
impl Carried for Cgroup {
    type Form = std::path::PathBuf;

    fn form(&self) -> Self::Form {
        self.path().to_owned()
    }

    fn from_form(path: Self::Form) -> io::Result<Self> {
        Ok(Self::at(path))
    }
}

/// Made anew: signals that have come meanwhile are blocked, and still there. Whoever takes it over watches the new one.
impl Carried for SignalFd {
    type Form = ();

    fn form(&self) {}

    fn from_form((): ()) -> io::Result<Self> {
        crate::signals::descriptor()
    }
}

impl Carried for Watchdog {
    type Form = (RawFd, i32);

    fn form(&self) -> Self::Form {
        (give(self), self.timeout_s)
    }

    fn from_form((number, timeout_s): Self::Form) -> io::Result<Self> {
        Ok(Self::armed(take(number)?, timeout_s))
    }
}

impl Carried for PowerAction {
    type Form = bool;

    /// Whether it goes on again.
    fn form(&self) -> bool {
        *self == Self::Reboot
    }

    fn from_form(reboot: bool) -> io::Result<Self> {
        Ok(if reboot { Self::Reboot } else { Self::PowerOff })
    }
}

/// Bytes, as a text of the characters with these numbers: JSON would need four times as much for a list of them.
pub(crate) mod bytes {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// # Errors
    /// As the serialiser.
    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().copied().map(char::from).collect();
        serializer.serialize_str(&text)
    }

    /// # Errors
    /// As the deserialiser.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        bytes.ok_or_else(|| D::Error::custom("not bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[derive(Serialize, Deserialize)]
    struct Both {
        #[serde(with = "super")]
        pipe: Option<File>,
        #[serde(with = "super")]
        more: Vec<OwnedFd>,
        #[serde(with = "super::bytes")]
        text: Vec<u8>,
    }

    #[test]
    fn descriptors_are_the_same_open_files_after_they_were_read_again() {
        let (mut reader, writer) = io::pipe().unwrap();
        let all: Vec<u8> = (0..=255).collect();
        let both = Both {
            pipe: Some(File::from(OwnedFd::from(writer))),
            more: vec![File::open("/dev/null").unwrap().into()],
            text: all.clone(),
        };
        let (text, numbers) = writing(|| serde_json::to_string(&both).unwrap());
        assert_eq!(numbers.len(), 2);

        let check: Both = reading(Reading::Check, || serde_json::from_str(&text).unwrap());
        drop(check);
        // What execve(2) does with the old program's variables.
        std::mem::forget(both);
        let both: Both = reading(Reading::TakeOver, || serde_json::from_str(&text).unwrap());
        assert_eq!(both.text, all);
        both.pipe.unwrap().write_all(b"here").unwrap();
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "here");
    }

    #[test]
    fn no_descriptor_has_two_owners() {
        let twice = r#"{"pipe":1000,"more":[1000],"text":""}"#;
        let result: Result<Both, _> = reading(Reading::Check, || serde_json::from_str(twice));
        let message = result.err().unwrap().to_string();
        assert!(message.contains("1000 twice"), "{message}");
        let missing = r#"{"pipe":999999,"more":[],"text":""}"#;
        let result: Result<Both, _> = reading(Reading::TakeOver, || serde_json::from_str(missing));
        assert!(result.is_err());
    }
}

//! The epoll set with a [`Source`] behind each token.

use crate::carried;
use crate::source::Source;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use sys::epoll::{Epoll, Interest, Ready};

/// Who may wake the loop.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Registry {
    #[serde(with = "carried")]
    epoll: Epoll,
    sources: HashMap<u64, Source>,
    next_token: u64,
}

impl Registry {
    /// # Errors
    /// As epoll_create1(2).
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new()?,
            sources: HashMap::new(),
            next_token: 0,
        })
    }

    /// Wait for a descriptor; the token is for [`Registry::change`] and [`Registry::unwatch`] with the same descriptor.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub(crate) fn watch(
        &mut self,
        descriptor: impl AsFd,
        interest: Interest,
        source: Source,
    ) -> io::Result<u64> {
        let token = self.next_token.saturating_add(1);
        self.epoll.add(descriptor, interest, token)?;
        self.next_token = token;
        self.sources.insert(token, source);
        Ok(token)
    }

    pub(crate) fn change(&self, descriptor: impl AsFd, interest: Interest, token: u64) {
        if let Err(error) = self.epoll.change(descriptor, interest, token) {
            log::error!("epoll: {error}");
        }
    }

    pub(crate) fn unwatch(&mut self, descriptor: impl AsFd, token: u64) {
        self.sources.remove(&token);
        // A descriptor whose last copy is closed has left the set by itself.
        let _ = self.epoll.remove(descriptor);
    }

    /// A descriptor that the next program has not got: its entry has gone with it.
    pub(crate) fn forget(&mut self, source: Source) {
        self.sources.retain(|_, known| *known != source);
    }

    /// Who a token stands for; a source that was unwatched in the same round is gone.
    pub(crate) fn source(&self, token: u64) -> Option<Source> {
        self.sources.get(&token).copied()
    }

    /// # Errors
    /// As epoll_wait(2).
    pub(crate) fn wait(&self, timeout_ms: Option<u64>) -> io::Result<Vec<Ready>> {
        self.epoll.wait(timeout_ms)
    }
}

//! `/var/network/lease.json`: the last lease of the machine's link, over reboots.
//!
//! With it the client gets its address by one round trip instead of two (RFC 2131 section 3.2), and containers that
//! start before the answer get a network and a packet size that will fit. Whether it is still good is for the server to
//! say, so there is no time in it (a machine may boot without knowing the time). It is a hint: not forced to the disk,
//! and one that can't be read is as good as none.

use crate::machine::LinkConfig;
use crate::netlink::route::Mac;
use crate::places::{Keep, replace};
use crate::plan::subnet::Subnet;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

/// Of the file; one of another version is not read.
const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RememberedLease {
    version: u32,
    /// Of the link, `52:54:00:12:34:56`: with another card the machine is another client.
    mac: String,
    pub(crate) address: Ipv4Addr,
    prefix: u8,
    pub(crate) mtu: Option<u32>,
}

impl RememberedLease {
    pub(crate) fn new(mac: Mac, config: &LinkConfig) -> Self {
        Self {
            version: VERSION,
            mac: text(mac),
            address: config.address,
            prefix: config.prefix,
            mtu: config.mtu,
        }
    }

    pub(crate) fn is_of(&self, mac: Mac) -> bool {
        self.mac == text(mac)
    }

    pub(crate) fn network(&self) -> Subnet {
        Subnet::of(self.address, self.prefix)
    }
}

fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

pub(crate) fn read(path: &Path) -> Option<RememberedLease> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                log::warn!("can't read {}: {error}; ignoring it", path.display());
            }
            return None;
        }
    };
    match serde_json::from_slice::<RememberedLease>(&text) {
        Ok(lease) => Some(lease).filter(|lease| lease.version == VERSION),
        Err(error) => {
            log::info!("{}: {error}; ignoring it", path.display());
            None
        }
    }
}

pub(crate) fn write(path: &Path, lease: &RememberedLease) {
    let written = serde_json::to_vec_pretty(lease)
        .map_err(io::Error::from)
        .and_then(|text| replace(path, &text, Keep::UntilReboot));
    if let Err(error) = written {
        log::warn!(
            "can't write {}: {error}; the next boot has to look for a DHCP server",
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    fn lease() -> RememberedLease {
        let config = LinkConfig {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            routes: Vec::new(),
            resolvers: Vec::new(),
            domain: None,
            mtu: Some(1460),
        };
        RememberedLease::new(MAC, &config)
    }

    #[test]
    fn a_lease_is_of_one_card_and_names_its_network() {
        assert!(lease().is_of(MAC));
        assert!(!lease().is_of([0; 6]));
        assert_eq!(lease().network().to_string(), "10.0.2.0/24");
    }

    #[test]
    fn what_is_written_is_read_and_anything_else_is_none() {
        let folder = std::env::temp_dir().join(format!("keelson-lease-{}", std::process::id()));
        let path = folder.join("lease.json");
        assert_eq!(read(&path), None);
        write(&path, &lease());
        assert_eq!(read(&path), Some(lease()));
        let newer = fs::read_to_string(&path)
            .unwrap()
            .replace("\"version\": 1", "\"version\": 2");
        for text in [newer.as_str(), "", "{}"] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path), None, "{text}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}

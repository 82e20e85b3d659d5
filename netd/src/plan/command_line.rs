//! `ip=` on the kernel's command line (Documentation/admin-guide/nfs/nfsroot.rst):
//! `ip=<client>:<server>:<gateway>:<netmask>:<hostname>:<device>:<autoconf>:<dns0>:<dns1>:<ntp0>`, or one word.

use super::subnet::Subnet;
use crate::machine::LinkConfig;
use crate::netlink::route::Route;
use std::fmt;
use std::net::Ipv4Addr;

/// How the machine's link is to be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// By DHCP, on the named link or the first one that has a carrier.
    Dhcp { device: Option<String> },
    Static {
        device: Option<String>,
        config: Box<LinkConfig>,
    },
    /// `ip=off`: the links are left alone.
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WishError {
    text: String,
    reason: &'static str,
}

impl fmt::Display for WishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, reason } = self;
        write!(
            f,
            "kernel command line: ip={text}: {reason}; \
                   expected ip=dhcp, ip=off or ip=<address>::<gateway>:<netmask>::<device>:off:<resolver>"
        )
    }
}

impl std::error::Error for WishError {}

/// The wish of the whole command line; the last `ip=` counts. Without one: DHCP on the first link.
pub(crate) fn wish(command_line: &str) -> Result<Wish, WishError> {
    let value = command_line
        .split_whitespace()
        .rev()
        .find_map(|word| word.strip_prefix("ip="));
    match value {
        None | Some("") => Ok(Wish::Dhcp { device: None }),
        Some(text) => parse(text).map_err(|reason| WishError {
            text: text.to_owned(),
            reason,
        }),
    }
}

fn parse(text: &str) -> Result<Wish, &'static str> {
    let fields: Vec<&str> = text.split(':').collect();
    let field = |number: usize| {
        fields
            .get(number)
            .copied()
            .filter(|field| !field.is_empty())
    };
    match fields[..] {
        [only] if automatic(only) => return Ok(Wish::Dhcp { device: None }),
        ["off" | "none"] => return Ok(Wish::Off),
        // As dracut has it: ip=eth0:dhcp.
        [device, how] if automatic(how) => {
            return Ok(Wish::Dhcp {
                device: Some(device.into()),
            });
        }
        _ => {}
    }
    let device = field(5).map(str::to_owned);
    let Some(client) = field(0) else {
        return match field(6) {
            None => Ok(Wish::Dhcp { device }),
            Some(how) if automatic(how) => Ok(Wish::Dhcp { device }),
            Some("off" | "none") => Ok(Wish::Off),
            Some(_) => Err("the seventh field is neither dhcp nor off"),
        };
    };
    let address: Ipv4Addr = client
        .parse()
        .map_err(|_| "the first field is not an IPv4 address")?;
    let prefix = field(3).map_or(Ok(class_prefix(address)), prefix)?;
    let mut routes = Vec::new();
    if let Some(gateway) = field(2) {
        let gateway = gateway
            .parse()
            .map_err(|_| "the third field (gateway) is not an IPv4 address")?;
        routes.push(Route::default_through(gateway));
    }
    let mut resolvers = Vec::new();
    for resolver in [field(7), field(8)].into_iter().flatten() {
        resolvers.push(
            resolver
                .parse()
                .map_err(|_| "a resolver is not an IPv4 address")?,
        );
    }
    let config = LinkConfig {
        address,
        prefix,
        routes,
        resolvers,
        domain: None,
        mtu: None,
    };
    Ok(Wish::Static {
        device,
        config: Box::new(config),
    })
}

fn automatic(word: &str) -> bool {
    matches!(word, "dhcp" | "on" | "any" | "both" | "bootp" | "auto")
}

/// `255.255.255.0` or `24`.
fn prefix(text: &str) -> Result<u8, &'static str> {
    const NOT_A_MASK: &str = "the fourth field is not a netmask";
    if let Ok(bits) = text.parse::<u8>() {
        return if (1..=32).contains(&bits) {
            Ok(bits)
        } else {
            Err(NOT_A_MASK)
        };
    }
    let mask: Ipv4Addr = text.parse().map_err(|_| NOT_A_MASK)?;
    prefix_of_mask(mask).ok_or(NOT_A_MASK)
}

/// None when the ones of the mask are not all at its beginning, or there is none.
pub(crate) fn prefix_of_mask(mask: Ipv4Addr) -> Option<u8> {
    let prefix = u8::try_from(mask.to_bits().leading_ones()).ok()?;
    let whole = Subnet {
        network: mask,
        prefix,
    }
    .mask()
        == mask;
    (whole && prefix > 0).then_some(prefix)
}

/// Without a netmask the address's class decides, as in the kernel (RFC 791).
pub(crate) fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        192..=255 => 24,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_at_all_means_dhcp_on_the_first_link() {
        for line in [
            "",
            "console=ttyS0 quiet",
            "ip=dhcp",
            "ip=on",
            "zip=off ip=any",
        ] {
            assert_eq!(wish(line), Ok(Wish::Dhcp { device: None }), "{line}");
        }
    }

    #[test]
    fn a_device_can_be_named() {
        let device = Some("eth1".to_owned());
        assert_eq!(
            wish("ip=:::::eth1:dhcp"),
            Ok(Wish::Dhcp {
                device: device.clone()
            })
        );
        assert_eq!(wish("ip=eth1:dhcp"), Ok(Wish::Dhcp { device }));
    }

    #[test]
    fn a_static_address_has_gateway_netmask_and_resolvers() {
        let wish = wish(
            "root=x ip=192.168.7.5::192.168.7.1:255.255.254.0:box:eth0:off:192.168.7.1:9.9.9.9",
        );
        let Ok(Wish::Static { device, config }) = wish else {
            panic!("{wish:?}")
        };
        assert_eq!(device.as_deref(), Some("eth0"));
        assert_eq!(
            (config.address, config.prefix),
            (Ipv4Addr::new(192, 168, 7, 5), 23)
        );
        assert_eq!(
            config.routes,
            [Route::default_through(Ipv4Addr::new(192, 168, 7, 1))]
        );
        assert_eq!(config.resolvers.len(), 2);
    }

    #[test]
    fn the_last_word_counts_and_off_means_hands_off() {
        assert_eq!(wish("ip=dhcp ip=off"), Ok(Wish::Off));
        assert_eq!(wish("ip=::::::off"), Ok(Wish::Off));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, reason) in [
            ("ip=banana", "the first field is not an IPv4 address"),
            (
                "ip=10.0.0.2:::255.0.255.0",
                "the fourth field is not a netmask",
            ),
            ("ip=10.0.0.2:::33", "the fourth field is not a netmask"),
            (
                "ip=10.0.0.2::gate",
                "the third field (gateway) is not an IPv4 address",
            ),
            (
                "ip=:::::eth0:maybe",
                "the seventh field is neither dhcp nor off",
            ),
        ] {
            assert_eq!(wish(line).unwrap_err().reason, reason, "{line}");
        }
    }
}

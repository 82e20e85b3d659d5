//! Texts of /etc/hosts and /etc/resolv.conf (hosts(5), resolv.conf(5)).

use std::fmt::Write;
use std::net::Ipv4Addr;

/// glibc reads no more (`MAXNS`).
const RESOLVERS_MAX: usize = 3;

/// What is known of name resolution on the machine's link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolution {
    pub(crate) resolvers: Vec<Ipv4Addr>,
    pub(crate) domain: Option<String>,
}

/// `address` is the container's own; `host_gateway` what `host-gateway` stands for among the extra hosts.
pub(crate) fn hosts(
    hostname: &str,
    address: Ipv4Addr,
    host_gateway: Ipv4Addr,
    extra: &[(String, String)],
) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    // Writing to a String never fails.
    let _ = writeln!(text, "{address}\t{hostname}");
    for (name, to) in extra {
        let _ = match to.as_str() {
            "host-gateway" => writeln!(text, "{host_gateway}\t{name}"),
            to => writeln!(text, "{to}\t{name}"),
        };
    }
    text
}

/// Resolvers on loopback are the machine's own business: in a container nobody answers there.
pub(crate) fn resolv_conf(resolution: &Resolution) -> String {
    let mut text = String::new();
    if let Some(domain) = &resolution.domain {
        let _ = writeln!(text, "search {domain}");
    }
    let usable = resolution
        .resolvers
        .iter()
        .filter(|resolver| !resolver.is_loopback());
    for resolver in usable.take(RESOLVERS_MAX) {
        let _ = writeln!(text, "nameserver {resolver}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_knows_itself_and_the_extra_hosts() {
        let extra = [
            ("db".to_owned(), "10.0.0.5".to_owned()),
            ("machine".to_owned(), "host-gateway".to_owned()),
        ];
        let text = hosts(
            "web-1",
            Ipv4Addr::new(10, 88, 0, 7),
            Ipv4Addr::new(10, 88, 0, 1),
            &extra,
        );
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(
            text.ends_with("10.88.0.7\tweb-1\n10.0.0.5\tdb\n10.88.0.1\tmachine\n"),
            "{text}"
        );
    }

    #[test]
    fn resolvers_on_loopback_are_left_out_and_three_are_the_limit() {
        let resolvers = (0..5)
            .map(|n| Ipv4Addr::new(if n == 0 { 127 } else { 9 }, 9, 9, n))
            .collect();
        let text = resolv_conf(&Resolution {
            resolvers,
            domain: Some("lan".into()),
        });
        assert_eq!(
            text,
            "search lan\nnameserver 9.9.9.1\nnameserver 9.9.9.2\nnameserver 9.9.9.3\n"
        );
    }
}

//! Texts of /etc/hosts and /etc/resolv.conf (hosts(5), resolv.conf(5)).

use std::fmt::Write;
use std::net::Ipv4Addr;

/// glibc reads no more (`MAXNS`).
const RESOLVERS_MAX: usize = 3;
const NO_RESOLVER: &str =
    "# no name server is known: the machine's network had named none when this was written\n";

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

impl Resolution {
    /// Resolvers on loopback are the machine's own business: in a container nobody answers there.
    fn usable(&self) -> impl Iterator<Item = &Ipv4Addr> {
        let usable = self.resolvers.iter();
        usable
            .filter(|resolver| !resolver.is_loopback())
            .take(RESOLVERS_MAX)
    }

    /// Is there anybody to ask for a name?
    pub(crate) fn is_possible(&self) -> bool {
        self.usable().next().is_some()
    }
}

/// Where there is no name server the text says so: a C library then asks 127.0.0.1, in vain, and whoever looks why finds
/// the reason.
pub(crate) fn resolv_conf(resolution: &Resolution) -> String {
    let mut text = String::new();
    if !resolution.is_possible() {
        text.push_str(NO_RESOLVER);
    }
    if let Some(domain) = &resolution.domain {
        let _ = writeln!(text, "search {domain}");
    }
    for resolver in resolution.usable() {
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
    fn a_text_without_a_name_server_says_so() {
        for resolvers in [vec![], vec![Ipv4Addr::LOCALHOST]] {
            let text = resolv_conf(&Resolution {
                resolvers,
                domain: Some("lan".into()),
            });
            assert_eq!(text, format!("{NO_RESOLVER}search lan\n"));
        }
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

//! The addresses at which other machines reach the server.

use std::net::{IpAddr, SocketAddr};

/// How many addresses are listed. A machine with many containers has many.
const SHOWN_MAX: usize = 8;

/// The URLs for other machines of a server that listens on `addrs`: one for each address of this machine, IPv4 first,
/// if it listens on all of them; none for a loopback address.
pub(crate) fn urls(addrs: &[SocketAddr]) -> Vec<String> {
    let mut urls: Vec<String> = addrs.iter().flat_map(|addr| urls_of(*addr)).collect();
    urls.dedup();
    urls
}

fn urls_of(addr: SocketAddr) -> Vec<String> {
    let ip = addr.ip();
    if ip.is_loopback() {
        return Vec::new();
    }
    if !ip.is_unspecified() {
        return vec![format!("http://{addr}")];
    }
    // Without the list, the address that was typed is still known.
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut ips: Vec<IpAddr> =
        interfaces.iter().map(if_addrs::Interface::ip).filter(|ip| is_shown(*ip, addr)).collect();
    ips.sort_unstable();
    ips.dedup();
    ips.truncate(SHOWN_MAX);
    ips.into_iter().map(|ip| format!("http://{}", SocketAddr::new(ip, addr.port()))).collect()
}

/// Whether other machines can use an address as it is: link-local ones of IPv6 need the name of an interface.
fn is_shown(ip: IpAddr, addr: SocketAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => addr.is_ipv6() && !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_on_all_addresses_has_urls_for_all_of_them() {
        assert_eq!(urls(&[([127, 0, 0, 1], 80).into()]), [""; 0]);
        assert_eq!(urls(&[([192, 0, 2, 1], 80).into()]), ["http://192.0.2.1:80"]);
        assert!(
            urls(&[([0, 0, 0, 0], 80).into()]).iter().all(|url| url.ends_with(":80") && !url.contains("127.0.0.1"))
        );
    }
}

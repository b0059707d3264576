//! Finds the process that listens on an address, for the message that it is in use.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
};

/// The name and the number of the process that listens on an address, or on all addresses of its port; `None` if the
/// system does not say, as for processes of other users. Only Linux does. Reads what the system knows about all
/// processes, which takes milliseconds.
pub(super) fn of(addr: SocketAddr) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let inode = tables.iter().flat_map(|table| table.lines()).find_map(|line| listening_inode(line, addr))?;
    let socket = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let mut open = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        if open.any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|link| link.as_os_str() == &*socket)) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{}, process {id}", name.trim_end()));
        }
    }
    None
}

/// The inode of the socket in a line of the table, if it listens where `addr` cannot be used then.
fn listening_inode(line: &str, addr: SocketAddr) -> Option<&str> {
    const LISTENS: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let (host, port) = fields.next()?.split_once(':')?;
    let (_, state) = (fields.next()?, fields.next()?);
    let is_at_port = u16::from_str_radix(port, 16).is_ok_and(|port| port == addr.port());
    let is_at_host = host == hex(addr.ip()) || host.bytes().all(|digit| digit == b'0') || addr.ip().is_unspecified();
    // Six fields on: queues, timer, retransmits, user and timeout.
    (state == LISTENS && is_at_port && is_at_host).then(|| fields.nth(5)).flatten()
}

/// An address as in the table: words of four bytes, as the processor reads them.
fn hex(ip: IpAddr) -> String {
    let bytes = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).filter_map(|word| word.try_into().ok());
    words.map(|word| format!("{:08X}", u32::from_ne_bytes(word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn a_line_of_the_table_matches_its_address_and_all_addresses() {
        let line =
            "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100";
        let any =
            "   1: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100";
        let six = "   2: 00000000000000000000000001000000:1F40 00000000000000000000000000000000:0000 0A 00000000:00000000 \
                   00:00000000 00000000     0        0 4713 1 0 100";
        for (line, addr, inode) in [
            (line, "127.0.0.1:8000", Some("4711")),
            (line, "127.0.0.1:8001", None),
            (line, "127.0.0.2:8000", None),
            (line, "0.0.0.0:8000", Some("4711")),
            (any, "127.0.0.2:8000", Some("4712")),
            (six, "[::1]:8000", Some("4713")),
            (&line.replace(" 0A ", " 01 "), "127.0.0.1:8000", None),
            ("  sl  local_address rem_address   st tx_queue", "127.0.0.1:8000", None),
        ] {
            assert_eq!(listening_inode(line, addr.parse().expect("a valid address")), inode, "{line} {addr}");
        }
    }
}

//! Packets that carry the captured bytes, for Wireshark: pcapng with IPv4 or IPv6 and TCP, made up around the bytes at the
//! times when they were read and written.
//!
//! Bytes that were not kept are holes: packets of the right length whose content is missing. Log lines and faults are
//! comments of packets.

use std::{collections::BTreeMap, net::IpAddr};

use wasmserve_gateway::{environ::SOFTWARE, escape::escape};

use super::exchange::{Exchange, Written};
use crate::capture::record::{Ending, Side};

/// The most bytes that one packet carries: IP has 16 bits for its length.
const SEGMENT_MAX: usize = 60_000;

/// The most bytes of an exchange that are shown as holes, in each direction.
const HOLES_MAX: u64 = 1 << 30;

/// Wireshark's number for packets that begin with an IP header.
const LINKTYPE_RAW: u16 = 101;

const SYN: u8 = 0x02;
const FIN: u8 = 0x01;
const ACK: u8 = 0x10;
const PUSH: u8 = 0x08;
const RESET: u8 = 0x04;

/// The packets of an export.
#[derive(Debug, Default)]
pub(super) struct Packets {
    packets: Vec<Packet>,
    connections: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Packet {
    /// Microseconds since 1970.
    at: u64,
    bytes: Vec<u8>,
    /// The length that it had on the wire.
    length: usize,
    comments: Vec<String>,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
struct Connection {
    client: (IpAddr, u16),
    server: (IpAddr, u16),
    /// The next sequence number of the client, and of the server.
    next: [u32; 2],
    last: u64,
    is_reset: bool,
}

/// A piece of what one side sent.
struct Piece<'a> {
    at: u64,
    is_response: bool,
    /// What was kept of it.
    bytes: &'a [u8],
    length: usize,
}

impl Packets {
    /// Adds the packets of an exchange.
    pub(super) fn add(&mut self, exchange: &Exchange<'_>, written: &mut Written) {
        let record = exchange.record;
        let mut pieces = pieces(&record.request, record.began, false);
        pieces.extend(pieces_of_response(exchange));
        // A request's bytes come first if both have the same time.
        pieces.sort_by_key(|piece| (piece.at, piece.is_response));
        let address = |address: std::net::SocketAddr| (address.ip().to_canonical(), address.port());
        // Ids are unique in one run only, and so are the numbers of connections.
        let mut connection = self.connections.remove(&record.connection).unwrap_or_else(|| {
            let connection = Connection {
                client: address(record.remote),
                server: address(record.local),
                next: [0, 0],
                last: record.began,
                is_reset: false,
            };
            self.open(connection, record.began)
        });
        let first = self.packets.len();
        for piece in pieces {
            connection.last = connection.last.max(piece.at);
            let mut rest = piece.bytes;
            let mut left = piece.length;
            while left > 0 {
                let length = left.min(SEGMENT_MAX);
                let (bytes, after) = rest.split_at(rest.len().min(length));
                (rest, left) = (after, left - length);
                self.send(&mut connection, piece.at, piece.is_response, PUSH | ACK, bytes, length);
            }
        }
        connection.is_reset |= [&record.request, &record.response].iter().any(|side| side.end == Ending::Broken);
        self.comment(exchange, first);
        self.connections.insert(record.connection, connection);
        written.notes.extend(exchange.missing().into_iter().map(|what| format!("[{}] {what}", record.id)));
        if exchange.is_http2() {
            written.notes.push(format!("[{}] was HTTP/2, which is shown as HTTP/1", record.id));
        }
    }

    /// Adds the log lines and the fault as comments to the first packets after them.
    fn comment(&mut self, exchange: &Exchange<'_>, first: usize) {
        let record = exchange.record;
        let packets = &mut self.packets[first..];
        let mut add = |at: u64, text: String| {
            let at = record.began.saturating_add(at);
            let found = packets.iter().position(|packet| packet.at >= at).or(packets.len().checked_sub(1));
            if let Some(found) = found {
                packets[found].comments.push(text);
            }
        };
        add(0, exchange.title());
        for line in &record.lines {
            add(line.at, format!("{}: {}", line.stream, escape(line.text.as_bytes())));
        }
        if let Some(fault) = &record.fault {
            add(fault.at, format!("{}: {}", fault.kind, escape(fault.text.as_bytes())));
        }
    }

    /// The handshake.
    fn open(&mut self, mut connection: Connection, at: u64) -> Connection {
        for (is_server, flags) in [(false, SYN), (true, SYN | ACK), (false, ACK)] {
            self.send(&mut connection, at, is_server, flags, &[], 0);
            if flags & SYN != 0 {
                let next = &mut connection.next[usize::from(is_server)];
                *next = next.wrapping_add(1);
            }
        }
        connection
    }

    fn send(&mut self, connection: &mut Connection, at: u64, is_server: bool, flags: u8, bytes: &[u8], length: usize) {
        let (from, to) = match is_server {
            true => (connection.server, connection.client),
            false => (connection.client, connection.server),
        };
        let [own, other] = [usize::from(is_server), usize::from(!is_server)].map(|side| connection.next[side]);
        let acknowledged = if flags & ACK == 0 { 0 } else { other };
        let mut packet = packet(from, to, [own, acknowledged], flags, bytes, length);
        let whole = packet.len() - bytes.len() + length;
        packet.shrink_to_fit();
        self.packets.push(Packet { at, bytes: packet, length: whole, comments: Vec::new() });
        let sent = u32::try_from(length).unwrap_or(u32::MAX);
        connection.next[usize::from(is_server)] = own.wrapping_add(sent);
    }

    /// Ends all connections, and writes the file.
    pub(super) fn end(mut self, written: &mut Written) {
        for (_, mut connection) in std::mem::take(&mut self.connections) {
            let at = connection.last;
            if connection.is_reset {
                self.send(&mut connection, at, false, RESET | ACK, &[], 0);
                continue;
            }
            for is_server in [true, false] {
                self.send(&mut connection, at, is_server, FIN | ACK, &[], 0);
                let next = &mut connection.next[usize::from(is_server)];
                *next = next.wrapping_add(1);
            }
        }
        self.packets.sort_by_key(|packet| packet.at);
        let out = &mut written.bytes;
        // The section, with its byte order and version, of unknown length.
        let mut section = Vec::new();
        section.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        section.extend_from_slice(&[1, 0, 0, 0]);
        section.extend_from_slice(&(-1_i64).to_le_bytes());
        option(&mut section, 4, SOFTWARE.as_bytes());
        option(&mut section, 0, &[]);
        block(out, 0x0a0d_0d0a, &section);
        // One interface, whose times are in microseconds as is the default.
        let mut interface = Vec::new();
        interface.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
        interface.extend_from_slice(&[0; 6]);
        option(&mut interface, 2, b"wasmserve");
        option(&mut interface, 0, &[]);
        block(out, 1, &interface);
        for Packet { at, bytes, length, comments } in self.packets {
            let mut body = Vec::with_capacity(bytes.len() + 64);
            let lengths = [bytes.len(), length].map(|length| u32::try_from(length).unwrap_or(u32::MAX));
            let [high, low] = [at >> 32, at & 0xffff_ffff].map(|half| u32::try_from(half).unwrap_or(u32::MAX));
            for number in [0, high, low, lengths[0], lengths[1]] {
                body.extend_from_slice(&number.to_le_bytes());
            }
            padded(&mut body, &bytes);
            for comment in &comments {
                option(&mut body, 1, comment.as_bytes());
            }
            if !comments.is_empty() {
                option(&mut body, 0, &[]);
            }
            block(out, 6, &body);
        }
    }
}

/// What one side sent, by reads or writes.
fn pieces(side: &Side, began: u64, is_response: bool) -> Vec<Piece<'_>> {
    // A file may claim any number of bytes.
    let (mut rest, mut left) = (&side.bytes[..], side.total.min(side.bytes.len() as u64 + HOLES_MAX));
    let mut pieces = Vec::with_capacity(side.turns.len() + 1);
    let mut last = 0;
    let mut add = |at: u64, length: u64| {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (bytes, after) = rest.split_at(rest.len().min(length));
        rest = after;
        pieces.push(Piece { at: began.saturating_add(at), is_response, bytes, length });
    };
    for (at, length) in &side.turns {
        let length = left.min((*length).into());
        left -= length;
        last = *at;
        add(*at, length);
    }
    // The reads or writes beyond those that are recorded one by one.
    add(last, left);
    pieces
}

fn pieces_of_response<'a>(exchange: &Exchange<'a>) -> Vec<Piece<'a>> {
    pieces(&exchange.record.response, exchange.record.began, true)
}

/// An IP packet that contains a TCP segment. `length` is that of the content, of which `bytes` is the beginning.
fn packet(
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    [sequence, acknowledged]: [u32; 2],
    flags: u8,
    bytes: &[u8],
    length: usize,
) -> Vec<u8> {
    let mut tcp = Vec::with_capacity(20 + bytes.len());
    tcp.extend_from_slice(&from.1.to_be_bytes());
    tcp.extend_from_slice(&to.1.to_be_bytes());
    tcp.extend_from_slice(&sequence.to_be_bytes());
    tcp.extend_from_slice(&acknowledged.to_be_bytes());
    // A header of five words, the flags, a window, and no checksum yet.
    tcp.extend_from_slice(&[5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let segment = u16::try_from(20 + length).unwrap_or(u16::MAX);
    let mut packet = Vec::with_capacity(60 + bytes.len());
    let mut pseudo = Vec::with_capacity(40);
    if let (IpAddr::V4(from), IpAddr::V4(to)) = (from.0, to.0) {
        packet.extend_from_slice(&[0x45, 0]);
        packet.extend_from_slice(&segment.saturating_add(20).to_be_bytes());
        // Never fragmented, 64 hops, TCP.
        packet.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend_from_slice(&from.octets());
        packet.extend_from_slice(&to.octets());
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        pseudo.extend_from_slice(&packet[12..20]);
        pseudo.extend_from_slice(&[0, 6]);
    } else {
        let six = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        packet.extend_from_slice(&[0x60, 0, 0, 0]);
        packet.extend_from_slice(&segment.to_be_bytes());
        packet.extend_from_slice(&[6, 64]);
        packet.extend_from_slice(&six(from.0).octets());
        packet.extend_from_slice(&six(to.0).octets());
        pseudo.extend_from_slice(&packet[8..40]);
        pseudo.extend_from_slice(&[0, 6]);
    }
    pseudo.extend_from_slice(&segment.to_be_bytes());
    tcp.extend_from_slice(bytes);
    pseudo.extend_from_slice(&tcp);
    let sum = checksum(&pseudo);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(&tcp);
    packet
}

/// The checksum of IP and TCP (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = u32::try_from(12 + body.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(body);
    out.extend_from_slice(&length);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    padded(out, value);
}

/// Appends bytes, and zeros up to a multiple of four.
fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

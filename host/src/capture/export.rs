//! Exports records in the formats of other programs.
//!
//! All of this is pure. Secrets are replaced unless the user wants them ([`redact`](super::redact)), and what a format cannot
//! express is said: in the export if it has comments, and in [`Exported::notes`].

mod curl;
mod exchange;
mod har;
mod hurl;
mod pcapng;
mod raw;
mod rest;
mod rust_test;

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use sha2::{Digest as _, Sha256};

use self::exchange::{Exchange, Written};
use super::{record::Record, redact::Redaction, warc};

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The bytes of the request; those of the response are beside it.
    Raw,
    /// Commands for a shell that send the request with curl.
    Curl,
    /// HTTP Archive 1.2, which browsers open.
    Har,
    /// A file of the REST Client of VS Code, and of JetBrains' HTTP client.
    Rest,
    /// A file of Hurl, with assertions about the response.
    Hurl,
    /// Unit tests for a handler in Rust.
    Test,
    /// A capture of packets, which Wireshark opens.
    Pcapng,
    /// The format of `--capture`.
    Warc,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 8] =
        [Self::Curl, Self::Har, Self::Raw, Self::Rest, Self::Hurl, Self::Test, Self::Pcapng, Self::Warc];

    /// The name, as in `--as`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Curl => "curl",
            Self::Har => "har",
            Self::Rest => "rest",
            Self::Hurl => "hurl",
            Self::Test => "test",
            Self::Pcapng => "pcapng",
            Self::Warc => "warc",
        }
    }

    /// The extension of its files, without a dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Raw => "request",
            Self::Curl => "sh",
            Self::Har => "har",
            Self::Rest => "http",
            Self::Hurl => "hurl",
            Self::Test => "rs",
            Self::Pcapng => "pcapng",
            Self::Warc => "warc",
        }
    }

    /// The media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Raw => "application/http",
            Self::Har => "application/json",
            Self::Curl | Self::Rest | Self::Hurl | Self::Test => "text/plain; charset=utf-8",
            Self::Pcapng => "application/x-pcapng",
            Self::Warc => "application/warc",
        }
    }

    /// Whether an export is text, which people may read on a terminal.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::Curl | Self::Har | Self::Rest | Self::Hurl | Self::Test)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|format| format.name() == text);
        known.ok_or_else(|| format!("write one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// An export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The file.
    pub bytes: Vec<u8>,
    /// Files that belong beside it: relative paths with `/`, without `..`, and their contents.
    pub beside: Vec<(String, Vec<u8>)>,
    /// The secrets that were replaced: names of fields, and of query parameters as `?name`.
    pub replaced: Vec<String>,
    /// What the export does not contain, one line each.
    pub notes: Vec<String>,
}

/// Exports records, in this order.
#[must_use]
pub fn export(records: &[Arc<Record>], format: Format, redaction: &Redaction) -> Exported {
    let mut exporter = Exporter::new(format, redaction.clone());
    for record in records {
        exporter.add(record);
    }
    exporter.finish()
}

/// An export to which records are added one by one.
#[derive(Debug)]
pub struct Exporter {
    format: Format,
    redaction: Redaction,
    written: Written,
    replaced: BTreeSet<String>,
    packets: pcapng::Packets,
    warc: Option<warc::Writer>,
    count: u64,
}

impl Exporter {
    /// An export without records.
    #[must_use]
    pub fn new(format: Format, redaction: Redaction) -> Self {
        Self {
            format,
            redaction,
            written: Written::default(),
            replaced: BTreeSet::new(),
            packets: pcapng::Packets::default(),
            warc: None,
            count: 0,
        }
    }

    /// Adds a record.
    pub fn add(&mut self, record: &Record) {
        self.count += 1;
        let record = self.redaction.apply(record, &mut self.replaced);
        let exchange = Exchange::new(&record, self.written.name(record.id));
        let written = &mut self.written;
        match self.format {
            Format::Raw => raw::add(&exchange, written),
            Format::Curl => curl::add(&exchange, written),
            Format::Har => har::add(&exchange, written),
            Format::Rest => rest::add(&exchange, written),
            Format::Hurl => hurl::add(&exchange, written),
            Format::Test => rust_test::add(&exchange, written),
            Format::Pcapng => self.packets.add(&exchange, written),
            Format::Warc => {
                let writer = *self.warc.get_or_insert_with(|| {
                    // The same export twice has the same ids.
                    let digest = Sha256::digest(&record.request.bytes);
                    let mut run = record.began.to_be_bytes();
                    run.iter_mut().zip(digest).for_each(|(byte, random)| *byte ^= random);
                    let writer = warc::Writer::new(run);
                    written.bytes.extend_from_slice(&writer.begin(1, record.began));
                    writer
                });
                writer.add(self.count, &record, &mut written.bytes);
            }
        }
    }

    /// Ends the export.
    #[must_use]
    pub fn finish(mut self) -> Exported {
        match self.format {
            Format::Har => har::end(&mut self.written),
            Format::Test => rust_test::end(&mut self.written),
            Format::Pcapng => self.packets.end(&mut self.written),
            _ => {}
        }
        let Written { bytes, beside, notes, .. } = self.written;
        Exported { bytes, beside, replaced: self.replaced.into_iter().collect(), notes }
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use proptest::prelude::*;

    use super::*;
    use crate::capture::{
        record::{Cut, Protocol},
        sample,
    };

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        #[test]
        fn o8_every_record_can_be_exported_in_every_format(record in sample::any_record()) {
            let bytes = [record.request.bytes.clone(), record.response.bytes.clone()];
            for format in Format::ALL {
                for (is_off, redaction) in [(true, Redaction::off()), (false, Redaction::default())] {
                    let records = [Arc::new(record.clone()), Arc::new(record.clone())];
                    let exported = export(&records, format, &redaction);
                    if format.is_text() {
                        prop_assert!(String::from_utf8(exported.bytes.clone()).is_ok(), "{}", format);
                    }
                    if format == Format::Warc && is_off && record.protocol == Protocol::Http1 {
                        let mut seen = 0;
                        for piece in warc::Reader::new(&exported.bytes[..]) {
                            match piece {
                                warc::Piece::Exchange(record) => {
                                    prop_assert_eq!([&record.request.bytes, &record.response.bytes], [&bytes[0], &bytes[1]]);
                                    seen += 1;
                                }
                                warc::Piece::Problem(why) => prop_assert!(false, "{}", why),
                            }
                        }
                        prop_assert_eq!(seen, 2);
                    }
                }
            }
        }
    }

    fn one(record: Record, format: Format) -> Exported {
        export(&[Arc::new(record)], format, &Redaction::off())
    }

    fn text(record: Record, format: Format) -> String {
        String::from_utf8(one(record, format).bytes).expect("it is text")
    }

    const REQUEST: &[u8] =
        b"POST /hook?a=1 HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";
    const RESPONSE: &[u8] =
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nX-A: 2\r\nServer: s\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";

    fn sample() -> Record {
        sample::record(REQUEST, RESPONSE)
    }

    #[test]
    fn every_format_is_known_by_its_name() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert_eq!("x".parse::<Format>(), Err("write one of curl, har, raw, rest, hurl, test, pcapng, warc".into()));
    }

    #[test]
    fn o8_what_a_format_cannot_express_is_noted() {
        use Format::{Curl, Hurl, Rest, Test};
        let chunked =
            &b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: u\r\n\r\n"[..];
        for (format, request, note) in [
            (Curl, &b"\x16\x03\x01"[..], "[17] what was sent is not a request that curl can send"),
            (Rest, b"\x16\x03\x01", "[17] what was sent is not a request that the client can send"),
            (Hurl, b"\x16\x03\x01", "[17] what was sent is not a request that Hurl can send"),
            (Curl, chunked, "[17] curl chooses the sizes of chunks"),
            (Curl, chunked, "[17] trailers are left out"),
            (
                Curl,
                b"HEAD / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "[17] curl waits for a body of the response to HEAD",
            ),
            (Rest, chunked, "[17] the body is not sent in chunks"),
            (Hurl, chunked, "[17] the body is not sent in chunks"),
            (Curl, b"GET / HTTP/1.1\nHost: x\n\n", "[17] the head differs in line ends, white space or order"),
            (
                Curl,
                b"GET / HTTP/1.1\r\nA: b\r\nHost: x\r\n\r\n",
                "[17] the head differs in line ends, white space or order",
            ),
            (Hurl, b"get / HTTP/1.1\r\nHost: x\r\n\r\n", "[17] Hurl cannot send the method"),
            (Hurl, b"GET / HTTP/1.1\r\nHost: x\r\nA: \xff\r\n\r\n", "[17] a field is left out"),
            (Hurl, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "[17] Hurl adds User-Agent"),
            (Rest, b"PROPFIND / HTTP/1.1\r\nHost: x\r\n\r\n", "[17] the client does not know the method"),
            (
                Rest,
                b"GET /?{{a}} HTTP/1.1\r\nHost: x\r\n\r\n",
                "[17] the target has escapes that the captured one did not have",
            ),
            (Test, b"\x16\x03\x01", "[17] no handler was called"),
        ] {
            let mut record = sample::record(request, RESPONSE);
            if format == Test {
                record.facts = None;
            }
            let notes = one(record, format).notes;
            assert!(notes.iter().any(|seen| seen.starts_with(note)), "{format}: `{note}` is not in {notes:?}");
        }
        for format in Format::ALL.into_iter().filter(|format| *format != Format::Warc) {
            let mut record = sample();
            record.request.total += 1000;
            record.request.cut = Some(Cut::BodyMax);
            let notes = one(record, format).notes;
            assert!(notes.iter().any(|note| note.starts_with("[17] the request is cut: ")), "{format}: {notes:?}");
        }
    }

    #[test]
    fn a_comment_in_a_command_contains_nothing_that_a_client_has_chosen() {
        let request = b"$(touch) /`touch`;touch HTTP/1.1\r\nHost: x\r\n`a`: $(touch)\r\n\r\n";
        let text = text(sample::record(request, RESPONSE), Format::Curl);
        let comments = text.lines().filter(|line| line.starts_with('#'));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "# .,:/_-[]".contains(c);
        assert!(comments.clone().count() > 0 && comments.flat_map(str::chars).all(is_plain), "{text}");
    }

    #[test]
    fn a_command_never_asks_curl_for_two_methods() {
        for (framing, is_head) in
            [("", true), ("Content-Length: 0\r\n", true), ("Transfer-Encoding: chunked\r\n", false)]
        {
            let body = if is_head { "" } else { "0\r\n\r\n" };
            let request = format!("HEAD / HTTP/1.1\r\nHost: x\r\n{framing}\r\n{body}");
            let text = text(sample::record(request.as_bytes(), RESPONSE), Format::Curl);
            assert_eq!((text.contains(" --head"), text.contains("--data-raw")), (is_head, !is_head), "{text}");
        }
    }

    #[test]
    fn a_har_has_all_bytes_and_minus_one_for_what_is_unknown() {
        let har: serde_json::Value = serde_json::from_str(&text(sample(), Format::Har)).expect("it is JSON");
        let entry = &har["log"]["entries"][0];
        assert_eq!(entry["request"]["url"], "http://x/hook?a=1");
        assert_eq!(entry["request"]["queryString"][0]["name"], "a");
        assert_eq!(entry["request"]["postData"]["text"], "hi");
        assert_eq!((&entry["response"]["status"], &entry["response"]["bodySize"]), (&200.into(), &2.into()));
        assert_eq!(entry["response"]["content"]["text"], "ok");
        assert_eq!(entry["_wire"]["request"], BASE64_STANDARD.encode(REQUEST));
        assert_eq!(entry["_wire"]["response"], BASE64_STANDARD.encode(RESPONSE));
        assert_eq!(entry["timings"]["dns"], -1);
        assert_eq!((&entry["timings"]["send"], &entry["timings"]["blocked"]), (&0.1.into(), &0.2.into()));
        assert_eq!((&entry["timings"]["wait"], &entry["time"]), (&1.2.into(), &1.5.into()));
        let unanswered = sample::record(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"");
        let har: serde_json::Value = serde_json::from_str(&text(unanswered, Format::Har)).expect("it is JSON");
        let response = &har["log"]["entries"][0]["response"];
        assert_eq!(
            (&response["status"], &response["headersSize"], &response["bodySize"]),
            (&0.into(), &(-1).into(), &(-1).into())
        );
        let none: serde_json::Value =
            serde_json::from_slice(&export(&[], Format::Har, &Redaction::off()).bytes).expect("it is JSON");
        assert_eq!(none["log"]["entries"].as_array().map(Vec::len), Some(0));
    }

    #[test]
    fn trailers_of_http2_are_not_part_of_the_body() {
        let request = b"POST / HTTP/2\r\nhost: x\r\n\r\nhix-sum: 7\r\n";
        let mut record = sample::record(request, b"HTTP/1.1 200 OK\r\na: 1\r\n\r\nokx-end: 1\r\n");
        record.protocol = crate::capture::record::Protocol::Http2;
        for side in [&mut record.request, &mut record.response] {
            side.trailers = Some(side.head + 2);
        }
        let har: serde_json::Value = serde_json::from_str(&text(record.clone(), Format::Har)).expect("it is JSON");
        let entry = &har["log"]["entries"][0];
        assert_eq!((&entry["request"]["postData"]["text"], &entry["request"]["bodySize"]), (&"hi".into(), &2.into()));
        assert_eq!((&entry["response"]["content"]["text"], &entry["response"]["bodySize"]), (&"ok".into(), &2.into()));
        assert_eq!(entry["request"]["_trailers"][0]["name"], "x-sum");
        assert_eq!(entry["response"]["_trailers"][0]["value"], "1");
        assert_eq!(one(record.clone(), Format::Raw).bytes, request);
        for format in [Format::Curl, Format::Rest, Format::Hurl, Format::Test] {
            let notes = one(record.clone(), format).notes;
            assert!(notes.contains(&"[17] trailers are left out".into()), "{format}: {notes:?}");
            assert!(!notes.iter().any(|note| note.contains("after the request")), "{format}: {notes:?}");
        }
    }

    #[test]
    fn a_har_has_bodies_as_browsers_show_them() {
        use std::io::Write as _;
        let har = |body: &[u8], coding: &str| {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n", body.len());
            let record = sample::record(REQUEST, &[head.as_bytes(), body].concat());
            let har: serde_json::Value = serde_json::from_str(&text(record, Format::Har)).expect("it is JSON");
            har["log"]["entries"][0]["response"]["content"].clone()
        };
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&[b'x'; 1000]).expect("memory is writable");
        let gzip = gzip.finish().expect("memory is writable");
        let content = har(&gzip, "gzip");
        assert_eq!((&content["size"], &content["text"]), (&1000.into(), &"x".repeat(1000).into()));
        assert_eq!(content["compression"], 1000 - gzip.len());
        for (body, coding) in [(&b"not gzip\xff"[..], "gzip"), (b"\xff", "br")] {
            let content = har(body, coding);
            assert_eq!(content["text"], BASE64_STANDARD.encode(body));
            assert_eq!(content["comment"], format!("in the coding {coding}, as it was sent"));
        }
    }

    #[test]
    fn o11_no_form_of_a_secret_is_in_a_har() {
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: s3cret\r\n\r\n";
        let record = sample::record(request, b"HTTP/1.1 200 OK\r\nSet-Cookie: a=s3cret\r\n\r\n");
        let exported = export(&[Arc::new(record)], Format::Har, &Redaction::default());
        let har: serde_json::Value = serde_json::from_slice(&exported.bytes).expect("it is JSON");
        let wire = &har["log"]["entries"][0]["_wire"];
        for side in ["request", "response"] {
            let wire = BASE64_STANDARD.decode(wire[side].as_str().expect("it is text")).expect("it is base64");
            assert!(String::from_utf8_lossy(&wire).contains("REDACTED"));
        }
        assert!(!String::from_utf8_lossy(&exported.bytes).contains("s3cret"));
        assert_eq!(exported.replaced, ["Authorization", "Set-Cookie"]);
    }

    #[test]
    fn a_test_compares_what_the_handler_has_made() {
        let text = text(sample(), Format::Test);
        for part in [
            "fn captured_17_post_hook() {",
            "(\"CONTENT_TYPE\", \"text/plain\"),",
            ".with_input(b\"hi\")",
            "assert_eq!(answer.status, \"200 OK\");",
            "[&b\"1\"[..], &b\"2\"[..]]",
            "assert_eq!(answer.body, b\"ok\");",
        ] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
        assert!(!text.contains("\"Server\"") && !text.contains("REMOTE_PORT"), "{text}");
        let text = self::text(sample::failed(REQUEST, b""), Format::Test);
        assert!(
            text.contains("// It was trap: integer divide by zero\n        assert_eq!(answer.fault, None);"),
            "{text}"
        );
    }

    #[test]
    fn long_bodies_are_beside_a_test_under_names_of_their_own() {
        let request = [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n", &[b'x'; 5000][..]].concat();
        let record = Arc::new(sample::record(&request, RESPONSE));
        let exported = export(&[Arc::clone(&record), record], Format::Test, &Redaction::off());
        let names: Vec<&str> = exported.beside.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["captured/17.body", "captured/17-2.body"]);
        let text = String::from_utf8(exported.bytes).expect("it is text");
        assert!(text.contains(".with_input(include_bytes!(\"captured/17-2.body\"))"), "{text}");
    }

    #[test]
    fn packets_carry_all_bytes_and_leave_holes_where_some_were_not_kept() {
        let mut record = sample();
        record.request.total += 100_000;
        record.request.turns = vec![(0, 50), (5, 60), (9, 100_000)];
        let bytes = one(record, Format::Pcapng).bytes;
        // What each side has sent, by sequence numbers.
        let (mut sent, mut rest, mut comments) = ([Vec::new(), Vec::new()], &bytes[..], 0);
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
        while !rest.is_empty() {
            let length = number(&rest[4..]);
            let (block, after) = rest.split_at(length);
            assert_eq!((length % 4, number(&block[length - 4..])), (0, length));
            rest = after;
            if number(block) != 6 {
                continue;
            }
            let (captured, original) = (number(&block[20..]), number(&block[24..]));
            comments += usize::from(length > 28 + captured.next_multiple_of(4) + 4);
            let packet = &block[28..28 + captured];
            assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), original, "the length of the packet");
            let side = usize::from(packet[20..22] == 8000_u16.to_be_bytes());
            let at = u32::from_be_bytes(packet[24..28].try_into().expect("four bytes")) as usize;
            let content = &packet[40..];
            if original > 40 {
                // The first byte follows the handshake, which counts as one.
                sent[side].resize((at - 1).max(sent[side].len()), b'?');
                sent[side].truncate(at - 1);
                sent[side].extend_from_slice(content);
                sent[side].resize(at - 1 + original - 40, b'?');
            }
        }
        assert_eq!(sent[0], [REQUEST, &vec![b'?'; 100_000]].concat());
        assert_eq!(sent[1], RESPONSE);
        assert!(comments >= 2, "the title and the log line");
    }

    #[test]
    fn an_export_as_warc_is_read_again() {
        let exported = one(sample(), Format::Warc);
        let pieces: Vec<_> = warc::Reader::new(&exported.bytes[..]).collect();
        assert!(matches!(&pieces[..], [warc::Piece::Exchange(record)] if record.request.bytes == REQUEST));
        assert_eq!(one(sample(), Format::Warc), exported, "the same export has the same ids");
    }
}

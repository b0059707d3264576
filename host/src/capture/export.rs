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

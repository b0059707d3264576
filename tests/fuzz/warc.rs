//! Any bytes as a capture: whatever is read of it can be exported in every format, and is the same when it is written and
//! read again.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use wasmserve::capture::{
    export::{Format, export},
    record::Record,
    redact::Redaction,
    warc::{Piece, Reader, Writer},
};

fn read(bytes: &[u8]) -> Vec<Record> {
    let exchange = |piece| if let Piece::Exchange(record) = piece { Some(*record) } else { None };
    Reader::new(bytes).filter_map(exchange).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let records = read(bytes);
    let writer = Writer::new([0; 8]);
    let mut written = writer.begin(1, 0);
    for (seq, record) in (1..).zip(&records) {
        writer.add(seq, record, &mut written);
    }
    let again = read(&written);
    assert_eq!(again.len(), records.len());
    for (again, record) in again.iter().zip(&records) {
        assert_eq!((&again.request.bytes, &again.response.bytes), (&record.request.bytes, &record.response.bytes));
    }
    let records: Vec<Arc<Record>> = records.into_iter().map(Arc::new).collect();
    for format in Format::ALL {
        for redaction in [Redaction::default(), Redaction::off()] {
            _ = export(&records, format, &redaction);
        }
    }
});

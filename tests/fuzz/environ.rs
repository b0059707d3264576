//! Any bytes as a request head: it is refused, or becomes an environ that follows the rules.
//!
//! Nothing panics.

#![no_main]

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use wasmserve::gateway::{
    environ::{self, Facts, Peer},
    escape::escape,
    forwarded::{self, Proxies},
    lint,
    mounts::Mount,
    request::{RequestHead, RequestLimits},
};

fuzz_target!(|bytes: &[u8]| {
    let head = RequestHead::new(Bytes::copy_from_slice(bytes));
    let peer = Peer { remote: ([127, 0, 0, 1], 5000).into(), local: ([127, 0, 0, 1], 8000).into() };
    for finding in lint::check(&head) {
        assert!(!finding.clause.is_empty(), "a finding without a clause");
    }
    let shown = escape(head.line());
    assert!(!shown.contains(|char: char| char.is_control() && char != '\t'), "{shown:?} contains a control character");
    if head.check(RequestLimits::DEFAULT).is_err() {
        return;
    }
    let Ok(forwarded) = forwarded::read(&head, peer.remote.ip(), &[Proxies::All]) else { return };

    let mount: Mount = "/app".parse().expect("a path");
    let is_mounted = mount.covers(head.parts().path);
    let mount = if is_mounted { &mount } else { &Mount::ROOT };
    let facts = Facts {
        peer,
        server_name: None,
        mount,
        content_length: Some(7),
        forwarded,
        id: 1,
        timeout: Duration::from_secs(30),
        env: &[],
    };
    let vars = environ::build(&head, &facts);

    let names: HashSet<&str> = vars.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names.len(), vars.len(), "a variable occurs twice");
    assert!(names.iter().all(|name| environ::is_reserved(name)), "a variable that --env could forge");
    assert!(!names.contains("HTTP_PROXY") && !names.contains("HTTP_CONTENT_LENGTH"), "H7, E4");
    for name in ["REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "wsgi.url_scheme"] {
        assert!(names.contains(name), "{name} is missing");
    }
    for (name, value) in &vars {
        let is_decoded = matches!(&**name, "PATH_INFO" | "SCRIPT_NAME");
        assert!(is_decoded || !value.contains(&b'\n'), "{name} has a line end");
        if let Some(field) = name.strip_prefix("HTTP_") {
            let is_of_field = |other: &[u8]| other.to_ascii_uppercase() == field.replace('_', "-").as_bytes();
            let is_sent = head.fields().any(|(other, _)| is_of_field(other));
            assert!(is_sent || field == "HOST", "{name} matches no field");
        }
    }
});

//! Bodies of any size pass unchanged in both directions, without being buffered.

use wasmserve_tests::bulk::{FLAT, GIB, MIB, download, echo, growth, start};

#[test]
fn a_gibibyte_is_echoed_while_memory_stays_flat() {
    let server = start("echo");
    echo(&server, 32 * MIB);
    let growth = growth(&server, || echo(&server, GIB));
    assert!(growth <= FLAT, "memory grew by {growth} bytes");
}

#[test]
fn a_gibibyte_is_downloaded_while_memory_stays_flat() {
    let server = start("downloads");
    download(&server, 32 * MIB);
    let growth = growth(&server, || download(&server, GIB));
    assert!(growth <= FLAT, "memory grew by {growth} bytes");
}

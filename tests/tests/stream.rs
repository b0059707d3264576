//! Bodies of any size pass in both directions, exactly, and without being kept.

use wasmserve_tests::bulk::{FLAT, GIB, MIB, download, echo, growth, start};

#[test]
fn a_gibibyte_goes_up_and_comes_down_again_and_memory_stays_flat() {
    let server = start("echo");
    echo(&server, 32 * MIB);
    let growth = growth(&server, || echo(&server, GIB));
    assert!(growth <= FLAT, "memory grew by {growth} octets");
}

#[test]
fn a_gibibyte_comes_down_and_memory_stays_flat() {
    let server = start("downloads");
    download(&server, 32 * MIB);
    let growth = growth(&server, || download(&server, GIB));
    assert!(growth <= FLAT, "memory grew by {growth} octets");
}

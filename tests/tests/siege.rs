//! The sieges in their short form, whose counts must be right on any machine.
//!
//! `cargo run --release -p wasmserve-tests --bin siege -- all` runs the long forms, and reports times too.

use wasmserve_tests::siege::{self, Scale};

fn withstands(name: &str) {
    let report = siege::lay(name, Scale::Short);
    assert!(report.wrong_counts().is_empty(), "{report}");
}

#[test]
fn f1_f27_spinning_handlers_do_not_affect_others_and_end_with_their_clients() {
    withstands("spin");
}

#[test]
fn f1_to_f27_no_fault_ends_the_server_or_leaves_anything_behind() {
    withstands("faults");
}

#[test]
fn c1_to_c3_slow_clients_are_closed_and_others_are_answered() {
    withstands("slow");
}

#[test]
fn too_many_requests_are_answered_or_refused_and_none_hangs() {
    withstands("overload");
}

#[test]
fn a_server_without_descriptors_recovers_when_it_has_some_again() {
    withstands("descriptors");
}

#[test]
fn k12_a_server_that_is_stopped_under_load_truncates_no_response() {
    withstands("drain");
}

#[test]
fn f28_an_instance_finds_no_data_of_another() {
    withstands("isolation");
}

#[test]
fn i2_k6_no_request_gets_the_body_of_another() {
    withstands("framing");
}

#[test]
fn o3_o4_captures_of_a_flood_hold_up_no_request_and_stay_within_their_memory() {
    withstands("capture");
}

#[test]
fn a_handler_that_is_replaced_again_and_again_fails_no_request() {
    withstands("swap");
}

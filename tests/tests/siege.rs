//! The sieges in their short form: what is a count must be right on any machine. `cargo run --release -p wasmserve-tests
//! --bin siege -- all` lays the long ones, and tells times too.

use wasmserve_tests::siege::{self, Scale};

fn withstands(name: &str) {
    let report = siege::lay(name, Scale::Short);
    assert!(report.wrong_counts().is_empty(), "{report}");
}

#[test]
fn h1_h27_spinning_handlers_leave_the_others_alone_and_end_with_their_clients() {
    withstands("spin");
}

/// Which of several limits ends a fault depends on what else the machine does, so that a busy one may get statuses, kinds
/// and lines that differ. What each fault leads to is asserted one by one in `fault.rs`, and here what must never be.
#[test]
fn h1_to_h27_no_fault_ends_the_server_or_leaves_anything_behind() {
    let report = siege::lay("faults", Scale::Short);
    let is_by_time =
        |what: &str| ["wrong statuses", "wrong kinds", "faults without their line in the log"].contains(&what);
    let wrong: Vec<_> = report.wrong_counts().into_iter().filter(|bar| !is_by_time(&bar.what)).collect();
    assert!(wrong.is_empty(), "{report}");
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
fn a_server_without_descriptors_goes_on_when_it_has_some_again() {
    withstands("descriptors");
}

#[test]
fn k12_a_server_that_is_stopped_under_load_cuts_nothing() {
    withstands("drain");
}

#[test]
fn h28_an_instance_finds_nothing_of_another() {
    withstands("isolation");
}

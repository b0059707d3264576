//! Runs the behaviours against servers in this process, with and without a sandbox.

use wasmserve_tests::{
    behaviour::{Stage, play_all, play_mangled, play_random},
    local::apart,
};

#[test]
fn each_behaviour_is_right_without_a_sandbox() {
    play_all(Stage::native());
}

#[test]
fn each_behaviour_is_right_with_a_component_in_this_process() {
    apart(|| play_all(Stage::component()));
}

#[test]
fn random_contracts_are_kept_without_a_sandbox() {
    play_random(Stage::native(), 2000);
}

#[test]
fn random_contracts_are_kept_by_a_component_in_this_process() {
    apart(|| play_random(Stage::component(), 1500));
}

#[test]
fn mangled_requests_get_well_formed_responses_and_no_extra_ones() {
    play_mangled(Stage::native(), 3000);
}

#[test]
fn o1_what_is_captured_of_each_behaviour_is_what_was_sent_and_received() {
    play_all(Stage::captured());
    apart(|| play_all(Stage::captured_component()));
}

#[test]
fn o1_what_is_captured_of_random_streams_is_what_was_sent_and_received() {
    play_random(Stage::captured(), 2000);
    play_mangled(Stage::captured(), 3000);
}

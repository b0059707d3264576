//! Runs the behaviours against the real server. `tests/behaviour.rs` runs them in this process.

use wasmserve_tests::behaviour::{Stage, play_all, play_random};

#[test]
fn each_behaviour_is_right_with_the_real_server() {
    play_all(Stage::real());
}

#[test]
fn random_contracts_are_kept_by_the_real_server() {
    play_random(Stage::real(), 500);
}

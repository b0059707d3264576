//! Runs the behaviours against the real server. `tests/behaviour.rs` runs them in this process.

use wasmserve_tests::{
    behaviour::{Stage, play_all, play_random},
    kind::Kind,
};

#[test]
fn each_behaviour_is_right_with_the_real_server() {
    play_all(Stage::real(Kind::GATEWAY));
}

#[test]
fn each_behaviour_of_other_kinds_is_right_as_far_as_they_have_words_for_it() {
    for kind in Kind::OTHERS {
        play_all(Stage::real(kind));
    }
}

#[test]
fn each_behaviour_is_right_on_the_host_that_the_gateways_documentation_shows() {
    play_all(Stage::real(Kind::ON_THE_EXAMPLE));
}

#[test]
fn random_contracts_are_kept_by_the_real_server() {
    play_random(Stage::real(Kind::GATEWAY), 500);
}

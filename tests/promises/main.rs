//! The promises that a user may rely on (DESIGN section 1), each tried against the real program and
//! the real engine. A module is named after its promise.
#![cfg(test)]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "what only the stories of `tests/run.rs` use")]
mod common;
#[path = "../place/mod.rs"]
#[expect(dead_code, reason = "what only the stories of `tests/telegram_chat` use")]
mod place;

mod p01_no_command_runs_on_the_host;
mod p02_one_container_per_command_used_once;
mod p03_what_you_approved_is_what_runs;
mod p04_not_on_the_list_does_not_run;
mod p05_risky_changes_land_only_after_review;
mod p07_one_power_per_process;
mod p08_no_listening_port;
mod p09_spend_never_passes_a_cap;
mod p10_only_listed_people;
mod p11_people_do_not_see_each_other;
mod p12_the_assistant_cannot_loosen_its_own_leash;
mod p13_nothing_is_lost;
mod p14_keys_are_never_readable;
mod p16_the_log_is_honest;
mod p18_local_means_local;

//! The parts of Castoff that read what others wrote, with the crates that they need and no others: built in a tenth of
//! the time, and nothing else is watched while they are tried.
#![allow(dead_code, reason = "other parts use it")]

#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/domain/mod.rs"]
pub mod domain;
#[path = "../../src/policy/mod.rs"]
pub mod policy;
#[path = "../../src/protocol/mod.rs"]
pub mod protocol;

//! The runner: the only part that speaks to the engine. Trusts nothing that the core says.

pub mod harden;
pub mod images;
pub mod readback;
pub mod seccomp;

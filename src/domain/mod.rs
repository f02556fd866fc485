//! The shared vocabulary: values that every part speaks of, and no behaviour beyond their own rules.
//!
//! A value that exists is valid: ids, paths and tasks check themselves when they are made, also
//! when they are read from a frame or the store.

pub mod address;
pub mod change;
pub mod ids;
pub mod learned;
pub mod limits;
pub mod model;
pub mod money;
pub mod obeyed;
pub mod plan;
pub mod principal;
pub mod record;
pub mod run;
pub mod script;
pub mod task;
pub mod text;
pub mod time;
pub mod turn;

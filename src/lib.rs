//! Castoff: an assistant that you can hand a shell to.
//!
//! ```text
//!  castoff run ─▶ control ─▶ Event ─▶ engine::Engine::step ─▶ records ─▶ store (one transaction)
//!                                          │                     then effects
//!                                          ▼
//!                 runner ◀── frames ── runtime ──▶ the caller's terminal
//!                   │
//!                   ├──▶ run     castoff-init as PID 1, one container per command
//!                   └──▶ keeper  one per workspace: change set, diff, apply, undo
//! ```
//!
//! The words (person, turn, script, verdict, approval, permit, plan, run, change set, workspace)
//! are used as `docs/ARCHITECTURE.md` defines them. `domain` imports nothing of ours; `policy`
//! and `engine` are pure; `protocol` is what our own processes say to each other; adapters never
//! import each other; `runtime` is where they meet. `tests/tidy.rs` holds these edges.
#![forbid(unsafe_code)]

pub mod audit;
pub mod chat;
pub mod cli;
pub mod config;
pub mod control;
pub mod crash;
pub mod domain;
pub mod engine;
pub mod init;
pub mod keeper;
pub mod model;
pub mod policy;
pub mod protocol;
pub mod runner;
pub mod runtime;
pub mod secrets;
pub mod store;
pub mod tools;

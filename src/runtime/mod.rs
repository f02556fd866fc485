//! Where the parts meet: the core loop, the link to the runner, the clock, our own child process.
//!
//! ```text
//!  control ── Event ──▶ core loop ── records ──▶ store (one transaction for all waiting events)
//!  link ──── Event ──▶     │     ── then effects ──▶ link, watchers
//! ```

pub mod child;
pub mod clock;
pub mod core;
pub mod handle;
pub mod link;
pub mod prepare;

//! Where the parts meet: the core loop, the link to the runner, the clock, our own child process.
//!
//! ```text
//!  control ── Event ──▶ core loop ── records ──▶ store (one transaction for all waiting events)
//!  link ──── Event ──▶     │     ── then effects ──▶ link, models, watchers
//!  models ── Event ──▶     │
//! ```

pub mod backup;
pub mod child;
pub mod clock;
pub mod commands;
pub mod core;
pub mod handle;
pub mod history;
pub mod link;
pub mod models;
pub mod prepare;
pub mod rights;
pub mod settings;
pub mod stopping;
pub mod telegram;
mod watch;

/// The commit that this program was built from, where that was known (see `scripts/build-static`).
pub const COMMIT: Option<&str> = option_env!("CASTOFF_COMMIT");

/// Set under Compose: the image that this process runs from.
pub const IMAGE: &str = "CASTOFF_IMAGE";

/// Set under Compose: the runner is a service of its own.
pub const RUNNER_EXTERNAL: &str = "CASTOFF_RUNNER";

/// Whether this process is in a container of Compose.
pub fn surroundings() -> crate::config::Surroundings {
    if std::env::var_os(RUNNER_EXTERNAL).is_some_and(|value| value == "external") {
        crate::config::Surroundings::Compose
    } else {
        crate::config::Surroundings::Host
    }
}

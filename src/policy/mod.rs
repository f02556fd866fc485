//! What a person's script may do: allow, ask or deny, each with its reasons.
//!
//! ```text
//!  Script ─▶ Parsed (sources, walk: syntax tree ─▶ Facts; carry, options, sed: what programs run in turn)
//!                │
//!  Policy ───────┴─▶ judge ─▶ Judged { Parsed, Decision }
//!       └─── FileRequest ─▶ judge_file ─▶ Decision
//! ```
//!
//! Pure: imports `domain` alone, reads no file, no clock. Every doubt goes to ask or deny, since
//! the container is the wall and this only says what runs without asking. It never matches regular
//! expressions over text.

mod awk;
mod bounds;
mod carry;
mod commands;
mod compound;
mod dialect;
mod dollars;
mod environment;
mod evaluated;
mod expand;
mod facts;
mod files;
mod find;
mod functions;
mod git;
mod globs;
mod image;
mod index;
mod inline;
mod judge;
mod learned;
mod lint;
mod listing;
mod misread;
mod modules;
mod obeying;
mod options;
mod outgoing;
mod packages;
mod parsed;
mod paths;
mod pattern;
#[expect(clippy::module_inception, reason = "the module's one value has its name")]
mod policy;
mod redirect;
mod request;
mod rights;
mod sed;
mod shipped;
mod sources;
mod sqlite;
mod suggest;
mod tables;
mod usual;
mod variables;
mod walk;
mod word;
mod wrappers;
mod written;

pub use image::{IMAGES, smallest_image};
pub use judge::{Decision, Judged, Network};
pub use lint::idle;
pub use listing::{Listing, RuleLine};
pub use parsed::{Elsewhere, Parsed, facts, parse_elsewhere};
pub use paths::normal;
pub use pattern::{BadPattern, Pattern};
pub(crate) use policy::named;
pub use policy::{Approval, Person, Policy, Rule, Spec};
pub use request::ParsedTask;
pub use rights::Rights;
pub use suggest::AskingRule;

/// Changes whenever the built-in tables change a decision; part of a policy's digest.
pub const TABLES_VERSION: &str = tables::VERSION;

impl Pattern {
    /// Whether the pattern matches anything in `parsed`.
    pub fn fits(&self, parsed: &Parsed) -> bool {
        self.matches_any(parsed.facts()) == pattern::Match::Yes
    }
}

//! Keys, and the sealed envelope that every value with a person's words is kept in.
//!
//! ```text
//! master.key ──wraps──▶ epoch key ──wraps──▶ a person's key ──seals──▶ rows of the store
//!   (a file)              └──────── the key file ─────────┘
//! ```
//!
//! Owns `master.key` and `keys` in the core's directory, and nothing of the data file. Refuses to
//! make a new key where data is already there, and gives no key out: it seals and opens.

mod envelope;
mod error;
mod file;
mod key;
mod ring;

pub use envelope::Place;
pub use error::SecretsError;
pub use key::{MasterKey, adopt_master_key, is_another_master_key};
pub use ring::{Keys, Opened, Presence, Pseudonym};

/// Name of the master key's file.
pub const MASTER_KEY_FILE: &str = "master.key";
/// Name of the key file: everything but the master key.
pub const KEY_FILE: &str = "keys";

//! The audit chain: what was done, each entry bound to all before it.
//!
//! ```text
//! hash(n) = SHA-256( hash(n-1) ‖ header(n) ‖ sealed body(n) )        hash(-1) = SHA-256("castoff audit 1")
//! ```
//!
//! Pure: bytes in, bytes out. It runs over sealed bodies and pseudonyms, so that it still verifies
//! when a person was forgotten. It opens nothing and knows no table; the store keeps the entries and
//! the head.

mod chain;

pub use chain::{Broken, Chain, Header, Link, Verified};

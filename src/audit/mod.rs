//! The audit chain: what was done, each entry bound to all before it.

//! The store: one redb file, owned by the core. The only user of redb.

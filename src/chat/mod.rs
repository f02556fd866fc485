//! Where people talk to Castoff. Each chat service is a module of its own and knows nothing of
//! turns, policy or the store: it shows what it is given and hands on what people said.

pub mod telegram;

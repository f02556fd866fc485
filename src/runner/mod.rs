//! The runner: the only part that speaks to the engine. Trusts nothing that the core says.

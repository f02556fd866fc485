//! castoff-init: PID 1 of every run. One request in, frames out, and nothing left alive.

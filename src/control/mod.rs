//! HTTP on the control socket: what `castoff run` and its kin ask of the core.

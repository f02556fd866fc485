//! HTTP on the control socket: what `castoff run` and its kin ask of the core. Who is asking is the
//! uid of the socket's peer (SO_PEERCRED), never something that the request says.

mod backup;
mod chat;
pub mod client;
mod policy;
mod runs;
pub mod server;
pub mod wire;

//! What Castoff's own processes say to each other: typed frames, each with a length limit.
//!
//! Core and runner speak over a Unix socket, runner and keeper or castoff-init over the attached
//! standard streams of a container. What comes in is checked like any input: a frame that is too
//! long or does not decode ends the connection.

pub mod codec;
pub mod init;
pub mod keeper;
pub mod runner;

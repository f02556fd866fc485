//! PID 1 of every run; see `castoff::init`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    castoff::init::main(std::env::args_os())
}

//! Arguments to exit code; everything else is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    castoff::cli::main()
}

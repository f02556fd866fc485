//! What each fuzz target does with its input: no panic, and what it claims holds. `tests/fuzz_corpus.rs` is made of
//! the same files, and takes them through the committed corpus.

mod facts;
mod frames;
mod judge;
mod load;

use peak_alloc::PeakAlloc;

pub use facts::facts;
pub use frames::{init_frames, keeper_frames, runner_frames};
pub use judge::judge;
pub use load::load;

/// Counts what is allocated, for the claim about frames.
#[global_allocator]
pub static MEMORY: PeakAlloc = PeakAlloc;

/// Every target by name, as its directory in `fuzz/corpus/` is called.
pub const TARGETS: [(&str, fn(&[u8])); 6] = [
    ("facts", facts),
    ("judge", judge),
    ("load", load),
    ("runner_frames", runner_frames),
    ("init_frames", init_frames),
    ("keeper_frames", keeper_frames),
];

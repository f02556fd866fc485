//! Which image has the programs of a script.

use super::facts::base_name;
use super::tables::{BUILTINS, Names, names};

static BASE: Names = names!("../../images/base/programs.txt");
static WORKBENCH: Names = names!("../../images/workbench/programs.txt");

/// The images, the smallest first.
pub const IMAGES: [&str; 2] = ["base", "workbench"];

/// The smallest image that has all `programs`; `workbench` when none has.
pub fn smallest_image(programs: &[String]) -> &'static str {
    let fits = |program: &String| {
        let name = base_name(program);
        BUILTINS.contains(name) || name == "time" || BASE.contains(name)
    };
    if programs.iter().all(fits) { "base" } else { "workbench" }
}

/// Whether one of the images has the program.
pub(crate) fn has(program: &str) -> bool {
    WORKBENCH.contains(program) || BASE.contains(program)
}

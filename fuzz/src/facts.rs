//! Any text: a script with facts, or an error.

use castoff::domain::script::Script;
use castoff::policy::Parsed;

/// Reads `data` as a script.
pub fn facts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(parsed) = Script::new(text.to_owned()).and_then(Parsed::new) else { return };
    assert_eq!(parsed.script().as_str(), text, "the bytes of a script never change");
    let mut programs = parsed.programs().to_vec();
    programs.sort();
    programs.dedup();
    assert_eq!(programs.len(), parsed.programs().len(), "each program is named once");
    assert!(parsed.paths().iter().all(|path| !path.is_empty()));
}

//! What `python -m` runs: most modules are programs of their own, some run what stands on the command line.

use super::inline::Doubt;
use super::packages;
use super::word::Word;

/// Modules that run code which they are given as a word or read.
const CODE: &[&str] = &[
    "timeit",
    "pdb",
    "code",
    "asyncio",
    "IPython",
    "bpython",
    "ptpython",
    "debugpy",
    "pyperf",
    "imaplib",
    "mailcap",
    "pickle",
    "webbrowser",
    "idlelib",
];
/// Modules that run a file or another module.
const RUNNING: &[&str] = &["cProfile", "profile", "trace", "runpy", "coverage", "tracemalloc", "viztracer"];

/// Where a module stands in the option `text`: `-m`, `-Bm`, `-mtimeit`.
fn part(text: &str) -> Option<&str> {
    let cluster = text.strip_prefix('-').filter(|rest| !rest.starts_with('-'))?;
    let at = cluster.find(['W', 'X', 'm'])?;
    cluster.get(at..)?.strip_prefix('m')
}

/// Whether the option `text` is one that names a module.
pub(super) fn is_named(text: &str) -> bool {
    part(text).is_some()
}

/// Whether Python text is `pass` or numbers and names with signs between them: no call, and nothing that is imported.
fn calls_nothing(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "_ +-*/".contains(c)) && !text.contains("import")
}

/// What there is to doubt about the module, the rest of the command's words being `words`.
pub(super) fn doubt(words: &[Word]) -> Doubt {
    let attached = words.first().and_then(|word| part(&word.fixed)).filter(|rest| !rest.is_empty());
    let known = words.iter().take(if attached.is_some() { 1 } else { 2 }).all(|word| word.text().is_some());
    let module = attached.or_else(|| words.get(1).and_then(Word::text)).filter(|_| known);
    let module = module.map(|module| module.strip_suffix(".__main__").unwrap_or(module));
    let Some(module) = module else { return Doubt::Asked("which Python module runs".to_owned()) };
    let rest = words.get(if attached.is_some() { 1 } else { 2 }..).unwrap_or_default();
    let runs_code = |word: &Word| {
        let text = word.fixed.as_str();
        let name = ["--module=", "-m"].iter().find_map(|option| text.strip_prefix(option)).unwrap_or(text);
        let name = name.strip_suffix(".__main__").unwrap_or(name);
        CODE.contains(&name) || !word.known && word.may_be_option()
    };
    let is_timed = module == "timeit" && rest.iter().all(|word| word.text().is_some_and(calls_nothing));
    if CODE.contains(&module) && !is_timed || RUNNING.contains(&module) && rest.iter().any(runs_code) {
        return Doubt::Asked(format!("what the Python module `{module}` runs"));
    }
    if let Some(what) = (module == "pip").then(|| packages::pip(rest)).flatten() {
        return Doubt::Asked(what);
    }
    Doubt::Unread("what the Python module does".to_owned())
}

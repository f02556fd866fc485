//! What npm and pip run beside scripts of the directory: by an abbreviated name, or through an option.

use super::facts::Command;
use super::tables::NPM;
use super::word::Word;

/// Options of npm that take the next word.
const VALUED: &[&str] =
    &["-C", "--prefix", "-w", "--workspace", "--loglevel", "--registry", "--cache", "--tag", "--omit", "--include"];
/// Options of npm that take none.
const FLAGS: &[&str] = &[
    "-s",
    "-q",
    "-d",
    "-dd",
    "-ddd",
    "-g",
    "-f",
    "-y",
    "-D",
    "-E",
    "-S",
    "-h",
    "-v",
    "-ws",
    "--silent",
    "--quiet",
    "--verbose",
    "--global",
    "--force",
    "--yes",
    "--json",
    "--offline",
    "--prefer-offline",
    "--prefer-online",
    "--legacy-peer-deps",
    "--no-audit",
    "--no-fund",
    "--no-progress",
    "--no-save",
    "--no-color",
    "--no-package-lock",
    "--no-update-notifier",
    "--ignore-scripts",
    "--if-present",
    "--workspaces",
    "--include-workspace-root",
    "--save",
    "--save-dev",
    "--save-exact",
    "--production",
    "--dry-run",
    "--version",
    "--help",
];
/// Options of npm that make it run a program.
const RUNNING: &[&str] = &[
    "--script-shell",
    "--shell",
    "--editor",
    "--browser",
    "--viewer",
    "--call",
    "--git",
    "--node-options",
    "--node-gyp",
    "--userconfig",
    "--globalconfig",
    "--init-module",
    "--onload-script",
    "--python",
];

/// What there is to doubt about a command of npm or pip; nothing for other programs.
pub(super) fn doubt(command: &Command) -> Option<String> {
    match command.unversioned()? {
        "npm" => npm(command.arguments()),
        "pip" => pip(command.arguments()),
        _ => None,
    }
}

fn npm(words: &[Word]) -> Option<String> {
    let mut rest = words.iter();
    let mut part = None;
    while let Some(word) = rest.next() {
        let text = word.fixed.as_str();
        match word.text() {
            Some(text) if VALUED.contains(&text) => drop(rest.next()),
            Some(text) if FLAGS.contains(&text) || text.starts_with('-') && text.contains('=') => {}
            Some(text) if !text.starts_with('-') => {
                part = Some(text);
                break;
            }
            Some(_) | None => return Some(format!("which part of npm runs behind `{text}`")),
        }
    }
    let rest = rest.as_slice();
    // What stands behind `--` is for a script of the directory.
    let own = words.iter().map(|word| word.fixed.as_str()).take_while(|text| *text != "--");
    if let Some(option) = own.into_iter().find(|text| !FLAGS.contains(text) && is_running(text, RUNNING)) {
        return Some(format!("what `npm {option}` runs"));
    }
    let second = rest.iter().map(|word| word.fixed.as_str()).find(|text| !text.starts_with('-'));
    match part? {
        "config" | "c" if matches!(second, Some("set" | "edit" | "fix")) => {
            Some("what this setting of npm runs later".to_owned())
        }
        "pkg" if rest.iter().any(|word| !word.known || word.fixed.contains("scripts")) => {
            Some("what npm runs later as the scripts that are set".to_owned())
        }
        "exec" | "x" if rest.iter().any(|word| word.fixed.starts_with("-c")) => {
            Some("what the text given to `npm exec` runs".to_owned())
        }
        part if !NPM.contains(part) => Some(format!("which part of npm `{part}` is")),
        _ => None,
    }
}

/// What there is to doubt about pip with these words.
pub(super) fn pip(words: &[Word]) -> Option<String> {
    let texts = || words.iter().map(|word| word.fixed.as_str());
    if let Some(option) = texts().find(|text| is_running(text, &["--editor", "--python"])) {
        return Some(format!("what `pip {option}` runs"));
    }
    let mut parts = texts().filter(|text| !text.starts_with('-')).skip_while(|text| *text != "config");
    let edits = parts.next().is_some() && parts.any(|text| matches!(text, "edit" | "set"));
    edits.then(|| "what this setting of pip runs".to_owned())
}

/// Whether the option `text` is one of `options`, or the beginning of one.
fn is_running(text: &str, options: &[&str]) -> bool {
    let name = text.split_once('=').map_or(text, |(name, _)| name);
    // npm takes any number of dashes.
    let bare = name.trim_start_matches('-');
    bare.len() > 1
        && name.starts_with('-')
        && options.iter().any(|option| option.trim_start_matches('-').starts_with(bare))
}

//! The house checks itself: which module may use which, how long a file may be, and that each says
//! what it is.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const LINES_MAX: usize = 400;

/// What each module of ours may import. `domain` imports nothing of ours.
const EDGES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("crash", &[]),
    ("protocol", &["domain"]),
    ("policy", &["domain"]),
    ("engine", &["domain", "policy", "protocol"]),
    ("audit", &["domain"]),
    ("secrets", &["domain"]),
    ("store", &["domain", "secrets", "audit"]),
    ("config", &["domain", "policy"]),
    ("init", &["domain", "protocol"]),
    ("keeper", &["domain", "crash", "protocol", "init"]),
    ("runner", &["domain", "crash", "protocol", "config", "policy"]),
    ("chat", &["domain"]),
    ("model", &["domain"]),
    ("tools", &["domain"]),
    ("runtime", &["domain", "crash", "protocol", "policy", "engine", "config", "store", "model", "tools", "chat"]),
    ("control", &["domain", "protocol", "policy", "engine", "store", "runtime"]),
    ("cli", &["domain", "protocol", "policy", "engine", "config", "store", "runtime", "control", "runner", "keeper"]),
];

/// Crates that only one part may use.
const OWNED: &[(&str, &[&str])] = &[
    ("redb::", &["store"]),
    ("bollard::", &["runner"]),
    ("brush_parser::", &["policy"]),
    ("strsim::", &["config"]),
    ("axum::", &["control"]),
    ("chacha20poly1305::", &["secrets"]),
    ("teloxide::", &["chat"]),
    ("reqwest_teloxide::", &["chat"]),
    ("pulldown_cmark::", &["chat"]),
    ("reqwest::", &["model"]),
    ("rustls::", &["model"]),
];

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory is readable") {
        let path = entry.expect("the directory is readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = files(directory);
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found
}

fn each(check: impl Fn(&str, &Path, &str) -> Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found = sources(&root);
    assert!(found.len() > 40, "the sources were not found below {}", root.display());
    let mut wrong = Vec::new();
    for path in found {
        let text = fs::read_to_string(&path).expect("a source is readable");
        let inside = path.strip_prefix(&root).expect("it is below src").to_path_buf();
        let module = inside.components().next().expect("it has a name").as_os_str().to_string_lossy().into_owned();
        wrong.extend(check(&module, &inside, &text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_import_only_what_the_picture_allows() {
    each(|module, path, text| {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == module) else { return Vec::new() };
        let used = text.match_indices("crate::").filter_map(|(at, prefix)| {
            let rest = text.get(at + prefix.len()..).unwrap_or_default();
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            EDGES.iter().any(|(known, _)| *known == name).then_some(name)
        });
        used.filter(|name| name != module && !allowed.contains(&name.as_str()))
            .map(|name| format!("{}: {module} must not use {name}", path.display()))
            .collect()
    });
}

#[test]
fn a_crate_with_an_owner_is_used_by_its_owner_alone() {
    each(|module, path, text| {
        OWNED
            .iter()
            .filter(|(prefix, owners)| text.contains(prefix) && !owners.contains(&module))
            .map(|(prefix, _)| format!("{}: {prefix} is not for {module}", path.display()))
            .collect()
    });
}

#[test]
fn pure_parts_know_no_async_clock_disk_or_network() {
    each(|module, path, text| {
        let banned = ["tokio::", "std::fs", "std::net", "std::time::Instant", "SystemTime", "rustix::"];
        let pure = ["domain", "policy", "engine"].contains(&module);
        banned
            .iter()
            .filter(|name| pure && text.contains(**name))
            .map(|name| format!("{}: {module} must not use {name}", path.display()))
            .collect()
    });
}

#[test]
fn every_file_says_what_it_is_and_stays_short() {
    each(|_, path, text| {
        let mut wrong = Vec::new();
        if !text.starts_with("//!") {
            wrong.push(format!("{}: does not open with what it is", path.display()));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{}: {lines} lines, at most {LINES_MAX}", path.display()));
        }
        wrong
    });
}

/// In a trap, as when an update goes back, a bare `return` gives the status of before the trap, whatever succeeded since.
#[test]
fn what_an_update_runs_when_it_goes_back_returns_a_status() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    for script in ["lib", "compose-lib", "update"] {
        let text = fs::read_to_string(root.join(script)).expect("a script is readable");
        let bare = text.lines().find(|line| line.ends_with("return") || line.contains("return;"));
        assert_eq!(bare, None, "scripts/{script}");
    }
}

/// What is released has no moments at which it could be made to stop.
#[test]
fn no_release_is_built_with_crash_points() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let may = ["scripts/lib", "scripts/test", "scripts/crashes"];
    let mut found = Vec::new();
    for directory in ["scripts", "images", ".ci"] {
        found.extend(files(&root.join(directory)));
    }
    found.extend([root.join("Makefile"), root.join("compose.yaml")]);
    assert!(found.len() > 15, "the scripts were not found below {}", root.display());
    for path in found {
        let text = String::from_utf8_lossy(&fs::read(&path).expect("a script is readable")).into_owned();
        let named = ["crash-points", "--all-features", "tests_built"].iter().find(|name| text.contains(**name));
        let inside = path.strip_prefix(root).expect("it is below the root").to_string_lossy().into_owned();
        assert!(named.is_none() || may.contains(&inside.as_str()), "{inside} has {named:?}");
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest is readable");
    assert!(!manifest.contains("\ndefault = ["), "a feature is on by default");
}

/// The fuzzers are built outside of `make test`, from parts of these sources.
#[test]
fn the_fuzzed_parts_have_the_crates_that_they_use() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("it is readable");
    let dependencies = |manifest: &str| {
        let (_, after) = manifest.split_once("\n[dependencies]\n").expect("it has some");
        let lines = after.lines().take_while(|line| !line.starts_with('['));
        lines.filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_"))).collect::<Vec<String>>()
    };
    let (all, theirs) = (dependencies(&read("Cargo.toml")), dependencies(&read("fuzz/parts/Cargo.toml")));
    assert!(all.len() > 20 && theirs.len() > 5, "{all:?} {theirs:?}");
    let parts: Vec<String> = (read("fuzz/parts/lib.rs").lines())
        .filter_map(|line| Some(line.strip_prefix("pub mod ")?.trim_end_matches(';').to_owned()))
        .collect();
    let mut missing = Vec::new();
    for path in parts.iter().flat_map(|part| sources(&root.join("src").join(part))) {
        let text = fs::read_to_string(&path).expect("a source is readable");
        let uses = |name: &str| {
            let inside =
                |at: usize| text.get(..at).unwrap_or_default().ends_with(|c: char| c.is_alphanumeric() || c == '_');
            text.match_indices(&format!("{name}::")).any(|(at, _)| !inside(at))
        };
        let missed = all.iter().filter(|name| !theirs.contains(name) && uses(name));
        missing.extend(missed.map(|name| format!("{}: {name} is not in fuzz/parts/Cargo.toml", path.display())));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

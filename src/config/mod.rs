//! Reads the files of a config directory and makes a [`Policy`] of them, or says everything that is
//! wrong with them. Owns the YAML and the defaults where a file is missing; judges nothing.

mod either;
mod errors;
mod hosts;
mod installation;
mod mistakes;
mod people;
mod presets;
mod prices;
mod raw;
mod rules;
mod settings;
mod terms;
mod units;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_yaml::Spanned;

use crate::domain::ids::Digest;
use crate::domain::limits::Limits;
use crate::domain::plan::Review;
use crate::domain::record::Verdict;
use crate::policy::{Policy, Spec, TABLES_VERSION};

pub use errors::{LoadError, LoadErrors};
pub use installation::Installation;
pub use presets::{Preset, presets};
pub use settings::{NoProvider, Provider, ProviderKind, Settings, Surroundings, load_settings};

use errors::{Source, unreadable};

/// Longest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What no run sees unless `denied_paths:` says otherwise.
const DENIED: [&str; 18] = [
    "/etc",
    "/var",
    "/root",
    "/boot",
    "/sys",
    "/proc/kcore",
    "/proc/sys",
    "/dev/mem",
    "/dev/kmem",
    "~/.ssh",
    "~/.gnupg",
    "~/.aws",
    "~/.kube",
    "~/.docker",
    "~/.netrc",
    "~/.bash_history",
    "/usr/share/base-passwd",
    "~/.config/gcloud",
];

/// The policy of `tools.yaml`, `users.yaml`, `limits.yaml` and `prices.yaml` in `config_dir`, for a
/// Castoff whose home is `home`. A missing file means its defaults. Of `settings.yaml` it takes what is
/// free.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn load_policy(config_dir: &Path, home: &Path) -> Result<Policy, LoadErrors> {
    let mut errors = Vec::new();
    if !config_dir.is_dir() && config_dir.exists() {
        errors.push(unreadable(config_dir, "it is not a directory".to_owned(), None));
    }
    load(Files::In(config_dir), config_dir, home, errors)
}

/// As [`load_policy`], of files whose texts are given by name. They belong to the installation of
/// `config_dir`; in errors they are called by their bare names.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn load_policy_texts(texts: &PolicyTexts, config_dir: &Path, home: &Path) -> Result<Policy, LoadErrors> {
    let too_long = texts.iter().find(|(_, text)| text.len() as u64 > FILE_BYTES_MAX);
    if let Some((name, _)) = too_long {
        return Err(LoadErrors(vec![unreadable(Path::new(name), "it is larger than 1 MiB".to_owned(), None)]));
    }
    load(Files::Given(texts), config_dir, home, Vec::new())
}

/// The files of a policy by name.
pub type PolicyTexts = BTreeMap<String, String>;

/// The texts of the files that [`load_policy`] reads in `directory`.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn policy_texts(directory: &Path) -> std::io::Result<PolicyTexts> {
    let mut texts = PolicyTexts::new();
    for name in ["tools.yaml", "users.yaml", "limits.yaml", "prices.yaml", "settings.yaml"] {
        match std::fs::read_to_string(directory.join(name)) {
            Ok(text) => drop(texts.insert(name.to_owned(), text)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(texts)
}

/// Where the texts of files are.
#[derive(Debug, Clone, Copy)]
enum Files<'a> {
    /// In this directory.
    In(&'a Path),
    /// Here, by name.
    Given(&'a PolicyTexts),
}

fn load(
    config_files: Files<'_>,
    config_dir: &Path,
    home: &Path,
    mut errors: Vec<LoadError>,
) -> Result<Policy, LoadErrors> {
    let installation = Installation::load(config_dir).unwrap_or_else(|error| {
        errors.push(unreadable(&config_dir.join("installation.yaml"), error.to_string(), None));
        None
    });
    let installation = installation.unwrap_or_else(Installation::of_this_process);
    let (tools_source, tools) = read::<raw::Tools>(config_files, "tools.yaml", &mut errors);
    let (users_source, users) = read::<raw::Users>(config_files, "users.yaml", &mut errors);
    let (limits_source, limits) = read::<raw::LimitsFile>(config_files, "limits.yaml", &mut errors);
    let exec = tools.exec.unwrap_or_default();
    let files = tools.files.unwrap_or_default();
    let people = people::people(&users, installation.uid, &installation.home, &users_source, &mut errors);
    let rules = rules::rules(&exec, &tools.require_approval, &people, &tools_source, &mut errors);
    let allowed = rules::mounts(&files, (&installation.home, home), &tools_source, &mut errors);
    let denied = denied(files.denied_paths.as_deref(), &installation.home, &tools_source, &mut errors);
    let run_limits = run_limits(&limits.runs, &limits_source, &mut errors);
    let terms = terms::terms(config_files, &limits, &limits_source, &mut errors);
    if !errors.is_empty() {
        errors.sort();
        return Err(LoadErrors(errors));
    }
    let prices = terms::text(&terms.prices);
    let texts = [TABLES_VERSION, &tools_source.text, &users_source.text, &limits_source.text, &prices];
    let digests: Vec<u8> = texts.iter().flat_map(|text| *Digest::of(text.as_bytes()).as_bytes()).collect();
    Ok(Policy::new(Spec {
        digest: Digest::of(&digests),
        home: home.to_owned(),
        people,
        allow: rules.allow,
        others: rules.others,
        effects: rules.effects,
        cannot_tell: match exec.cannot_tell {
            Some(raw::CannotTell::Deny) => Verdict::Deny,
            Some(raw::CannotTell::Ask) | None => Verdict::Ask,
        },
        review: exec.review.unwrap_or(Review::Risky),
        allowed,
        denied,
        installing_home: installation.home,
        limits: run_limits,
        terms: Arc::new(terms),
    }))
}

/// Dollars as people write them: `$5.00`, `5`, `0.075`; `None` for anything else.
pub fn dollars(text: &str) -> Option<crate::domain::money::Money> {
    units::money(&raw::Amount::Text(text.to_owned()))
}

fn read<T: DeserializeOwned + Default>(files: Files<'_>, name: &str, errors: &mut Vec<LoadError>) -> (Source, T) {
    let (file, bytes) = match files {
        Files::Given(texts) => {
            (PathBuf::from(name), texts.get(name).map(|text| text.clone().into_bytes()).unwrap_or_default())
        }
        Files::In(directory) => {
            let file = directory.join(name);
            let bytes = bytes(&file).unwrap_or_else(|error| {
                errors.push(error);
                Vec::new()
            });
            (file, bytes)
        }
    };
    let (source, mistake) = mistakes::text(bytes, &file);
    errors.extend(mistake);
    let value = parse(&source, errors);
    (source, value)
}

/// What stands in a file; nothing when it is not there.
fn bytes(file: &Path) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > FILE_BYTES_MAX => {
            Err(unreadable(file, "it is larger than 1 MiB".to_owned(), None))
        }
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => {
            let hint = (error.kind() == ErrorKind::PermissionDenied).then(|| format!("chmod 0644 {}", file.display()));
            Err(unreadable(file, error.to_string(), hint))
        }
    }
}

/// What the text says; the default where it says nothing or is wrong.
fn parse<T: DeserializeOwned + Default>(source: &Source, errors: &mut Vec<LoadError>) -> T {
    let blank = source.text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if blank {
        return T::default();
    }
    serde_yaml::from_str::<T>(&source.text).unwrap_or_else(|error| {
        errors.push(mistakes::mistake(source, &error));
        T::default()
    })
}

/// Paths that no run sees.
fn denied(
    paths: Option<&[Spanned<String>]>,
    home: &Path,
    source: &Source,
    errors: &mut Vec<LoadError>,
) -> Vec<PathBuf> {
    let Some(paths) = paths else {
        return DENIED.iter().filter_map(|text| rules::path(text, None, home, source).ok()).collect();
    };
    let resolve = |entry: &Spanned<String>| {
        rules::path(&entry.value, rules::place(entry), home, source).map_err(|error| errors.push(error)).ok()
    };
    paths.iter().filter_map(resolve).collect()
}

fn run_limits(runs: &raw::Runs, source: &Source, errors: &mut Vec<LoadError>) -> Limits {
    let mut limits = Limits::default();
    let Limits { wall_time_ms, memory_bytes, file_bytes, output_bytes, stdin_bytes, disk_bytes, tmp_bytes, .. } =
        &mut limits;
    let sizes = [
        (&runs.memory, memory_bytes),
        (&runs.file_size, file_bytes),
        (&runs.output, output_bytes),
        (&runs.stdin, stdin_bytes),
        (&runs.disk, disk_bytes),
        (&runs.tmp, tmp_bytes),
    ];
    for (entry, limit) in sizes {
        let Some(entry) = entry else { continue };
        match units::bytes(&entry.value) {
            Some(bytes) => *limit = bytes,
            None => errors.push(bad(source, entry, &entry.value.text(), "write a size such as `1GiB` or `512MB`")),
        }
    }
    if let Some(entry) = &runs.wall_time {
        match units::duration_ms(&entry.value) {
            Some(ms) => *wall_time_ms = ms,
            None => errors.push(bad(source, entry, &entry.value.text(), "write a time such as `5m` or `90s`")),
        }
    }
    if let Some(entry) = &runs.cpus {
        match units::cpu_millis(&entry.value) {
            Some(millis) => limits.cpu_millis = millis,
            None => errors.push(bad(source, entry, "cpus", "write a number of cores such as `2` or `1.5`")),
        }
    }
    limits.pids = runs.pids.unwrap_or(limits.pids);
    limits.open_files = runs.open_files.unwrap_or(limits.open_files);
    limits.disk_files = runs.disk_files.unwrap_or(limits.disk_files);
    limits
}

fn bad<T>(source: &Source, entry: &Spanned<T>, text: &str, hint: &str) -> LoadError {
    source.error(rules::place(entry), format!("`{text}` is not an amount"), Some(hint))
}

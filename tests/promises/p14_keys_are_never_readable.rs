//! Promise 14: words, output, API keys and tokens are sealed at rest, and the master key stands nowhere but in
//! its file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use castoff::secrets::{KEY_FILE, MASTER_KEY_FILE};
use castoff::store::DATA_FILE;

use crate::common::{Castoff, USUAL};
use crate::place::Place;

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn neither_scripts_nor_output_nor_input_stand_in_any_file_of_core_or_runner() {
    let castoff = Castoff::start(USUAL);
    let script = "echo marzipan-$((40 + 2)); cat; echo nougat >&2";
    castoff.begin_in(castoff.root(), &["run", "--", script], b"praline\n").finish().ended(0);
    castoff.begin_in(castoff.root(), &["run", "--", "factor 1; # marzipan"], b"praline\n").finish().ended(75);
    castoff.run("nmap marzipan").ended(125);
    castoff.stop();
    let mut names = Vec::new();
    for file in files(&castoff.home().join("state")).into_iter().chain([castoff.root().join("log")]) {
        let bytes = fs::read(&file).unwrap();
        for word in ["marzipan", "nougat", "praline"] {
            assert!(!holds(&bytes, word.as_bytes()), "`{word}` stands in {}", file.display());
        }
        names.push(file.file_name().unwrap().to_owned());
    }
    for name in [DATA_FILE, KEY_FILE, MASTER_KEY_FILE] {
        assert!(names.iter().any(|found| found == name), "{name} was not looked at");
    }
}

/// The forms in which a secret could stand somewhere.
fn forms(secret: &[u8]) -> [Vec<u8>; 3] {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, secret);
    [secret.to_vec(), hex.into_bytes(), base64.trim_end_matches('=').as_bytes().to_vec()]
}

/// What the processes of core and runner were started with.
fn started_with(castoff: &Castoff) -> Vec<(String, Vec<u8>)> {
    let mut places = Vec::new();
    for process in [castoff.core_process(), castoff.runner_process()] {
        for name in ["environ", "cmdline"] {
            let bytes = process.read(name);
            assert!(!bytes.is_empty(), "{name} cannot be read");
            places.push((name.to_owned(), bytes));
        }
    }
    places
}

#[test]
fn neither_api_keys_nor_the_bots_token_stand_anywhere_also_after_they_were_replaced() {
    const FIRST: &str = "sk-test-0123456789";
    const SECOND: &str = "sk-test-another-9876543210";
    let place = Place::new();
    let castoff = &place.castoff;
    let change = ["config", "--model", "mock/model-x", "--api-key", "-"];
    castoff.begin_in(castoff.root(), &change, SECOND.as_bytes()).finish().ended(0);
    castoff.run_in(castoff.root(), &["chat", "hello"]).ended(0);
    let backup = castoff.root().join("backup");
    castoff.castoff(&["backup", backup.to_str().unwrap()]).ended(0);
    let live = castoff.begin(&["run", "--", "sleep 3"]);
    let mut places = vec![("inspect".to_owned(), castoff.live_container().to_string().into_bytes())];
    live.finish().ended(0);
    places.extend(started_with(castoff));
    // Nothing comes and goes while it is looked through.
    castoff.stop();
    for file in files(castoff.root()) {
        places.push((file.display().to_string(), fs::read(&file).unwrap()));
    }
    for name in ["/backup", "/log", "/config/settings.yaml", DATA_FILE, KEY_FILE] {
        assert!(places.iter().any(|(place, _)| place.ends_with(name)), "{name} was not looked at");
    }
    let token = place.api.token();
    for secret in [FIRST, SECOND, token] {
        for (place, bytes) in &places {
            assert!(forms(secret.as_bytes()).iter().all(|form| !holds(bytes, form)), "`{secret}` stands in {place}");
        }
    }
}

#[test]
fn the_master_key_is_in_no_environment_argument_container_or_log() {
    let castoff = Castoff::start(USUAL);
    let core = castoff.home().join("state/core");
    for name in [DATA_FILE, KEY_FILE, MASTER_KEY_FILE] {
        let mode = fs::metadata(core.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    assert_eq!(fs::metadata(&core).unwrap().permissions().mode() & 0o7777, 0o700);

    let forms = forms(&fs::read(core.join(MASTER_KEY_FILE)).unwrap());
    let live = castoff.begin(&["run", "--", "sleep 3"]);
    let mut places = vec![("inspect".to_owned(), castoff.live_container().to_string().into_bytes())];
    places.extend(started_with(&castoff));
    live.finish().ended(0);
    places.push(("log".to_owned(), castoff.log().into_bytes()));
    for file in files(&castoff.home().join("state")) {
        if file != core.join(MASTER_KEY_FILE) {
            places.push((file.display().to_string(), fs::read(&file).unwrap()));
        }
    }
    for (place, bytes) in places {
        assert!(forms.iter().all(|form| !holds(&bytes, form)), "the master key stands in {place}");
    }
}

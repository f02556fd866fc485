//! The command line: arguments to requests, answers to text or JSON, outcomes to exit codes.

mod args;
mod backup;
pub mod cases;
mod chat;
mod config;
mod doctor;
mod history;
mod manage;
mod marked;
pub mod outcome;
mod paint;
pub mod policy;
mod prompt;
mod rules;
mod run;
mod serve;
mod setup;
mod systemd;
mod terminal;
mod version;
pub mod view;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::control::client::Refused;
use crate::runtime::child;
use args::{Arguments, Command, PolicyCommand};
use rules::Which;

/// Written by `make up` when Castoff lives elsewhere than the default.
const HOME_NOTE: &str = "/etc/castoff/home";
/// The default home where it exists or under Compose.
const HOME_SYSTEM: &str = "/srv/castoff";

/// Parses the arguments, does it, and says what went wrong.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.json;
    crate::policy::parse_elsewhere(child::facts);
    match dispatch(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let refused = error.downcast_ref::<Refused>();
            let code = refused.map_or(1, |refused| refused.code);
            let text = if refused.is_some() { error.to_string() } else { format!("{error:#}") };
            let line = if json {
                serde_json::json!({ "error": text, "exit_code": code }).to_string()
            } else {
                format!("castoff: {text}")
            };
            // When standard error is gone too, the exit code still tells.
            drop(writeln!(std::io::stderr().lock(), "{line}"));
            ExitCode::from(code)
        }
    }
}

fn dispatch(arguments: Arguments) -> anyhow::Result<u8> {
    let home = home(arguments.home)?;
    let given = arguments.config.is_some();
    let config = arguments.config.unwrap_or_else(|| home.join("config"));
    match arguments.command {
        Command::Keeper => serve::keeper(),
        Command::Parse => serve::parse(),
        Command::Prepare => serve::prepare(&home, &config),
        Command::Policy { command } => {
            let which = if given { Which::Files(&config) } else { Which::InForce(&config) };
            policy(&home, which, command, arguments.json)
        }
        Command::Doctor => on_one_thread(doctor::doctor(&home, &config, arguments.json)),
        Command::Config { settings } => on_one_thread(config::config(&home, &config, settings.into(), arguments.json)),
        Command::Setup { systemd: Some(choice), .. } => systemd::systemd(&home, &config, choice),
        Command::Setup { settings, workspace, systemd: None } => {
            let given = setup::Given { change: settings.into(), workspace };
            on_one_thread(setup::setup(&home, &config, given))
        }
        Command::Serve => serve::serve(&home, &config),
        Command::Runner { health, build_images, renew_images, child } => {
            let mode = match () {
                () if health => serve::RunnerMode::Health,
                () if build_images || renew_images => serve::RunnerMode::BuildImages { anew: renew_images },
                () if child => serve::RunnerMode::Child,
                () => serve::RunnerMode::Serve,
            };
            serve::runner(&home, &config, mode)
        }
        Command::Version => on_one_thread(version::version(&home, arguments.json)),
        Command::Restore { file, force, master_key } => {
            backup::restore(&home, &file, master_key.as_deref(), backup::Replace::of(force), arguments.json)
        }
        command @ (Command::Chat { .. }
        | Command::Budget
        | Command::Run { .. }
        | Command::Runs { .. }
        | Command::Logs { .. }
        | Command::Diff { .. }
        | Command::Apply { .. }
        | Command::Drop { .. }
        | Command::Undo { .. }
        | Command::Stop { .. }
        | Command::Approvals
        | Command::Approve { .. }
        | Command::Refuse { .. }
        | Command::Status { .. }
        | Command::Backup { .. }
        | Command::Audit { .. }) => on_one_thread(manage::command(&home, command, arguments.json)),
    }
}

/// Runs a client's work: it waits more than it computes.
fn on_one_thread(work: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(work);
    // A read from the terminal that nobody waits for any more must not hold us up.
    runtime.shutdown_background();
    code
}

/// A path from the working directory, which may be gone.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| {
        format!("failed to tell where `{}` is: the working directory is not there any more", path.display())
    })
}

/// Where Castoff lives: `--home`, else what `make up` noted, else the default.
fn home(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(home) = given {
        return absolute(&home);
    }
    if let Ok(note) = std::fs::read_to_string(HOME_NOTE) {
        return Ok(PathBuf::from(note.trim()));
    }
    if Path::new(HOME_SYSTEM).is_dir() {
        return Ok(PathBuf::from(HOME_SYSTEM));
    }
    match std::env::home_dir() {
        Some(home) => Ok(home.join(".castoff")),
        None => Ok(PathBuf::from(HOME_SYSTEM)),
    }
}

fn policy(home: &Path, which: Which<'_>, command: PolicyCommand, json: bool) -> anyhow::Result<u8> {
    let config = which.directory();
    let mut out = std::io::stdout().lock();
    match command {
        PolicyCommand::Explain { user, batch: true, .. } => {
            policy::explain_batch(config, home, user.as_deref(), std::io::stdin().lock(), &mut out)
        }
        PolicyCommand::Explain { user, batch: false, script } => {
            let words: Result<Vec<String>, _> = script.into_iter().map(OsString::into_string).collect();
            let Ok(words) = words else { return policy::refuse_input(json, "the text is not UTF-8", &mut out) };
            policy::explain(config, home, user.as_deref(), json, &run::script(&words)?, &mut out)
        }
        PolicyCommand::Test { file } => cases::test(config, home, &file, json, &mut out),
        PolicyCommand::Show { user } => {
            drop(out);
            on_one_thread(rules::show(home, which, user, json))
        }
        PolicyCommand::Diff { old, new, days } => {
            drop(out);
            on_one_thread(history::diff(home, (&old, &new), days, json))
        }
        PolicyCommand::Suggest { days } => {
            drop(out);
            on_one_thread(history::suggest(home, days, json))
        }
        PolicyCommand::Revoke { id } => {
            drop(out);
            on_one_thread(rules::revoke(home, &id, json))
        }
        PolicyCommand::Check { directory } => {
            policy::check(directory.as_deref().unwrap_or(config), home, json, &mut out)
        }
    }
}

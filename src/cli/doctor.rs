//! `castoff doctor`: attacks the walls for real, in containers of a runner that it starts on a
//! temporary home, and says what holds. Needs no daemon.
//!
//! ```text
//!  engine asked ─▶ ground: temporary home, runner ─▶ attacks ─▶ ground cleared ─▶ table, exit code
//!      └─ none: 69                                      └─ Ctrl-C: cleared all the same, 130
//! ```

mod attacks;
mod ground;
mod surroundings;

use std::io::Write as _;
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use self::ground::Ground;
use super::outcome::{STOPPED, UNAVAILABLE};
use crate::control::client::Refused;
use crate::runner::examine;

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// The attack came to nothing.
    Held,
    /// It succeeded, or the check could not be made.
    NotHeld,
    /// The engine or the image has nothing to try it on.
    NotEnforced,
}

/// One check.
#[derive(Debug)]
struct Row {
    name: String,
    tried: String,
    finding: Finding,
    /// What was seen; for what does not hold, why.
    saw: String,
}

impl Row {
    fn new(name: &str, tried: &str, finding: Finding, saw: impl Into<String>) -> Self {
        Self { name: name.to_owned(), tried: tried.to_owned(), finding, saw: saw.into() }
    }

    fn of(name: &str, tried: &str, holds: bool, saw: impl Into<String>) -> Self {
        Self::new(name, tried, if holds { Finding::Held } else { Finding::NotHeld }, saw)
    }

    fn result(&self) -> String {
        match self.finding {
            Finding::Held => "held".to_owned(),
            Finding::NotHeld if self.saw.is_empty() => "NOT HELD".to_owned(),
            Finding::NotHeld => format!("NOT HELD: {}", self.saw),
            Finding::NotEnforced => format!("not enforced here: {}", self.saw),
        }
    }

    fn json(&self) -> Value {
        let result = match self.finding {
            Finding::Held => "held",
            Finding::NotHeld => "not-held",
            Finding::NotEnforced => "not-enforced-here",
        };
        json!({ "name": self.name, "tried": self.tried, "result": result, "saw": self.saw })
    }
}

/// All that was found.
#[derive(Debug, Default)]
struct Report {
    /// Facts about the machine and the installation.
    facts: Vec<(String, String)>,
    rows: Vec<Row>,
}

/// Examines, attacks, cleans up, and prints. Returns the exit code.
///
/// # Errors
/// Code 69 when there is no engine; what broke when no run could be tried.
pub(super) async fn doctor(home: &Path, config: &Path, json: bool) -> anyhow::Result<u8> {
    let docker = std::env::var("DOCKER_HOST").ok();
    let examined = examine::examine(docker.as_deref()).await;
    let examined = examined.map_err(|error| Refused { code: UNAVAILABLE, why: error.to_string() })?;
    let mut report = surroundings::look(home, config).await;
    report.facts.splice(0..0, examined.facts);
    let not_enforced = |why: &String| Row::new("host", "security options of the engine", Finding::NotEnforced, why);
    report.rows.extend(examined.missing.iter().map(not_enforced));

    let mut ground = Ground::make(home)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let attacked = tokio::select! {
        attacked = attacks::all(&mut ground, &mut report.rows) => Some(attacked),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    let cleared = ground.clear(docker.as_deref()).await;
    let Some(attacked) = attacked else {
        cleared?;
        return Ok(STOPPED);
    };
    attacked?;
    report.rows.push(match cleared {
        Ok(left) => Row::of("nothing outlives its run", "list the containers", left == 0, left_text(left)),
        Err(error) => Row::of("everything is removed again", "remove the temporary home", false, format!("{error:#}")),
    });
    print(&if json { report.json().to_string() } else { report.text() })?;
    Ok(report.code())
}

fn left_text(left: usize) -> String {
    if left == 0 { String::new() } else { format!("{left} were left, and are removed now") }
}

fn print(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}

impl Report {
    fn count(&self, finding: Finding) -> usize {
        self.rows.iter().filter(|row| row.finding == finding).count()
    }

    fn code(&self) -> u8 {
        u8::from(self.count(Finding::NotHeld) > 0)
    }

    fn text(&self) -> String {
        let mut facts = table();
        for (name, value) in &self.facts {
            facts.add_row([name, value]);
        }
        let mut checks = table();
        checks.set_header(["CHECK", "TRIED", "RESULT"]);
        for row in &self.rows {
            checks.add_row([row.name.clone(), row.tried.clone(), row.result()]);
        }
        let (not_held, elsewhere) = (self.count(Finding::NotHeld), self.count(Finding::NotEnforced));
        let held = self.count(Finding::Held);
        let verdict = match not_held {
            0 => format!("all {held} walls that this machine has held; {elsewhere} are not enforced here"),
            _ => format!("{not_held} DID NOT HOLD; {held} held; {elsewhere} are not enforced here"),
        };
        format!("{}\n\n{}\n\n{verdict}", facts.trim_fmt(), checks.trim_fmt())
    }

    fn json(&self) -> Value {
        let facts: serde_json::Map<String, Value> =
            self.facts.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        json!({
            "held": self.count(Finding::NotHeld) == 0,
            "exit_code": self.code(),
            "facts": facts,
            "checks": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        })
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

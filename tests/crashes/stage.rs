//! The stage: one installation with people, a bot and a model; who is killed, and what is played.

use std::fs;
use std::path::{Path, PathBuf};

use castoff::crash::Point;
use castoff::domain::ids::WorkspaceId;
use serde_json::Value;

use crate::common::processes::kill;
use crate::common::{Castoff, Live, command, eventually, test_programs_of, text};
use crate::mind::Mind;
use crate::place::{OWNER, Place};

/// Telegram ids of ten people beside the owner.
pub(crate) const PEOPLE: std::ops::Range<i64> = 6_001..6_011;
/// A command that asks before it runs.
const ASKING: &str = "factor 12; ";

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Core,
    Runner,
    Keeper,
}

/// What is under way when somebody dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// `castoff run` of a script that changes files.
    Run,
    /// `castoff undo` of such a run.
    Undo,
    /// `/run` of such a script in the chat, and its card.
    Slash,
    /// A message and its reply.
    Hello,
    /// A message, a command that changes files, and a reply below its card.
    Work,
    /// The same, but the command asks, and somebody says yes.
    Ask,
}

pub(crate) struct Stage {
    pub(crate) place: Place,
    pub(crate) mind: Mind,
    pub(crate) played: Vec<String>,
}

/// The programs with the feature, as `cargo` built them with this test; without what only a debugger needs.
fn programs() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crashes-programs");
    fs::create_dir_all(&directory).unwrap();
    let lock = fs::File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    for (name, built) in
        [("castoff", env!("CARGO_BIN_EXE_castoff")), ("castoff-init", env!("CARGO_BIN_EXE_castoff-init"))]
    {
        let (from, to) = (Path::new(built), directory.join(name));
        let age = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        if age(&to) < age(from) {
            let fresh = directory.join(format!("{name}.new"));
            let stripped = command("strip").arg("-o").arg(&fresh).arg(from).status();
            if !stripped.is_ok_and(|status| status.success()) {
                fs::copy(from, &fresh).unwrap();
            }
            fs::rename(&fresh, &to).unwrap();
        }
    }
    directory
}

impl Stage {
    pub(crate) fn set() -> Self {
        test_programs_of(programs());
        let mind = Mind::start();
        let people: String = PEOPLE
            .map(|id| format!("  - {{ id: p{id}, name: P{id}, trust_level: trusted, telegram_id: \"{id}\" }}\n"))
            .collect();
        let users = format!("owner: {{ name: Ann, telegram_id: \"{OWNER}\" }}\nusers:\n{people}");
        let tools = "require_approval: [\"factor\"]\nfiles: { allowed_paths: [{ path: \"WORK\", mode: direct }] }\n";
        let limits =
            "runs: { output: \"1MiB\", memory: \"256MiB\" }\nrate_limits: { mock: { daily_budget: \"$30.00\" } }\n";
        let files = [("users.yaml", users), ("tools.yaml", tools.to_owned()), ("limits.yaml", limits.to_owned())];
        let place = Place::with(mind.url(), &files);
        fs::create_dir(place.castoff.root().join("crash")).unwrap();
        Self { place, mind, played: Vec::new() }
    }

    pub(crate) fn castoff(&self) -> &Castoff {
        &self.place.castoff
    }

    /// A script of a person: it leaves word outside of every overlay that it runs, then changes files in
    /// its own directory; a file that is there already, too.
    pub(crate) fn script(&self, token: &str) -> String {
        format!(
            "echo {token} >> {}/ran; echo begun; mkdir {token}; for n in 1 2 3 4; do echo {token} > {token}/$n; done; \
             echo {token} >> log.txt; echo half; sleep 2; echo whole",
            self.castoff().work().display()
        )
    }

    /// A script that asks before it runs.
    pub(crate) fn asking(&self, token: &str) -> String {
        format!("{ASKING}{}", self.script(token))
    }

    /// Where the process that stops at a point looks for what is armed.
    fn directory(&self, point: Point) -> PathBuf {
        let keepers = [
            Point::KeeperOpened,
            Point::ApplyJournalWritten,
            Point::HalfApplied,
            Point::AppliedNotCommitted,
            Point::UndoHalfDone,
        ];
        if keepers.contains(&point) {
            let state = self.castoff().home().join("state/keeper");
            return state.join(WorkspaceId::of(&self.castoff().own()).as_str());
        }
        self.castoff().root().join("crash")
    }

    /// The next process that comes to this point stops there.
    pub(crate) fn arm(&self, point: Point) {
        let directory = self.directory(point);
        let fresh = directory.join("fresh");
        fs::write(&fresh, format!("{point:?}")).unwrap();
        self.castoff().give(&fresh);
        fs::rename(&fresh, directory.join("armed")).unwrap();
    }

    pub(crate) fn is_reached(&self, point: Point) {
        let reached = self.directory(point).join("reached");
        eventually(&format!("{point:?} is reached"), || reached.exists().then_some(()));
    }

    /// Another process stands there, of the same place: it was armed while the first one stood somewhere.
    pub(crate) fn is_reached_again(&self, point: Point) {
        let armed = self.directory(point).join("armed");
        eventually(&format!("{point:?} is reached again"), || (!armed.exists()).then_some(()));
    }

    /// Whoever stands at the point may go on.
    pub(crate) fn release(&self, point: Point) {
        fs::remove_file(self.directory(point).join("reached")).unwrap();
    }

    /// Kills one process, as a crash would.
    pub(crate) fn kill(&self, victim: Victim) {
        match victim {
            Victim::Core => self.castoff().crash(),
            Victim::Runner => {
                let runner = self.castoff().runner_process();
                kill(runner.0, "KILL");
                eventually("the runner is gone", || runner.program().is_none().then_some(()));
            }
            Victim::Keeper => {
                let keeper = eventually("the owner's home has one keeper", || {
                    self.castoff().keepers().into_iter().find(is_alive)
                });
                kill(u32::try_from(keeper["State"]["Pid"].as_u64().unwrap()).unwrap(), "KILL");
                eventually("the engine knows that the keeper is gone", || {
                    let keepers = self.castoff().keepers();
                    (!keepers.iter().any(|one| one["Id"] == keeper["Id"] && is_alive(one))).then_some(())
                });
            }
        }
    }

    /// Makes a keeper of the owner's home be there.
    pub(crate) fn wake_keeper(&self) {
        if !self.castoff().keepers().iter().any(is_alive) {
            self.castoff().run("true").ended(0);
        }
    }

    /// A run of `script` to its end; its id.
    pub(crate) fn whole_run(&self, script: &str) -> String {
        let (code, answer) = self.castoff().run_json(script);
        assert_eq!(code, 0, "{answer}");
        text(&answer["run"]).to_owned()
    }

    /// Plays a scenario up to the point, which is armed as late as it can be.
    pub(crate) fn play(&mut self, scenario: Scenario, token: &str, point: Point) -> Option<Live> {
        self.played.push(token.to_owned());
        let (castoff, api) = (&self.place.castoff, &self.place.api);
        let live = match scenario {
            Scenario::Run => {
                self.arm(point);
                Some(castoff.begin(&["run", "--", &self.script(token)]))
            }
            Scenario::Undo => {
                let run = self.whole_run(&self.script(token));
                self.arm(point);
                Some(castoff.begin(&["undo", &run]))
            }
            Scenario::Slash => {
                self.arm(point);
                api.say(OWNER, &format!("/run {}", self.script(token)));
                None
            }
            Scenario::Hello => {
                self.arm(point);
                api.say(OWNER, &format!("hello {token}"));
                None
            }
            Scenario::Work => {
                self.mind.hold(true);
                api.say(OWNER, &format!("do {token}: {}", self.script(token)));
                self.place.sees(OWNER, &[&format!("◀ echo {token}"), "exit 0"]);
                self.all_shown();
                self.arm(point);
                self.mind.hold(false);
                None
            }
            Scenario::Ask => {
                let card = point == Point::CardNotRecorded;
                if card {
                    self.arm(point);
                }
                api.say(OWNER, &format!("do {token}: {}", self.asking(token)));
                if !card {
                    self.card(token);
                    self.all_shown();
                    self.arm(point);
                    self.tap(token);
                }
                None
            }
        };
        self.is_reached(point);
        live
    }

    /// Waits for the card that asks about the script of this word; the number of its message.
    fn card(&self, token: &str) -> i32 {
        self.place.api.until("the card asks", OWNER, |shown| {
            let asks = |one: &&crate::place::botapi::Shown| {
                one.text.contains(token) && one.keyboard.iter().flatten().any(|(text, _)| text == "Allow once")
            };
            shown.iter().rev().find(asks).map(|one| one.id)
        })
    }

    /// Says yes to the script of this word.
    pub(crate) fn tap(&self, token: &str) {
        let card = self.card(token);
        self.place.api.press(OWNER, card, "Allow once");
    }

    /// Returns once what became of every post is on record.
    fn all_shown(&self) {
        eventually("every post is shown", || {
            // The newest first.
            let audit = self.castoff().castoff(&["audit", "list", "-n", "60"]).ended(0).stdout;
            audit.lines().find(|line| line.contains("post.")).filter(|line| line.contains("post.shown")).map(drop)
        });
    }
}

/// Whether a container has a process: the number 0 is none, and to kill(1) everybody.
fn is_alive(container: &Value) -> bool {
    container["State"]["Pid"].as_u64().is_some_and(|pid| pid > 0)
}

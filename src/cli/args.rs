//! The arguments, as `--help` shows them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::domain::plan::Review;

/// Castoff: run commands in fresh containers, review what they change, take it back.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(super) struct Arguments {
    /// Castoff's home directory [default: /srv/castoff where it exists, else ~/.castoff]
    #[arg(long, global = true, env = "CASTOFF_HOME", value_name = "DIR")]
    pub(super) home: Option<PathBuf>,
    /// The policy's directory [default: HOME/config]
    #[arg(long, global = true, env = "CASTOFF_CONFIG", value_name = "DIR")]
    pub(super) config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Talk with the assistant
    ///
    /// Without words, and at a terminal: your conversation goes on, with line editing and /-commands.
    /// With words, or a question on standard input: one turn. Exit codes: 0 it replied; 1 it could not;
    /// 75 it waits for an approval; 130 stopped.
    Chat {
        /// The question
        words: Vec<String>,
    },
    /// Show what models have cost, and the caps
    Budget,
    /// Set Castoff up: model, Telegram, owner, workspace, budget; asks at the terminal, or takes flags
    Setup {
        #[command(flatten)]
        settings: SettingsFlags,
        /// A directory that commands may work in
        #[arg(long, value_name = "DIR")]
        workspace: Option<PathBuf>,
        /// For a host without Compose: print a systemd unit, or install it as root
        #[arg(long, value_name = "WHAT", num_args = 0..=1, default_missing_value = "print",
              conflicts_with_all = ["workspace", "SettingsFlags"])]
        systemd: Option<SystemdChoice>,
    },
    /// Set the model and its key, each tried with the provider before it is kept; or show them
    Config {
        #[command(flatten)]
        settings: SettingsFlags,
    },
    /// Run a script in a fresh container
    ///
    /// Exit codes: the script's own; 125 refused, or changes discarded; 75 waiting for an approval, or
    /// changes held; 73 conflict; 124 timed out; 130 stopped; 69 no Docker; 65 bad input.
    Run {
        /// Judge with this person's rights (owner only)
        #[arg(long, value_name = "ID")]
        user: Option<String>,
        /// Which changes wait for a review
        #[arg(long, value_name = "WHICH")]
        review: Option<ReviewChoice>,
        /// Answer yes to everything that you could answer at the prompt
        #[arg(long)]
        yes: bool,
        /// The script: one argument is its text, several are words
        #[arg(required = true, trailing_var_arg = true)]
        script: Vec<String>,
    },
    /// List runs, newest first
    Runs {
        /// How many
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
    /// Show a run's output
    Logs {
        /// The run's id, or its beginning
        run: String,
        /// Go on until the run is over
        #[arg(long, short)]
        follow: bool,
    },
    /// Show what a run changed, as a unified diff
    ///
    /// At a terminal invisible characters are written out; a pipe or file gets it as it is, for `git apply`.
    Diff {
        /// The run's id, or its beginning
        run: String,
    },
    /// Land held changes
    Apply {
        /// The run's id, or its beginning
        run: String,
        /// Only these paths
        paths: Vec<PathBuf>,
    },
    /// Forget held changes
    Drop {
        /// The run's id, or its beginning
        run: String,
    },
    /// Take back what a run changed
    Undo {
        /// The run's id (or its beginning), or its turn's
        run: String,
    },
    /// Stop a run
    Stop {
        /// The run's id, or its beginning
        run: String,
    },
    /// List open questions
    Approvals,
    /// Answer yes
    Approve {
        /// The question's id or its run's, or the beginning of one
        id: String,
    },
    /// Answer no
    Refuse {
        /// The question's id or its run's, or the beginning of one
        id: String,
    },
    /// Say how Castoff is doing
    Status {
        /// Say nothing; exit 0 once every image is built and runs can start
        #[arg(long)]
        health: bool,
    },
    /// Read the audit log
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Say what this program is, what serves, and since when
    Version,
    /// Make a backup of what Castoff remembers (owner only)
    ///
    /// In it: runs with their output, conversations, approvals, settings and provider keys, spending, the
    /// audit log, all sealed, and the key file. Not in it: the master key (HOME/state/core/master.key), without
    /// which a backup tells nothing to whoever finds it, and nothing to you: keep a copy of it in another
    /// place. Nor what lies in plain files: config/, people's files, changes that are held or could be undone.
    ///
    /// A core that serves goes on serving; without one it is made by whoever may open the store. The file
    /// appears once it is complete, with mode 0600. Exit codes: 73 the file is there already.
    Backup {
        /// Where to; `-` for standard output
        file: PathBuf,
        /// Replace the file, if there is one
        #[arg(long)]
        force: bool,
    },
    /// Put a backup in place; no core may serve
    ///
    /// The backup is checked first: its sums, its keys, every page, the audit log. What was spent or sent
    /// after it was made is not in it. Exit codes: 65 it cannot be restored; 73 there is data already.
    Restore {
        /// The backup; `-` for standard input
        file: PathBuf,
        /// Restore over existing data, which is kept in HOME/state/core/before-restore-…
        #[arg(long)]
        force: bool,
        /// A copy of the master key that the backup needs [default: the one of this home]
        #[arg(long, value_name = "FILE")]
        master_key: Option<PathBuf>,
    },
    /// Attack the walls for real, in a container, and say what holds
    ///
    /// Exit codes: 0 all hold; 1 something does not; 69 no Docker; 130 interrupted.
    Doctor,
    /// Question the policy, most of it without daemon and Docker
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Run the core (and, but under Compose, the runner)
    Serve,
    /// Make the home directory's places, and a configuration if there is none
    Prepare,
    /// Run the runner
    #[command(hide = true)]
    Runner {
        /// Exit 0 once every image is built and runs can start
        #[arg(long, group = "mode")]
        health: bool,
        /// Build the images that are missing, and end
        #[arg(long, group = "mode")]
        build_images: bool,
        /// Build all images anew, with the packages of today, and end
        #[arg(long, group = "mode")]
        renew_images: bool,
        /// End when standard input ends
        #[arg(long, group = "mode")]
        child: bool,
    },
    /// Keep one workspace
    #[command(hide = true)]
    Keeper,
    /// Parse a script for the policy
    #[command(hide = true)]
    Parse,
}

/// What becomes of the systemd unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum SystemdChoice {
    /// On standard output
    Print,
    /// In /etc/systemd/system
    Install,
}

#[derive(Debug, clap::Args)]
pub(super) struct SettingsFlags {
    /// The model: PROVIDER/NAME, or an empty text for none
    #[arg(long, value_name = "PROVIDER/NAME")]
    pub(super) model: Option<String>,
    /// The provider's key: asked for at the terminal, or `-` for standard input
    #[arg(long, value_name = "KEY", num_args = 0..=1, default_missing_value = "")]
    pub(super) api_key: Option<String>,
    /// The Telegram bot's token, likewise
    #[arg(long, value_name = "TOKEN", num_args = 0..=1, default_missing_value = "")]
    pub(super) telegram_token: Option<String>,
    /// The owner's Telegram id
    #[arg(long, value_name = "NUMBER")]
    pub(super) owner_telegram_id: Option<i64>,
    /// What the model's provider may cost a day, in dollars
    #[arg(long, value_name = "AMOUNT")]
    pub(super) daily_budget: Option<String>,
}

impl From<SettingsFlags> for super::config::Change {
    fn from(flags: SettingsFlags) -> Self {
        let SettingsFlags { model, api_key, telegram_token, owner_telegram_id, daily_budget } = flags;
        Self { model, api_key, telegram_token, owner_telegram_id, daily_budget }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ReviewChoice {
    /// None (never looser than the policy)
    Never,
    /// Deletions, bulk changes, files that the host would obey
    Risky,
    /// All
    Changes,
}

impl From<ReviewChoice> for Review {
    fn from(choice: ReviewChoice) -> Self {
        match choice {
            ReviewChoice::Never => Self::Never,
            ReviewChoice::Risky => Self::Risky,
            ReviewChoice::Changes => Self::Changes,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check every entry against the chain
    Verify,
    /// List entries, newest first
    List {
        /// How many
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: usize,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Say how a script would be judged, and why
    Explain {
        /// For this person
        #[arg(long, value_name = "ID")]
        user: Option<String>,
        /// Read JSON lines {"id":…,"input":SCRIPT} from standard input
        #[arg(long)]
        batch: bool,
        /// The script: one argument is its text, several are words
        #[arg(required_unless_present = "batch", trailing_var_arg = true)]
        script: Vec<OsString>,
    },
    /// Judge a file of cases and say which are judged otherwise than expected
    ///
    /// The file has JSON lines, or a YAML list, of {script, user, expect}, with `network` and `review` if you
    /// like. Exit codes: 0 all as expected; 1 some are not; 65 no cases; 66 no such file; 78 a bad policy.
    Test {
        /// The file
        file: PathBuf,
    },
    /// Show the policy in force, or what a person may do
    Show {
        /// What this person may do
        #[arg(long, value_name = "ID")]
        user: Option<String>,
    },
    /// Say which recorded commands another policy would judge differently (owner only)
    Diff {
        /// Directory of the old policy
        old: PathBuf,
        /// Directory of the new one
        new: PathBuf,
        /// How far back to look
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
    /// Propose rules from what people answered; prints YAML, adopts nothing (owner only)
    Suggest {
        /// How far back to look
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
    /// Take back what was allowed always
    Revoke {
        /// The rule's id, or its beginning; `castoff policy show` lists them
        id: String,
    },
    /// Load a policy and say what is wrong with it
    Check {
        /// Its directory
        directory: Option<PathBuf>,
    },
}

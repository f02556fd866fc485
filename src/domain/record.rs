//! What is written down: the rows that the engine asks the store to keep. The store seals whatever
//! holds a person's words or a run's output; here they are plain values.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::change::Landing;
use super::ids::{ApprovalId, Digest, PersonId, RuleId, RunId, TurnId};
use super::learned::{LearnedRule, Words};
use super::money::LedgerEntry;
use super::plan::{Plan, Review};
use super::principal::{Principal, Trust};
use super::run::{RunEnd, Stream};
use super::script::Script;
use super::task::Task;
use super::time::Timestamp;
use super::turn::{Message, Post, TurnRecord};

/// One thing to keep. All records of one step are kept in one transaction, or none.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A run as it stands now; replaces its earlier row.
    Run(Box<RunRecord>),
    /// The next piece of a run's output.
    Output(OutputPiece),
    /// An approval as it stands now; replaces its earlier row.
    Approval(ApprovalRecord),
    /// Standard input of a run that waits for an approval; dropped when the run is over.
    Input {
        /// The run.
        run: RunId,
        /// Whose key seals it.
        person: PersonId,
        /// The bytes; `None` removes them.
        bytes: Option<Vec<u8>>,
    },
    /// The next entry of a person's conversation.
    Message(Message),
    /// A turn as it stands now; replaces its earlier row.
    Turn(Box<TurnRecord>),
    /// A model call in the ledger; replaces its earlier row.
    Ledger(Box<LedgerEntry>),
    /// A post as it stands now; replaces its earlier row.
    Post(Box<Post>),
    /// What somebody allowed always.
    Learned {
        /// Its id.
        rule: RuleId,
        /// For whom it counts, whose key seals it.
        person: PersonId,
        /// The rule; `None` removes it.
        kept: Option<Box<LearnedRule>>,
    },
    /// A setting that was made at the command line or in a chat.
    Setting {
        /// Its name.
        name: SettingName,
        /// Its value; `None` removes it.
        value: Option<String>,
    },
    /// An entry of the audit chain.
    Audit(AuditEntry),
}

/// What can be set outside the configuration files. Values are sealed with the installation's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingName {
    /// The model: `PROVIDER/NAME`.
    Model,
    /// The key of a provider.
    ApiKey {
        /// Which.
        provider: String,
    },
    /// The bot's token.
    TelegramToken,
    /// The owner's Telegram id, where `users.yaml` names none.
    OwnerTelegramId,
    /// The number of the update that made its sender the owner.
    PairingUpdate,
    /// An amendment of a provider's daily budget, in micro-dollars.
    DailyBudget {
        /// Which.
        provider: String,
    },
}

impl SettingName {
    /// The key of its row: no word of anybody's.
    pub fn key(&self) -> String {
        match self {
            Self::Model => "model".to_owned(),
            Self::ApiKey { provider } => format!("api-key/{provider}"),
            Self::TelegramToken => "telegram-token".to_owned(),
            Self::OwnerTelegramId => "owner-telegram-id".to_owned(),
            Self::PairingUpdate => "pairing-update".to_owned(),
            Self::DailyBudget { provider } => format!("daily-budget/{provider}"),
        }
    }
}

/// Everything about one run. A run that was refused has one too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run.
    pub run: RunId,
    /// The turn it belongs to.
    pub turn: TurnId,
    /// Whose home, records and spend: the caller.
    pub person: PersonId,
    /// With whose rights it was judged (`--user`); mostly the same.
    pub rights_of: PersonId,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// What it does: the field `script` or `file` of its JSON.
    #[serde(flatten)]
    pub task: Task,
    /// The caller's working directory, if it was inside a workspace.
    pub workdir: Option<PathBuf>,
    /// The caller's review choice, if any.
    pub review: Option<Review>,
    /// `--yes`: the caller answers beforehand what he could answer at the prompt.
    pub yes: bool,
    /// The decision, once there is one.
    pub verdict: Option<VerdictRecord>,
    /// The plan, once there is one.
    pub plan: Option<Box<Plan>>,
    /// Its digest.
    pub digest: Option<Digest>,
    /// Where it stands.
    pub state: RunState,
    /// How it ended, once it has.
    pub end: Option<Box<RunEnd>>,
    /// While it is applying: which paths were asked for; `None` for all.
    #[serde(default)]
    pub landing: Option<Vec<PathBuf>>,
    /// What landed, and what conflicted, once anything was applied.
    pub landings: Vec<Landing>,
    /// How undoing went, if it was undone.
    pub undone: Vec<Landing>,
    /// The chat that it was asked for in by itself, where its card goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<i64>,
    /// Whether its stop was asked for while it ran: what it changed until then does not land.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stop_asked: bool,
}

/// Verdict and reasons, as they were shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictRecord {
    /// `allow`, `ask` or `deny`.
    pub verdict: Verdict,
    /// Each with the rule that gave it.
    pub reasons: Vec<Reason>,
    /// The programs that the script names.
    pub programs: Vec<String>,
    /// The nearest allowed thing, for a refusal.
    pub suggestion: Option<String>,
    /// Digest of the policy that judged.
    pub policy: Digest,
    /// What "allow always" would cover, word for word; empty when it cannot be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<Words>,
    /// Who may answer the question about the plan for themselves, beside the owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<PersonId>,
}

impl VerdictRecord {
    /// Whether `person`, who asked for the run, may answer the question about its plan.
    pub fn may_answer_own(&self, person: &Principal) -> bool {
        person.trust >= Trust::Trusted && self.approvers.contains(&person.person)
    }
}

/// Allow, ask or deny, ordered: the strictest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may run.
    Allow,
    /// A person decides.
    Ask,
    /// It may not run.
    Deny,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        })
    }
}

/// Why, and which rule says so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// A rule of the policy (`tools.yaml:4 rm -rf`) or a built-in one (`not on the list`).
    pub rule: String,
    /// For people.
    pub text: String,
}

/// Where a run stands. Drawn in `engine`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Its plan is being made.
    Planning,
    /// It waits for an approval of its plan.
    Asking {
        /// Which.
        approval: ApprovalId,
    },
    /// It is permitted and waits for the person's live run to end.
    Queued,
    /// It is permitted and was handed to the runner.
    Running,
    /// Its changes wait for a review or for `apply`.
    Held {
        /// The open question, if there is one.
        approval: Option<ApprovalId>,
        /// Why they did not land, for people.
        why: String,
    },
    /// Its changes are landing.
    Applying,
    /// Its changes are being dropped.
    Dropping,
    /// What landed is being taken back.
    Undoing,
    /// It was not run.
    Refused {
        /// Why, for people.
        why: String,
    },
    /// It is over and nothing is held.
    Done {
        /// What became of its changes.
        changes: Outcome,
    },
}

impl RunState {
    /// Whether nothing more will happen by itself and nothing is held.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Done { .. })
    }

    /// Whether a question about it is open.
    pub fn is_asked_about(&self) -> bool {
        matches!(self, Self::Asking { .. } | Self::Held { approval: Some(_), .. })
    }
}

impl RunRecord {
    /// Whether `reader` may see what it says and changes: a person their own, the owner others' while he
    /// must judge them.
    pub fn is_readable_by(&self, reader: &Principal) -> bool {
        self.person == reader.person || (reader.trust == Trust::Owner && self.state.is_asked_about())
    }

    /// What the owner sees of another's run: who, when, which programs, verdict, how it ended.
    #[must_use]
    pub fn without_content(mut self) -> Self {
        let programs = self.verdict.as_ref().map(|verdict| verdict.programs.join(" ")).unwrap_or_default();
        let hidden = Script::new(format!("# {programs}")).or_else(|_| Script::new("#".to_owned()));
        if let Ok(script) = hidden {
            self.task = Task::Script(script);
        }
        if let Some(verdict) = &mut self.verdict {
            (verdict.reasons, verdict.suggestion) = (Vec::new(), None);
            verdict.always.clear();
        }
        if let Some(end) = &mut self.end {
            end.changes.clear();
        }
        if let RunState::Held { why, .. } | RunState::Refused { why } = &mut self.state {
            why.clear();
        }
        (self.workdir, self.plan, self.landing) = (None, None, None);
        (self.landings, self.undone) = (Vec::new(), Vec::new());
        self
    }
}

/// What became of a run's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// There were none.
    None,
    /// They landed.
    Applied,
    /// They were dropped.
    Dropped,
    /// They landed and were taken back.
    Undone,
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPiece {
    /// The run.
    pub run: RunId,
    /// Whose key seals it.
    pub person: PersonId,
    /// Counted from 0 in each run.
    pub number: u32,
    /// Stream and bytes, in order.
    pub parts: Vec<(Stream, Vec<u8>)>,
}

/// A question to an approver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRecord {
    /// Its id.
    pub approval: ApprovalId,
    /// The run it is about.
    pub run: RunId,
    /// Who asks.
    pub person: PersonId,
    /// What is asked.
    pub subject: Subject,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: ApprovalState,
}

/// What an approval is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Whether this very plan may run.
    Plan {
        /// The plan's digest.
        digest: Digest,
    },
    /// Whether these very changes may land.
    Changes {
        /// Digest of the change sets.
        digest: Digest,
    },
}

/// Where an approval stands. It leaves `Pending` once, and never comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalState {
    /// Nobody has answered.
    Pending,
    /// Yes, used for its one plan or change set.
    Granted {
        /// By whom.
        by: PersonId,
        /// The rule that the same answer left behind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        always: Option<RuleId>,
    },
    /// No.
    Refused {
        /// By whom.
        by: PersonId,
    },
    /// Nobody answered in time.
    Expired,
    /// What it was about changed.
    Void {
        /// How, for people.
        why: String,
    },
}

/// One entry of the audit chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who did it; `None` for Castoff itself.
    pub person: Option<PersonId>,
    /// Trust level of that person at that time.
    pub trust: Option<Trust>,
    /// What happened, in the words of the design: `run.permitted`, `approval.granted`, `changes.applied`, …
    pub what: &'static str,
    /// The run it is about, if any.
    pub run: Option<RunId>,
    /// Details; sealed with the person's key.
    pub detail: serde_json::Value,
}

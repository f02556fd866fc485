//! Requests and answers of the control socket, as JSON. Private to our own client and server: scripts
//! use the command line's `--json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ids::TurnId;
use crate::domain::learned::{LearnedRule, Words};
use crate::domain::plan::Review;
use crate::domain::record::{ApprovalRecord, RunRecord};
use crate::domain::run::Stream;
use crate::domain::turn::TurnRecord;
use crate::policy::Listing;
use crate::protocol::runner::Readiness;
pub use crate::runtime::telegram::{Pairing, WRONG_CODES_MAX};

/// `POST /runs`: run a script. Answered by a stream of [`Line`]s.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// Shell text.
    pub script: String,
    /// Standard input, base64.
    pub stdin: Option<String>,
    /// Where the caller stands.
    pub workdir: Option<String>,
    /// With whose rights to judge; only the owner may say.
    pub user: Option<String>,
    /// Which changes wait.
    pub review: Option<Review>,
    /// Answer yes to what the caller could answer.
    pub yes: bool,
}

/// A line of the answer to `POST /runs`, `GET /runs/ID/follow` and `POST /chat`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// The run as it now stands, and whether the caller may answer its open question.
    Run {
        /// The run.
        record: Box<RunRecord>,
        /// Whether this caller may answer.
        may_answer: bool,
        /// The home of the run's person on the host.
        home: String,
    },
    /// Output, base64.
    Output {
        /// Which stream.
        stream: Stream,
        /// The bytes.
        bytes: String,
    },
    /// What a wait is for.
    Progress(String),
    /// A wish came to nothing.
    Declined(String),
    /// The turn as it now stands.
    Turn(Box<TurnRecord>),
    /// More of the model's text.
    Text(String),
    /// The model begins to write a call of this tool.
    Tool(String),
}

/// `POST /chat`: say something. Answered by a stream of [`Line`]s.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatRequest {
    /// The words.
    pub text: String,
}

/// `POST /chat/stop`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Which turn of the caller's; none for the one that is under way.
    pub turn: Option<TurnId>,
}

/// `POST /settings`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsRequest {
    /// `PROVIDER/NAME`; empty for none.
    pub model: Option<String>,
    /// A key for its provider.
    pub api_key: Option<String>,
    /// The token of a Telegram bot; empty for none.
    pub telegram_token: Option<String>,
    /// The owner's Telegram id.
    pub owner_telegram_id: Option<i64>,
    /// What the model's provider may cost a day, in dollars.
    pub daily_budget: Option<String>,
}

impl SettingsRequest {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.model.is_none()
            && self.api_key.is_none()
            && self.telegram_token.is_none()
            && self.owner_telegram_id.is_none()
            && self.daily_budget.is_none()
    }
}

/// `POST /model/notice`: what leaves the machine with a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeRequest {
    /// `PROVIDER/NAME`.
    pub model: String,
}

/// `POST /models`: which models a provider lists.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelsRequest {
    /// The provider.
    pub provider: String,
    /// A key to try instead of the one on record.
    pub api_key: Option<String>,
}

impl std::fmt::Debug for ModelsRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the key.
        f.debug_struct("ModelsRequest").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SettingsRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without keys.
        f.debug_struct("SettingsRequest").field("model", &self.model).finish_non_exhaustive()
    }
}

/// `GET /model`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelStatus {
    /// `PROVIDER/NAME`, if one is set.
    pub model: Option<String>,
    /// Its context.
    pub context_tokens: Option<u64>,
    /// The providers that are known.
    pub providers: Vec<String>,
}

/// `POST /policy/diff`: two policies over the runs on record. Answered by a [`Comparison`].
///
/// [`Comparison`]: crate::runtime::history::Comparison
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffRequest {
    /// The files of the old one, by name.
    pub old: BTreeMap<String, String>,
    /// The files of the new one.
    pub new: BTreeMap<String, String>,
    /// How far back.
    pub days: u32,
}

/// `POST /policy/suggest`. Answered by [`Suggestions`].
///
/// [`Suggestions`]: crate::runtime::history::Suggestions
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuggestRequest {
    /// How far back.
    pub days: u32,
}

/// `POST /rights`: what a person may do. Answered by their rights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RightsRequest {
    /// Id or name; the caller where there is none.
    pub name: Option<String>,
}

/// `GET /policy`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyView {
    /// Whether a running core judges by it.
    pub in_force: bool,
    /// What the files say.
    #[serde(flatten)]
    pub listing: Listing,
    /// What was set outside of them, a line each.
    pub amendments: Vec<String>,
    /// What was allowed always; the words of others are theirs.
    pub learned: Vec<LearnedRule>,
}

/// `POST /approvals/ID`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Yes or no.
    pub yes: bool,
    /// With a yes: what was shown of a rule that is to stay; empty for this once.
    #[serde(default)]
    pub always: Vec<Words>,
}

/// `POST /runs/ID/apply`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Absolute paths; `None` for all.
    pub paths: Option<Vec<String>>,
}

/// `GET /status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Castoff's version.
    pub version: String,
    /// Who the caller is to Castoff.
    pub person: String,
    /// The caller's home on the host.
    pub home: String,
    /// What the runner can do; `None` while it is not connected.
    pub runner: Option<Readiness>,
    /// Runs in their containers.
    pub live: usize,
    /// Runs that wait for their person's live one.
    pub queued: usize,
    /// Runs and turns that go on by themselves, waiting for nobody.
    #[serde(default)]
    pub under_way: usize,
    /// Whether it is being stopped: what is under way ends, and nothing new begins.
    #[serde(default)]
    pub stopping: bool,
    /// Open questions that the caller sees.
    pub questions: usize,
    /// Audit entries on record.
    pub audit_entries: u64,
}

/// `GET /version`: what serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Serving {
    /// Castoff's version.
    pub version: String,
    /// The commit it was built from, where that is known.
    pub commit: Option<String>,
    /// When it started, in milliseconds since the epoch.
    pub started_at_ms: u64,
    /// The image it runs from; none on a bare host.
    pub image: Option<String>,
    /// The images of runs, by name, with their ids.
    pub images: BTreeMap<String, String>,
    /// The form of its store.
    pub store_form: u32,
}

/// `GET /approvals`: an open question and its run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Question {
    /// The question.
    pub approval: ApprovalRecord,
    /// The run it is about.
    pub run: RunRecord,
}

/// An entry of `GET /audit`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditLine {
    /// Its place in the chain.
    pub seq: u64,
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// What happened.
    pub what: String,
    /// Who did it, while that is known.
    pub person: Option<String>,
    /// The run it is about.
    pub run: Option<String>,
    /// Details.
    pub detail: serde_json::Value,
}

/// `GET /audit/verify`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verified {
    /// Whether every entry is as it was written.
    pub intact: bool,
    /// How many were read.
    pub entries: u64,
    /// Hash of the last one.
    pub head: Option<String>,
    /// What is wrong, when something is.
    pub broken: Option<String>,
}

/// A refusal of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// The exit code of the command.
    pub code: u8,
    /// Why, for people.
    pub why: String,
}

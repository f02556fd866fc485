//! Turns and the conversation that they make up.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ids::{ApprovalId, CallId, PersonId, PostId, RunId, TurnId};
use super::model::{ModelName, ToolCall};
use super::money::Money;
use super::time::Timestamp;

/// One entry of a person's conversation, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Whose conversation.
    pub person: PersonId,
    /// Counted from 0 in it.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// The turn it belongs to.
    pub turn: TurnId,
    /// What was said.
    pub body: Body,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// By the person.
    Person {
        /// Their words.
        text: String,
    },
    /// By the model.
    Model {
        /// Its text.
        text: String,
        /// What it called.
        calls: Vec<ToolCall>,
    },
    /// What came of a tool call.
    Tool {
        /// The model's id of the call.
        call: String,
        /// The tool's name.
        name: String,
        /// For the model.
        text: String,
        /// Whether it was refused or failed.
        failed: bool,
        /// The run that it led to.
        run: Option<RunId>,
    },
    /// What stands in for the messages up to `through` in the prompt; they stay on record.
    Summary {
        /// The model's words.
        text: String,
        /// The last message that it covers.
        through: u64,
    },
    /// By Castoff to the person; the model does not see it.
    Note {
        /// For people.
        text: String,
    },
}

/// Where a turn came from, and where its reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// `castoff chat`.
    Terminal,
    /// A private Telegram chat.
    Telegram {
        /// Its id: the person's.
        chat: i64,
        /// The message that began the turn.
        message: i32,
    },
}

/// One message of a person and all that follows until the reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// The turn.
    pub turn: TurnId,
    /// Whose.
    pub person: PersonId,
    /// Where it came from.
    pub channel: Channel,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// The person's words.
    pub text: String,
    /// The model it talks to, once it has begun.
    pub model: Option<ModelName>,
    /// Where it stands.
    pub state: TurnState,
    /// Calls of the model that it has made.
    pub rounds: u32,
    /// Calls that were made again after one was cut off; at most one.
    pub retries: u32,
    /// What it has cost, with what is reserved.
    pub cost: Money,
    /// Seconds that it has taken, waiting for people not counted, as of its last change of state.
    #[serde(default)]
    pub active_s: u32,
    /// Absolute paths that its runs have added, the first of them.
    #[serde(default)]
    pub made: BTreeSet<PathBuf>,
}

impl TurnRecord {
    /// A turn that waits to begin.
    pub fn new(turn: TurnId, person: PersonId, channel: Channel, asked_at: Timestamp, text: String) -> Self {
        Self {
            turn,
            person,
            channel,
            asked_at,
            text,
            model: None,
            state: TurnState::Queued,
            rounds: 0,
            retries: 0,
            cost: Money::ZERO,
            active_s: 0,
            made: BTreeSet::new(),
        }
    }
}

/// Where a turn stands. Drawn in `engine::turn`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TurnState {
    /// It waits for the person's turn before it.
    Queued,
    /// The model is thinking.
    Thinking {
        /// Which call.
        call: CallId,
    },
    /// The model is writing a summary of what no longer fits.
    Summarising {
        /// Which call.
        call: CallId,
    },
    /// A tool call is being served.
    Working {
        /// The run that serves it.
        run: RunId,
        /// The call.
        call: ToolCall,
        /// Those after it.
        rest: Vec<ToolCall>,
    },
    /// It is over.
    Done {
        /// How.
        outcome: TurnOutcome,
    },
}

impl TurnState {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done { .. })
    }
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TurnOutcome {
    /// With a reply.
    Replied {
        /// Its text.
        text: String,
    },
    /// The person stopped it.
    Stopped,
    /// It could not go on; why, for people.
    Failed {
        /// For people.
        why: String,
    },
}

/// Something that a person is shown in their Telegram chat: sent once, then edited as its subject
/// changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Derived from its subject and the chat: there is one for each.
    pub post: PostId,
    /// Who sees it.
    pub person: PersonId,
    /// Their chat.
    pub chat: i64,
    /// What it shows.
    pub subject: PostSubject,
    /// Where it stands.
    pub state: PostState,
    /// The Telegram message that shows it, once there is one.
    pub message: Option<i32>,
    /// Whether what is sent for it next may be there already, without our knowing: then that says so.
    pub may_repeat: bool,
}

/// What a post shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PostSubject {
    /// A turn: what it is doing, then its reply.
    Turn(TurnId),
    /// A question.
    Approval(ApprovalId),
    /// A run.
    Run(RunId),
    /// A text.
    Note(String),
    /// What a command gave back.
    Answer {
        /// The id that a turn of the same message would have.
        turn: TurnId,
        /// Markdown.
        text: String,
    },
}

/// Where a post stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PostState {
    /// It is to be shown, or shown anew.
    Waiting,
    /// It is being sent; after a restart nobody knows whether it was.
    Sending,
    /// It is shown as it is.
    Shown,
    /// Telegram will not have it (blocked by the person).
    Lost,
}

//! What can happen, and what it leads to: events in, effects out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::post::Posted;
use super::{Called, Launch, Saying};
use crate::domain::ids::{ApprovalId, CallId, PersonId, PostId, RuleId, RunId, TurnId};
use crate::domain::learned::Words;
use crate::domain::model::{ModelFailure, ModelName, ModelReply, ModelRequest};
use crate::domain::plan::Review;
use crate::domain::principal::Principal;
use crate::domain::record::{RunRecord, SettingName};
use crate::domain::turn::{Post, TurnRecord};
use crate::policy::{ParsedTask, Policy};
use crate::protocol::runner::{FromRunner, ToRunner};

/// What a person asks to run.
#[derive(Debug)]
pub struct Ask {
    /// Fresh ids: the run's, its turn's, and those of the questions it may raise.
    pub ids: FreshIds,
    /// Who asks.
    pub caller: Principal,
    /// With whose rights it is judged.
    pub rights: Principal,
    /// What is to be done: a script with its facts, or a file request.
    pub task: ParsedTask,
    /// Standard input, when some is passed on.
    pub stdin: Option<Vec<u8>>,
    /// Where the caller stands.
    pub workdir: Option<PathBuf>,
    /// The caller's review choice.
    pub review: Option<Review>,
    /// The caller answers yes to what he could answer at the prompt.
    pub yes: bool,
}

/// Ids drawn at the edge, since the engine has no randomness.
#[derive(Debug, Clone)]
pub struct FreshIds {
    /// Of the run.
    pub run: RunId,
    /// Of its turn.
    pub turn: TurnId,
    /// Of the question about its plan.
    pub plan: ApprovalId,
    /// Of the question about its changes.
    pub changes: ApprovalId,
}

impl FreshIds {
    /// Those of a run whose id is known: its questions' follow from it.
    pub fn of_run(run: RunId, turn: TurnId) -> Self {
        let (plan, changes) = (ApprovalId::derived(run.as_str(), "plan"), ApprovalId::derived(run.as_str(), "changes"));
        Self { run, turn, plan, changes }
    }
}

/// Everything that can happen.
#[derive(Debug)]
pub enum Event {
    /// A person asks to run something.
    Asked(Box<Ask>),
    /// A person answers a question.
    Answered {
        /// Which.
        approval: ApprovalId,
        /// Who.
        by: Principal,
        /// Yes or no.
        yes: bool,
    },
    /// A person answers a question about a plan with yes, also for the future.
    AllowedAlways {
        /// Which.
        approval: ApprovalId,
        /// Who.
        by: Principal,
        /// The commands that the person saw and allows from now on.
        shown: Vec<Words>,
    },
    /// A person wants a learned rule gone.
    RevokeAsked {
        /// Which.
        rule: RuleId,
        /// Who.
        by: Principal,
    },
    /// A person wants a run stopped, or its question withdrawn.
    StopAsked {
        /// Which.
        run: RunId,
        /// Who.
        by: Principal,
    },
    /// A person wants held changes to land.
    ApplyAsked {
        /// The run as it is on record.
        record: Box<RunRecord>,
        /// Who.
        by: Principal,
        /// Absolute paths; `None` for all.
        paths: Option<Vec<PathBuf>>,
    },
    /// A person wants held changes dropped.
    DropAsked {
        /// The run as it is on record.
        record: Box<RunRecord>,
        /// Who.
        by: Principal,
    },
    /// A person wants landed changes taken back.
    UndoAsked {
        /// The run as it is on record.
        record: Box<RunRecord>,
        /// Who.
        by: Principal,
        /// The run's card, if one stands in a chat.
        card: Option<Box<Post>>,
    },
    /// A person says something.
    Said(Saying),
    /// A person wants all that is under way for them ended: their turn, and runs that hold no changes.
    AllStopAsked {
        /// Who.
        by: Principal,
    },
    /// A person wants a turn ended.
    TurnStopAsked {
        /// Whose turn.
        person: PersonId,
        /// Which of theirs; none for the one that is under way.
        turn: Option<TurnId>,
        /// Who wants it.
        by: Principal,
    },
    /// A model has answered.
    ModelReplied {
        /// Which call.
        call: CallId,
        /// The answer.
        reply: Box<ModelReply>,
        /// Its tool calls, read.
        calls: Vec<Called>,
    },
    /// A model has not answered.
    ModelFailed {
        /// Which call.
        call: CallId,
        /// Why.
        failure: ModelFailure,
    },
    /// The owner wants a model called once to try it, for a setting. What came of it is said like of other
    /// calls.
    TrialAsked {
        /// Who.
        by: Principal,
        /// The call.
        request: Box<ModelRequest>,
    },
    /// The owner changes settings.
    SettingsAsked {
        /// Who.
        by: Principal,
        /// Names and new values; `None` removes one.
        settings: Vec<(SettingName, Option<String>)>,
    },
    /// Something became of a post.
    Posted {
        /// Which.
        post: PostId,
        /// What.
        what: Posted,
    },
    /// A run that is asked for in a chat: its cards go there.
    AskedIn {
        /// The chat.
        chat: i64,
        /// The wish.
        ask: Box<Ask>,
    },
    /// Somebody who is not on the list, or is blocked, wrote to the bot.
    StrangerSeen {
        /// By Telegram's word.
        telegram_id: i64,
    },
    /// Something that the owner is to know, for people.
    OwnerTold {
        /// The words.
        text: String,
    },
    /// A command in a chat has its answer.
    CommandAnswered {
        /// Whose command.
        person: PersonId,
        /// Their chat.
        chat: i64,
        /// The id that a turn of the same message would have.
        turn: TurnId,
        /// Markdown.
        text: String,
    },
    /// Telegram is in use (or no longer); and the owner's id, where only the settings know it.
    TelegramChosen {
        /// Whether a bot's token is set.
        on: bool,
        /// The owner's chat.
        owner: Option<i64>,
    },
    /// Another model is in use, or it was found out what it takes.
    ModelChosen(Option<ModelInUse>),
    /// The runner says something.
    Runner(FromRunner),
    /// The connection to the runner broke.
    RunnerGone,
    /// Another policy is in force.
    PolicyLoaded(Arc<Policy>),
    /// The files were changed to something that is no policy; the old one stays.
    PolicyRefused {
        /// Every mistake, for people.
        why: String,
    },
    /// Castoff is to stop: nothing new begins.
    StopBegun {
        /// How long what is under way may take to end.
        time: Duration,
    },
    /// And that time is over.
    Cut,
    /// A second has passed.
    Tick,
}

/// What the caller is to do once the records are committed.
#[derive(Debug)]
pub enum Effect {
    /// Say something to the runner that is no launch.
    Tell(ToRunner),
    /// Start a permitted run.
    Run {
        /// Its id.
        run: RunId,
        /// Plan and permit.
        launch: Box<Launch>,
        /// Standard input.
        stdin: Vec<u8>,
    },
    /// Show a run as it now stands to those who watch it.
    Show(Box<RunRecord>),
    /// Call a model.
    CallModel(Box<ModelRequest>),
    /// Break a call of a model off.
    CancelModel(CallId),
    /// Show a turn as it now stands to those who watch it.
    ShowTurn(Box<TurnRecord>),
    /// A post as it now stands: one that waits is to be shown.
    Post {
        /// The post.
        post: Box<Post>,
        /// What was reported of it, if that is why.
        reported: Option<Posted>,
    },
    /// Whether a call that tries a model may be made; it is reserved then.
    Tried {
        /// The call.
        call: CallId,
        /// Why not, and what helps.
        may: Result<(), String>,
    },
    /// Settings changed: look at them anew.
    SettingsChanged,
    /// Say something to those who watch a run or a turn.
    Inform {
        /// Of the run or the turn.
        id: String,
        /// The words.
        text: String,
    },
    /// Say why a person's wish about a run came to nothing.
    Decline {
        /// The run.
        run: RunId,
        /// Why, and what helps.
        why: String,
    },
}

/// The model that turns talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInUse {
    /// Its name.
    pub name: ModelName,
    /// Longest prompt and reply together, in tokens.
    pub context_tokens: u64,
}

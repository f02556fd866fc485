//! An engine whose model, runner and store the test plays, and what was committed.

use std::path::Path;
use std::sync::Arc;

use castoff::config::load_policy;
use castoff::domain::change::{Change, ChangeSet};
use castoff::domain::ids::{CallId, RunId, TurnId};
use castoff::domain::model::{ModelMessage, ModelName, ModelReply, ModelRequest, ModelStop, TokenUsage, ToolCall};
use castoff::domain::money::LedgerEntry;
use castoff::domain::plan::Image;
use castoff::domain::principal::Principal;
use castoff::domain::record::{Record, RunRecord, RunState};
use castoff::domain::run::{Ending, RunEnd, Stream, Usage};
use castoff::domain::time::Timestamp;
use castoff::domain::turn::{Channel, Message, Post, TurnOutcome, TurnRecord, TurnState};
use castoff::engine::{Called, Effect, Engine, Event, ModelInUse, Past, Saying};
use castoff::policy::{ParsedTask, Policy};
use castoff::protocol::runner::{FromRunner, IMAGES, Readiness, ToRunner};
use castoff::tools;
use serde_bytes::ByteBuf;
use serde_json::json;

const LIMITS: &str = "rate_limits: { anthropic: { daily_budget: \"$1.00\" } }\n";
const USERS: &str = "owner: { name: Ann }\nusers: [{ id: bob, name: Bob, trust_level: trusted, local: [1001] }, \
                     { id: lea, name: Lea, trust_level: limited, local: [1002] }]\n";
pub(crate) const PRICED: &str = "anthropic/claude-sonnet-4-5";
pub(crate) const FREE: &str = "ollama/llama3.3";

/// The usual policy, with these files of `config/` in the place of its own.
fn policy(files: &[(&str, &str)]) -> Arc<Policy> {
    let dir = tempfile::tempdir().unwrap();
    let installation = "uid: 1000\ngid: 1000\nhome: /home/user\n";
    let usual = [("installation.yaml", installation), ("users.yaml", USERS), ("limits.yaml", LIMITS)];
    for (name, text) in usual.iter().chain(files) {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    Arc::new(load_policy(dir.path(), Path::new("/srv/castoff")).unwrap())
}

fn read(call: ToolCall) -> Called {
    let wanted = tools::read(&call).and_then(|task| ParsedTask::new(task).map_err(|error| error.to_string()));
    Called { call, wanted }
}

/// An engine, and what was committed.
pub(crate) struct World {
    pub(crate) engine: Engine,
    policy: Arc<Policy>,
    pub(crate) now: Timestamp,
    /// Between two events.
    pub(crate) pause_ms: u64,
    pub(crate) turns: Vec<TurnRecord>,
    pub(crate) runs: Vec<RunRecord>,
    pub(crate) messages: Vec<Message>,
    pub(crate) ledger: Vec<LedgerEntry>,
    pub(crate) posts: Vec<Post>,
    /// Whether the next start is one from a backup.
    pub(crate) restored: bool,
    model: Option<ModelInUse>,
}

impl World {
    pub(crate) fn new(model: &str, context_tokens: u64) -> Self {
        Self::with(&[], model, context_tokens)
    }

    /// One with these files of `config/`.
    pub(crate) fn with(files: &[(&str, &str)], model: &str, context_tokens: u64) -> Self {
        let policy = policy(files);
        let engine = Engine::new(Arc::clone(&policy), tools::specs());
        let name = ModelName::try_from(model.to_owned()).unwrap();
        let mut world = Self {
            engine,
            policy,
            now: Timestamp::from_ms(1_800_000_000_000),
            pause_ms: 5_000,
            turns: Vec::new(),
            runs: Vec::new(),
            messages: Vec::new(),
            ledger: Vec::new(),
            posts: Vec::new(),
            restored: false,
            model: Some(ModelInUse { name, context_tokens }),
        };
        world.step(Event::ModelChosen(world.model.clone()));
        let images = IMAGES.map(|name| Image { name: name.to_owned(), id: format!("sha256:{name}") });
        world.step(Event::Runner(FromRunner::Ready(Readiness { images: images.to_vec(), ..Readiness::default() })));
        world
    }

    pub(crate) fn person(&self, name: &str) -> Principal {
        self.policy.principal(name).unwrap()
    }

    pub(crate) fn step(&mut self, event: Event) -> Vec<Effect> {
        self.now = self.now.plus_ms(self.pause_ms);
        let step = self.engine.step(event, self.now);
        self.commit(&step.records);
        step.effects
    }

    fn keep(&mut self, record: Record) {
        match record {
            Record::Turn(turn) => replace(&mut self.turns, *turn, |one| one.turn.to_string()),
            Record::Run(run) => replace(&mut self.runs, *run, |one| one.run.to_string()),
            Record::Ledger(entry) => replace(&mut self.ledger, *entry, |one| one.call.to_string()),
            Record::Post(post) => replace(&mut self.posts, *post, |one| one.post.to_string()),
            Record::Message(message) => self.messages.push(message),
            _ => {}
        }
    }

    fn commit(&mut self, records: &[Record]) {
        let changes = records.iter().any(|record| !matches!(record, Record::Audit(_) | Record::Output(_)));
        let audited = records.iter().any(|record| matches!(record, Record::Audit(_)));
        assert!(audited || !changes, "a change without an audit entry: {records:?}");
        for record in records {
            self.keep(record.clone());
        }
    }

    pub(crate) fn say(&mut self, who: &str, text: &str) -> (TurnId, Vec<Effect>) {
        let turn = TurnId::derived("test", &format!("{} {}", self.turns.len(), who));
        let saying =
            Saying { turn: turn.clone(), caller: self.person(who), channel: Channel::Terminal, text: text.to_owned() };
        (turn, self.step(Event::Said(saying)))
    }

    pub(crate) fn reply(&mut self, call: &CallId, text: &str, calls: Vec<ToolCall>) -> Vec<Effect> {
        self.replied(call, (text, TokenUsage { input: 100, output: 10, ..TokenUsage::default() }), calls)
    }

    /// The model replies; this is what its provider counted.
    pub(crate) fn replied(
        &mut self,
        call: &CallId,
        (text, usage): (&str, TokenUsage),
        calls: Vec<ToolCall>,
    ) -> Vec<Effect> {
        let stop = if calls.is_empty() { ModelStop::End } else { ModelStop::Tools };
        let reply = ModelReply { text: text.to_owned(), calls: calls.clone(), stop, usage: Some(usage) };
        let calls = calls.into_iter().map(read).collect();
        self.step(Event::ModelReplied { call: call.clone(), reply: Box::new(reply), calls })
    }

    /// The core is killed and starts again from what was committed.
    pub(crate) fn crash(&mut self) -> Vec<Effect> {
        let open = |run: &&RunRecord| !matches!(run.state, RunState::Done { .. } | RunState::Refused { .. });
        let people = ["owner", "bob"].map(|name| self.person(name).person);
        let of = |person: &castoff::domain::ids::PersonId| {
            self.messages.iter().filter(|message| message.person == *person).cloned().collect::<Vec<_>>()
        };
        let past = Past {
            runs: self.runs.iter().filter(open).cloned().collect(),
            approvals: Vec::new(),
            turns: self.turns.iter().filter(|turn| !matches!(turn.state, TurnState::Done { .. })).cloned().collect(),
            conversations: people.into_iter().map(|person| (person.clone(), of(&person))).collect(),
            posts: self.posts.clone(),
            ledger: self.ledger.clone(),
            input: &|_| None,
            read: &read,
            model: self.model.clone(),
            learned: Vec::new(),
            daily_budgets: Vec::new(),
            restored: self.restored,
        };
        let (engine, mut step) = Engine::recover(Arc::clone(&self.policy), tools::specs(), past, self.now);
        self.engine = engine;
        // The core adds its own entry to the first transaction.
        step.records.retain(|record| !matches!(record, Record::Audit(_)));
        for record in step.records {
            self.keep(record);
        }
        step.effects
    }

    pub(crate) fn outcome(&self, turn: &TurnId) -> TurnOutcome {
        match &self.turns.iter().find(|one| one.turn == *turn).unwrap().state {
            TurnState::Done { outcome } => outcome.clone(),
            other => panic!("it is not over: {other:?}"),
        }
    }

    /// Plays the runner for the one run that is being planned: it prints `output` and ends with `code`.
    pub(crate) fn run_it(&mut self, effects: &[Effect], output: &str, code: u8) -> Vec<Effect> {
        self.run_and_change(effects, (output, code), Vec::new())
    }

    /// The same, with changes in `/work`.
    pub(crate) fn run_and_change(
        &mut self,
        effects: &[Effect],
        (output, code): (&str, u8),
        changes: Vec<Change>,
    ) -> Vec<Effect> {
        let run = surveyed(effects).expect("a run is being planned");
        let event = FromRunner::Surveyed { run: run.clone(), covers: Vec::new(), unusable: Vec::new() };
        let effects = self.step(Event::Runner(event));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Run { .. })), "{effects:?}");
        let bytes = ByteBuf::from(output.as_bytes().to_vec());
        self.step(Event::Runner(FromRunner::Output { run: run.clone(), stream: Stream::Stdout, bytes }));
        self.ends(&run, Ending::Exited { code }, changes)
    }

    /// A run is over, with these changes in `/work`.
    pub(crate) fn ends(&mut self, run: &RunId, ending: Ending, changes: Vec<Change>) -> Vec<Effect> {
        let end = RunEnd {
            ending,
            started: self.now,
            ended: self.now,
            enforced: None,
            usage: Usage::default(),
            changes: vec![ChangeSet { workspace: "/work".into(), changes, refused: Vec::new() }],
        };
        self.step(Event::Runner(FromRunner::Ended { run: run.clone(), end: Box::new(end) }))
    }
}

fn replace<T>(all: &mut Vec<T>, one: T, id: impl Fn(&T) -> String) {
    match all.iter_mut().find(|other| id(other) == id(&one)) {
        Some(other) => *other = one,
        None => all.push(one),
    }
}

pub(crate) fn called(effects: &[Effect]) -> &ModelRequest {
    let mut calls =
        effects.iter().filter_map(|effect| if let Effect::CallModel(call) = effect { Some(call) } else { None });
    let call = calls.next().unwrap_or_else(|| panic!("no model is called: {effects:?}"));
    assert!(calls.next().is_none(), "one call at a time");
    call
}

pub(crate) fn calls_model(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::CallModel(_)))
}

pub(crate) fn surveyed(effects: &[Effect]) -> Option<RunId> {
    effects.iter().find_map(|effect| match effect {
        Effect::Tell(ToRunner::Survey { run, .. }) => Some(run.clone()),
        _ => None,
    })
}

pub(crate) fn applies(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Tell(ToRunner::Apply { .. })))
}

pub(crate) fn exec(id: &str, command: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: "exec".to_owned(), arguments: json!({ "command": command }) }
}

pub(crate) fn results(request: &ModelRequest) -> Vec<(String, bool)> {
    let tool = |message: &ModelMessage| match message {
        ModelMessage::Tool { text, failed, .. } => Some((text.clone(), *failed)),
        _ => None,
    };
    request.messages.iter().filter_map(tool).collect()
}

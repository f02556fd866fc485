//! What turns cost beside the model: `cargo bench --bench turns`.
//!
//! The engine and the real store, a model that answers at once. Printed: our own time and commits a turn,
//! the disk's time for a commit, turns a second of 100 people at once, and the time to build the prompt
//! of a conversation of 10,000 messages: whole for a model that takes it, to its summary for one that does not.
//! Ends with 1 when a bound does not hold: 10 ms, 300 turns/s, 10 ms.
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a bench may fail loudly, and prints")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use castoff::config::load_policy;
use castoff::domain::ids::TurnId;
use castoff::domain::model::{ModelName, ModelReply, ModelRequest, ModelStop, TokenUsage};
use castoff::domain::record::Record;
use castoff::domain::time::Timestamp;
use castoff::domain::turn::{Body, Channel, Message};
use castoff::engine::{Called, Effect, Engine, Event, ModelInUse, Past, Saying, is_summary};
use castoff::policy::Policy;
use castoff::store::Store;

const PEOPLE: usize = 100;
const TURNS: usize = 300;
const MESSAGES: u64 = 10_000;
/// A usual context, and one that takes all those messages.
const CONTEXT_TOKENS: u64 = 200_000;
const CONTEXT_TOKENS_LARGE: u64 = 1_000_000;

struct Core {
    engine: Engine,
    policy: Arc<Policy>,
    store: Store,
    _dir: tempfile::TempDir,
    now: u64,
    steps: Duration,
    commits: Vec<Duration>,
}

impl Core {
    fn new(conversation: Vec<Message>, context_tokens: u64) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let people: Vec<String> = (0..PEOPLE)
            .map(|number| {
                format!("  - {{ id: p{number}, trust_level: trusted, telegram_id: \"{}\" }}\n", 1000 + number)
            })
            .collect();
        std::fs::write(dir.path().join("installation.yaml"), "uid: 1000\ngid: 1000\nhome: /home/user\n").unwrap();
        std::fs::write(dir.path().join("users.yaml"), format!("owner: {{ name: Ann }}\nusers:\n{}", people.concat()))
            .unwrap();
        let policy = Arc::new(load_policy(dir.path(), Path::new("/srv/castoff")).unwrap());
        let state = dir.path().join("core");
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
        let store = Store::open(&state).unwrap();
        let owner = policy.principal("owner").unwrap().person;
        let name = ModelName::try_from("ollama/bench".to_owned()).unwrap();
        let past = Past {
            runs: Vec::new(),
            approvals: Vec::new(),
            turns: Vec::new(),
            conversations: vec![(owner, conversation)],
            posts: Vec::new(),
            ledger: Vec::new(),
            input: &|_| None,
            read: &|call| Called { call, wanted: Err("nothing is called here".to_owned()) },
            model: Some(ModelInUse { name, context_tokens }),
            learned: Vec::new(),
            daily_budgets: Vec::new(),
            restored: false,
        };
        let (engine, _) = Engine::recover(Arc::clone(&policy), castoff::tools::specs(), past, Timestamp::from_ms(1));
        let now = 1_800_000_000_000;
        Self { engine, policy, store, _dir: dir, now, steps: Duration::ZERO, commits: Vec::new() }
    }

    /// Takes events as the core loop does: all records of all of them in one transaction.
    fn take(&mut self, events: Vec<Event>) -> Vec<ModelRequest> {
        let (mut records, mut calls): (Vec<Record>, Vec<ModelRequest>) = (Vec::new(), Vec::new());
        let began = Instant::now();
        for event in events {
            // People take their time, or they are told to.
            self.now += 5_000;
            let step = self.engine.step(event, Timestamp::from_ms(self.now));
            records.extend(step.records);
            calls.extend(
                step.effects
                    .into_iter()
                    .filter_map(|effect| if let Effect::CallModel(request) = effect { Some(*request) } else { None }),
            );
        }
        self.steps += began.elapsed();
        let began = Instant::now();
        self.store.commit(&records).unwrap();
        self.commits.push(began.elapsed());
        calls
    }

    fn said(&self, who: &str, number: usize) -> Event {
        let turn = TurnId::derived(who, &number.to_string());
        let caller = self.policy.principal(who).unwrap();
        Event::Said(Saying { turn, caller, channel: Channel::Terminal, text: "what is the time?".to_owned() })
    }
}

fn replied(request: ModelRequest) -> Event {
    let usage = TokenUsage { input: 900, output: 20, ..TokenUsage::default() };
    let reply =
        ModelReply { text: "Time for tea.".to_owned(), calls: Vec::new(), stop: ModelStop::End, usage: Some(usage) };
    Event::ModelReplied { call: request.call, reply: Box::new(reply), calls: Vec::new() }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn conversation(policy: &Policy) -> Vec<Message> {
    let person = policy.principal("owner").unwrap().person;
    let message = |number: u64| {
        let text = format!("message {number} of a long conversation about this and that, as people have them");
        let body =
            if number.is_multiple_of(2) { Body::Person { text } } else { Body::Model { text, calls: Vec::new() } };
        let turn = TurnId::derived("old", &(number / 2).to_string());
        Message { person: person.clone(), number, at: Timestamp::from_ms(number), turn, body }
    };
    (0..MESSAGES).map(message).collect()
}

fn main() -> ExitCode {
    let mut core = Core::new(Vec::new(), CONTEXT_TOKENS);
    let (mut own, mut before) = (Vec::new(), Duration::ZERO);
    for number in 0..TURNS {
        let said = core.said("owner", number);
        for request in core.take(vec![said]) {
            core.take(vec![replied(request)]);
        }
        own.push(core.steps - before);
        before = core.steps;
    }
    let commits = core.commits.len();
    let own = median(&mut own);
    println!(
        "one person, {TURNS} turns: own time {:.3} ms p50 a turn, {:.1} commits a turn, commit {:.3} ms p50",
        own.as_secs_f64() * 1e3,
        commits as f64 / TURNS as f64,
        median(&mut core.commits).as_secs_f64() * 1e3,
    );
    let mut fine = own <= Duration::from_millis(10);

    let mut core = Core::new(Vec::new(), CONTEXT_TOKENS);
    let began = Instant::now();
    let rounds = 10;
    for round in 0..rounds {
        let said = (0..PEOPLE).map(|person| core.said(&format!("p{person}"), round)).collect();
        let requests = core.take(said);
        assert_eq!(requests.len(), PEOPLE);
        core.take(requests.into_iter().map(replied).collect());
    }
    let turns = (PEOPLE * rounds) as f64 / began.elapsed().as_secs_f64();
    println!("{PEOPLE} people at once: {turns:.0} turns/s, disk included");
    fine &= turns >= 300.0;

    let conversation = conversation(&core.policy);
    for (context_tokens, summed_up) in [(CONTEXT_TOKENS_LARGE, false), (CONTEXT_TOKENS, true)] {
        let mut core = Core::new(conversation.clone(), context_tokens);
        let said = core.said("owner", 0);
        let requests = core.take(vec![said]);
        let [request] = requests.as_slice() else { panic!("{} calls", requests.len()) };
        assert_eq!(is_summary(request), summed_up);
        assert!(summed_up || request.messages.len() as u64 == MESSAGES + 1, "{}", request.messages.len());
        let to = if summed_up { "the call for its summary" } else { "its prompt" };
        println!("a conversation of {MESSAGES} messages: {:.3} ms to {to}", core.steps.as_secs_f64() * 1e3);
        fine &= core.steps <= Duration::from_millis(10);
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

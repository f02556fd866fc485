//! The `/`-commands of a chat: text in, text out.

mod decide;

use crate::chat::telegram::cards;
use crate::domain::ids::{RunId, TurnId};
use crate::domain::model::ModelRequest;
use crate::domain::money::Money;
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::RunRecord;
use crate::domain::script::Script;
use crate::engine::{Ask, BudgetView, Cap, Event, FreshIds};
use crate::model::Provider;
use crate::policy::{Parsed, ParsedTask};
use crate::runtime::clock;
use crate::runtime::handle::Handle;
use crate::runtime::rights;
use crate::runtime::settings::{self, Wish};
use crate::store::{Store, StoreError};

/// Runs that `/runs` lists.
const RUNS_SHOWN: usize = 10;
/// Characters of a script that a list shows.
const SCRIPT_SHOWN: usize = 60;
/// Output up to this many bytes is shown in the chat; longer output comes as a file.
const OUTPUT_SHOWN: usize = 3000;

/// The commands with what they do, as the client's menu shows them: for everybody, for people who may
/// run something, and for the owner.
const MENU: [(&str, &str, Trust); 14] = [
    ("help", "What can be done here", Trust::Limited),
    ("stop", "End what is under way", Trust::Limited),
    ("budget", "What was spent, and the caps", Trust::Limited),
    ("rights", "What you may do", Trust::Limited),
    ("run", "Run a command without the model", Trust::Trusted),
    ("runs", "The last runs", Trust::Trusted),
    ("log", "The output of a run", Trust::Trusted),
    ("diff", "What a run changed", Trust::Trusted),
    ("undo", "Take back what a run changed", Trust::Trusted),
    ("approvals", "Open questions", Trust::Trusted),
    ("model", "Which model, or another", Trust::Trusted),
    ("status", "How Castoff is doing", Trust::Trusted),
    ("apply", "Land held changes of a run", Trust::Trusted),
    ("drop", "Forget held changes of a run", Trust::Trusted),
];

/// What a command gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Markdown to show.
    Text(String),
    /// A file, with a line about it.
    File {
        /// The line.
        text: String,
        /// The file's name.
        name: String,
        /// What is in it.
        bytes: Vec<u8>,
    },
    /// A run was asked for; its cards follow.
    Run(RunId),
}

impl From<StoreError> for Answer {
    fn from(error: StoreError) -> Self {
        Self::Text(format!("it cannot be read: {error}"))
    }
}

/// Does what a line that begins with `/` says. `turn` is the id of the turn that a run of it belongs to,
/// `chat` where its cards go.
pub async fn command(handle: &Handle, caller: &Principal, line: &str, turn: TurnId, chat: i64) -> Answer {
    let (name, rest) = parts(line);
    let known = MENU.iter().find(|(command, _, _)| *command == name);
    if known.is_some_and(|(_, _, least)| caller.trust < *least) {
        return Answer::Text(format!("`/{name}` is not for {} people", caller.trust));
    }
    let answered = match name.as_str() {
        "help" | "start" => Ok(Answer::Text(help(caller))),
        "stop" => stop(handle, caller).await,
        "budget" => Ok(Answer::Text(budget(handle, caller))),
        "rights" => {
            rights::rights(&handle.view().policy, caller, rest).map(|rights| Answer::Text(literal(&rights.to_string())))
        }
        "run" => run(handle, caller, rest, (turn, chat)).await,
        "runs" => runs(handle, caller).await,
        "log" | "logs" => log(handle, caller, rest).await,
        "diff" => diff(handle, caller, rest).await,
        "undo" => decide::undo(handle, caller, rest).await,
        "apply" => decide::apply(handle, caller, rest).await,
        "drop" => decide::drop_changes(handle, caller, rest).await,
        "approvals" => approvals(handle, caller).await,
        "model" => model(handle, caller, rest).await,
        "status" => Ok(Answer::Text(status(handle))),
        other => Err(format!("there is no `/{other}`; /help lists what there is")),
    };
    answered.unwrap_or_else(Answer::Text)
}

/// Whether a line ends what is under way.
pub fn is_stop(line: &str) -> bool {
    line.starts_with('/') && parts(line).0 == "stop"
}

/// A command's name, and what stands behind it.
fn parts(line: &str) -> (String, &str) {
    let line = line.trim_start_matches('/');
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    // In a menu a command may carry the bot's name: `/runs@castoff_bot`.
    (name.split('@').next().unwrap_or_default().to_lowercase(), rest.trim())
}

/// The commands of people with this trust, with what they do.
pub fn menu(trust: Trust) -> Vec<(&'static str, &'static str)> {
    MENU.iter().filter(|(_, _, least)| trust >= *least).map(|(name, what, _)| (*name, *what)).collect()
}

fn help(caller: &Principal) -> String {
    let lines: Vec<String> = menu(caller.trust).iter().map(|(name, what)| format!("/{name} – {what}")).collect();
    format!("Just write what you want. Beside that:\n\n{}", lines.join("\n"))
}

async fn read<T: Send + 'static>(
    handle: &Handle,
    reading: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, String> {
    let store = handle.store();
    match tokio::task::spawn_blocking(move || reading(&store)).await {
        Ok(read) => read.map_err(|error| format!("it cannot be read: {error}")),
        Err(error) => Err(format!("reading failed: {error}")),
    }
}

/// The run that `id` (or its beginning) names, or the caller's last one.
async fn find(handle: &Handle, caller: &Principal, id: &str) -> Result<RunRecord, String> {
    let scope = (caller.trust != Trust::Owner).then(|| caller.person.clone());
    let own = caller.person.clone();
    let id = id.to_owned();
    let shown = id.clone();
    let mut found = read(handle, move |store| {
        if id.is_empty() {
            return store.runs(Some(&own), 1);
        }
        let mut records = Vec::new();
        for run in store.find_run(&id)? {
            records.extend(store.run(&run)?.filter(|run| scope.as_ref().is_none_or(|person| *person == run.person)));
        }
        Ok(records)
    })
    .await?;
    match (found.pop(), found.is_empty()) {
        (Some(record), true) => Ok(record),
        (Some(_), false) => Err(format!("more than one run begins with `{shown}`")),
        (None, _) if shown.is_empty() => Err("there is no run yet".to_owned()),
        (None, _) => Err(format!("there is no run `{shown}`; /runs lists them")),
    }
}

/// As [`find`], for its content.
async fn find_to_read(handle: &Handle, caller: &Principal, id: &str) -> Result<RunRecord, String> {
    let record = find(handle, caller, id).await?;
    if record.is_readable_by(caller) {
        return Ok(record);
    }
    Err(format!("this run is {}'s; the owner sees what it says only while he has to judge it", record.person))
}

async fn send(handle: &Handle, event: Event) -> Result<(), String> {
    if handle.send(event).await { Ok(()) } else { Err("Castoff is shutting down".to_owned()) }
}

async fn stop(handle: &Handle, caller: &Principal) -> Result<Answer, String> {
    send(handle, Event::AllStopAsked { by: caller.clone() }).await?;
    Ok(Answer::Text("stopped".to_owned()))
}

async fn run(handle: &Handle, caller: &Principal, text: &str, (turn, chat): (TurnId, i64)) -> Result<Answer, String> {
    if text.is_empty() {
        return Err("`/run COMMAND` runs a command, such as `/run ls -la`".to_owned());
    }
    let text = text.to_owned();
    let task = tokio::task::spawn_blocking(move || Script::new(text).and_then(Parsed::new).map(ParsedTask::Script))
        .await
        .map_err(|error| format!("parsing failed: {error}"))?
        .map_err(|error| error.to_string())?;
    let run = RunId::derived(turn.as_str(), "run");
    let ids = FreshIds::of_run(run.clone(), turn);
    let (caller, rights) = (caller.clone(), caller.clone());
    let ask = Ask { ids, caller, rights, task, stdin: None, workdir: None, review: None, yes: false };
    let mut news = handle.watch(&run);
    send(handle, Event::AskedIn { chat, ask: Box::new(ask) }).await?;
    // Taken only when it is on record.
    drop(news.recv().await);
    Ok(Answer::Run(run))
}

async fn runs(handle: &Handle, caller: &Principal) -> Result<Answer, String> {
    let scope = (caller.trust != Trust::Owner).then(|| caller.person.clone());
    let runs = read(handle, move |store| store.runs(scope.as_ref(), RUNS_SHOWN)).await?;
    if runs.is_empty() {
        return Ok(Answer::Text("no runs yet".to_owned()));
    }
    let lines: Vec<String> = runs.iter().map(|run| line_about(run, caller)).collect();
    Ok(Answer::Text(lines.join("\n")))
}

/// A run in a list, as far as the caller may see it.
fn line_about(run: &RunRecord, caller: &Principal) -> String {
    let run = if run.is_readable_by(caller) { run.clone() } else { run.clone().without_content() };
    let title: String = run.task.title().chars().take(SCRIPT_SHOWN).collect();
    format!("- `{}` {} – `{}`", run.run, cards::standing(&run), title.replace('`', "'"))
}

async fn log(handle: &Handle, caller: &Principal, id: &str) -> Result<Answer, String> {
    let record = find_to_read(handle, caller, id).await?;
    let run = record.run.clone();
    let pieces = read(handle, move |store| store.output(&run, 0)).await?;
    let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.parts).flat_map(|(_, bytes)| bytes).collect();
    let text = format!("`{}`: {}", record.run, cards::standing(&record));
    if bytes.is_empty() {
        return Ok(Answer::Text(format!("{text}, no output")));
    }
    if bytes.len() > OUTPUT_SHOWN {
        return Ok(Answer::File { text, name: format!("{}.txt", record.run), bytes });
    }
    Ok(Answer::Text(format!("{text}\n{}", fenced(&String::from_utf8_lossy(&bytes)))))
}

async fn diff(handle: &Handle, caller: &Principal, id: &str) -> Result<Answer, String> {
    let record = find_to_read(handle, caller, id).await?;
    if record.end.iter().flat_map(|end| &end.changes).all(|set| set.changes.is_empty()) {
        return Ok(Answer::Text(format!("`{}` changed nothing", record.run)));
    }
    let diff = handle.diff(&record.run).await?;
    if diff.len() > OUTPUT_SHOWN {
        let text = format!("what `{}` changed", record.run);
        return Ok(Answer::File { text, name: format!("{}.diff", record.run), bytes: diff.into_bytes() });
    }
    Ok(Answer::Text(fenced(&diff)))
}

/// A code block that the text cannot end.
fn fenced(text: &str) -> String {
    format!("```\n{}\n```", text.trim_end().replace("```", "'''"))
}

/// A text in which nothing but its lists is markup.
fn literal(text: &str) -> String {
    let mut literal = String::new();
    for character in text.chars() {
        if "\\`*_[]<>~|&#".contains(character) {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal
}

async fn approvals(handle: &Handle, caller: &Principal) -> Result<Answer, String> {
    let scope = (caller.trust != Trust::Owner).then(|| caller.person.clone());
    let open = read(handle, |store| store.approvals(true)).await?;
    let lines: Vec<String> = open
        .iter()
        .filter(|one| scope.as_ref().is_none_or(|person| *person == one.person))
        .map(|one| format!("- `{}` about `{}` of {}", one.approval, one.run, one.person))
        .collect();
    if lines.is_empty() {
        return Ok(Answer::Text("no open questions".to_owned()));
    }
    Ok(Answer::Text(lines.join("\n")))
}

async fn model(handle: &Handle, caller: &Principal, name: &str) -> Result<Answer, String> {
    if name.is_empty() {
        let model = handle.view().model;
        return Ok(Answer::Text(model.map_or_else(
            || "no model is set; everything but thinking works. `castoff setup` on the machine sets one".to_owned(),
            |model| format!("`{}` ({} tokens of context)", model.name, model.context_tokens),
        )));
    }
    if caller.trust != Trust::Owner {
        return Err("only the owner takes another model".to_owned());
    }
    let wish = Wish { model: Some(name.to_owned()), ..Wish::default() };
    let call =
        async |provider: Provider, trial: ModelRequest| settings::call(handle, caller.clone(), provider, trial).await;
    let mut said: Vec<String> = settings::notice(handle.models(), name).into_iter().collect();
    let tried = settings::try_out(handle.models(), wish, call).await?;
    settings::keep(handle, caller.clone(), tried.settings).await?;
    said.extend(tried.said);
    Ok(Answer::Text(said.join("\n")))
}

fn status(handle: &Handle) -> String {
    let view = handle.view();
    let runner = match &view.runner {
        None => "the runner is not connected".to_owned(),
        Some(runner) if runner.obstacles().next().is_none() => {
            let images: Vec<&str> = runner.images.iter().map(|image| image.name.as_str()).collect();
            format!("ready (images: {})", images.join(", "))
        }
        Some(runner) => runner.obstacles().collect::<Vec<_>>().join("; "),
    };
    let (live, queued) = view.load;
    let model = view.model.map_or_else(|| "none".to_owned(), |model| model.name.to_string());
    format!(
        "castoff {}\n- runner: {runner}\n- runs: {live} live, {queued} waiting\n- model: `{model}`",
        env!("CARGO_PKG_VERSION")
    )
}

fn budget(handle: &Handle, caller: &Principal) -> String {
    let person = (caller.trust != Trust::Owner).then_some(&caller.person);
    lines(&handle.view().budget.view(person, clock::now()))
}

/// What was spent, a line for each cap.
fn lines(view: &BudgetView) -> String {
    let mut text = String::new();
    for provider in &view.providers {
        text.push_str(&format!("**{}**\n", provider.provider));
        for window in &provider.windows {
            let what = match window.cap {
                Cap::Daily => "today".to_owned(),
                Cap::Monthly => "this month".to_owned(),
                Cap::PersonDaily => {
                    format!("{} today", window.person.as_ref().map_or("one person", |person| person.as_str()))
                }
                Cap::BackgroundDaily => "in the background today".to_owned(),
            };
            let limit = window.limit.map_or_else(|| "no cap".to_owned(), |limit| format!("of {limit}"));
            let held =
                if window.reserved > Money::ZERO { format!(", {} held", window.reserved) } else { String::new() };
            text.push_str(&format!("- {what}: {} {limit}{held}\n", window.spent));
        }
        if provider.counted_beyond {
            text.push_str("- it counted more than was reserved: not called any more today\n");
        }
    }
    if text.is_empty() { "nothing was spent yet".to_owned() } else { text }
}

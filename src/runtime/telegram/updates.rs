//! Updates: from whom, and what they set off.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::answers::{self, say};
use super::{Bot, Sent, always};
use crate::chat::telegram::{FileRef, Incoming, Message, Press, What};
use crate::crash::{self, Point};
use crate::domain::ids::{RunId, TurnId};
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{ApprovalRecord, ApprovalState, Outcome, RunRecord, RunState, SettingName, Subject};
use crate::domain::task::{FilePath, FileRequest};
use crate::domain::turn::Channel;
use crate::engine::post::answer_id;
use crate::engine::{Ask, Event, FreshIds, Saying};
use crate::policy::ParsedTask;
use crate::runtime::clock;
use crate::runtime::commands::{self, Answer};
use crate::runtime::handle::News;
use crate::runtime::settings;

/// Strangers that are put on record one by one.
const STRANGERS_MAX: usize = 1000;
/// Longest file that is taken.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// How long it may take until an answer counts, while everybody else waits.
const COUNT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long it may take until a file has landed.
const RECEIVE_TIME_MAX: Duration = Duration::from_secs(60);
/// What the owner reads first.
const PAIRED: &str =
    "You are the owner of this Castoff now. Write what you want; /help lists what there is beside that.";
/// Longest message of a person.
const TEXT_BYTES_MAX: usize = 128 * 1024;

/// Whom a lane has met since the bot began.
#[derive(Debug, Default)]
pub(super) struct Seen {
    strangers: BTreeSet<i64>,
    /// For what trust a person's menu was made.
    menus: BTreeMap<i64, Trust>,
}

/// Shows what people with this trust can do in the menu of one chat, or of all that have none.
pub(super) async fn set_menu(bot: &Bot, chat: Option<i64>, trust: Trust) {
    if let Err(error) = bot.telegram.set_commands(chat, &commands::menu(trust)).await {
        tracing::warn!("the menu of commands was not set: {error}");
    }
}

/// Takes one update: when this returns, what it led to is on record. `stop`: a later one says `/stop`.
pub(super) async fn take(bot: &Bot, update: Incoming, stop: &CancellationToken, seen: &mut Seen) {
    let Incoming { update, from, what } = update;
    let known = bot.principal(from).filter(|person| person.trust > Trust::Blocked);
    // The owner may send a code again, from the same account; nobody else who is listed.
    if let What::Message(message) = &what
        && known.as_ref().is_none_or(|person| person.trust == Trust::Owner)
    {
        match bot.handle.desk().take_code(message.text.trim(), from, clock::now()) {
            Sent::Code(by) => return paired(bot, by, (from, update), message.chat).await,
            Sent::Again => return,
            Sent::Other => {}
        }
    }
    let Some(person) = known else {
        // Once each: whoever is not on the list shall not fill the log either.
        if seen.strangers.len() < STRANGERS_MAX && seen.strangers.insert(from) {
            bot.send(Event::StrangerSeen { telegram_id: from }).await;
        }
        return;
    };
    match what {
        What::Message(message) => {
            crash::point(Point::UpdateNotCommitted);
            let (chat, trust) = (message.chat, person.trust);
            message_of(bot, person, update, message, stop).await;
            if seen.menus.insert(from, trust) != Some(trust) {
                set_menu(bot, Some(chat), trust).await;
            }
        }
        What::Press { id, chat, message, press } => pressed(bot, person, (&id, chat, message), press).await,
        What::Ignored { why } => tracing::debug!("an update is no work: {why:?}"),
    }
}

/// The owner's account is known now.
async fn paired(bot: &Bot, by: Principal, (from, update): (i64, i64), chat: i64) {
    // An update that comes again after a crash is no message to a model.
    let settings = vec![
        (SettingName::OwnerTelegramId, Some(from.to_string())),
        (SettingName::PairingUpdate, Some(update.to_string())),
    ];
    let said = match settings::keep(&bot.handle, by, settings).await {
        Ok(()) => PAIRED.to_owned(),
        Err(why) => why,
    };
    say(bot, chat, &said).await;
}

async fn message_of(bot: &Bot, person: Principal, update: i64, message: Message, stop: &CancellationToken) {
    let Message { chat, message: id, text, files, unread, .. } = message;
    let turn = TurnId::derived("telegram", &format!("{chat} {update}"));
    let known = turn.clone();
    let seen = bot.read(move |store| {
        let paired = store.setting(&SettingName::PairingUpdate)?.filter(|paired| *paired == update.to_string());
        let answered = store.post(&answer_id(chat, &known))?.map(drop);
        Ok(store.turn(&known)?.map(drop).or(paired.map(drop)).or(answered))
    });
    let seen = seen.await;
    if seen.is_some() {
        return;
    }
    if let Some(what) = unread {
        say(bot, chat, &format!("{what} cannot be taken; write it as text, or send it as a file")).await;
        return;
    }
    let Some(about_files) = receive_all(bot, &person, (&turn, chat), &files, stop).await else { return };
    let mut text = text.trim().to_owned();
    let is_command = text.starts_with('/');
    // A command is what its person wrote, and nothing else.
    if !is_command {
        text = format!("{text}{about_files}").trim().to_owned();
    }
    if text.is_empty() {
        return;
    }
    if is_command {
        if let Some(answer) = answers::in_time(bot, &person, text, turn.clone(), chat).await {
            answers::show(bot, &person, (turn, chat), answer).await;
        }
        return;
    }
    if text.len() > TEXT_BYTES_MAX {
        say(bot, chat, &format!("the message has more than {TEXT_BYTES_MAX} bytes; send less at once")).await;
        return;
    }
    let mut news = bot.handle.watch_turn(&turn);
    let typing = bot.telegram.typing(chat);
    let saying = Saying { turn, caller: person, channel: Channel::Telegram { chat, message: id }, text };
    let said = async {
        // Acknowledged to Telegram only when it is on record.
        if bot.handle.send(Event::Said(saying)).await {
            drop(news.recv().await);
            crash::point(Point::CommittedNotAnswered);
        }
    };
    let (typed, ()) = tokio::join!(typing, said);
    if let Err(error) = typed {
        tracing::debug!("typing was not shown: {error}");
    }
}

/// Puts the files of a message into the inbox, and returns what the model is told of them; `None` when one was not
/// taken, which its person is told.
async fn receive_all(
    bot: &Bot,
    person: &Principal,
    (turn, chat): (&TurnId, i64),
    files: &[FileRef],
    stop: &CancellationToken,
) -> Option<String> {
    let mut told = String::new();
    for (number, file) in files.iter().enumerate() {
        let received = tokio::select! {
            () = stop.cancelled() => Err("stopped".to_owned()),
            received = receive(bot, person, (turn, number, chat), file) => received,
        };
        match received {
            Ok(Received::As(path)) => told.push_str(&format!("\n\n[I sent you a file: {path}]")),
            Ok(Received::Later(why)) => {
                say(bot, chat, &format!("`{}` is not in the inbox yet: {why}", file.name)).await;
                told.push_str(&format!("\n\n[I sent you a file: {}. It is not in inbox/ yet: {why}]", file.name));
            }
            Err(why) => {
                say(bot, chat, &format!("`{}` was not taken: {why}", file.name)).await;
                return None;
            }
        }
    }
    Some(told)
}

/// What became of a file that was sent.
enum Received {
    /// It stands there.
    As(String),
    /// It will land by itself; what it waits for.
    Later(&'static str),
}

/// Puts a person's file into the inbox of their home, by a run like any other; returns what it is
/// called there. One whose run is on record, since Castoff was cut behind it, is not put there again.
async fn receive(
    bot: &Bot,
    person: &Principal,
    (turn, number, chat): (&TurnId, usize, i64),
    file: &FileRef,
) -> Result<Received, String> {
    let run = RunId::derived(turn.as_str(), &format!("file {number}"));
    let mut news = bot.handle.watch(&run);
    let about = run.clone();
    let known = bot.read(move |store| store.run(&about)).await;
    if let Some(received) = known.as_ref().and_then(received) {
        return received.map(Received::As);
    }
    if known.is_none() {
        ask_for(bot, person, (run.clone(), turn, chat), file).await?;
    }
    let over = async {
        while let Some(news) = news.recv().await {
            match news {
                News::Declined(why) => return Err(why),
                News::Record(record) => {
                    if let Some(received) = received(&record) {
                        return received;
                    }
                }
                News::Output(..)
                | News::Progress(_)
                | News::Turn(_)
                | News::Delta(_)
                | News::Posted(_)
                | News::Tried(_) => {}
            }
        }
        Err("Castoff is shutting down".to_owned())
    };
    // One person's file must not keep back what they send next.
    if let Ok(received) = tokio::time::timeout(RECEIVE_TIME_MAX, over).await {
        return received.map(Received::As);
    }
    let state = bot.read(move |store| store.run(&run)).await.map(|record| record.state);
    Ok(Received::Later(match state {
        Some(RunState::Queued) => "it lands when the command before it is over",
        Some(RunState::Asking { .. }) => "it lands when that is allowed",
        Some(_) | None => "it takes longer than usual; /runs says how it stands",
    }))
}

/// Fetches a file, and asks for the run that puts it into the inbox.
async fn ask_for(
    bot: &Bot,
    person: &Principal,
    (run, turn, chat): (RunId, &TurnId, i64),
    file: &FileRef,
) -> Result<(), String> {
    let most = bot.handle.view().policy.limits().stdin_bytes.min(FILE_BYTES_MAX);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let bytes = bot.telegram.download(file, most).await.map_err(|error| error.to_string())?;
    let path = FilePath::try_from(format!("inbox/{}", file.name)).map_err(|error| error.to_string())?;
    let ids = FreshIds::of_run(run, TurnId::derived(turn.as_str(), "files"));
    let (caller, rights, task) = (person.clone(), person.clone(), ParsedTask::File(FileRequest::Receive { path }));
    let ask = Ask { ids, caller, rights, task, stdin: Some(bytes), workdir: None, review: None, yes: false };
    bot.send(Event::AskedIn { chat, ask: Box::new(ask) }).await;
    Ok(())
}

/// Where the file of a run stands now, or why it does not; `None` while the run is under way.
fn received(record: &RunRecord) -> Option<Result<String, String>> {
    match &record.state {
        RunState::Refused { why } => Some(Err(why.clone())),
        RunState::Done { changes: Outcome::Applied } => {
            let changes = record.end.iter().flat_map(|end| &end.changes).flat_map(|set| &set.changes);
            let path = changes.map(|change| change.path.clone()).find(|path| path.starts_with("inbox/"));
            Some(path.ok_or_else(|| "it is not in the inbox".to_owned()))
        }
        RunState::Done { .. } | RunState::Held { .. } => Some(Err("it did not land; /runs says more".to_owned())),
        RunState::Planning
        | RunState::Asking { .. }
        | RunState::Queued
        | RunState::Running
        | RunState::Applying
        | RunState::Dropping
        | RunState::Undoing => None,
    }
}

/// A button was pressed.
async fn pressed(bot: &Bot, person: Principal, (id, chat, message): (&str, i64, i32), press: Press) {
    let answered = |text: String| async move {
        if let Err(error) = bot.telegram.answer_press(id, &text).await {
            tracing::debug!("a press was not answered: {error}");
        }
    };
    match press {
        Press::Yes(ref approval) | Press::No(ref approval) => {
            let (yes, approval) = (matches!(press, Press::Yes(_)), approval.clone());
            let about = approval.clone();
            let found = bot.read(move |store| store.approval(&about)).await;
            let about = approval.clone();
            let run = bot.read(move |store| store.run_of_approval(&about)).await;
            let own = found.as_ref().is_some_and(|one| one.person == person.person);
            let is_plan = found.as_ref().is_some_and(|one| matches!(one.subject, Subject::Plan { .. }));
            let named =
                is_plan && run.and_then(|run| run.verdict).is_some_and(|verdict| verdict.may_answer_own(&person));
            let why_not = why_not(found.as_ref(), own && (!yes || named), &person);
            let Some(found) = found.filter(|_| why_not.is_empty()) else { return answered(why_not.to_owned()).await };
            let mut news = bot.handle.watch(&found.run);
            bot.send(Event::Answered { approval, by: person, yes }).await;
            answered(String::new()).await;
            // Acknowledged to Telegram only when it counts, if that does not take long.
            drop(tokio::time::timeout(COUNT_TIME_MAX, news.recv()).await);
        }
        Press::Always(ref approval) | Press::Learn(ref approval) => {
            let about = approval.clone();
            let found = bot.read(move |store| store.approval(&about)).await;
            let why_not = why_not(found.as_ref(), false, &person);
            answered(why_not.to_owned()).await;
            if let Some(found) = found.filter(|_| why_not.is_empty()) {
                let saves = matches!(press, Press::Learn(_));
                always::answer(bot, person, (chat, message), (&found, saves)).await;
            }
        }
        Press::Log(ref run) | Press::Diff(ref run) => {
            answered(String::new()).await;
            let what = if matches!(press, Press::Log(_)) { "log" } else { "diff" };
            let (line, turn) = (format!("/{what} {run}"), TurnId::derived(id, what));
            if let Some(answer) = answers::in_time(bot, &person, line, turn.clone(), chat).await {
                answers::show(bot, &person, (turn, chat), answer).await;
            }
        }
        Press::Undo(run) => decide(bot, &person, (id, chat), &run, "undo").await,
        Press::Apply(run) => decide(bot, &person, (id, chat), &run, "apply").await,
        Press::Discard(run) => decide(bot, &person, (id, chat), &run, "drop").await,
    }
}

/// Why a person cannot answer a question; empty when they can. `own`: it is theirs, and a no, or a rule
/// lets them answer it.
fn why_not(found: Option<&ApprovalRecord>, own: bool, person: &Principal) -> &'static str {
    match found {
        None => "there is no such question",
        Some(one) if one.state != ApprovalState::Pending => "it is answered already",
        Some(_) if person.trust != Trust::Owner && !own => "only the owner may answer this",
        Some(_) => "",
    }
}

/// A decision about a run, by the button below its card, which shows what came of it by itself.
async fn decide(bot: &Bot, person: &Principal, (id, chat): (&str, i64), run: &RunId, what: &str) {
    let (line, turn) = (format!("/{what} {run}"), TurnId::derived(id, what));
    let answer = answers::in_time(bot, person, line, turn, chat).await;
    let text = if let Some(Answer::Text(text)) = answer { text } else { String::new() };
    if let Err(error) = bot.telegram.answer_press(id, &crate::chat::telegram::plain(&text)).await {
        tracing::debug!("a press was not answered: {error}");
    }
}

//! Updates: from whom, and what they set off.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Bot;
use crate::chat::telegram::{Incoming, Message, Outgoing, Press, TelegramError, What, cards};
use crate::domain::ids::{RunId, TurnId};
use crate::domain::principal::{Principal, Trust};
use crate::domain::record::{ApprovalState, SettingName};
use crate::domain::turn::Channel;
use crate::engine::{Event, Saying};
use crate::runtime::commands::{self, Answer};

/// How long one poll waits for an update.
const POLL_S: u32 = 50;
/// First pause after a poll that failed; doubled each time.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Strangers that are put on record one by one.
const STRANGERS_MAX: usize = 1000;
/// Longest message of a person.
const TEXT_BYTES_MAX: usize = 128 * 1024;

/// Takes updates as they come. An update is acknowledged by the poll after it, when what it led to is
/// on record; one that comes again is known by the id of its turn.
pub(super) async fn poll(bot: Bot, stop: &CancellationToken) {
    let (mut offset, mut pause, mut strangers) = (0, PAUSE_FIRST, BTreeSet::new());
    let menu: Vec<(&str, &str)> = commands::MENU.iter().map(|(name, what, _)| (*name, *what)).collect();
    if let Err(error) = bot.telegram.set_commands(&menu).await {
        tracing::warn!("the menu of commands was not set: {error}");
    }
    while !stop.is_cancelled() {
        let updates = tokio::select! {
            () = stop.cancelled() => return,
            updates = bot.telegram.updates(offset, POLL_S) => updates,
        };
        match updates {
            Ok(updates) => {
                pause = PAUSE_FIRST;
                for update in updates {
                    offset = update.update + 1;
                    take(&bot, update, &mut strangers).await;
                }
            }
            Err(error) => {
                tracing::warn!("no messages from Telegram: {error}");
                let wait = if let TelegramError::RetryAfter { seconds } = error {
                    Duration::from_secs(seconds)
                } else {
                    pause
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

async fn take(bot: &Bot, update: Incoming, strangers: &mut BTreeSet<i64>) {
    let Incoming { update, from, what } = update;
    let known = bot.principal(from).filter(|person| person.trust > Trust::Blocked);
    let Some(person) = known else {
        if let What::Message(message) = &what
            && let Some(by) = bot.handle.desk().take_code(message.text.trim(), from)
        {
            let settings = vec![(SettingName::OwnerTelegramId, Some(from.to_string()))];
            bot.send(Event::SettingsAsked { by, settings }).await;
            return;
        }
        // Once each: whoever is not on the list shall not fill the log either.
        if strangers.len() < STRANGERS_MAX && strangers.insert(from) {
            bot.send(Event::StrangerSeen { telegram_id: from }).await;
        }
        return;
    };
    match what {
        What::Message(message) => message_of(bot, person, update, message).await,
        What::Press { id, chat, message, press } => pressed(bot, person, (&id, chat, message), press).await,
        What::Ignored { why } => tracing::debug!("an update is no work: {why:?}"),
    }
}

async fn message_of(bot: &Bot, person: Principal, update: i64, message: Message) {
    let Message { chat, message: id, text, files, unread, .. } = message;
    let turn = TurnId::derived("telegram", &format!("{chat} {update}"));
    let (known, run) = (turn.clone(), RunId::derived(turn.as_str(), "run"));
    let seen = bot.read(move |store| Ok(store.turn(&known)?.map(drop).or(store.run(&run)?.map(drop)))).await;
    if seen.is_some() {
        return;
    }
    if !files.is_empty() || unread.is_some() {
        let what = unread.unwrap_or("files");
        say(bot, chat, &format!("{what} cannot be taken yet; write it as text")).await;
        return;
    }
    let text = text.trim().to_owned();
    if text.is_empty() {
        return;
    }
    if text.starts_with('/') {
        let answer = commands::command(&bot.handle, &person, &text, turn.clone(), chat).await;
        return show_answer(bot, chat, answer).await;
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
        }
    };
    let (typed, ()) = tokio::join!(typing, said);
    if let Err(error) = typed {
        tracing::debug!("typing was not shown: {error}");
    }
}

async fn say(bot: &Bot, chat: i64, text: &str) {
    send_all(bot, chat, cards::note(text)).await;
}

async fn send_all(bot: &Bot, chat: i64, messages: Vec<Outgoing>) {
    for message in messages {
        if let Err(error) = bot.telegram.send(chat, &message, None).await {
            tracing::warn!("an answer was not shown: {error}");
            return;
        }
    }
}

async fn show_answer(bot: &Bot, chat: i64, answer: Answer) {
    match answer {
        Answer::Text(text) => send_all(bot, chat, cards::reply(&text)).await,
        Answer::File { text, name, bytes } => {
            let html = crate::chat::telegram::render(&text).into_iter().next().unwrap_or_default();
            send_all(bot, chat, vec![Outgoing::document(&name, bytes, html)]).await;
        }
        // Its cards follow by themselves.
        Answer::Run(_) => {}
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
            let own = found.as_ref().is_some_and(|one| one.person == person.person);
            let why_not = match &found {
                None => "there is no such question",
                Some(one) if one.state != ApprovalState::Pending => "it is answered already",
                Some(_) if person.trust != Trust::Owner && (yes || !own) => "only the owner may answer this",
                Some(_) => "",
            };
            if why_not.is_empty() {
                bot.send(Event::Answered { approval, by: person, yes }).await;
            }
            answered(why_not.to_owned()).await;
        }
        Press::Log(run) => {
            answered(String::new()).await;
            let line = format!("/log {run}");
            show_answer(
                bot,
                chat,
                commands::command(&bot.handle, &person, &line, TurnId::derived(id, "log"), chat).await,
            )
            .await;
        }
        Press::Diff(run) => {
            answered(String::new()).await;
            let line = format!("/diff {run}");
            show_answer(
                bot,
                chat,
                commands::command(&bot.handle, &person, &line, TurnId::derived(id, "diff"), chat).await,
            )
            .await;
        }
        Press::Undo(run) => decide(bot, &person, (id, chat, message), &run, "undo").await,
        Press::Apply(run) => decide(bot, &person, (id, chat, message), &run, "apply").await,
        Press::Discard(run) => decide(bot, &person, (id, chat, message), &run, "drop").await,
    }
}

/// A decision about a run, by the button below its card; the card then shows what came of it.
async fn decide(bot: &Bot, person: &Principal, (id, chat, message): (&str, i64, i32), run: &RunId, what: &str) {
    let line = format!("/{what} {run}");
    let answer = commands::command(&bot.handle, person, &line, TurnId::derived(id, what), chat).await;
    let text = if let Answer::Text(text) = answer { text } else { String::new() };
    if let Err(error) = bot.telegram.answer_press(id, &crate::chat::telegram::plain(&text)).await {
        tracing::debug!("a press was not answered: {error}");
    }
    let id = run.clone();
    let Some(record) = bot.read(move |store| store.run(&id)).await else { return };
    if record.person != person.person && person.trust != Trust::Owner {
        return;
    }
    let card = bot.run_card(&record).await;
    if let Err(error) = bot.telegram.edit(chat, message, &card).await {
        tracing::warn!("a card was not shown anew: {error}");
    }
}

//! "Allow always" in a chat: the rule is shown word for word, and saved by a second tap.

use std::time::Duration;

use super::Bot;
use super::answers::{say, send_all};
use crate::chat::telegram::cards;
use crate::domain::principal::Principal;
use crate::domain::record::{ApprovalRecord, RunState};
use crate::engine::Event;
use crate::runtime::handle::News;

/// How long it may take until an answer counts.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Shows what "allow always" would cover, with a button that saves it; or saves it.
pub(super) async fn answer(
    bot: &Bot,
    by: Principal,
    (chat, message): (i64, i32),
    (approval, saves): (&ApprovalRecord, bool),
) {
    let id = approval.run.clone();
    let Some(run) = bot.read(move |store| store.run(&id)).await else { return };
    if !saves {
        let names = bot.names();
        return match cards::always(approval, &run, &names) {
            Some(card) => send_all(bot, chat, vec![card]).await,
            None => say(bot, chat, "this cannot be allowed always").await,
        };
    }
    let shown = run.verdict.map(|verdict| verdict.always).unwrap_or_default();
    let mut news = bot.handle.watch(&approval.run);
    bot.send(Event::AllowedAlways { approval: approval.approval.clone(), by, shown }).await;
    // The rule is saved with the yes, or not at all; the card above says which.
    let declined = async {
        while let Some(news) = news.recv().await {
            match news {
                News::Declined(why) => return why,
                News::Record(record) if !matches!(record.state, RunState::Asking { .. }) => return String::new(),
                News::Record(_)
                | News::Output(..)
                | News::Progress(_)
                | News::Turn(_)
                | News::Delta(_)
                | News::Posted(_)
                | News::Tried(_) => {}
            }
        }
        String::new()
    };
    let why = tokio::time::timeout(ANSWER_TIME_MAX, declined).await.unwrap_or_default();
    let text = if why.is_empty() { "answered; the card above says what became of it" } else { &why };
    let note = cards::note(text).into_iter().next().unwrap_or_default();
    if let Err(error) = bot.telegram.edit(chat, message, &note).await {
        tracing::debug!("a question was not shown anew: {error}");
    }
}

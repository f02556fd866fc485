//! Answers to commands, which become posts, and what is said in a chat beside posts: files, and words about what
//! cannot be taken. What was not sent is tried again, while others go on; beside posts it does not outlive the core.

use std::time::Duration;

use super::Bot;
use crate::chat::telegram::{Outgoing, SendError, TelegramError, cards, render};
use crate::domain::ids::TurnId;
use crate::domain::principal::Principal;
use crate::engine::Event;
use crate::engine::post::answer_id;
use crate::runtime::commands::{self, Answer};

/// First pause before another try; doubled each time.
pub(super) const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause before another try.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long a command keeps waiting what its person sends next.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);
/// What is said of one that takes longer.
const GOES_ON: &str = "this takes longer and goes on; what comes of it is shown here";
/// Tries of an answer.
const TRIES_MAX: u32 = 8;

/// What is to be done about a message that was not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It was not sent: again, so much later.
    Again(Duration),
    /// It may have been: again, so much later, saying so.
    Doubtful(Duration),
    /// It may have been, twice: no more.
    TwiceDoubtful,
    /// It never will be.
    Lost,
}

impl After {
    /// After this error; `said` when the message says already that it may be there.
    pub(super) fn of(error: &SendError, said: bool, pause: Duration) -> Self {
        match error {
            SendError::RetryAfter { seconds } => Self::Again(Duration::from_secs(*seconds)),
            SendError::Blocked { .. } => Self::Lost,
            SendError::NotSent(TelegramError::Refused { .. } | TelegramError::TooLarge { .. }) => {
                tracing::warn!("a message cannot be shown: {error}");
                Self::Lost
            }
            SendError::NotSent(_) => {
                tracing::warn!("a message was not shown: {error}");
                Self::Again(pause)
            }
            SendError::Unknown(_) if said => Self::TwiceDoubtful,
            SendError::Unknown(_) => Self::Doubtful(pause),
        }
    }
}

/// Says something, as it is.
pub(super) async fn say(bot: &Bot, chat: i64, text: &str) {
    send_all(bot, chat, cards::note(text)).await;
}

/// Shows what a command gave back; that it did is on record then, if it is a text.
pub(super) async fn show(bot: &Bot, person: &Principal, (turn, chat): (TurnId, i64), answer: Answer) {
    match answer {
        Answer::Text(text) => {
            let mut news = bot.handle.watch_post(&answer_id(chat, &turn));
            if bot.handle.send(Event::CommandAnswered { person: person.person.clone(), chat, turn, text }).await {
                drop(news.recv().await);
            }
        }
        Answer::File { text, name, bytes } => {
            let html = render(&text).into_iter().next().unwrap_or_default();
            send_all(bot, chat, vec![Outgoing::document(&name, bytes, html)]).await;
        }
        // Its cards follow by themselves.
        Answer::Run(_) => {}
    }
}

/// What a command gives back. Of one that takes long, as with the runner away, its person is told that it goes on,
/// and it is shown when it is there: what they send meanwhile is taken.
pub(super) async fn in_time(bot: &Bot, person: &Principal, line: String, turn: TurnId, chat: i64) -> Option<Answer> {
    let (at, by, of) = (bot.clone(), person.clone(), turn.clone());
    let mut answer = Box::pin(async move { commands::command(&at.handle, &by, &line, of, chat).await });
    if let Ok(answer) = tokio::time::timeout(COMMAND_TIME_MAX, &mut answer).await {
        return Some(answer);
    }
    say(bot, chat, GOES_ON).await;
    let (later, by) = (bot.clone(), person.clone());
    bot.until_ended(async move { show(&later, &by, (turn, chat), answer.await).await });
    None
}

/// Says all of these, one after the other.
pub(super) async fn send_all(bot: &Bot, chat: i64, messages: Vec<Outgoing>) {
    let mut left = messages.into_iter();
    while let Some(message) = left.next() {
        if let Err(error) = bot.telegram.send(chat, &message, None).await {
            // Others need not wait for this one.
            bot.until_ended(again(bot.clone(), chat, (message, error), left.collect()));
            return;
        }
    }
}

/// Sends a message again that was not sent, then the rest.
async fn again(bot: Bot, chat: i64, (mut message, mut error): (Outgoing, SendError), rest: Vec<Outgoing>) {
    let (mut said, mut pause, mut rest) = (false, RETRY_FIRST, rest.into_iter());
    for _ in 1..TRIES_MAX {
        let wait = match After::of(&error, said, pause) {
            After::Again(wait) => Some(wait),
            After::Doubtful(wait) => {
                (message, said) = (message.may_repeat(), true);
                Some(wait)
            }
            After::TwiceDoubtful => None,
            After::Lost => return,
        };
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(RETRY_MAX);
            if let Err(once_more) = bot.telegram.send(chat, &message, None).await {
                error = once_more;
                continue;
            }
        }
        loop {
            let Some(next) = rest.next() else { return };
            (message, said) = (next, false);
            match bot.telegram.send(chat, &message, None).await {
                Ok(_) => {}
                Err(another) => {
                    error = another;
                    break;
                }
            }
        }
    }
    tracing::warn!("an answer was not shown: {error}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_telegram_asks_for_is_kept_whole() {
        for seconds in [1, 60, 3600] {
            let after = After::of(&SendError::RetryAfter { seconds }, false, RETRY_FIRST);
            assert_eq!(after, After::Again(Duration::from_secs(seconds)));
        }
    }
}

//! What can go wrong with Telegram, in words for people. No error holds the bot's token.

/// A call that gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TelegramError {
    /// The token does not look like one.
    #[error("the bot token does not look like one: @BotFather gives it as `NUMBER:LETTERS`")]
    BadToken,
    /// The address of the Bot API cannot be used.
    #[error("the Bot API address cannot be used: {why}")]
    BadAddress {
        /// What is wrong with it.
        why: String,
    },
    /// 401, or 404 for the bot itself.
    #[error("Telegram does not know this bot token; @BotFather shows the right one (`/mybots`), or it was revoked")]
    WrongToken,
    /// 409: somebody else takes this bot's updates.
    #[error("somebody else takes this bot's messages: {why}; stop the other program, or make Castoff a bot of its own")]
    AnotherPoller {
        /// Telegram's words.
        why: String,
    },
    /// 429.
    #[error("Telegram asks to wait {seconds} s before the next request")]
    RetryAfter {
        /// How long.
        seconds: u64,
    },
    /// No connection was made.
    #[error("Telegram cannot be reached: {why}; check the network and the name resolution")]
    Unreachable {
        /// The cause.
        why: String,
    },
    /// The request went out, the answer did not come in time.
    #[error("Telegram did not answer in time")]
    Timeout,
    /// The connection broke while the request was on its way or the answer came.
    #[error("the connection to Telegram broke: {why}")]
    Broken {
        /// The cause.
        why: String,
    },
    /// 4xx.
    #[error("Telegram refused it ({code}): {why}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// Telegram's words.
        why: String,
    },
    /// 5xx.
    #[error("Telegram has a problem of its own (status {code}); it mostly passes by itself")]
    Server {
        /// The HTTP status.
        code: u16,
    },
    /// The answer is not what the Bot API promises.
    #[error("the answer is not one of the Bot API: {why}; check the Bot API address")]
    BadAnswer {
        /// What is wrong with it.
        why: String,
    },
    /// A file is larger than it may be.
    #[error("the file is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
}

/// A message that was not sent or edited, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It was not, for sure; it may be tried again unless Telegram refused it.
    #[error("{0}")]
    NotSent(#[source] TelegramError),
    /// Nobody knows: the request may have arrived.
    #[error("it may have been sent: {0}")]
    Unknown(#[source] TelegramError),
    /// It was not; to be tried again, not before this time is over.
    #[error("Telegram asks to wait {seconds} s before the next message")]
    RetryAfter {
        /// How long.
        seconds: u64,
    },
    /// It was not and never will be: the person blocked the bot, never started it, or is gone.
    #[error("the person does not take messages from this bot: {why}")]
    Blocked {
        /// Telegram's words.
        why: String,
    },
}

impl From<TelegramError> for SendError {
    fn from(error: TelegramError) -> Self {
        match error {
            TelegramError::RetryAfter { seconds } => Self::RetryAfter { seconds },
            TelegramError::Refused { code: 403, why } => Self::Blocked { why },
            TelegramError::BadToken
            | TelegramError::BadAddress { .. }
            | TelegramError::WrongToken
            | TelegramError::AnotherPoller { .. }
            | TelegramError::Unreachable { .. }
            | TelegramError::Refused { .. }
            | TelegramError::TooLarge { .. } => Self::NotSent(error),
            TelegramError::Timeout
            | TelegramError::Broken { .. }
            | TelegramError::Server { .. }
            | TelegramError::BadAnswer { .. } => Self::Unknown(error),
        }
    }
}

//! Requests to the Bot API. teloxide's own reads answers of any length, waits ten seconds after
//! every 5xx, and puts the token into its errors; so its types are used over this one instead.

use std::net::IpAddr;
use std::time::Duration;

use reqwest_teloxide::{Client, RequestBuilder, Response, Url, multipart, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::domain::text::visible;

use super::error::TelegramError;
use super::text::shortened;

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next request.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// Longest piece of an answer that stands in an error, in UTF-16 units.
const WHY_UNITS: usize = 300;
/// Longest wait that Telegram may ask for: a day.
const RETRY_SECONDS_MAX: u64 = 86_400;

/// The Bot API of one bot.
pub(super) struct Transport {
    client: Client,
    base: Url,
    token: SecretString,
}

/// How an answer may be: how long it may take, and its longest body in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) time_max: Duration,
    pub(super) bytes_max: usize,
}

#[derive(Deserialize)]
struct Answer<T> {
    ok: bool,
    result: Option<T>,
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
}

impl Transport {
    /// # Errors
    /// [`TelegramError::BadToken`] and [`TelegramError::BadAddress`].
    pub(super) fn new(token: SecretString, base: &str) -> Result<Self, TelegramError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_token = token.expose_secret().split_once(':').is_some_and(|(number, letters)| {
            let number_fits = (1..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
            number_fits && (20..=100).contains(&letters.len()) && letters.bytes().all(fits)
        });
        if !is_token {
            return Err(TelegramError::BadToken);
        }
        let base = checked(base)?;
        let client = teloxide::net::default_reqwest_settings()
            .connect_timeout(CONNECT_TIME_MAX)
            .pool_idle_timeout(IDLE_TIME_MAX)
            // The token stands in the address: it must not follow a redirect to somebody else.
            .redirect(redirect::Policy::none())
            .https_only(base.scheme() == "https")
            .build()
            .map_err(|error| TelegramError::BadAddress { why: causes(&error) })?;
        Ok(Self { client, base, token })
    }

    /// The address of the Bot API, without the token.
    pub(super) fn base(&self) -> &str {
        self.base.as_str()
    }

    /// The result of a method with these parameters.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        parameters: &impl serde::Serialize,
        bounds: Bounds,
    ) -> Result<T, TelegramError> {
        let address = self.address(&[&format!("bot{}", self.token.expose_secret()), method]);
        self.answer(self.client.post(address).json(parameters), bounds).await
    }

    /// The result of a method that takes a file.
    pub(super) async fn upload<T: DeserializeOwned>(
        &self,
        method: &str,
        form: multipart::Form,
        bounds: Bounds,
    ) -> Result<T, TelegramError> {
        let address = self.address(&[&format!("bot{}", self.token.expose_secret()), method]);
        self.answer(self.client.post(address).multipart(form), bounds).await
    }

    /// The bytes of a file whose path the Bot API gave.
    pub(super) async fn file(&self, path: &str, bounds: Bounds) -> Result<Vec<u8>, TelegramError> {
        let fits = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !path.split('/').all(fits) || path.len() > 1000 {
            return Err(TelegramError::BadAnswer { why: "the path of a file is no path".to_owned() });
        }
        let mut parts = vec!["file".to_owned(), format!("bot{}", self.token.expose_secret())];
        parts.extend(path.split('/').map(str::to_owned));
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let request = self.client.get(self.address(&parts)).timeout(bounds.time_max);
        let response = request.send().await.map_err(|error| self.failure(error))?;
        match response.status().as_u16() {
            200 => self.body(response, bounds.bytes_max).await,
            code => Err(self.refusal(code, None)),
        }
    }

    fn address(&self, parts: &[&str]) -> Url {
        let mut address = self.base.clone();
        // Never fails: `checked` took the base.
        if let Ok(mut segments) = address.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        address
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder, bounds: Bounds) -> Result<T, TelegramError> {
        let response = request.timeout(bounds.time_max).send().await.map_err(|error| self.failure(error))?;
        let code = response.status().as_u16();
        if code >= 500 {
            return Err(TelegramError::Server { code });
        }
        let body = match self.body(response, bounds.bytes_max).await {
            Err(TelegramError::TooLarge { bytes_max }) => {
                return Err(TelegramError::BadAnswer { why: format!("it is larger than {bytes_max} bytes") });
            }
            read => read?,
        };
        if code != 200 {
            return Err(self.refusal(code, serde_json::from_slice(&body).ok()));
        }
        let answer: Answer<T> = serde_json::from_slice(&body)
            .map_err(|error| TelegramError::BadAnswer { why: self.scrubbed(&error.to_string()) })?;
        match answer {
            Answer { ok: true, result: Some(result), .. } => Ok(result),
            Answer { ok: true, result: None, .. } => Err(TelegramError::BadAnswer { why: "no result".to_owned() }),
            Answer { ok: false, .. } => Err(TelegramError::BadAnswer { why: "a refusal with status 200".to_owned() }),
        }
    }

    async fn body(&self, mut response: Response, bytes_max: usize) -> Result<Vec<u8>, TelegramError> {
        let too_large = || TelegramError::TooLarge { bytes_max: bytes_max as u64 };
        if response.content_length().is_some_and(|length| length > bytes_max as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.failure(error))? {
            if body.len().saturating_add(piece.len()) > bytes_max {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn refusal(&self, code: u16, answer: Option<Answer<IgnoredAny>>) -> TelegramError {
        let (description, parameters) = answer.map_or((None, None), |answer| (answer.description, answer.parameters));
        let why = self.scrubbed(description.as_deref().unwrap_or("no reason was given"));
        match code {
            401 => TelegramError::WrongToken,
            // What is asked of an unknown bot is "Not Found", whatever it is.
            404 if why == "Not Found" => TelegramError::WrongToken,
            409 => TelegramError::AnotherPoller { why },
            429 => {
                let seconds = parameters.and_then(|parameters| parameters.retry_after).unwrap_or(1);
                TelegramError::RetryAfter { seconds: seconds.clamp(1, RETRY_SECONDS_MAX) }
            }
            400..500 => TelegramError::Refused { code, why },
            500.. => TelegramError::Server { code },
            _ => TelegramError::BadAnswer { why: format!("status {code}") },
        }
    }

    fn failure(&self, error: reqwest_teloxide::Error) -> TelegramError {
        let error = error.without_url();
        let why = self.scrubbed(&causes(&error));
        if error.is_connect() || error.is_builder() {
            TelegramError::Unreachable { why }
        } else if error.is_timeout() {
            TelegramError::Timeout
        } else {
            TelegramError::Broken { why }
        }
    }

    /// Text from outside for an error: short, visible, and without the token, even if the other side
    /// sent it back.
    fn scrubbed(&self, text: &str) -> String {
        let token = self.token.expose_secret();
        let secret = token.split_once(':').map_or(token, |(_, secret)| secret);
        let text = text.replace(token, "TOKEN").replace(secret, "TOKEN");
        shortened(&visible(&text).replace('\n', " "), WHY_UNITS)
    }
}

/// The error and what caused it, each once.
fn causes(error: &reqwest_teloxide::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// The base address: https, or http to this machine alone, since the token stands in every request.
fn checked(base: &str) -> Result<Url, TelegramError> {
    let bad = |why: &str| TelegramError::BadAddress { why: why.to_owned() };
    let base = Url::parse(base).map_err(|error| bad(&error.to_string()))?;
    if !base.username().is_empty() || base.password().is_some() || base.query().is_some() || base.fragment().is_some() {
        return Err(bad("it holds more than a host and a path"));
    }
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match base.scheme() {
        "https" => Ok(base),
        "http" if loopback => Ok(base),
        "http" => Err(bad("http would show the bot token to the network; use https, or a server on this machine")),
        _ => Err(bad("it is not https")),
    }
}

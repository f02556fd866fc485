//! The three files as they are written; turned into the policy's values by `build`. Unknown keys
//! are errors.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml::Spanned;

use crate::domain::plan::{Access, Review};
use crate::domain::principal::Trust;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tools {
    pub(super) exec: Option<Exec>,
    pub(super) require_approval: Vec<Spanned<String>>,
    pub(super) files: Option<Files>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Exec {
    pub(super) allow: Option<Vec<Spanned<Entry>>>,
    pub(super) deny: Vec<Spanned<Entry>>,
    pub(super) ask: Vec<Spanned<Entry>>,
    pub(super) require_approval: Vec<Spanned<String>>,
    pub(super) cannot_tell: Option<CannotTell>,
    pub(super) review: Option<Review>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CannotTell {
    Ask,
    Deny,
}

#[derive(Debug)]
pub(super) enum Entry {
    Text(String),
    Mapping(Box<RuleMap>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleMap {
    pub(super) run: String,
    #[serde(default)]
    pub(super) network: Option<Vec<String>>,
    #[serde(default)]
    pub(super) approval: Option<ApprovalWord>,
    #[serde(default)]
    pub(super) review: Option<Review>,
    #[serde(default)]
    pub(super) secrets: Vec<String>,
    #[serde(default)]
    pub(super) approvers: Vec<TextOrNumber>,
    #[serde(default)]
    pub(super) image: Option<String>,
    #[serde(default)]
    pub(super) why: Option<String>,
    #[serde(default)]
    pub(super) matches: Vec<String>,
    #[serde(default)]
    pub(super) misses: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ApprovalWord {
    Always,
    Never,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Files {
    pub(super) allowed_paths: Option<Vec<Spanned<PathEntry>>>,
    pub(super) denied_paths: Option<Vec<Spanned<String>>>,
}

#[derive(Debug)]
pub(super) enum PathEntry {
    Text(String),
    Mapping(PathMap),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PathMap {
    pub(super) path: String,
    #[serde(default)]
    pub(super) mode: Option<Access>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Users {
    pub(super) owner: Option<Spanned<PersonEntry>>,
    pub(super) users: Vec<Spanned<PersonEntry>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PersonEntry {
    pub(super) id: Option<Spanned<String>>,
    pub(super) telegram_id: Option<Spanned<TextOrNumber>>,
    pub(super) name: Option<Spanned<String>>,
    pub(super) trust_level: Option<Trust>,
    pub(super) local: Option<Vec<u32>>,
    pub(super) tools: Option<Vec<Spanned<String>>>,
    pub(super) files: Option<Files>,
}

#[derive(Debug, Clone)]
pub(super) enum TextOrNumber {
    Number(u64),
    Text(String),
}

impl TextOrNumber {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsFile {
    pub(super) time_zone: Option<Spanned<String>>,
    pub(super) runs: Runs,
    pub(super) rate_limits: BTreeMap<String, Spanned<RateLimit>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateLimit {
    pub(super) daily_budget: Option<Spanned<Amount>>,
    pub(super) monthly_cap: Option<Spanned<Amount>>,
    pub(super) per_user_daily: Option<Spanned<Amount>>,
    pub(super) background_daily: Option<Spanned<Amount>>,
    pub(super) alert_at: Option<Spanned<Amount>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PricesFile {
    pub(super) as_of: Option<Spanned<String>>,
    pub(super) prices: BTreeMap<String, Spanned<PriceEntry>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PriceEntry {
    pub(super) free: bool,
    pub(super) input: Option<Spanned<Amount>>,
    pub(super) output: Option<Spanned<Amount>>,
    pub(super) cache_read: Option<Spanned<Amount>>,
    pub(super) cache_write: Option<Spanned<Amount>>,
    pub(super) long: Option<LongEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LongEntry {
    pub(super) above: u64,
    pub(super) input: Spanned<Amount>,
    pub(super) output: Spanned<Amount>,
    #[serde(default)]
    pub(super) cache_read: Option<Spanned<Amount>>,
    #[serde(default)]
    pub(super) cache_write: Option<Spanned<Amount>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SettingsFile {
    pub(super) providers: BTreeMap<String, Spanned<ProviderEntry>>,
    pub(super) local_only: bool,
    pub(super) plain_http_hosts: Vec<Spanned<String>>,
    pub(super) telegram: TelegramEntry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProviderEntry {
    pub(super) kind: Option<ProviderKind>,
    pub(super) base_url: Option<Spanned<String>>,
    pub(super) free: Option<bool>,
}

/// Which interface a provider of models has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Anthropic's Messages.
    Anthropic,
    /// OpenAI's chat completions, which many other servers have too.
    Openai,
    /// Ollama's own.
    Ollama,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TelegramEntry {
    pub(super) base_url: Option<Spanned<String>>,
}

/// Values as people write them: `5m`, `1GiB`, `2`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Runs {
    pub(super) wall_time: Option<Spanned<TextOrNumber>>,
    pub(super) memory: Option<Spanned<TextOrNumber>>,
    pub(super) cpus: Option<Spanned<Amount>>,
    pub(super) pids: Option<u32>,
    pub(super) open_files: Option<u32>,
    pub(super) file_size: Option<Spanned<TextOrNumber>>,
    pub(super) output: Option<Spanned<TextOrNumber>>,
    pub(super) stdin: Option<Spanned<TextOrNumber>>,
    pub(super) disk: Option<Spanned<TextOrNumber>>,
    pub(super) disk_files: Option<u64>,
    pub(super) tmp: Option<Spanned<TextOrNumber>>,
}

#[derive(Debug, Clone)]
pub(super) enum Amount {
    Number(f64),
    Text(String),
}

impl Amount {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.trim().to_owned(),
        }
    }
}

//! `settings.yaml`: which model providers there are and where, and where Telegram is. Holds no keys;
//! those are sealed in the store.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_yaml::Spanned;

use crate::domain::address::{BaseUrl, Reach, is_private_host};
use crate::domain::model::ModelName;

use super::Files;
use super::errors::{LoadError, LoadErrors, Source};
use super::raw::{ProviderEntry, SettingsFile};
use super::rules::place;

pub use super::raw::ProviderKind;

const TELEGRAM: &str = "https://api.telegram.org";
const OLLAMA_ON_HOST: &str = "http://127.0.0.1:11434";
const OLLAMA_FROM_COMPOSE: &str = "http://host.docker.internal:11434";

/// Where the core runs: in Compose (`CASTOFF_RUNNER=external`) loopback is not the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// On the machine itself.
    Host,
    /// In a container.
    Compose,
}

/// What `settings.yaml` says, with the defaults for what it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// By name: `anthropic`, `openai`, `ollama`, and those of the file.
    pub providers: BTreeMap<String, Provider>,
    /// Whether models beyond this machine and its private network are refused.
    pub local_only: bool,
    /// The Bot API server.
    pub telegram: BaseUrl,
}

/// One provider of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Which interface it has.
    pub kind: ProviderKind,
    /// Where it is.
    pub base_url: BaseUrl,
    /// Whether it charges nothing. Prices that the owner gives its models come before this.
    pub free: bool,
}

/// Why a model cannot be used as the settings stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoProvider {
    /// There is no such provider.
    Unknown {
        /// The name.
        provider: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// It is on the internet, and `local_only` is set.
    NotLocal {
        /// The name.
        provider: String,
    },
}

impl fmt::Display for NoProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { provider, known } => write!(
                f,
                "there is no provider `{provider}`: there are {}\nhint: add it under `providers:` of config/settings.yaml",
                known.join(", ")
            ),
            Self::NotLocal { provider } => write!(
                f,
                "`{provider}` is on the internet, and `local_only: true` in config/settings.yaml refuses that\n\
                 hint: choose a local model such as `ollama/llama3.3`"
            ),
        }
    }
}

impl Settings {
    /// The provider of `model`.
    ///
    /// # Errors
    /// When there is none, or it may not be used.
    pub fn provider_of(&self, model: &ModelName) -> Result<&Provider, NoProvider> {
        let name = model.provider().to_owned();
        match self.providers.get(&name) {
            None => Err(NoProvider::Unknown { provider: name, known: self.providers.keys().cloned().collect() }),
            Some(found) if self.local_only && found.base_url.reach() == Reach::Internet => {
                Err(NoProvider::NotLocal { provider: name })
            }
            Some(found) => Ok(found),
        }
    }
}

/// The settings of `config_dir`; the defaults where it has no `settings.yaml`.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn load_settings(config_dir: &Path, surroundings: Surroundings) -> Result<Settings, LoadErrors> {
    let mut errors = Vec::new();
    let settings = settings(Files::In(config_dir), surroundings, &mut errors);
    errors.sort();
    settings.filter(|_| errors.is_empty()).ok_or(LoadErrors(errors))
}

/// The same; `None` only with an error.
pub(super) fn settings(files: Files<'_>, surroundings: Surroundings, errors: &mut Vec<LoadError>) -> Option<Settings> {
    let (source, file) = super::read::<SettingsFile>(files, "settings.yaml", errors);
    let mut hosts = Vec::new();
    for entry in &file.plain_http_hosts {
        if is_private_host(&entry.value) {
            hosts.push(entry.value.clone());
        } else {
            let message = format!("`{}` is no host of a private network", entry.value);
            let hint = "write a name or a private address alone, in small letters: `gpu.lan`, `192.168.1.5`";
            errors.push(source.error(place(entry), message, Some(hint)));
        }
    }
    let mut url = |text: &str, at: Option<(u64, u64)>| {
        let wrong =
            |bad: crate::domain::address::BadBaseUrl| errors.push(source.error(at, bad.message, Some(bad.hint)));
        BaseUrl::new(text, &hosts).map_err(wrong).ok()
    };
    let telegram = match &file.telegram.base_url {
        Some(entry) => url(&entry.value, place(entry)),
        None => url(TELEGRAM, None),
    };
    let mut providers = BTreeMap::new();
    for (name, (kind, text)) in built_in(surroundings) {
        if let Some(base_url) = url(text, None) {
            let provider = Provider { kind, base_url, free: kind == ProviderKind::Ollama };
            providers.insert(name.to_owned(), provider);
        }
    }
    for (name, entry) in &file.providers {
        let before = providers.remove(name);
        providers.extend(provider(name, entry, before, (&source, &hosts), errors).map(|made| (name.clone(), made)));
    }
    Some(Settings { providers, local_only: file.local_only, telegram: telegram? })
}

fn built_in(surroundings: Surroundings) -> [(&'static str, (ProviderKind, &'static str)); 3] {
    let ollama = match surroundings {
        Surroundings::Host => OLLAMA_ON_HOST,
        Surroundings::Compose => OLLAMA_FROM_COMPOSE,
    };
    [
        ("anthropic", (ProviderKind::Anthropic, "https://api.anthropic.com")),
        ("openai", (ProviderKind::Openai, "https://api.openai.com/v1")),
        ("ollama", (ProviderKind::Ollama, ollama)),
    ]
}

/// An entry of the file, over what is built in under its name.
fn provider(
    name: &str,
    entry: &Spanned<ProviderEntry>,
    before: Option<Provider>,
    around: (&Source, &[String]),
    errors: &mut Vec<LoadError>,
) -> Option<Provider> {
    let (source, hosts) = around;
    let mut wrong = |at, message: String, hint: &str| errors.push(source.error(at, message, Some(hint)));
    if ModelName::try_from(format!("{name}/model")).is_err() {
        wrong(place(entry), format!("`{name}` names no provider"), "use 1 to 32 of a-z, 0-9 and -");
        return None;
    }
    let Some(kind) = entry.value.kind.or_else(|| before.as_ref().map(|before| before.kind)) else {
        wrong(
            place(entry),
            format!("`{name}` has no `kind`"),
            "write `kind: openai` for a server that speaks OpenAI's interface, else `anthropic` or `ollama`",
        );
        return None;
    };
    let base_url = match &entry.value.base_url {
        Some(text) => {
            let made = BaseUrl::new(&text.value, hosts);
            made.map_err(|bad| wrong(place(text), bad.message, bad.hint)).ok()?
        }
        None => match before.filter(|before| before.kind == kind) {
            Some(before) => before.base_url,
            None => {
                wrong(
                    place(entry),
                    format!("`{name}` has no `base_url`"),
                    "write where it is: `base_url: https://HOST`",
                );
                return None;
            }
        },
    };
    Some(Provider { kind, base_url, free: entry.value.free.unwrap_or(kind == ProviderKind::Ollama) })
}

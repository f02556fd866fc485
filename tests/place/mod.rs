//! A Castoff with a Telegram bot and a model: the project's own Bot API server, and llmock.

#[path = "../botapi/mod.rs"]
#[expect(dead_code, reason = "what only the adapter's tests use")]
pub(crate) mod botapi;
#[path = "../models/python.rs"]
#[expect(dead_code, reason = "what only the providers' tests use")]
pub(crate) mod python;

use botapi::BotApi;
use python::Server;
use serde_json::{Value, json};

use crate::common::{Castoff, eventually};

pub(crate) const OWNER: i64 = 4_242;
pub(crate) const PARTNER: i64 = 5_151;
const PRICES: &str = "as_of: 2026-11-01\nprices:\n  mock/*: { input: 3, output: 15 }\n";

pub(crate) struct Place {
    pub(crate) castoff: Castoff,
    pub(crate) api: BotApi,
    server: Option<Server>,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// A model server that others wrote, and the base URL of its Anthropic side.
fn llmock() -> (Server, String) {
    let server = Server::start("llmock.main:app", &[("LLMOCK_RESPONSE_STYLE", "static")]);
    let url = format!("{}/anthropic", server.url);
    (server, url)
}

impl Place {
    /// With llmock and the bot, and the owner listed by his Telegram id.
    pub(crate) fn new() -> Self {
        let (server, url) = llmock();
        let place = Self::start(Some(server), &url, &usual(&format!(", telegram_id: \"{OWNER}\"")));
        place.set_bot();
        place
    }

    /// The same, but the model is at this base URL.
    pub(crate) fn thinking_at(url: &str) -> Self {
        Self::with(url, &usual(&format!(", telegram_id: \"{OWNER}\"")))
    }

    /// The same, with these files of `config/` for people, tools and limits.
    pub(crate) fn with(url: &str, files: &[(&str, String)]) -> Self {
        let place = Self::start(None, url, files);
        place.set_bot();
        place
    }

    /// With llmock, and neither a bot nor an owner in Telegram yet.
    pub(crate) fn unpaired() -> Self {
        let (server, url) = llmock();
        Self::start(Some(server), &url, &usual(""))
    }

    fn start(server: Option<Server>, model: &str, files: &[(&str, String)]) -> Self {
        let api = BotApi::start();
        let settings = format!(
            "providers:\n  mock: {{ kind: anthropic, base_url: \"{model}\" }}\ntelegram: {{ base_url: \"{}\" }}\n",
            api.url()
        );
        let mut all = vec![("settings.yaml", settings.as_str()), ("prices.yaml", PRICES)];
        all.extend(files.iter().map(|(name, text)| (*name, text.as_str())));
        let castoff = Castoff::start(&all);
        castoff::model::client(castoff::model::ClientRules::default()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let place = Self { castoff, api, server, http: reqwest::Client::new(), runtime };
        place.sets(&["config", "--model", "mock/model-x", "--api-key", "-"], "sk-test-0123456789");
        place
    }

    fn set_bot(&self) {
        self.sets(&["setup", "--telegram-token", "-"], self.api.token());
        self.api.until_polled();
    }

    fn sets(&self, flags: &[&str], secret: &str) {
        self.castoff.begin_in(self.castoff.root(), flags, secret.as_bytes()).finish().ended(0);
    }

    fn llmock(&self, path: &str) -> String {
        format!("{}/_llmock/{path}", self.server.as_ref().expect("its model is llmock").url)
    }

    /// Kills the core as a crash would, and starts it again.
    pub(crate) fn crash_and_serve(&self) {
        self.castoff.crash();
        self.castoff.serve();
        self.api.until_polled();
    }

    /// Returns once every update was taken.
    pub(crate) fn all_taken(&self) {
        eventually("all updates are taken", || (self.api.unacknowledged() == 0).then_some(()));
    }

    /// What the model has cost today, in millionths of a dollar, with what is held for calls under way.
    pub(crate) fn spent_micros(&self) -> u64 {
        let budget: Value = serde_json::from_str(&self.castoff.castoff(&["budget", "--json"]).ended(0).stdout).unwrap();
        let providers = budget["providers"].as_array().unwrap();
        let mock = providers.iter().find(|one| one["provider"] == "mock").unwrap_or_else(|| panic!("{budget:#}"));
        let daily = &mock["windows"][0];
        daily["spent_micro_usd"].as_u64().unwrap() + daily["reserved_micro_usd"].as_u64().unwrap()
    }

    pub(crate) fn script(&self, behaviors: &Value) {
        let url = self.llmock("scenario");
        let sent = self.http.post(url).json(&json!({ "behaviors": behaviors })).send();
        let answer = self.runtime.block_on(sent).unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// What the model was asked so far.
    pub(crate) fn asked(&self) -> Value {
        let url = self.llmock("requests");
        self.runtime.block_on(async { self.http.get(url).send().await.unwrap().json().await.unwrap() })
    }

    pub(crate) fn model_calls(&self) -> u64 {
        self.asked()["count"].as_u64().unwrap()
    }

    /// Waits until the person's screen has all of these.
    pub(crate) fn sees(&self, person: i64, texts: &[&str]) -> String {
        eventually(&format!("{person} sees {texts:?}"), || {
            let screen = self.api.screen(person);
            texts.iter().all(|text| screen.contains(text)).then_some(screen)
        })
    }

    /// Waits for a message with this button, and presses it.
    pub(crate) fn presses(&self, person: i64, button: &str) {
        let message = self.api.until(button, person, |shown| {
            let has = |one: &&botapi::Shown| one.keyboard.iter().flatten().any(|(text, _)| text == button);
            shown.iter().rev().find(has).map(|one| one.id)
        });
        self.api.press(person, message, button);
    }
}

/// People and tools of most tests; `owner` is what the list says of the owner's Telegram.
fn usual(owner: &str) -> Vec<(&'static str, String)> {
    let users = format!(
        "owner: {{ name: Ann{owner} }}\nusers:\n  - {{ id: ben, name: Ben, trust_level: trusted, \
         telegram_id: \"{PARTNER}\" }}\n  - {{ id: bad, name: Bad, trust_level: blocked, telegram_id: \"777\" }}\n"
    );
    let tools = "require_approval: [\"git\"]\nfiles: { allowed_paths: [\"WORK\"] }\n".to_owned();
    vec![("users.yaml", users), ("tools.yaml", tools)]
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for person in [OWNER, PARTNER] {
                eprintln!("the screen of {person}:\n{}", self.api.screen(person));
            }
        }
    }
}

pub(crate) fn exec(text: &str, command: &str) -> Value {
    json!({ "type": "reply", "text": text, "tool_calls": [{ "name": "exec", "arguments": { "command": command } }] })
}

pub(crate) fn reply(text: &str) -> Value {
    json!({ "type": "reply", "text": text })
}

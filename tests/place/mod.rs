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
    server: Server,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    pub(crate) fn new() -> Self {
        let api = BotApi::start();
        let server = Server::start("llmock.main:app", &[("LLMOCK_RESPONSE_STYLE", "static")]);
        let settings = format!(
            "providers:\n  mock: {{ kind: anthropic, base_url: \"{}/anthropic\" }}\ntelegram: {{ base_url: \"{}\" }}\n",
            server.url,
            api.url()
        );
        let users = format!(
            "owner: {{ name: Ann, telegram_id: \"{OWNER}\" }}\nusers:\n  - {{ id: ben, name: Ben, trust_level: trusted, \
             telegram_id: \"{PARTNER}\" }}\n  - {{ id: bad, name: Bad, trust_level: blocked, telegram_id: \"777\" }}\n"
        );
        let castoff = Castoff::start(&[
            ("settings.yaml", &settings),
            ("prices.yaml", PRICES),
            ("users.yaml", &users),
            ("tools.yaml", "require_approval: [\"delete\", \"git\"]\nfiles: { allowed_paths: [\"WORK\"] }\n"),
        ]);
        castoff::model::client(castoff::model::ClientRules::default()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let place = Self { castoff, api, server, http: reqwest::Client::new(), runtime };
        let root = place.castoff.root();
        let set = |flags: &[&str], secret: &str| {
            place.castoff.begin_in(root, flags, secret.as_bytes()).finish().ended(0);
        };
        set(&["config", "--model", "mock/model-x", "--api-key", "-"], "sk-test-0123456789");
        set(&["setup", "--telegram-token", "-"], place.api.token());
        place.api.until_polled();
        place
    }

    pub(crate) fn script(&self, behaviors: &Value) {
        let url = format!("{}/_llmock/scenario", self.server.url);
        let sent = self.http.post(url).json(&json!({ "behaviors": behaviors })).send();
        let answer = self.runtime.block_on(sent).unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    pub(crate) fn model_calls(&self) -> u64 {
        let url = format!("{}/_llmock/requests", self.server.url);
        let asked: Value =
            self.runtime.block_on(async { self.http.get(url).send().await.unwrap().json().await.unwrap() });
        asked["count"].as_u64().unwrap()
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

pub(crate) fn exec(text: &str, command: &str) -> Value {
    json!({ "type": "reply", "text": text, "tool_calls": [{ "name": "exec", "arguments": { "command": command } }] })
}

pub(crate) fn reply(text: &str) -> Value {
    json!({ "type": "reply", "text": text })
}

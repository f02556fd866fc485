//! A Telegram conversation from end to end: the real program, the real engine, the project's own Bot API
//! server (whose judges are TDLib, the Bot API's description and a second client), and a model server
//! that others wrote. A story each.
#![cfg(test)]

#[path = "botapi/mod.rs"]
#[expect(dead_code, reason = "what only the adapter's tests use")]
mod botapi;
#[expect(dead_code, reason = "what only other stories use")]
mod common;
#[path = "models/python.rs"]
#[expect(dead_code, reason = "what only the providers' tests use")]
mod python;

use std::fs;

use botapi::BotApi;
use common::{Castoff, eventually};
use python::Server;
use serde_json::{Value, json};

const OWNER: i64 = 4_242;
const PARTNER: i64 = 5_151;
const STRANGER: i64 = 6_666;
const PRICES: &str = "as_of: 2026-11-01\nprices:\n  mock/*: { input: 3, output: 15 }\n";

struct Place {
    castoff: Castoff,
    api: BotApi,
    server: Server,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    fn new() -> Self {
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

    fn script(&self, behaviors: &Value) {
        let url = format!("{}/_llmock/scenario", self.server.url);
        let sent = self.http.post(url).json(&json!({ "behaviors": behaviors })).send();
        let answer = self.runtime.block_on(sent).unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    fn model_calls(&self) -> u64 {
        let url = format!("{}/_llmock/requests", self.server.url);
        let asked: Value =
            self.runtime.block_on(async { self.http.get(url).send().await.unwrap().json().await.unwrap() });
        asked["count"].as_u64().unwrap()
    }

    /// Waits until the person's screen has all of these.
    fn sees(&self, person: i64, texts: &[&str]) -> String {
        eventually(&format!("{person} sees {texts:?}"), || {
            let screen = self.api.screen(person);
            texts.iter().all(|text| screen.contains(text)).then_some(screen)
        })
    }

    /// Waits for a message with this button, and presses it.
    fn presses(&self, person: i64, button: &str) {
        let message = self.api.until(button, person, |shown| {
            let has = |one: &&botapi::Shown| one.keyboard.iter().flatten().any(|(text, _)| text == button);
            shown.iter().rev().find(has).map(|one| one.id)
        });
        self.api.press(person, message, button);
    }
}

fn exec(text: &str, command: &str) -> Value {
    json!({ "type": "reply", "text": text, "tool_calls": [{ "name": "exec", "arguments": { "command": command } }] })
}

fn reply(text: &str) -> Value {
    json!({ "type": "reply", "text": text })
}

#[test]
fn a_conversation_with_an_approval_a_refusal_a_diff_and_an_undo() {
    let place = Place::new();
    place.script(&json!([
        exec("I make it.", "echo hello > a.txt"),
        exec("", "nmap localhost"),
        exec("", "git --version"),
        reply("**Done**: `a.txt` is there & <fine>."),
    ]));
    place.api.say(OWNER, "make a.txt");
    // The whole plan is on the card, and nothing runs before the answer.
    let screen = place.sees(OWNER, &["git --version", "Allow once", "Refuse", "a.txt"]);
    assert!(!screen.contains("Done"), "{screen}");
    place.presses(OWNER, "Allow once");
    let screen = place.sees(OWNER, &["Done: a.txt is there & <fine>.", "by Ann"]);
    assert!(!screen.contains("Allow once"), "an answered card has no buttons:\n{screen}");
    let file = place.castoff.own().join("a.txt");
    assert_eq!(fs::read_to_string(&file).unwrap(), "hello\n");
    // The run card: diff, then undo.
    place.presses(OWNER, "Diff");
    place.sees(OWNER, &["+hello"]);
    place.presses(OWNER, "Undo");
    eventually("the file is gone", || (!file.exists()).then_some(()));
    place.sees(OWNER, &["taken back"]);
    assert!(place.api.typing(OWNER) > 0);
    // The same conversation goes on at the terminal.
    place.script(&json!([reply("As I said in Telegram.")]));
    let answer = place.castoff.run_in(place.castoff.root(), &["chat", "and?"]).ended(0);
    assert_eq!(answer.stdout, "As I said in Telegram.\n");
    println!("{}", place.api.screen(OWNER));
}

#[test]
fn strangers_and_blocked_people_get_nothing_and_are_on_record() {
    let place = Place::new();
    let calls = place.model_calls();
    for text in ["hello", "/run ls", "/start"] {
        place.api.say(STRANGER, text);
        place.api.say(777, text);
    }
    eventually("all updates are taken", || (place.api.unacknowledged() == 0).then_some(()));
    place.script(&json!([reply("Hello Ann.")]));
    place.api.say(OWNER, "hello");
    place.sees(OWNER, &["Hello Ann."]);
    for person in [STRANGER, 777] {
        assert_eq!(place.api.chat(person).iter().filter(|one| one.by_bot).count(), 0, "{person} got an answer");
        assert_eq!(place.api.typing(person), 0);
    }
    assert_eq!(place.model_calls(), calls + 1);
    let audit = place.castoff.castoff(&["audit", "list"]).ended(0);
    assert!(audit.stdout.contains("telegram.stranger") && audit.stdout.contains("6666"), "{}", audit.stdout);
}

#[test]
fn only_the_owner_grants_and_a_question_outlives_a_restart() {
    let place = Place::new();
    // A bot can write to nobody who has not written to it.
    place.api.say(OWNER, "/status");
    place.sees(OWNER, &["runner: ready"]);
    place.script(&json!([exec("", "git --version"), reply("It is git.")]));
    place.api.say(PARTNER, "which git?");
    place.sees(OWNER, &["git --version", "Allow once", "Ben"]);
    // A button of somebody else's chat does nothing for whoever sends its data.
    let card = place.api.until("the card", OWNER, |shown| {
        shown.iter().rev().find(|one| !one.keyboard.is_empty()).map(|one| (one.id, one.keyboard[0][0].1.clone()))
    });
    place.api.press_data(PARTNER, (OWNER, card.0), &card.1);
    eventually("the press is taken", || (place.api.unacknowledged() == 0).then_some(()));
    assert!(place.api.screen(OWNER).contains("Allow once"), "a partner granted his own wish");
    place.castoff.crash();
    place.castoff.serve();
    place.api.until_polled();
    place.presses(OWNER, "Allow once");
    place.sees(PARTNER, &["It is git."]);
    assert!(!place.api.screen(OWNER).contains("It is git."), "the owner saw another's reply");
}

#[test]
fn commands_work_without_the_model() {
    let place = Place::new();
    let calls = place.model_calls();
    place.api.say(OWNER, "/run echo from the chat");
    place.sees(OWNER, &["echo from the chat", "exit 0"]);
    place.presses(OWNER, "Log");
    place.sees(OWNER, &["from the chat\n"]);
    place.api.say(OWNER, "/run nmap localhost");
    place.sees(OWNER, &["nmap", "refused"]);
    for (command, text) in [
        ("/runs", "echo from the chat"),
        ("/budget", "nothing was spent"),
        ("/status", "runner: ready"),
        ("/model", "mock/model-x"),
        ("/approvals", "no open questions"),
        ("/help", "/undo"),
        ("/nonsense", "there is no /nonsense"),
    ] {
        place.api.say(OWNER, command);
        place.sees(OWNER, &[text]);
    }
    assert_eq!(place.model_calls(), calls);
    assert!(place.api.commands().iter().any(|(name, _)| name == "undo"), "{:?}", place.api.commands());
}

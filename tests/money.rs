//! Claims about money: the files that say what may be spent and what it costs, and what a budget says.
//! That spend never passes a cap is promise 9.
#![cfg(test)]

use std::path::Path;
use std::sync::Arc;

use castoff::config::{LoadErrors, ProviderKind, Settings, Surroundings, load_policy, load_settings};
use castoff::domain::address::Reach;
use castoff::domain::ids::{CallId, PersonId, TurnId};
use castoff::domain::model::{ModelName, TokenUsage};
use castoff::domain::money::{Caps, LedgerEntry, Money, Price, Terms};
use castoff::domain::time::Timestamp;
use castoff::engine::{Budget, Cap, Need, NoMoney, PROMPT_TOKENS_ADDED, Recovered, Reserved};
use castoff::policy::Policy;

fn dollars(text: &str) -> Money {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    Money::from_micros(format!("{whole}{part:0<6}").parse().unwrap())
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn policy(files: &[(&str, &str)]) -> Result<Policy, LoadErrors> {
    load_policy(directory(files).path(), Path::new("/srv/castoff"))
}

fn settings(text: &str) -> Result<Settings, LoadErrors> {
    load_settings(directory(&[("settings.yaml", text)]).path(), Surroundings::Host)
}

fn model(name: &str) -> ModelName {
    ModelName::try_from(name.to_owned()).unwrap()
}

fn price_of(policy: &Policy, name: &str) -> Option<Price> {
    policy.terms().price_of(&model(name))
}

fn rate(input: &str, output: &str, cache_read: &str, cache_write: &str) -> Price {
    let [input, output, cache_read, cache_write] = [input, output, cache_read, cache_write].map(dollars);
    Price { input, output, cache_read, cache_write, long: None }
}

#[test]
fn limits_as_people_write_them_become_caps() {
    let caps = |text: &str| policy(&[("limits.yaml", text)]).unwrap().terms().caps_of("x");
    let made = |daily: Option<&str>, monthly: Option<&str>, person: Option<&str>, background: &str, percent| Caps {
        daily: daily.map(dollars),
        monthly: monthly.map(dollars),
        per_person_daily: person.map(dollars),
        background_daily: Some(dollars(background)),
        alert_percent: percent,
    };
    for (text, found) in [
        ("", made(Some("1"), None, None, "0.1", 80)),
        ("rate_limits: { x: {} }", made(Some("1"), None, None, "0.1", 80)),
        ("rate_limits: { x: { alert_at: 50 } }", made(Some("1"), None, None, "0.1", 50)),
        (
            "rate_limits: { x: { daily_budget: \"$5.00\", monthly_cap: 50, per_user_daily: 2.5, alert_at: \"90%\" } }",
            made(Some("5"), Some("50"), Some("2.5"), "0.5", 90),
        ),
        ("rate_limits: { x: { monthly_cap: 30 } }", made(None, Some("30"), None, "0.1", 80)),
        ("rate_limits: { x: { per_user_daily: 2 } }", made(None, None, Some("2"), "0.2", 80)),
        ("rate_limits: { x: { daily_budget: 0 } }", made(Some("0"), None, None, "0", 80)),
        (
            "rate_limits: { x: { daily_budget: 5, background_daily: 5, per_user_daily: 5 } }",
            made(Some("5"), None, Some("5"), "5", 80),
        ),
    ] {
        assert_eq!(caps(text), found, "{text}");
    }
}

#[test]
fn a_mistake_in_the_limits_is_shown_where_it_stands() {
    let message = |text: &str| policy(&[("limits.yaml", text)]).unwrap_err().to_string();
    for (text, wrong) in [
        ("rate_limits:\n  x:\n    daily_budget: \"5 €\"\n", "limits.yaml:3:19: `5 €` is not an amount"),
        ("rate_limits:\n  x: { daily_budget: -1 }\n", "limits.yaml:2:22: `-1` is not an amount"),
        ("rate_limits: { x: { daily_budget: 0.0000001 } }", "is not an amount"),
        ("rate_limits: { x: { alert_at: \"120%\" } }", "`120%` is not an amount"),
        ("rate_limits: { x: { weekly: 1 } }", "there is no key `weekly` here"),
        ("rate_limits: { X Y: { daily_budget: 1 } }", "`X Y` names no provider"),
        ("time_zone: Europe/Berln\n", "limits.yaml:1:12: `Europe/Berln` is no time zone"),
        (
            "rate_limits:\n  x:\n    daily_budget: $5\n    per_user_daily: $6\n",
            "limits.yaml:4:21: `per_user_daily` ($6.00) can never matter: `daily_budget` ($5.00) is reached before it",
        ),
        (
            "rate_limits: { x: { daily_budget: 5, monthly_cap: 4 } }",
            "`daily_budget` ($5.00) can never matter: `monthly_cap` ($4.00)",
        ),
        (
            "rate_limits: { x: { monthly_cap: 4, background_daily: 5 } }",
            "`background_daily` ($5.00) can never matter: `monthly_cap` ($4.00)",
        ),
    ] {
        let shown = message(text);
        assert!(shown.contains(wrong), "{text}\n{shown}");
        assert!(shown.contains("^\nhint: "), "{shown}");
    }
}

#[test]
fn a_time_zone_needs_no_database_of_the_host() {
    let zone = |name: &str| policy(&[("limits.yaml", &format!("time_zone: {name}"))]).unwrap().time_zone().to_owned();
    assert_eq!(zone("Europe/Berlin"), "Europe/Berlin");
    assert_eq!(zone("europe/berlin"), "Europe/Berlin");
    assert_eq!(policy(&[]).unwrap().time_zone(), "UTC");
}

#[test]
fn the_built_in_prices_are_those_of_the_lists_and_no_wider() {
    let policy = policy(&[]).unwrap();
    for (name, found) in [
        ("anthropic/claude-opus-5-5", Some(rate("4", "20", "0.2", "5"))),
        ("anthropic/claude-haiku-4-5", Some(rate("1", "5", "0.1", "1.25"))),
        ("anthropic/claude-haiku-4-5-20251001", Some(rate("1", "5", "0.1", "1.25"))),
        ("anthropic/claude-haiku-4-5-fast", None),
        ("openai/gpt-4o-mini", Some(rate("0.15", "0.6", "0.075", "0.15"))),
        ("openai/gpt-4o-2024-05-13", Some(rate("5", "15", "2.5", "5"))),
        ("openai/gpt-4o-audio-preview", None),
        ("openai/gpt-5-pro", None),
        ("ollama/anything:70b", Some(Price::FREE)),
        ("lan/claude-opus-5-5", None),
    ] {
        assert_eq!(price_of(&policy, name), found, "{name}");
    }
    let long = price_of(&policy, "anthropic/claude-haiku-5-5").unwrap();
    let usage = |input| TokenUsage { input, ..TokenUsage::default() };
    assert_eq!((long.cost(&usage(100_000)), long.cost(&usage(100_001))), (dollars("0.01"), dollars("0.050001")));
    assert!(policy.terms().prices.values().all(|price| price.output >= price.input), "two columns are swapped");
}

#[test]
fn the_owners_prices_add_and_replace() {
    let prices = "as_of: \"2026-11-01\"\nprices:\n  openai/gpt-4o: { input: $1, output: 2 }\n  lan/*: { free: true }\n  \
                  lan/big: { input: 0.5, output: 1, cache_read: 0.1 }\n";
    let changed = policy(&[("prices.yaml", prices)]).unwrap();
    assert_eq!(price_of(&changed, "openai/gpt-4o"), Some(rate("1", "2", "1", "1")));
    assert_eq!(price_of(&changed, "openai/gpt-4o-mini"), price_of(&policy(&[]).unwrap(), "openai/gpt-4o-mini"));
    assert_eq!(price_of(&changed, "lan/big"), Some(rate("0.5", "1", "0.1", "0.5")));
    assert_eq!(price_of(&changed, "lan/small"), Some(Price::FREE));
    assert_ne!(changed.digest(), policy(&[]).unwrap().digest(), "the digest of a policy covers its prices");
}

#[test]
fn a_mistake_in_the_prices_is_shown_where_it_stands() {
    let message = |text: &str| policy(&[("prices.yaml", text)]).unwrap_err().to_string();
    for (text, wrong) in [
        ("prices:\n  x/y: { input: 1 }\n", "prices.yaml:2:8: `x/y` has no `output` price"),
        ("prices:\n  x/y: { output: 1 }\n", "`x/y` has no `input` price"),
        ("prices:\n  x/y: {}\n", "`x/y` has no `input` price"),
        ("prices:\n  x/y: { input: 0, output: 0 }\n", "`x/y` costs nothing"),
        ("prices:\n  x/y: { free: true, input: 1 }\n", "`x/y` is free and has a price"),
        ("prices:\n  x/y: { input: cheap, output: 1 }\n", "prices.yaml:2:17: `cheap` is not an amount"),
        ("prices:\n  x/y: { input: 1, output: 1, cached: 1 }\n", "there is no key `cached` here"),
        ("prices:\n  x/y: { input: 1, output: 1, long: { above: 9, input: 1 } }\n", "missing field `output`"),
        ("prices:\n  y: { free: true }\n", "`y` names no model"),
        ("prices:\n  x/*y: { free: true }\n", "`x/*y` names no model"),
        ("as_of: yesterday\n", "prices.yaml:1:8: `yesterday` is no date"),
        ("price: {}\n", "there is no key `price` here"),
    ] {
        let shown = message(text);
        assert!(shown.contains(wrong) && shown.contains("\nhint: "), "{text}\n{shown}");
    }
}

#[test]
fn settings_have_defaults_for_all_that_is_not_said() {
    let found = |surroundings| load_settings(directory(&[]).path(), surroundings).unwrap();
    let list = |settings: &Settings| -> Vec<(String, String, bool)> {
        let one = |(name, one): (&String, &castoff::config::Provider)| {
            (name.clone(), format!("{:?} {}", one.kind, one.base_url), one.free)
        };
        settings.providers.iter().map(one).collect()
    };
    let entry = |name: &str, rest: &str, free| (name.to_owned(), rest.to_owned(), free);
    let anthropic = entry("anthropic", "Anthropic https://api.anthropic.com", false);
    let openai = entry("openai", "Openai https://api.openai.com/v1", false);
    let host = found(Surroundings::Host);
    assert_eq!(
        list(&host),
        [anthropic.clone(), entry("ollama", "Ollama http://127.0.0.1:11434", true), openai.clone()]
    );
    assert_eq!((host.local_only, host.telegram.as_str()), (false, "https://api.telegram.org"));
    let compose = found(Surroundings::Compose);
    assert_eq!(list(&compose), [anthropic, entry("ollama", "Ollama http://host.docker.internal:11434", true), openai]);
}

#[test]
fn settings_add_and_change_providers() {
    let settings = settings(
        "providers:\n  openai: { base_url: \"http://127.0.0.1:9/v1/\", free: true }\n  gpu: { kind: openai, base_url: \
         \"http://gpu.lan:8000\" }\n  ollama: { free: false }\nlocal_only: true\nplain_http_hosts: [gpu.lan]\ntelegram: { \
         base_url: \"http://127.0.0.1:8\" }\n",
    )
    .unwrap();
    let openai = settings.provider_of(&model("openai/x")).unwrap();
    assert_eq!(
        (openai.kind, openai.base_url.as_str(), openai.free),
        (ProviderKind::Openai, "http://127.0.0.1:9/v1", true)
    );
    let gpu = settings.provider_of(&model("gpu/x")).unwrap();
    assert_eq!((gpu.base_url.reach(), gpu.free), (Reach::Private, false));
    assert!(!settings.providers["ollama"].free);
    assert_eq!(settings.telegram.as_str(), "http://127.0.0.1:8");
    let refused = settings.provider_of(&model("anthropic/x")).unwrap_err().to_string();
    assert!(refused.contains("`local_only: true`") && refused.contains("\nhint: "), "{refused}");
    let unknown = settings.provider_of(&model("nobody/x")).unwrap_err().to_string();
    assert!(unknown.contains("there are anthropic, gpu, ollama, openai\nhint: "), "{unknown}");
}

#[test]
fn what_the_settings_call_free_is_free_and_nothing_else_of_that_name() {
    let free = "providers: { openai: { base_url: \"http://127.0.0.1:9\", free: true }, ollama: { free: false } }";
    let policy = policy(&[("settings.yaml", free), ("prices.yaml", "prices: { openai/x: { input: 1, output: 1 } }")]);
    let policy = policy.unwrap();
    assert_eq!(price_of(&policy, "openai/gpt-4o"), Some(Price::FREE));
    assert_eq!(price_of(&policy, "openai/x"), Some(rate("1", "1", "1", "1")), "the owner's price comes first");
    assert_eq!(price_of(&policy, "ollama/llama3.3"), None);
}

#[test]
fn a_mistake_in_the_settings_is_shown_where_it_stands() {
    for (text, wrong) in [
        ("providers: { openai: { base_url: \"http://api.openai.com\" } }", "is plain http to another machine"),
        ("providers:\n  lan: { base_url: \"http://127.0.0.1\" }\n", "settings.yaml:2:8: `lan` has no `kind`"),
        ("providers:\n  lan: { kind: openai }\n", "`lan` has no `base_url`"),
        ("providers:\n  ollama: { kind: openai }\n", "`ollama` has no `base_url`"),
        ("providers:\n  Lan: { kind: openai, base_url: \"https://x\" }\n", "`Lan` names no provider"),
        ("providers: { lan: { kind: openai, base_url: \"https://me:key@x\" } }", "holds a name or a password"),
        ("providers: { lan: { kind: gemini, base_url: \"https://x\" } }", "`gemini` is no word that stands here"),
        ("providers: { lan: { kind: openai, base_url: \"https://x\", api_key: k } }", "there is no key `api_key` here"),
        ("plain_http_hosts: [8.8.8.8]", "`8.8.8.8` is no host of a private network"),
        ("telegram: { base_url: \"http://example.org\" }", "is plain http to another machine"),
        ("local: true", "there is no key `local` here"),
    ] {
        let shown = settings(text).unwrap_err().to_string();
        assert!(shown.contains(wrong) && shown.contains("\nhint: "), "{text}\n{shown}");
        assert!(policy(&[("settings.yaml", text)]).is_err(), "`policy check` sees it too: {text}");
    }
}

/// Noon of 2026-11-25 in Berlin.
const NOON: Timestamp = Timestamp::from_ms(1_795_604_400_000);

/// A dollar for a million tokens of the prompt, ten for one of the reply: 10 micro-dollars a token.
fn terms(caps: &str) -> Arc<Terms> {
    let limits = format!("time_zone: Europe/Berlin\nrate_limits: {{ x: {{ {caps} }} }}");
    let prices = "prices: { x/*: { input: 1, output: 10 }, free/*: { free: true } }";
    Arc::clone(policy(&[("limits.yaml", &limits), ("prices.yaml", prices)]).unwrap().terms())
}

struct Desk {
    budget: Budget,
    calls: u32,
}

impl Desk {
    fn new(caps: &str) -> Self {
        Self { budget: Budget::new(terms(caps)), calls: 0 }
    }

    /// A call with a prompt of nothing (so a thousand tokens) for so many tokens of reply.
    fn reserve(&mut self, person: &str, wanted: u32, background: bool, now: Timestamp) -> Result<Reserved, NoMoney> {
        self.calls += 1;
        let (turn, person) = (TurnId::derived("a", "turn"), PersonId::try_from(person.to_owned()).unwrap());
        let call = CallId::derived("call", &self.calls.to_string());
        let model = &model("x/y");
        let (person, turn) = (&person, &turn);
        let need = Need { call, turn, person, model, background, prompt_tokens_max: 0, output_tokens_wanted: wanted };
        self.budget.reserve(need, now)
    }

    /// Spends ten micro-dollars for each token.
    fn spend(&mut self, person: &str, tokens: u32, now: Timestamp) -> Vec<String> {
        let reserved = self.reserve(person, tokens, false, now).unwrap();
        assert_eq!(reserved.output_tokens_max, tokens);
        let usage = TokenUsage { output: tokens.into(), ..TokenUsage::default() };
        let settled = self.budget.settle(&reserved.entry.call, Some(&usage), true).unwrap();
        settled.alerts.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn a_reply_shrinks_to_what_is_left_and_is_refused_below_a_thousand_tokens() {
    // A prompt costs 1,000 micro-dollars, a token of the reply 10.
    assert_eq!(PROMPT_TOKENS_ADDED, 1000);
    for (daily, wanted, got) in [
        ("1", 50_000, Some(50_000)),
        ("0.501", 50_000, Some(50_000)),
        ("0.500999", 50_000, Some(49_999)),
        ("0.011", 50_000, Some(1000)),
        ("0.010999", 50_000, None),
        ("0.0015", 50, Some(50)),
        ("0.001499", 50, None),
        ("0", 50, None),
    ] {
        let mut desk = Desk::new(&format!("daily_budget: {daily}"));
        let reserved = desk.reserve("ann", wanted, false, NOON);
        assert_eq!(reserved.as_ref().ok().map(|reserved| reserved.output_tokens_max), got, "{daily} {wanted}");
    }
}

#[test]
fn a_refusal_names_the_cap_what_is_left_when_it_starts_anew_and_what_helps() {
    let mut desk = Desk::new("daily_budget: 1, per_user_daily: 0.5, monthly_cap: 1.2, background_daily: 0.02");
    desk.spend("ann", 40_000, NOON);
    let held = desk.reserve("ann", 8900, false, NOON).unwrap();
    let text = desk.reserve("ann", 50_000, false, NOON).map(|reserved| reserved.output_tokens_max).unwrap_err();
    assert_eq!(
        text.to_string(),
        "a call of `x/y` may cost $0.0110, and the daily budget of ann with `x` has $0.0100 left: $0.4000 of $0.5000 \
         spent and $0.0900 held for calls under way; it starts anew at 2026-11-26 00:00 Europe/Berlin\nhint: wait for the \
         calls under way, raise `per_user_daily` of `x` in limits.yaml, or choose a cheaper model"
    );
    assert!(desk.budget.settle(&held.entry.call, None, true).is_some());
}

#[test]
fn a_cap_that_no_waiting_opens_says_so_and_the_longest_one_is_named() {
    let mut small = Desk::new("daily_budget: 0.01");
    let text = small.reserve("ann", 5000, false, NOON).unwrap_err().to_string();
    assert!(text.contains("hint: waiting does not help; raise `daily_budget` of `x` in limits.yaml"), "{text}");
    let mut both = Desk::new("daily_budget: 0.5, monthly_cap: 0.5");
    both.spend("ann", 48_901, NOON);
    let text = both.reserve("ann", 5000, false, NOON).unwrap_err().to_string();
    assert!(text.contains("the monthly cap of `x`") && text.contains("2026-12-01 00:00 Europe/Berlin"), "{text}");
    let mut background = Desk::new("daily_budget: 5, background_daily: 0.01");
    let text = background.reserve("ann", 5000, true, NOON).unwrap_err().to_string();
    assert!(text.contains("the daily budget for background work with `x`"), "{text}");
    assert!(background.reserve("ann", 5000, false, NOON).is_ok());
}

#[test]
fn an_unknown_price_is_refused_and_a_free_model_is_not_counted() {
    let mut budget = Budget::new(terms("daily_budget: 0"));
    let (turn, person) = (TurnId::derived("a", "turn"), PersonId::owner());
    let mut reserve = |name: &str| {
        let (call, model) = (CallId::derived("call", name), &model(name));
        let (turn, person) = (&turn, &person);
        let need = Need {
            call,
            turn,
            person,
            model,
            background: false,
            prompt_tokens_max: u64::MAX,
            output_tokens_wanted: u32::MAX,
        };
        budget.reserve(need, NOON)
    };
    let unknown = reserve("y/z").unwrap_err().to_string();
    assert!(unknown.starts_with("what `y/z` costs is not known") && unknown.contains("\nhint: "), "{unknown}");
    let free = reserve("free/z").unwrap();
    assert_eq!((free.entry.reserved, free.output_tokens_max), (Money::ZERO, u32::MAX));
    assert!(reserve("x/z").is_err());
}

#[test]
fn the_mark_of_a_cap_is_told_once_a_window_and_at_the_crossing() {
    let mut desk = Desk::new("daily_budget: 1, per_user_daily: 0.5");
    assert_eq!(desk.spend("ann", 39_999, NOON), Vec::<String>::new());
    assert_eq!(
        desk.spend("ann", 1, NOON),
        [
            "$0.4000 of $0.5000 spent: over 80 % of the daily budget of ann with `x`, which starts anew at 2026-11-26 00:00 \
          Europe/Berlin"
        ]
    );
    assert_eq!(desk.spend("ann", 1000, NOON), Vec::<String>::new());
    assert_eq!(desk.spend("bob", 39_000, NOON).len(), 1, "that of all");
    assert_eq!(desk.spend("bob", 1000, NOON).len(), 1, "that of bob");
    let tomorrow = NOON.plus_ms(86_400_000);
    assert_eq!(desk.spend("ann", 39_999, tomorrow), Vec::<String>::new());
    assert_eq!(desk.spend("ann", 1, tomorrow).len(), 1, "another day is told again");
}

#[test]
fn a_restart_books_what_was_under_way_and_tells_no_mark_again() {
    let mut desk = Desk::new("daily_budget: 1");
    let first = desk.reserve("ann", 79_800, false, NOON).unwrap().entry;
    let recover = |entries: Vec<LedgerEntry>| Budget::recover(terms("daily_budget: 1"), entries, NOON);
    let Recovered { mut budget, cut_off, alerts } = recover(vec![first.clone()]);
    assert_eq!(cut_off, [LedgerEntry { settled: Some(first.reserved), ..first.clone() }]);
    assert_eq!(alerts.iter().map(|alert| alert.window.cap).collect::<Vec<_>>(), [], "0.799 of 1");
    assert_eq!(budget.settle(&first.call, None, true), None, "it is settled already");
    let second = LedgerEntry { call: CallId::derived("another", "call"), reserved: dollars("0.001"), ..first.clone() };
    let first = cut_off[0].clone();
    let Recovered { cut_off, alerts, .. } = recover(vec![first.clone(), second]);
    assert_eq!(alerts.iter().map(|alert| alert.window.cap).collect::<Vec<_>>(), [Cap::Daily]);
    let Recovered { budget, cut_off, alerts } = recover(vec![first, cut_off[0].clone()]);
    assert_eq!((cut_off, alerts), (Vec::new(), Vec::new()));
    let view = budget.view(None, NOON);
    assert_eq!(view.providers[0].windows[0].spent, dollars("0.8"));
}

#[test]
fn what_a_provider_counts_beyond_the_reservation_is_booked_and_ends_its_day() {
    let mut desk = Desk::new("daily_budget: 1");
    let reserved = desk.reserve("ann", 1000, false, NOON).unwrap();
    let usage = TokenUsage { output: 50_000, ..TokenUsage::default() };
    let settled = desk.budget.settle(&reserved.entry.call, Some(&usage), true).unwrap();
    assert_eq!((settled.entry.settled, settled.beyond), (Some(dollars("0.5")), dollars("0.489")));
    let refused = desk.reserve("ann", 1000, false, NOON).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("not called again before 2026-11-26 00:00 Europe/Berlin\nhint: "), "{text}");
    let mut after = Budget::recover(terms("daily_budget: 1"), vec![settled.entry], NOON).budget;
    std::mem::swap(&mut desk.budget, &mut after);
    assert_eq!(desk.reserve("ann", 1000, false, NOON), Err(refused), "a restart does not forget it");
    assert!(desk.reserve("ann", 1000, false, NOON.plus_ms(86_400_000)).is_ok());
}

#[test]
fn a_day_and_a_month_end_at_midnight_of_the_zone() {
    // 25 hours: Berlin, 2026-10-25.
    let midnight = Timestamp::from_ms(1_792_879_200_000);
    let hours = |hours: u64| midnight.plus_ms(hours * 3_600_000);
    let mut desk = Desk::new("daily_budget: 0.5, monthly_cap: 0.9");
    desk.spend("ann", 48_901, midnight);
    assert!(desk.reserve("ann", 1000, false, hours(24)).is_err(), "the 25th hour");
    assert!(desk.reserve("ann", 1000, false, hours(25)).is_ok());
    desk.spend("ann", 39_000, hours(25));
    assert!(desk.reserve("ann", 1000, false, hours(25 + 5 * 24 + 23)).is_err(), "the last hour of October");
    assert!(desk.reserve("ann", 1000, false, hours(25 + 6 * 24)).is_ok(), "the first of November");
    assert!(desk.reserve("ann", 1000, false, midnight).is_ok(), "a clock that goes back opens nothing again");
    let days: Vec<u32> = (0..2).map(|_| desk.reserve("ann", 1000, false, midnight).unwrap().entry.day).collect();
    assert_eq!(days, [20_261_101, 20_261_101]);
}

#[test]
fn a_person_sees_their_own_share_and_the_owner_everybodys() {
    let mut desk = Desk::new("daily_budget: 1, per_user_daily: 0.5");
    desk.spend("ann", 1000, NOON);
    desk.spend("bob", 2000, NOON);
    let people = |person: Option<&str>| -> Vec<(String, Money)> {
        let person = person.map(|person| PersonId::try_from(person.to_owned()).unwrap());
        let view = desk.budget.view(person.as_ref(), NOON);
        assert_eq!(view.day, 20_261_125);
        let windows = view.providers.iter().flat_map(|one| one.windows.iter());
        windows.filter_map(|one| Some((one.person.as_ref()?.to_string(), one.spent))).collect()
    };
    let (ann, bob) = (("ann".to_owned(), dollars("0.01")), ("bob".to_owned(), dollars("0.02")));
    assert_eq!(people(None), [ann.clone(), bob]);
    assert_eq!(people(Some("ann")), [ann]);
    assert_eq!(people(Some("carl")), [("carl".to_owned(), Money::ZERO)]);
}

#[test]
fn an_amended_daily_budget_holds_for_listed_and_unlisted_providers() {
    let amended = terms("daily_budget: 1, monthly_cap: 9").with_daily("x", dollars("3")).with_daily("z", dollars("4"));
    assert_eq!(
        amended.caps_of("x"),
        Caps { daily: Some(dollars("3")), ..terms("daily_budget: 1, monthly_cap: 9").caps_of("x") }
    );
    assert_eq!(amended.caps_of("z"), Caps::of_daily(dollars("4")));
    assert_eq!(amended.caps_of("w"), Caps::default());
}

//! Promise 9: spend never passes a cap, with any number of turns at once, after any crash, for any
//! model. Tried against a model of the caps that is dull on purpose: a list of the committed entries,
//! summed anew each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use castoff::domain::ids::{CallId, PersonId, TurnId};
use castoff::domain::model::{ModelName, TokenUsage};
use castoff::domain::money::{Caps, LedgerEntry, Money, Price, Terms};
use castoff::domain::time::Timestamp;
use castoff::engine::{Alert, Budget, Cap, Need, NoMoney, OUTPUT_TOKENS_MIN, PROMPT_TOKENS_ADDED, Recovered};
use proptest::prelude::*;

/// `cloud` has caps, `other` is not in the limits, `home` is free, nothing is known of `unknown`.
const MODELS: [&str; 5] = ["cloud/big", "cloud/small", "other/model", "home/model", "unknown/model"];
const PEOPLE: [&str; 3] = ["owner", "ann", "bob"];
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/Sao_Paulo"];
/// 2026-10-24: the clocks of Berlin go back the day after.
const BEGIN_MS: u64 = 1_792_800_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    No,
    BeforeCommit,
    AfterCommit,
}

#[derive(Debug, Clone)]
enum Op {
    Reserve { person: usize, model: usize, background: bool, prompt: u64, output: u32, crash: Crash },
    Settle { call: prop::sample::Index, said: Said, crash: Crash },
    Clock { ms: i64 },
    Zone { zone: usize },
    Terms { caps: [Option<u64>; 4], dearer: u64 },
}

#[derive(Debug, Clone)]
enum Said {
    /// Thousandths of what was reserved for: input, cache read, cache write, output.
    Usage([u64; 4]),
    Nothing,
    CannotHaveCost,
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![12 => Just(Crash::No), 1 => Just(Crash::BeforeCommit), 1 => Just(Crash::AfterCommit)]
}

fn op() -> impl Strategy<Value = Op> {
    const DAY: i64 = 86_400_000;
    let reserve = (0..3_usize, 0..5_usize, any::<bool>(), 0..150_000_u64, 0..40_000_u32, crash()).prop_map(
        |(person, model, background, prompt, output, crash)| Op::Reserve {
            person,
            model,
            background,
            prompt,
            output,
            crash,
        },
    );
    let said = prop_oneof![
        6 => [0..=400_u64, 0..=300_u64, 0..=300_u64, 0..=1000_u64].prop_map(Said::Usage),
        2 => Just(Said::Nothing),
        1 => Just(Said::CannotHaveCost),
    ];
    let settle =
        (any::<prop::sample::Index>(), said, crash()).prop_map(|(call, said, crash)| Op::Settle { call, said, crash });
    let clock = prop_oneof![4 => 0..DAY, 1 => -DAY..DAY, 1 => -70 * DAY..70 * DAY, 1 => Just(i64::MIN / 4)]
        .prop_map(|ms| Op::Clock { ms });
    let cap = || prop::option::weighted(0.8, prop_oneof![1 => Just(0), 9 => 0..3_000_000_u64]);
    let terms = ([cap(), cap(), cap(), cap()], 1..4_u64).prop_map(|(caps, dearer)| Op::Terms { caps, dearer });
    prop_oneof![
        12 => reserve,
        8 => settle,
        3 => clock,
        1 => (0..ZONES.len()).prop_map(|zone| Op::Zone { zone }),
        1 => terms,
    ]
}

fn terms(zone: usize, caps: [Option<u64>; 4], dearer: u64) -> Terms {
    let [daily, monthly, per_person_daily, background_daily] = caps.map(|cap| cap.map(Money::from_micros));
    let caps = Caps { daily, monthly, per_person_daily, background_daily, alert_percent: 80 };
    let price = |input: u64, output, cache_read, cache_write| {
        let [input, output, cache_read, cache_write] =
            [input, output, cache_read, cache_write].map(|amount: u64| Money::from_micros(amount * dearer));
        Price { input, output, cache_read, cache_write, long: None }
    };
    let prices = [
        ("cloud/big", price(3_000_000, 15_000_000, 300_000, 3_750_000)),
        ("cloud/sm*", price(50_001, 400_007, 5_000, 0)),
        ("other/*", price(0, 10_000_000, 0, 0)),
        ("home/*", Price::FREE),
    ];
    Terms {
        caps: BTreeMap::from([("cloud".to_owned(), caps)]),
        prices: prices.into_iter().map(|(name, price)| (name.to_owned(), price)).collect(),
        zone: jiff::tz::TimeZoneDatabase::bundled().get(ZONES[zone]).unwrap(),
    }
}

/// A call under way, as its caller knows it.
struct Flight {
    call: CallId,
    price: Price,
    prompt_tokens: u64,
    output_tokens: u32,
}

/// The core and its store.
struct World {
    budget: Budget,
    terms: Terms,
    chosen: (usize, [Option<u64>; 4], u64),
    now: u64,
    store: BTreeMap<CallId, LedgerEntry>,
    flights: Vec<Flight>,
    calls: u64,
}

/// What a cap counts, from nothing but the list.
fn counts(cap: Cap, one: &LedgerEntry, entry: &LedgerEntry) -> bool {
    let same_provider = one.model.provider() == entry.model.provider();
    let same_day = one.day == entry.day;
    same_provider
        && match cap {
            Cap::Daily => same_day,
            Cap::Monthly => one.day / 100 == entry.day / 100,
            Cap::PersonDaily => same_day && one.person == entry.person,
            Cap::BackgroundDaily => same_day && one.background && entry.background,
        }
}

fn limit(cap: Cap, caps: &Caps) -> Option<u64> {
    let limit = match cap {
        Cap::Daily => caps.daily,
        Cap::Monthly => caps.monthly,
        Cap::PersonDaily => caps.per_person_daily,
        Cap::BackgroundDaily => caps.background_daily,
    };
    limit.map(Money::as_micros)
}

fn caps_for(entry: &LedgerEntry) -> Vec<Cap> {
    let all = [Cap::Daily, Cap::Monthly, Cap::PersonDaily, Cap::BackgroundDaily];
    all.into_iter().filter(|cap| entry.background || *cap != Cap::BackgroundDaily).collect()
}

fn caps_of(alerts: &[Alert]) -> Vec<Cap> {
    alerts.iter().map(|alert| alert.window.cap).collect()
}

/// Rounded up, in micro-dollars; not the code that is tested.
fn worst(price: &Price, prompt_tokens: u64, output_tokens: u32) -> u64 {
    let dearest = [price.input, price.cache_read, price.cache_write].map(Money::as_micros).into_iter().max().unwrap();
    let exact = u128::from(dearest) * u128::from(prompt_tokens)
        + u128::from(price.output.as_micros()) * u128::from(output_tokens);
    u64::try_from(exact.div_ceil(1_000_000)).unwrap()
}

impl World {
    fn new(chosen: (usize, [Option<u64>; 4], u64)) -> Self {
        let (zone, caps, dearer) = chosen;
        let terms = terms(zone, caps, dearer);
        let budget = Budget::new(Arc::new(terms.clone()));
        let (store, flights) = (BTreeMap::new(), Vec::new());
        Self { budget, terms, chosen, now: BEGIN_MS, store, flights, calls: 0 }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now)
    }

    /// What the cap counts beside `entry`: settled and reserved, and settled alone.
    fn beside(&self, cap: Cap, entry: &LedgerEntry) -> (u64, u64) {
        let others = self.store.values().filter(|one| one.call != entry.call && counts(cap, one, entry));
        others.fold((0, 0), |(held, spent), one| {
            let settled = one.settled.map(Money::as_micros);
            (held + settled.unwrap_or(one.reserved.as_micros()), spent + settled.unwrap_or(0))
        })
    }

    fn left(&self, entry: &LedgerEntry) -> Option<u64> {
        let caps = self.terms.caps_of(entry.model.provider());
        let left = |cap| limit(cap, &caps).map(|limit| limit.saturating_sub(self.beside(cap, entry).0));
        caps_for(entry).into_iter().filter_map(left).min()
    }

    fn day(&self) -> u32 {
        let time = jiff::Timestamp::from_millisecond(i64::try_from(self.now).unwrap()).unwrap();
        let date = time.to_zoned_datetime(self.terms.zone.clone()).date();
        format!("{date}").replace('-', "").parse().unwrap()
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Reserve { person, model, background, prompt, output, crash } => {
                let person = PersonId::try_from(PEOPLE[person].to_owned()).unwrap();
                let model = ModelName::try_from(MODELS[model].to_owned()).unwrap();
                self.reserve(&person, &model, (background, prompt, output), crash);
            }
            Op::Settle { call, said, crash } => {
                if !self.flights.is_empty() {
                    let flight = self.flights.remove(call.index(self.flights.len()));
                    self.settle(&flight, &said, crash);
                }
            }
            Op::Clock { ms } => self.now = self.now.saturating_add_signed(ms).min(BEGIN_MS * 2),
            Op::Zone { zone } => self.set_terms((zone, self.chosen.1, self.chosen.2)),
            Op::Terms { caps, dearer } => self.set_terms((self.chosen.0, caps, dearer)),
        }
    }

    fn set_terms(&mut self, chosen: (usize, [Option<u64>; 4], u64)) {
        self.chosen = chosen;
        self.terms = terms(chosen.0, chosen.1, chosen.2);
        self.budget.set_terms(Arc::new(self.terms.clone()));
    }

    fn reserve(&mut self, person: &PersonId, model: &ModelName, asked: (bool, u64, u32), crash: Crash) {
        let (background, prompt, wanted) = asked;
        self.calls += 1;
        let call = CallId::derived("turn", &self.calls.to_string());
        let turn = TurnId::derived("turn", "one");
        let need = Need {
            call: call.clone(),
            turn: &turn,
            person,
            model,
            background,
            prompt_tokens_max: prompt,
            output_tokens_wanted: wanted,
        };
        let answer = self.budget.reserve(need, self.now());
        let Some(price) = self.terms.price_of(model) else {
            assert!(matches!(answer, Err(NoMoney::UnknownPrice { .. })), "{answer:?}");
            return;
        };
        let prompt_tokens = prompt + PROMPT_TOKENS_ADDED;
        let entry = match answer {
            Err(refusal) => {
                assert!(!price.is_free(), "{refusal}");
                let entry = LedgerEntry {
                    call,
                    turn,
                    person: person.clone(),
                    model: model.clone(),
                    background,
                    at: self.now(),
                    day: self.budget.view(None, self.now()).day,
                    reserved: Money::ZERO,
                    settled: None,
                    usage: None,
                };
                let least = worst(&price, prompt_tokens, wanted.min(OUTPUT_TOKENS_MIN));
                let left = self.left(&entry);
                assert!(left.is_some_and(|left| left < least), "{refusal} ({left:?} left)");
                return;
            }
            Ok(reserved) => {
                let entry = reserved.entry;
                let tokens = reserved.output_tokens_max;
                assert_eq!(entry.reserved.as_micros(), worst(&price, prompt_tokens, tokens));
                assert!(tokens <= wanted && tokens >= wanted.min(OUTPUT_TOKENS_MIN), "{tokens} of {wanted}");
                let latest = self.store.values().map(|entry| entry.day).max().unwrap_or(0);
                assert!(entry.day >= self.day().max(latest), "a day went back");
                let left = self.left(&entry).filter(|_| !price.is_free());
                assert!(left.is_none_or(|left| entry.reserved.as_micros() <= left), "{entry:?}: only {left:?} left");
                let shrunk_enough = left.is_some_and(|left| worst(&price, prompt_tokens, tokens + 1) > left);
                assert!(tokens == wanted || shrunk_enough, "{tokens} of {wanted} tokens with {left:?} left");
                self.flights.push(Flight { call, price, prompt_tokens, output_tokens: tokens });
                entry
            }
        };
        self.commit(entry, &[], crash);
    }

    fn settle(&mut self, flight: &Flight, said: &Said, crash: Crash) {
        let reserved = self.store[&flight.call].clone();
        let usage = match said {
            Said::Usage([input, cache_read, cache_write, output]) => Some(TokenUsage {
                input: flight.prompt_tokens * input / 1000,
                cache_read: flight.prompt_tokens * cache_read / 1000,
                cache_write: flight.prompt_tokens * cache_write / 1000,
                output: u64::from(flight.output_tokens) * output / 1000,
            }),
            Said::Nothing | Said::CannotHaveCost => None,
        };
        let may_cost = !matches!(said, Said::CannotHaveCost);
        let settled = self.budget.settle(&flight.call, usage.as_ref(), may_cost).expect("it is under way");
        let cost = match (&usage, may_cost) {
            (Some(usage), _) => flight.price.cost(usage),
            (None, true) => reserved.reserved,
            (None, false) => Money::ZERO,
        };
        assert_eq!(settled.entry, LedgerEntry { settled: Some(cost), usage, ..reserved });
        assert_eq!(settled.beyond, Money::ZERO, "an honest provider never counts more than was reserved");
        assert_eq!(self.budget.settle(&flight.call, None, true), None, "a doubled event changes nothing");
        self.commit(settled.entry, &settled.alerts, crash);
    }

    /// Commits an entry, or crashes on the way. The alerts must be those of the marks that it passes.
    fn commit(&mut self, entry: LedgerEntry, alerts: &[Alert], crash: Crash) {
        if crash != Crash::BeforeCommit {
            assert_eq!(caps_of(alerts), self.due(&entry));
            self.store.insert(entry.call.clone(), entry);
        }
        if crash != Crash::No {
            self.restart();
        }
    }

    /// The caps whose mark is passed when `entry` is settled, each once.
    fn due(&self, entry: &LedgerEntry) -> Vec<Cap> {
        let caps = self.terms.caps_of(entry.model.provider());
        let passes = |cap: &Cap| {
            let (_, spent) = self.beside(*cap, entry);
            let after = spent + entry.settled.unwrap_or_default().as_micros();
            limit(*cap, &caps).is_some_and(|limit| spent * 100 < limit * 80 && after * 100 >= limit * 80)
        };
        caps_for(entry).into_iter().filter(passes).collect()
    }

    /// Only what is in the store is left, and the core reads as much of it as it says it needs.
    fn restart(&mut self) {
        self.flights.clear();
        let since = Budget::ledger_since(&self.terms.zone, self.now());
        let read: Vec<LedgerEntry> = self.store.values().filter(|entry| entry.day >= since).cloned().collect();
        let under_way = read.iter().filter(|entry| entry.settled.is_none()).map(|entry| entry.call.clone());
        let under_way: Vec<CallId> = under_way.collect();
        let Recovered { budget, cut_off, alerts } = Budget::recover(Arc::new(self.terms.clone()), read, self.now());
        self.budget = budget;
        assert_eq!(cut_off.iter().map(|entry| entry.call.clone()).collect::<Vec<_>>(), under_way);
        let mut due = Vec::new();
        for entry in cut_off {
            assert_eq!((entry.settled, entry.usage), (Some(entry.reserved), None));
            due.extend(self.due(&entry));
            self.store.insert(entry.call.clone(), entry);
        }
        assert_eq!(caps_of(&alerts), due);
    }

    /// The sums of the budget are those of the list.
    fn check_view(&self) {
        let view = self.budget.view(None, self.now());
        for provider in &view.providers {
            for window in &provider.windows {
                let alike = |entry: &&LedgerEntry| {
                    entry.model.provider() == provider.provider
                        && match window.cap {
                            Cap::Daily => entry.day == view.day,
                            Cap::Monthly => entry.day / 100 == view.day / 100,
                            Cap::PersonDaily => entry.day == view.day && Some(&entry.person) == window.person.as_ref(),
                            Cap::BackgroundDaily => entry.day == view.day && entry.background,
                        }
                };
                let (spent, reserved) =
                    self.store.values().filter(alike).fold((0, 0), |(spent, reserved), entry| match entry.settled {
                        Some(cost) => (spent + cost.as_micros(), reserved),
                        None => (spent, reserved + entry.reserved.as_micros()),
                    });
                assert_eq!((window.spent.as_micros(), window.reserved.as_micros()), (spent, reserved), "{window:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_interleaving_crash_clock_or_change_of_terms_passes_a_cap(
        caps in [prop::option::of(0..3_000_000_u64), prop::option::of(0..9_000_000_u64),
                 prop::option::of(0..2_000_000_u64), prop::option::of(0..1_000_000_u64)],
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut world = World::new((1, caps, 1));
        for op in ops {
            world.apply(op);
            world.check_view();
        }
    }
}

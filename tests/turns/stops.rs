//! What becomes of a turn's command when its turn, the model or the runner stops in the middle.

use castoff::domain::change::{Change, Node, NodeKind};
use castoff::domain::ids::{RunId, TurnId};
use castoff::domain::model::{ModelReply, ModelStop};
use castoff::domain::plan::Image;
use castoff::domain::record::{Outcome, RunState};
use castoff::domain::run::{Ending, StopCause};
use castoff::domain::turn::{Body, Channel, PostSubject, TurnOutcome};
use castoff::engine::{Called, Effect, Event, Saying};
use castoff::protocol::runner::{FromRunner, IMAGES, Readiness, ToRunner};

use crate::world::{FREE, World, applies, called, calls_model, exec, results, surveyed};

fn surveyed_is(run: &RunId) -> Event {
    Event::Runner(FromRunner::Surveyed { run: run.clone(), covers: Vec::new(), unusable: Vec::new() })
}

/// A turn in the owner's chat whose command runs.
fn runs_in_a_chat(world: &mut World) -> (TurnId, RunId) {
    world.step(Event::TelegramChosen { on: true, owner: Some(7) });
    let turn = TurnId::derived("test", "telegram");
    let channel = Channel::Telegram { chat: 7, message: 1 };
    let saying = Saying { turn: turn.clone(), caller: world.person("owner"), channel, text: "go".to_owned() };
    let effects = world.step(Event::Said(saying));
    let call = called(&effects).call.clone();
    let effects = world.reply(&call, "", vec![exec("1", "echo x > a; sleep 300")]);
    let run = surveyed(&effects).unwrap();
    world.step(surveyed_is(&run));
    (turn, run)
}

fn added(path: &str) -> Vec<Change> {
    let kind = NodeKind::File { bytes: 2 };
    vec![Change { path: path.to_owned(), before: None, after: Some(Node { kind, mode: 0o644 }) }]
}

fn state(world: &World, run: &RunId) -> RunState {
    world.runs.iter().find(|one| one.run == *run).unwrap().state.clone()
}

fn has_card(world: &World, run: &RunId) -> bool {
    world.posts.iter().any(|post| post.chat == 7 && post.subject == PostSubject::Run(run.clone()))
}

#[test]
fn a_stop_between_the_end_of_a_run_and_its_landing_drops_what_it_changed() {
    for crashes in [false, true] {
        let mut world = World::new(FREE, 32_768);
        let (turn, run) = runs_in_a_chat(&mut world);
        let owner = world.person("owner");
        let effects = world.step(Event::TurnStopAsked { person: owner.person.clone(), turn: None, by: owner });
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Tell(ToRunner::Stop { .. }))), "{effects:?}");
        if crashes {
            world.crash();
        }
        // It had ended by itself when the stop came.
        let effects = world.ends(&run, Ending::Exited { code: 0 }, added("a"));
        assert!(!applies(&effects), "{effects:?}");
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Tell(ToRunner::Drop { .. }))), "{effects:?}");
        world.step(Event::Runner(FromRunner::Dropped { run: run.clone(), landings: Vec::new() }));
        assert_eq!(state(&world, &run), RunState::Done { changes: Outcome::Dropped });
        assert_eq!(world.outcome(&turn), TurnOutcome::Stopped);
        assert!(has_card(&world, &run), "{:?}", world.posts);
    }
}

#[test]
fn what_a_stopped_turns_command_changed_is_shown_in_its_chat() {
    let mut world = World::new(FREE, 32_768);
    let (_, run) = runs_in_a_chat(&mut world);
    let owner = world.person("owner");
    world.step(Event::TurnStopAsked { person: owner.person.clone(), turn: None, by: owner });
    assert!(!has_card(&world, &run));
    world.ends(&run, Ending::Stopped { cause: StopCause::Asked }, added("a"));
    assert!(matches!(state(&world, &run), RunState::Held { approval: None, .. }));
    assert!(has_card(&world, &run), "{:?}", world.posts);
}

#[test]
fn a_refusal_in_the_middle_of_a_reply_is_said_and_nothing_of_it_is_done() {
    let mut world = World::new(FREE, 32_768);
    let (turn, effects) = world.say("owner", "go");
    let call = called(&effects).call.clone();
    let wanted = exec("1", "echo x > a");
    let reply =
        ModelReply { text: "First I".to_owned(), calls: vec![wanted.clone()], stop: ModelStop::Refusal, usage: None };
    let calls = vec![Called { call: wanted, wanted: Err("never looked at".to_owned()) }];
    let effects = world.step(Event::ModelReplied { call, reply: Box::new(reply), calls });
    assert!(surveyed(&effects).is_none() && !calls_model(&effects), "{effects:?}");
    let TurnOutcome::Replied { text } = world.outcome(&turn) else { panic!("it ended otherwise") };
    assert!(text.starts_with("First I") && text.contains("declined to go on"), "{text}");
    let reserved = world.ledger[0].reserved;
    assert_eq!(world.ledger[0].settled, Some(reserved), "what nobody counted is booked as it was reserved");
}

#[test]
fn a_command_that_is_asked_for_while_the_runner_starts_anew_waits_for_it() {
    let ready = || {
        let images = IMAGES.map(|name| Image { name: name.to_owned(), id: format!("sha256:{name}") });
        Event::Runner(FromRunner::Ready(Readiness { images: images.to_vec(), ..Readiness::default() }))
    };
    let mut world = World::new(FREE, 32_768);
    let (turn, effects) = world.say("owner", "go");
    let call = called(&effects).call.clone();
    world.step(Event::RunnerGone);
    world.reply(&call, "", vec![exec("1", "pwd")]);
    let effects = world.step(ready());
    let run = surveyed(&effects).expect("it is planned now");
    let effects = world.step(surveyed_is(&run));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Run { .. })), "{effects:?}");
    let effects = world.ends(&run, Ending::Exited { code: 0 }, Vec::new());
    let call = called(&effects).call.clone();
    // One that stays away is said.
    world.step(Event::RunnerGone);
    world.reply(&call, "", vec![exec("2", "pwd")]);
    world.pause_ms = 21_000;
    let effects = world.step(Event::Tick);
    let told = results(called(&effects));
    assert!(told.iter().any(|(text, failed)| *failed && text.contains("the runner is not connected")), "{told:?}");
    let call = called(&effects).call.clone();
    let effects = world.reply(&call, "", vec![exec("3", "pwd")]);
    assert!(calls_model(&effects), "at once from then on: {effects:?}");
    let call = called(&effects).call.clone();
    world.reply(&call, "it is away", Vec::new());
    assert_eq!(world.outcome(&turn), TurnOutcome::Replied { text: "it is away".to_owned() });
}

#[test]
fn what_was_summed_up_before_is_in_the_next_summary() {
    let mut world = World::new(FREE, 16_384);
    let (mut asked, mut number) = (Vec::new(), 0);
    // The first summary within a turn, and the next in the same.
    let mut effects = Vec::new();
    while asked.len() < 2 {
        if effects.is_empty() {
            effects = world.say("owner", &format!("{number} {}", "word ".repeat(600))).1;
        }
        let request = called(&effects).clone();
        if request.tools.is_empty() {
            asked.push(format!("{:?}", request.messages));
            effects = world.reply(&request.call, &format!("SUMMARY {}", asked.len()), Vec::new());
        } else if asked.is_empty() {
            world.reply(&request.call, "ok", Vec::new());
            effects = Vec::new();
        } else {
            effects = world.reply(&request.call, "", vec![exec("1", &format!("echo {number}"))]);
            effects = world.run_it(&effects, &"x".repeat(6000), 0);
        }
        number += 1;
        assert!(number < 60, "it never came to a second summary");
    }
    assert!(asked[1].contains("SUMMARY 1"), "{}", asked[1]);
    let summaries = world.messages.iter().filter(|message| matches!(message.body, Body::Summary { .. }));
    assert_eq!(summaries.count(), 2);
}

#[test]
fn what_a_backup_shows_under_way_is_not_done_again() {
    let mut world = World::new(FREE, 32_768);
    let (working, run) = runs_in_a_chat(&mut world);
    let (thinking, _) = world.say("bob", "think");
    let (waiting, _) = world.say("bob", "and then");
    world.restored = true;
    let effects = world.crash();
    assert!(!calls_model(&effects), "{effects:?}");
    for turn in [working, thinking, waiting] {
        let TurnOutcome::Failed { why } = world.outcome(&turn) else { panic!("{turn} goes on") };
        assert!(why.contains("went back to a backup"), "{why}");
    }
    assert!(world.posts.iter().all(|post| post.may_repeat), "{:?}", world.posts);
    // What became of its run is still told.
    world.step(Event::TelegramChosen { on: true, owner: Some(7) });
    world.ends(&run, Ending::Exited { code: 0 }, Vec::new());
    assert!(has_card(&world, &run), "{:?}", world.posts);
    world.restored = false;
    let (_, effects) = world.say("bob", "again");
    assert!(calls_model(&effects));
}

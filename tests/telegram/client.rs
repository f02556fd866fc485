//! The bot against the server: what goes right, and everything that can go wrong.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use castoff::chat::telegram::{
    FileRef, Ignored, Incoming, Message, Outgoing, Press, SendError, Telegram, TelegramError, What,
};
use castoff::domain::ids::{ApprovalId, RunId};
use castoff::domain::time::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::botapi::authorities::Entity;
use crate::botapi::{BotApi, Fault};

const ADA: i64 = 11;
const BEN: i64 = 22;

/// A server and a client of it.
struct Bot {
    api: BotApi,
    telegram: Telegram,
    runtime: Runtime,
}

fn client(api: &BotApi, token: &str) -> Telegram {
    Telegram::new(SecretString::from(token.to_owned()), api.url()).unwrap()
}

impl Bot {
    fn start() -> Self {
        let api = BotApi::start();
        let telegram = client(&api, api.token());
        Self { api, telegram, runtime: Runtime::new().unwrap() }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn updates(&self, offset: i64) -> Result<Vec<Incoming>, TelegramError> {
        self.run(self.telegram.updates(offset, 0))
    }

    fn send(&self, html: &str) -> Result<i32, SendError> {
        self.run(self.telegram.send(ADA, &Outgoing::text(html.to_owned()), None))
    }
}

fn asked() -> Outgoing {
    let approval = ApprovalId::from_random([3; 11]);
    let row = vec![Press::Yes(approval.clone()).button("Allow once"), Press::No(approval).button("Refuse")];
    Outgoing { keyboard: vec![row], ..Outgoing::text("<b>May this run?</b>".to_owned()) }
}

#[test]
fn the_bot_says_who_it_is() {
    let bot = Bot::start();
    let me = bot.run(bot.telegram.me()).unwrap();
    assert_eq!((me.id, me.username.as_str()), (7_000_000_001, "castoff_test_bot"));
    let stranger = client(&bot.api, "7000000001:AAanother-token-of-that-bot-it-says");
    assert_eq!(bot.run(stranger.me()), Err(TelegramError::WrongToken));
}

#[test]
fn what_is_no_token_or_no_safe_address_is_refused_before_anything_is_sent() {
    let new = |token: &str, address: &str| Telegram::new(SecretString::from(token.to_owned()), address).err();
    let good = "123456:AAabcdefghijklmnopqrstuvwxyz-_012345";
    for token in [
        "",
        "abc",
        "123456:",
        ":AAabcdefghijklmnopqrstuvwxyz",
        "123456:short",
        "1234/../x:AAabcdefghijklmnopqrstu",
        &format!("{good}\n"),
    ] {
        assert_eq!(new(token, "https://api.telegram.org"), Some(TelegramError::BadToken), "{token:?}");
    }
    for address in [
        "https://api.telegram.org",
        "https://tg.example/sub",
        "http://127.0.0.1:8081",
        "http://[::1]:80",
        "http://localhost:1/",
    ] {
        assert_eq!(new(good, address), None, "{address}");
    }
    for address in [
        "",
        "api.telegram.org",
        "ftp://x.example",
        "http://api.telegram.org",
        "http://10.0.0.1",
        "https://a:b@x.example",
        "https://x.example/?a=b",
    ] {
        assert!(matches!(new(good, address), Some(TelegramError::BadAddress { .. })), "{address}");
    }
}

#[test]
fn an_update_is_handed_out_until_it_is_acknowledged() {
    let bot = Bot::start();
    let first = bot.api.say(ADA, "one");
    bot.api.say(BEN, "two");
    let updates = bot.updates(0).unwrap();
    let message = Message {
        chat: ADA,
        message: first,
        sent_at: Timestamp::from_ms(1_800_000_000_000),
        text: "one".to_owned(),
        files: Vec::new(),
        unread: None,
        reply_to: None,
    };
    assert_eq!(updates[0], Incoming { update: 1, from: ADA, what: What::Message(message) });
    assert_eq!((updates[1].update, updates[1].from), (2, BEN));
    assert_eq!(bot.updates(0).unwrap(), updates, "nothing was acknowledged");
    assert_eq!(bot.updates(2).unwrap(), updates[1..]);
    assert_eq!((bot.updates(3).unwrap(), bot.api.unacknowledged()), (Vec::new(), 0));
    // An answer that is lost loses no update.
    bot.api.say(ADA, "three");
    bot.api.fail("getUpdates", Fault::DropAfter);
    assert!(matches!(bot.updates(3), Err(TelegramError::Broken { .. })));
    assert_eq!(bot.updates(3).unwrap().len(), 1);
}

#[test]
fn a_poll_waits_for_a_message() {
    let bot = Bot::start();
    let updates = std::thread::scope(|scope| {
        scope.spawn(|| {
            bot.api.until_polled();
            bot.api.say(ADA, "there");
        });
        bot.run(bot.telegram.updates(0, 50))
    });
    assert_eq!(updates.unwrap().len(), 1);
    assert_eq!(bot.api.requests("getUpdates").len(), 1);
    assert_eq!(bot.api.requests("getUpdates")[0]["allowed_updates"], json!(["message", "callback_query"]));
}

#[test]
fn a_second_poller_is_told_of_in_clear_words() {
    let bot = Bot::start();
    let first = std::thread::scope(|scope| {
        scope.spawn(|| {
            bot.api.until_polled();
            let runtime = Runtime::new().unwrap();
            let other = client(&bot.api, bot.api.token());
            assert_eq!(runtime.block_on(other.updates(0, 0)), Ok(Vec::new()));
        });
        bot.run(bot.telegram.updates(0, 50))
    });
    let error = first.unwrap_err();
    assert!(matches!(error, TelegramError::AnotherPoller { .. }), "{error:?}");
    assert!(error.to_string().contains("stop the other program"), "{error}");
}

/// Polls until so many updates came, of which none may be work: who and why.
fn ignored(bot: &Bot, number: usize) -> Vec<(i64, Ignored)> {
    let mut found = Vec::new();
    let mut offset = 0;
    while found.len() < number {
        for update in bot.updates(offset).unwrap() {
            offset = update.update + 1;
            match update.what {
                What::Ignored { why } => found.push((update.from, why)),
                work @ (What::Message(_) | What::Press { .. }) => panic!("{work:?} after {found:?}"),
            }
        }
    }
    found
}

const SENT: u64 = 1_800_000_000;

#[test]
fn only_a_persons_own_new_message_in_their_own_chat_is_work() {
    let bot = Bot::start();
    let origin = json!({ "type": "user", "date": SENT, "sender_user": BotApi::user(BEN) });
    let (group, channel) = (json!({ "id": -5, "type": "supergroup" }), json!({ "id": -6, "type": "channel" }));
    let cases = [
        (Ignored::Forwarded, "forward_origin", origin),
        (Ignored::Bot, "via_bot", BotApi::bot_user()),
        (Ignored::Edited, "edit_date", SENT.into()),
        (Ignored::Channel, "sender_chat", channel.clone()),
        (Ignored::Group, "chat", group),
        (Ignored::Channel, "chat", channel),
        (Ignored::Other, "chat", json!({ "id": BEN, "type": "private" })),
    ];
    let mut expected = Vec::new();
    for (why, key, value) in cases {
        bot.api.post(ADA, "rm -rf x", None, |message| message[key] = value);
        expected.push((ADA, why));
    }
    assert_eq!(ignored(&bot, expected.len()), expected);
}

#[test]
fn what_telegram_does_not_send_today_is_no_work() {
    let bot = Bot::start();
    let (ada, own) = (BotApi::user(ADA), json!({ "id": ADA, "type": "private" }));
    let text =
        |from: &Value, chat: &Value| json!({ "message_id": 1, "date": SENT, "chat": chat, "from": from, "text": "rm" });
    let with = |key: &str, value: Value| {
        let mut message = text(&ada, &own);
        message[key] = value;
        json!({ "message": message })
    };
    let bots_own = json!({ "id": 7_000_000_001_i64, "type": "private" });
    let cases = [
        (7_000_000_001, Ignored::Bot, json!({ "message": text(&BotApi::bot_user(), &bots_own) })),
        (ADA, Ignored::Edited, json!({ "edited_message": text(&ada, &own) })),
        (0, Ignored::Channel, json!({ "channel_post": { "message_id": 1, "date": SENT } })),
        (0, Ignored::Other, with("from", Value::Null)),
        (ADA, Ignored::Other, with("date", "x".into())),
        (ADA, Ignored::Other, with("text", Value::Null)),
        (ADA, Ignored::Other, with("chat", json!({ "id": ADA, "type": "guild" }))),
        (ADA, Ignored::Other, with("message_id", (1_u64 << 40).into())),
        (ADA, Ignored::Other, with("business_connection_id", "b".into())),
        (ADA, Ignored::Forwarded, with("forward_date", SENT.into())),
        (0, Ignored::Other, json!({ "my_chat_member": { "from": ada } })),
        (0, Ignored::Other, json!({ "message": text(&ada, &own), "callback_query": {} })),
    ];
    let mut expected = Vec::new();
    for (from, why, update) in cases {
        bot.api.update(update);
        expected.push((from, why));
    }
    assert_eq!(ignored(&bot, expected.len()), expected);
}

#[test]
fn only_a_press_of_our_button_in_the_persons_own_chat_is_work() {
    let bot = Bot::start();
    let (ada, own) =
        (BotApi::user(ADA), json!({ "message_id": 1, "date": 0, "chat": { "id": ADA, "type": "private" } }));
    let group = json!({ "message_id": 1, "date": 0, "chat": { "id": ADA, "type": "group" } });
    let run = format!("u:{}", RunId::from_random([9; 11]));
    let cases = [
        (BEN, Ignored::Other, BotApi::user(BEN), own.clone(), run.as_str()),
        (ADA, Ignored::Group, ada.clone(), group, &run),
        (ADA, Ignored::Other, ada.clone(), own.clone(), "rm -rf"),
        (ADA, Ignored::Other, ada, Value::Null, &run),
        (7_000_000_001, Ignored::Bot, BotApi::bot_user(), own, &run),
    ];
    let mut expected = Vec::new();
    for (from, why, user, message, data) in cases {
        let callback = json!({ "id": "1", "from": user, "chat_instance": "1", "data": data, "message": message });
        bot.api.update(json!({ "callback_query": callback }));
        expected.push((from, why));
    }
    assert_eq!(ignored(&bot, expected.len()), expected);
    // A person who presses a button in somebody else's chat.
    bot.api.say(ADA, "hi");
    let id = bot.run(bot.telegram.send(ADA, &asked(), None)).unwrap();
    bot.api.press_data(BEN, (ADA, id), &asked().keyboard[0][0].data);
    let update = bot.updates(7).unwrap().remove(0);
    assert_eq!((update.from, update.what), (BEN, What::Ignored { why: Ignored::Other }));
}

#[test]
fn files_come_in_whole_or_not_at_all() {
    let bot = Bot::start();
    let bytes = b"%PDF \0\xff not text".repeat(1000);
    bot.api.send_document(ADA, "../../etc/My \u{202e}file.pdf", &bytes, "look");
    bot.api.send_photo(ADA, b"jpeg");
    bot.api.post(ADA, "", None, |message| {
        message["voice"] = json!({ "file_id": "v", "file_unique_id": "v", "duration": 1 });
    });
    let updates = bot.updates(0).unwrap();
    let [document, photo, voice] = [0, 1, 2].map(|at| match &updates[at].what {
        What::Message(message) => message,
        other @ (What::Press { .. } | What::Ignored { .. }) => panic!("{other:?}"),
    });
    assert_eq!((document.text.as_str(), document.files[0].name.as_str()), ("look", "_.._etc_My__file.pdf"));
    assert_eq!(document.files[0].bytes, Some(bytes.len() as u64));
    assert_eq!((photo.files[0].name.clone(), photo.files.len()), (format!("photo-{}.jpg", photo.message), 1));
    assert_eq!((voice.unread, voice.files.len()), (Some("a voice message"), 0));
    let download = |file: &FileRef, most| bot.run(bot.telegram.download(file, most));
    assert_eq!(download(&document.files[0], bytes.len()), Ok(bytes.clone()));
    assert_eq!(download(&photo.files[0], 100), Ok(b"jpeg".to_vec()));
    let too_large = |bytes_max| Err(TelegramError::TooLarge { bytes_max });
    assert_eq!(download(&document.files[0], 100), too_large(100));
    assert_eq!(bot.api.requests("getFile").len(), 2, "what is too large is not asked for");
    // What Telegram says of the length is not believed.
    let unsized_file = FileRef { bytes: None, ..document.files[0].clone() };
    assert_eq!(download(&unsized_file, 100), too_large(100));
    bot.api.fail("file", Fault::Answer(200, vec![0; 101]));
    assert_eq!(download(&photo.files[0], 100), too_large(100));
    bot.api.fail("file", Fault::DropBefore);
    assert!(matches!(download(&photo.files[0], 100), Err(TelegramError::Broken { .. })));
    let unknown = FileRef { id: "nothing".to_owned(), ..unsized_file };
    assert!(matches!(download(&unknown, 100), Err(TelegramError::Refused { code: 400, .. })));
    for path in ["/etc/passwd", "../x", "a/../../x", "", "a//b"] {
        let answer = json!({ "ok": true, "result": { "file_id": "f", "file_unique_id": "f", "file_path": path } });
        bot.api.fail("getFile", Fault::Answer(200, answer.to_string().into_bytes()));
        assert!(matches!(download(&unknown, 100), Err(TelegramError::BadAnswer { .. })), "{path:?}");
    }
}

#[test]
fn a_card_is_shown_pressed_and_edited_to_its_end() {
    let bot = Bot::start();
    let question = bot.api.say(ADA, "push it");
    let id = bot.run(bot.telegram.send(ADA, &asked(), Some(question))).unwrap();
    let shown = bot.api.until("the card is shown", ADA, |chat| chat.get(1).cloned());
    assert_eq!((shown.id, shown.reply_to, shown.text.as_str()), (id, Some(question), "May this run?"));
    assert_eq!(shown.entities, [Entity { kind: "bold".to_owned(), offset: 0, length: 13, url: None, language: None }]);
    assert_eq!(bot.api.screen(ADA), "▶ push it\n◀ May this run?\n  [Allow once] [Refuse]");
    let query = bot.api.press(ADA, id, "Refuse");
    let updates = bot.updates(2).unwrap();
    let press = Press::No(ApprovalId::from_random([3; 11]));
    assert_eq!(updates[0].what, What::Press { id: query.clone(), chat: ADA, message: id, press });
    bot.run(bot.telegram.answer_press(&query, &"x".repeat(300))).unwrap();
    let (answered, text) = bot.api.notifications().remove(0);
    assert_eq!((answered.as_str(), text.unwrap().encode_utf16().count()), (query.as_str(), 200));
    assert_eq!(bot.run(bot.telegram.answer_press(&query, "")), Ok(()), "a press that is too old is no error");
    let end = Outgoing::text("<b>❌ Refused by Ada</b>".to_owned());
    bot.run(bot.telegram.edit(ADA, id, &end)).unwrap();
    assert_eq!(bot.api.screen(ADA), "▶ push it\n◀ ❌ Refused by Ada");
    assert_eq!(bot.run(bot.telegram.edit(ADA, id, &end)), Ok(()), "it shows that already");
    assert_eq!(bot.api.chat(ADA)[1].edits, 1);
    let gone = bot.run(bot.telegram.edit(ADA, 999, &end));
    assert!(matches!(gone, Err(SendError::NotSent(TelegramError::Refused { code: 400, .. }))), "{gone:?}");
    // The message that is answered may be gone.
    assert!(bot.run(bot.telegram.send(ADA, &end, Some(999))).is_ok());
}

#[test]
fn a_document_is_sent_with_its_text_and_edited_below() {
    let bot = Bot::start();
    bot.api.say(ADA, "log");
    let bytes = b"--boundary\r\n\r\n\0\xff".repeat(5000);
    let card = Outgoing {
        keyboard: asked().keyboard,
        ..Outgoing::document("plan.txt", bytes.clone(), "<i>whole</i>".to_owned())
    };
    let id = bot.run(bot.telegram.send(ADA, &card, Some(1))).unwrap();
    let shown = bot.api.chat(ADA).remove(1);
    assert_eq!((shown.text.as_str(), shown.reply_to, shown.entities.len()), ("whole", Some(1), 1));
    assert_eq!(shown.document, Some(("plan.txt".to_owned(), bytes.clone())));
    let end = Outgoing { html: "done".to_owned(), keyboard: Vec::new(), ..card.clone() };
    bot.run(bot.telegram.edit(ADA, id, &end)).unwrap();
    let shown = bot.api.chat(ADA).remove(1);
    assert_eq!(
        (shown.text.as_str(), shown.keyboard.len(), shown.document),
        ("done", 0, Some(("plan.txt".to_owned(), bytes)))
    );
    let bare = Outgoing::document("a", b"x".to_vec(), String::new());
    assert!(bot.run(bot.telegram.send(ADA, &bare, None)).is_ok());
    let long = Outgoing::document("a", b"x".to_vec(), "y".repeat(1025));
    assert!(matches!(bot.run(bot.telegram.send(ADA, &long, None)), Err(SendError::NotSent(_))));
    let huge = Outgoing::document("a", vec![0; (50 << 20) + 1], String::new());
    assert!(matches!(
        bot.run(bot.telegram.send(ADA, &huge, None)),
        Err(SendError::NotSent(TelegramError::TooLarge { .. }))
    ));
}

#[test]
fn what_telegram_cannot_parse_is_sent_plain() {
    let bot = Bot::start();
    bot.api.say(ADA, "hi");
    let broken = "<b>a &lt; b <i>c</b>";
    let id = bot.send(broken).unwrap();
    bot.run(bot.telegram.edit(ADA, id, &Outgoing::text("<x>now &amp; then".to_owned()))).unwrap();
    bot.run(bot.telegram.send(ADA, &Outgoing::document("a", b"x".to_vec(), broken.to_owned()), None)).unwrap();
    let texts: Vec<String> = bot.api.chat(ADA).into_iter().skip(1).map(|shown| shown.text).collect();
    assert_eq!(texts, ["now & then", "a < b c"]);
    assert_eq!(bot.api.requests("sendMessage").len(), 2);
    assert_eq!(bot.api.requests("sendMessage")[1]["text"], "a < b c");
}

#[test]
fn typing_and_the_menu_are_shown() {
    let bot = Bot::start();
    bot.api.say(ADA, "hi");
    bot.run(bot.telegram.typing(ADA)).unwrap();
    assert_eq!((bot.api.typing(ADA), bot.api.typing(BEN)), (1, 0));
    bot.run(bot.telegram.set_commands(None, &[("help", "what there is")])).unwrap();
    bot.run(bot.telegram.set_commands(Some(ADA), &[("runs", "what ran"), ("undo", "take it back")])).unwrap();
    assert_eq!(
        bot.api.commands(ADA),
        [("runs".to_owned(), "what ran".to_owned()), ("undo".to_owned(), "take it back".to_owned())]
    );
    assert_eq!(bot.api.commands(BEN), [("help".to_owned(), "what there is".to_owned())]);
}

#[test]
fn a_message_that_failed_says_whether_it_may_have_been_sent() {
    let bot = Bot::start();
    bot.api.say(ADA, "hi");
    let kind = |error: &SendError| match error {
        SendError::NotSent(_) => "not sent",
        SendError::Unknown(_) => "unknown",
        SendError::RetryAfter { .. } => "retry",
        SendError::Blocked { .. } => "blocked",
    };
    for (fault, expected, sent) in [
        (Fault::TooMany(7), "retry", 0),
        (Fault::Refuse(403, "Forbidden: user is deactivated"), "blocked", 0),
        (Fault::Refuse(400, "Bad Request: chat not found"), "not sent", 0),
        (Fault::Refuse(401, "Unauthorized"), "not sent", 0),
        (Fault::Refuse(404, "Not Found"), "not sent", 0),
        (Fault::Refuse(409, "Conflict"), "not sent", 0),
        (Fault::Refuse(500, "Internal Server Error"), "unknown", 0),
        (Fault::Refuse(502, "Bad Gateway"), "unknown", 0),
        (Fault::Answer(504, b"<html>".to_vec()), "unknown", 1),
        (Fault::DropBefore, "unknown", 0),
        (Fault::DropAfter, "unknown", 1),
        (Fault::Answer(200, b"<html>hello</html>".to_vec()), "unknown", 1),
        (Fault::Answer(200, b"{\"ok\":true}".to_vec()), "unknown", 1),
        (Fault::Answer(200, b"{\"ok\":false,\"description\":\"no\"}".to_vec()), "unknown", 1),
        (Fault::Answer(200, b"{\"ok\":true,\"result\":{\"message_id\":\"x\"}}".to_vec()), "unknown", 1),
        (Fault::Answer(200, vec![b' '; 3 << 20]), "unknown", 1),
    ] {
        let before = bot.api.chat(ADA).len();
        let name = format!("{fault:.60?}");
        bot.api.fail("sendMessage", fault.clone());
        let error = bot.send("hello").unwrap_err();
        assert_eq!(kind(&error), expected, "{name}: {error:?}");
        assert_eq!(bot.api.chat(ADA).len() - before, sent, "{name}");
        bot.api.fail("sendDocument", fault);
        let document = Outgoing::document("a.txt", b"a".to_vec(), "b".to_owned());
        let error = bot.run(bot.telegram.send(ADA, &document, None)).unwrap_err();
        assert_eq!(kind(&error), expected, "{name} with a document: {error:?}");
    }
    bot.api.fail("sendMessage", Fault::TooMany(7));
    assert_eq!(bot.send("x"), Err(SendError::RetryAfter { seconds: 7 }));
    bot.api.block(ADA);
    assert_eq!(bot.send("x"), Err(SendError::Blocked { why: "Forbidden: bot was blocked by the user".to_owned() }));
    let stranger = bot.run(bot.telegram.send(BEN, &Outgoing::text("x".to_owned()), None));
    assert!(matches!(stranger, Err(SendError::NotSent(TelegramError::Refused { code: 400, .. }))), "{stranger:?}");
}

#[test]
fn what_is_refused_is_sent_once_more_plain() {
    let bot = Bot::start();
    bot.api.say(ADA, "hi");
    let card = Outgoing { keyboard: asked().keyboard, ..Outgoing::text("<b>bold</b> &amp; fine".to_owned()) };
    bot.api.fail("sendMessage", Fault::Refuse(400, "Bad Request: ENTITY_BOUNDS_INVALID"));
    let id = bot.run(bot.telegram.send(ADA, &card, None)).unwrap();
    let shown = bot.api.chat(ADA).remove(1);
    assert_eq!((shown.id, shown.text.as_str(), shown.entities.len()), (id, "bold & fine", 0));
    assert_eq!(shown.keyboard.concat().len(), 2, "its buttons stay");
    let file = Outgoing::document("a.txt", b"a".to_vec(), "<b>bold</b>".to_owned());
    bot.api.fail("sendDocument", Fault::Refuse(400, "Bad Request: ENTITY_BOUNDS_INVALID"));
    bot.run(bot.telegram.send(ADA, &file, None)).unwrap();
    let shown = bot.api.chat(ADA).remove(2);
    assert_eq!((shown.text.as_str(), shown.entities.len(), shown.document.is_some()), ("bold", 0, true));
    // Where nothing can be sent it is not tried twice.
    bot.api.fail("sendMessage", Fault::Refuse(400, "Bad Request: chat not found"));
    assert!(bot.send("x").is_err());
}

#[test]
fn a_card_is_edited_as_what_it_was_sent_as() {
    let bot = Bot::start();
    bot.api.say(ADA, "hi");
    let file = Outgoing::document("a.diff", b"+a".to_vec(), "<b>May it land?</b>".to_owned());
    let id = bot.run(bot.telegram.send(ADA, &Outgoing { keyboard: asked().keyboard, ..file.clone() }, None)).unwrap();
    // Its text alone is longer than what may stand below a document.
    let text = Outgoing { caption: Some("<b>No</b>".to_owned()), ..Outgoing::text("x".repeat(2000)) };
    bot.run(bot.telegram.edit(ADA, id, &text)).unwrap();
    let shown = bot.api.chat(ADA).remove(1);
    assert_eq!((shown.text.as_str(), shown.entities.len(), shown.keyboard.len()), ("No", 1, 0));
    assert!(shown.document.is_some());
    let id = bot.send("plain").unwrap();
    bot.run(bot.telegram.edit(ADA, id, &file)).unwrap();
    let shown = bot.api.chat(ADA).remove(2);
    assert_eq!((shown.text.as_str(), shown.document), ("May it land?", None));
}

#[test]
fn where_nobody_listens_nothing_was_sent() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let token = "123456:AAabcdefghijklmnopqrstuvwxyz-_012345";
    let telegram = Telegram::new(SecretString::from(token.to_owned()), &format!("http://{free}")).unwrap();
    let error =
        Runtime::new().unwrap().block_on(telegram.send(ADA, &Outgoing::text("x".to_owned()), None)).unwrap_err();
    assert!(matches!(error, SendError::NotSent(TelegramError::Unreachable { .. })), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("AAabc"));
}

#[test]
fn a_slow_answer_is_waited_for_but_not_for_ever() {
    let bot = Bot::start();
    bot.api.say(ADA, "hi");
    bot.api.fail("sendMessage", Fault::Slow(Duration::from_millis(700)));
    assert!(bot.send("x").is_ok());
    bot.api.fail("sendMessage", Fault::Slow(Duration::from_secs(600)));
    bot.api.fail("getUpdates", Fault::Slow(Duration::from_secs(600)));
    let hasty = client(&bot.api, bot.api.token()).patient(Duration::from_millis(500));
    let sent = bot.run(hasty.send(ADA, &Outgoing::text("y".to_owned()), None));
    assert_eq!(sent, Err(SendError::Unknown(TelegramError::Timeout)));
    bot.api
        .until("the message is shown all the same", ADA, |chat| chat.iter().find(|shown| shown.text == "y").cloned());
    assert_eq!(bot.run(hasty.updates(0, 0)), Err(TelegramError::Timeout));
}

#[test]
fn hostile_answers_to_a_poll_are_clear_errors() {
    let bot = Bot::start();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (answer, expected) in [
        (b"".to_vec(), "EOF"),
        (b"\xff\xfe".to_vec(), "not one of the Bot API"),
        (deep.into_bytes(), "not one of the Bot API"),
        (br#"{"ok":true,"result":{}}"#.to_vec(), "expected a sequence"),
        (br#"{"ok":true,"result":[{}]}"#.to_vec(), "an update without a number"),
        (br#"{"ok":true,"result":[{"update_id":99999999999}]}"#.to_vec(), "an update without a number"),
        (br#"{"ok":true,"result":[{"update_id":-1}]}"#.to_vec(), "an update without a number"),
        (vec![b'['; 9 << 20], "larger than 8388608 bytes"),
    ] {
        bot.api.fail("getUpdates", Fault::Answer(200, answer));
        let error = bot.updates(0).unwrap_err();
        assert!(matches!(error, TelegramError::BadAnswer { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(matches!(bot.updates(1 << 40), Err(TelegramError::BadAnswer { .. })));
    let elsewhere = BotApi::start();
    bot.api.fail("getUpdates", Fault::Redirect(format!("{}/bot{}/getUpdates", elsewhere.url(), elsewhere.token())));
    assert!(matches!(bot.updates(0), Err(TelegramError::BadAnswer { .. })));
    assert!(elsewhere.requests("getUpdates").is_empty(), "a redirect was followed, with the token in it");
}

#[test]
fn the_token_is_in_no_error() {
    let bot = Bot::start();
    bot.api.say(ADA, "hi");
    let secret = bot.api.token().split_once(':').unwrap().1.to_owned();
    let mut texts = vec![format!("{:?}", bot.telegram)];
    let back = format!(r#"{{"ok":false,"description":"no method /bot{}/x; \u001b[2J {secret}"}}"#, bot.api.token());
    for fault in [
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::TooMany(1),
        Fault::Refuse(500, "x"),
        Fault::Answer(400, back.clone().into_bytes()),
        Fault::Answer(409, back.clone().into_bytes()),
        Fault::Answer(403, back.clone().into_bytes()),
        Fault::Answer(200, back.into_bytes()),
        Fault::Answer(200, format!(r#"{{"ok":true,"result":"{secret}"}}"#).into_bytes()),
        Fault::Redirect(format!("http://127.0.0.1:9/bot{}/sendMessage", bot.api.token())),
    ] {
        // What is refused is sent once more.
        for _ in 0..if matches!(fault, Fault::Answer(400, _)) { 2 } else { 1 } {
            bot.api.fail("sendMessage", fault.clone());
            bot.api.fail("sendDocument", fault.clone());
        }
        bot.api.fail("getUpdates", fault);
        let document = Outgoing::document("a.txt", b"a".to_vec(), String::new());
        let errors: [anyhow::Error; 3] = [
            bot.send("x").unwrap_err().into(),
            bot.updates(0).unwrap_err().into(),
            bot.run(bot.telegram.send(ADA, &document, None)).unwrap_err().into(),
        ];
        texts.extend(errors.iter().flat_map(|error| [format!("{error:#}"), format!("{error:?}")]));
    }
    for text in texts {
        assert!(!text.contains(&secret) && !text.contains("AAtest"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}

/// Posts JSON to a method of the server, as a client that is not ours.
fn post(api: &BotApi, method: &str, body: &Value) -> String {
    let host = api.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let body = body.to_string();
    let head = format!(
        "POST /bot{}/{method} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        api.token(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_server_takes_only_what_the_bot_api_has() {
    let api = BotApi::start();
    api.say(ADA, "hi");
    for (method, parameters, wrong) in [
        ("sendMesage", json!({}), "is no method"),
        ("sendMessage", json!({ "chat_id": ADA }), "lacks `text`"),
        ("sendMessage", json!({ "chat_id": ADA, "text": 5 }), "is no String"),
        ("sendMessage", json!({ "chat_id": ADA, "text": "x", "textt": "y" }), "has no `textt`"),
        (
            "sendMessage",
            json!({ "chat_id": ADA, "text": "x", "reply_markup": { "inline_keyboard": [{}] } }),
            "is no array",
        ),
        ("sendMessage", json!({ "chat_id": ADA, "text": "x" }), "with link previews"),
        ("getUpdates", json!({ "offset": "x" }), "is no Integer"),
    ] {
        let answer = post(&api, method, &parameters);
        assert!(answer.starts_with("HTTP/1.1 400") == (wrong != "with link previews"), "{method}: {answer}");
        let violations = api.take_violations();
        assert!(violations.len() == 1 && violations[0].contains(wrong), "{method} {parameters}: {violations:?}");
    }
    for (text, why) in [
        ("<b>a", "can't parse entities"),
        (" ", "message text is empty"),
        (&*"a".repeat(4097), "message is too long"),
        (&*"<b></b>".repeat(5000), "text is too long"),
    ] {
        let parameters = json!({ "chat_id": ADA, "text": text, "parse_mode": "HTML", "link_preview_options": { "is_disabled": true } });
        let answer = post(&api, "sendMessage", &parameters);
        assert!(answer.contains(why), "{text:.20}: {answer}");
    }
    let keyboard = json!({ "inline_keyboard": [[{ "text": "x", "callback_data": "y".repeat(65) }]] });
    let parameters = json!({ "chat_id": ADA, "text": "x", "reply_markup": keyboard, "link_preview_options": { "is_disabled": true } });
    assert!(post(&api, "sendMessage", &parameters).contains("BUTTON_DATA_INVALID"));
    assert_eq!(api.chat(ADA).len(), 2);
}

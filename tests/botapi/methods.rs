//! The methods of the Bot API, as they change what people see.

use serde_json::{Value, json};

use super::state::{Shown, State, bot, message, parsed};

/// An error of the Bot API: status and description.
pub(crate) type Refusal = (u16, String);

/// Longest document of a bot.
const DOCUMENT_BYTES_MAX: usize = 50 << 20;
/// Longest file that a bot may download.
const DOWNLOAD_BYTES_MAX: usize = 20 << 20;

fn bad(why: &str) -> Refusal {
    (400, format!("Bad Request: {why}"))
}

/// A method but `getUpdates`, with parameters that were checked, and the file of its form.
pub(crate) fn call(
    state: &mut State,
    method: &str,
    parameters: &Value,
    file: Option<(String, Vec<u8>)>,
) -> Result<Value, Refusal> {
    match method {
        "getMe" => {
            let mut me = bot();
            me["can_join_groups"] = true.into();
            me["can_read_all_group_messages"] = false.into();
            me["supports_inline_queries"] = false.into();
            Ok(me)
        }
        "sendMessage" => send(state, parameters, None),
        "sendDocument" => {
            let file = file.ok_or_else(|| bad("there is no document in the request"))?;
            send(state, parameters, Some(file))
        }
        "editMessageText" | "editMessageCaption" => edit(state, method, parameters),
        "sendChatAction" => {
            let chat = writable(state, parameters)?;
            *state.typing.entry(chat).or_default() += 1;
            Ok(true.into())
        }
        "answerCallbackQuery" => answer(state, parameters),
        "setMyCommands" => {
            let commands = parameters["commands"].as_array().unwrap();
            let text = |command: &Value, name: &str| command[name].as_str().unwrap().to_owned();
            let menu: Vec<_> = commands.iter().map(|one| (text(one, "command"), text(one, "description"))).collect();
            let fits = |name: &str| {
                (1..=32).contains(&name.len())
                    && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            };
            let all = menu.iter().all(|(name, about)| fits(name) && (1..=256).contains(&about.len()));
            if !all {
                return Err(bad("BOT_COMMAND_INVALID"));
            }
            let scope = &parameters["scope"];
            let chat = if scope["type"] == "chat" { Some(writable(state, scope)?) } else { None };
            state.commands.insert(chat, menu);
            Ok(true.into())
        }
        "getFile" => {
            let id = parameters["file_id"].as_str().unwrap();
            let bytes = state.files.get(id).ok_or_else(|| bad("invalid file_id"))?;
            if bytes.len() > DOWNLOAD_BYTES_MAX {
                return Err(bad("file is too big"));
            }
            let path = format!("documents/{id}.bin");
            Ok(json!({ "file_id": id, "file_unique_id": "u", "file_size": bytes.len(), "file_path": path }))
        }
        other => Err((404, format!("Not Found: method {other} not found"))),
    }
}

/// The chat that a request is for, if the bot may write there.
fn writable(state: &State, parameters: &Value) -> Result<i64, Refusal> {
    let chat = &parameters["chat_id"];
    let chat = chat.as_i64().or_else(|| chat.as_str()?.parse().ok());
    let chat = chat.filter(|chat| state.chats.contains_key(chat)).ok_or_else(|| bad("chat not found"))?;
    if state.blocked.contains(&chat) {
        return Err((403, "Forbidden: bot was blocked by the user".to_owned()));
    }
    Ok(chat)
}

fn keyboard(parameters: &Value) -> Result<Vec<Vec<(String, String)>>, Refusal> {
    let Some(rows) = parameters.pointer("/reply_markup/inline_keyboard").and_then(Value::as_array) else {
        return Ok(Vec::new());
    };
    let button = |button: &Value| {
        let text = button["text"].as_str().filter(|text| !text.is_empty()).ok_or_else(|| bad("BUTTON_TEXT_INVALID"));
        let data = button["callback_data"].as_str().filter(|data| (1..=64).contains(&data.len()));
        Ok((text?.to_owned(), data.ok_or_else(|| bad("BUTTON_DATA_INVALID"))?.to_owned()))
    };
    rows.iter().map(|row| row.as_array().unwrap().iter().map(button).collect()).collect()
}

fn send(state: &mut State, parameters: &Value, document: Option<(String, Vec<u8>)>) -> Result<Value, Refusal> {
    let chat = writable(state, parameters)?;
    let (text, most) = if document.is_some() { ("caption", 1024) } else { ("text", 4096) };
    let text = parameters.get(text).and_then(Value::as_str).unwrap_or_default();
    let parsed = parsed(text, parameters.get("parse_mode").and_then(Value::as_str), most).map_err(|why| (400, why))?;
    if document.is_none() && parsed.text.trim().is_empty() {
        return Err(bad("message text is empty"));
    }
    if document.as_ref().is_some_and(|(_, bytes)| bytes.is_empty()) {
        return Err(bad("file must be non-empty"));
    }
    if document.as_ref().is_some_and(|(_, bytes)| bytes.len() > DOCUMENT_BYTES_MAX) {
        return Err((413, "Request Entity Too Large".to_owned()));
    }
    // A link in the text would be fetched, with whatever stands in it.
    if document.is_none() && parameters.pointer("/link_preview_options/is_disabled") != Some(&true.into()) {
        state.violations.push("a message was sent with link previews".to_owned());
    }
    let reply_to = match parameters.pointer("/reply_parameters/message_id").and_then(Value::as_i64) {
        Some(id) if state.message(chat, id).is_some() => Some(i32::try_from(id).unwrap()),
        Some(_) if parameters.pointer("/reply_parameters/allow_sending_without_reply") == Some(&true.into()) => None,
        Some(_) => return Err(bad("message to be replied not found")),
        None => None,
    };
    let keyboard = keyboard(parameters)?;
    let id = state.next_message();
    let shown = Shown {
        id,
        by_bot: true,
        text: parsed.text,
        entities: parsed.entities,
        keyboard,
        document,
        reply_to,
        edits: 0,
    };
    let value = message(chat, &shown);
    state.append(chat, shown);
    Ok(value)
}

fn edit(state: &mut State, method: &str, parameters: &Value) -> Result<Value, Refusal> {
    let chat = writable(state, parameters)?;
    let caption = method == "editMessageCaption";
    let (text, most) = if caption { ("caption", 1024) } else { ("text", 4096) };
    let text = parameters.get(text).and_then(Value::as_str).unwrap_or_default();
    let parsed = parsed(text, parameters.get("parse_mode").and_then(Value::as_str), most).map_err(|why| (400, why))?;
    if !caption && parsed.text.trim().is_empty() {
        return Err(bad("message text is empty"));
    }
    let keyboard = keyboard(parameters)?;
    let id = parameters["message_id"].as_i64().unwrap();
    let shown = state.message(chat, id).ok_or_else(|| bad("message to edit not found"))?;
    if !shown.by_bot {
        return Err(bad("message can't be edited"));
    }
    match (caption, shown.document.is_some()) {
        (false, true) => return Err(bad("there is no text in the message to edit")),
        (true, false) => return Err(bad("there is no caption in the message to edit")),
        (true, true) | (false, false) => {}
    }
    if (&shown.text, &shown.entities, &shown.keyboard) == (&parsed.text, &parsed.entities, &keyboard) {
        return Err(bad(
            "message is not modified: specified new message content and reply markup are exactly the same as a \
             current content and reply markup of the message",
        ));
    }
    shown.text = parsed.text;
    shown.entities = parsed.entities;
    shown.keyboard = keyboard;
    shown.edits += 1;
    Ok(message(chat, shown))
}

fn answer(state: &mut State, parameters: &Value) -> Result<Value, Refusal> {
    let id = parameters["callback_query_id"].as_str().unwrap();
    let text = parameters.get("text").and_then(Value::as_str);
    if text.is_some_and(|text| text.encode_utf16().count() > 200) {
        return Err(bad("MESSAGE_TOO_LONG"));
    }
    let Some(at) = state.open_queries.iter().position(|open| open == id) else {
        return Err(bad("query is too old and response timeout expired or query ID is invalid"));
    };
    state.open_queries.remove(at);
    state.notifications.push((id.to_owned(), text.map(str::to_owned)));
    Ok(true.into())
}

//! The Bot API's own description, as data: every parameter that comes in and every value that goes
//! out is checked against it. Whatever is not in `api.json` is wrong, here if not at Telegram.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Api {
    methods: HashMap<String, Method>,
    types: HashMap<String, BTreeMap<String, Field>>,
}

#[derive(Deserialize)]
struct Method {
    returns: Vec<String>,
    parameters: BTreeMap<String, Field>,
}

#[derive(Deserialize)]
struct Field {
    types: Vec<String>,
    #[serde(default)]
    required: bool,
}

/// The members of unions that are used here.
const UNIONS: [(&str, &[&str]); 3] = [
    ("BotCommandScope", &["BotCommandScopeAllPrivateChats", "BotCommandScopeChat"]),
    ("MessageOrigin", &["MessageOriginUser"]),
    ("MaybeInaccessibleMessage", &["Message"]),
];

fn api() -> &'static Api {
    static API: OnceLock<Api> = OnceLock::new();
    API.get_or_init(|| serde_json::from_str(include_str!("api.json")).expect("api.json describes the Bot API"))
}

/// Whether a method exists, and whether it takes these parameters.
pub(crate) fn check_request(method: &str, parameters: &Value) -> Result<(), String> {
    let found = api().methods.get(method).ok_or_else(|| format!("`{method}` is no method"))?;
    check_fields(&format!("{method} "), &found.parameters, parameters)
}

/// Whether a method may return this.
pub(crate) fn check_result(method: &str, result: &Value) -> Result<(), String> {
    let found = api().methods.get(method).ok_or_else(|| format!("`{method}` is no method"))?;
    check_any(&format!("result of {method}"), &found.returns, result)
}

/// Whether a value is of this type.
pub(crate) fn check_type(kind: &str, value: &Value) -> Result<(), String> {
    check_any(kind, &[kind.to_owned()], value)
}

fn check_fields(of: &str, fields: &BTreeMap<String, Field>, value: &Value) -> Result<(), String> {
    let object = value.as_object().ok_or_else(|| format!("{of}is no object: {value}"))?;
    for (name, field) in fields {
        if field.required && !object.contains_key(name) {
            return Err(format!("{of}lacks `{name}`"));
        }
    }
    for (name, value) in object {
        let field = fields.get(name).ok_or_else(|| format!("{of}has no `{name}` (in tests/botapi/api.json)"))?;
        check_any(&format!("{of}.{name} "), &field.types, value)?;
    }
    Ok(())
}

fn check_any(of: &str, kinds: &[String], value: &Value) -> Result<(), String> {
    let mut wrong = Vec::new();
    for kind in kinds {
        match check_one(of, kind, value) {
            Ok(()) => return Ok(()),
            Err(error) => wrong.push(error),
        }
    }
    Err(wrong.join("; "))
}

fn check_one(of: &str, kind: &str, value: &Value) -> Result<(), String> {
    if let Some((_, members)) = UNIONS.iter().find(|(union, _)| *union == kind) {
        let members: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
        return check_any(of, &members, value);
    }
    let fits = match kind {
        "Integer" => value.is_i64(),
        "String" => value.is_string(),
        "Boolean" => value.is_boolean(),
        "True" => *value == Value::Bool(true),
        "Float" => value.is_number(),
        // A part of a form with a file name stands as an object with it.
        "InputFile" => value.get("file_name").is_some_and(Value::is_string),
        _ => {
            if let Some(inner) = kind.strip_prefix("Array of ") {
                let items = value.as_array().ok_or_else(|| format!("{of}is no array: {value}"))?;
                return items.iter().try_for_each(|item| check_one(of, inner, item));
            }
            let fields = api().types.get(kind).ok_or_else(|| format!("{of}: `{kind}` is not in api.json"))?;
            return check_fields(of, fields, value);
        }
    };
    if fits { Ok(()) } else { Err(format!("{of}is no {kind}: {value}")) }
}

/// A form's text as the JSON value that the parameter is of.
pub(crate) fn from_form(method: &str, name: &str, text: &str) -> Value {
    let scalar =
        |kinds: &[String]| kinds.iter().any(|kind| kind == "String") && !kinds.iter().any(|kind| kind == "Integer");
    let field = api().methods.get(method).and_then(|found| found.parameters.get(name));
    match field {
        Some(field) if scalar(&field.types) => Value::String(text.to_owned()),
        Some(_) | None => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    }
}

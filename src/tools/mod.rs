//! What a model may call, and how its calls are read: strictly, since a model is nobody to trust. Each
//! becomes a task that is judged, planned and run like a person's.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::domain::model::{ToolCall, ToolSpec};
use crate::domain::script::Script;
use crate::domain::task::{FilePath, FileRequest, FileText, Literal, OldText, Task};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exec {
    command: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    path: FilePath,
    from_line: Option<u32>,
    lines: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Path {
    path: FilePath,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    path: FilePath,
    text: Literal,
    glob: Option<Literal>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Write {
    path: FilePath,
    text: FileText,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    path: FilePath,
    old: OldText,
    new: FileText,
    #[serde(default)]
    all: bool,
}

/// Every tool there is.
pub fn specs() -> Vec<ToolSpec> {
    let path = json!({ "type": "string", "description": "Absolute, or relative to your working directory" });
    let text = |what: &str| json!({ "type": "string", "description": what });
    let count = |what: &str| json!({ "type": "integer", "minimum": 1, "description": what });
    vec![
        spec(
            "exec",
            "Run a shell script (bash) in a fresh container. Gives its exit code, its output (stdout and stderr \
             together, the middle of long output left out) and the files that it changed.",
            &json!({ "command": text("Shell text") }),
            &["command"],
        ),
        spec(
            "read_file",
            "Read a text file, or some of its lines.",
            &json!({ "path": path, "from_line": count("The first line, counted from 1"), "lines": count("How many lines") }),
            &["path"],
        ),
        spec("list_files", "List a directory: type, size, time and name.", &json!({ "path": path }), &["path"]),
        spec(
            "search_files",
            "Find a literal text in a file, or in all files below a directory. Gives `path:line: text`.",
            &json!({ "path": path, "text": text("What to look for, as it stands"), "glob": text("Only files with such a name, such as *.rs") }),
            &["path", "text"],
        ),
        spec(
            "write_file",
            "Make a file, or replace all of its text. Prefer edit_file for a file that is there.",
            &json!({ "path": path, "text": text("All of its text") }),
            &["path", "text"],
        ),
        spec(
            "edit_file",
            "Replace a piece of a file. The old text must stand in it exactly once, unless `all` is true.",
            &json!({ "path": path, "old": text("What is there, exactly"), "new": text("What is to be there"), "all": { "type": "boolean" } }),
            &["path", "old", "new"],
        ),
        spec("send_file", "Send a file to the person in the chat.", &json!({ "path": path }), &["path"]),
    ]
}

fn spec(name: &'static str, description: &str, properties: &Value, required: &[&str]) -> ToolSpec {
    let schema =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    ToolSpec { name, description: description.to_owned(), schema }
}

/// What a call asks for.
///
/// # Errors
/// Why it is no valid call and what is, for the model.
pub fn read(call: &ToolCall) -> Result<Task, String> {
    if let Value::String(text) = &call.arguments {
        let begin: String = text.chars().take(80).collect();
        return Err(format!("not done: the arguments are not a JSON object (they begin with `{begin}`)"));
    }
    let file = match call.name.as_str() {
        "exec" => {
            let Exec { command } = arguments(call)?;
            return Script::new(command).map(Task::Script).map_err(|error| format!("not run: {error}"));
        }
        "read_file" => {
            arguments(call).map(|Read { path, from_line, lines }| FileRequest::Read { path, from_line, lines })
        }
        "list_files" => arguments(call).map(|Path { path }| FileRequest::List { path }),
        "search_files" => arguments(call).map(|Search { path, text, glob }| FileRequest::Search { path, text, glob }),
        "write_file" => arguments(call).map(|Write { path, text }| FileRequest::Write { path, text }),
        "edit_file" => arguments(call).map(|Edit { path, old, new, all }| FileRequest::Edit { path, old, new, all }),
        "send_file" => arguments(call).map(|Path { path }| FileRequest::Send { path }),
        other => {
            let name: String = other.chars().take(80).collect();
            let known: Vec<&str> = specs().iter().map(|tool| tool.name).collect();
            return Err(format!("not done: there is no tool `{name}`. There is: {}", known.join(", ")));
        }
    };
    file.map(Task::File)
}

fn arguments<T: DeserializeOwned>(call: &ToolCall) -> Result<T, String> {
    serde_json::from_value(call.arguments.clone()).map_err(|error| {
        format!(
            "not done: the arguments of `{}` do not fit its schema: {error}. Call it again with valid ones",
            call.name
        )
    })
}

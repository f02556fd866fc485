//! Streams that Anthropic recorded for the tests of its own Python SDK: we make of each what the SDK
//! makes of it.

use std::fs;

use castoff::domain::model::{ModelStop, TokenUsage};
use castoff::model::{Kind, Provider};
use serde_json::{Value, json};

use crate::raw::{Answer, Raw, ok};
use crate::{call, dialler, endpoint, provider, python, request, said, waits};

/// Prints for each recording what the SDK makes of it, as one line of JSON.
const SDK: &str = r#"
import json, sys, anthropic

for name in json.load(sys.stdin):
    client = anthropic.Anthropic(base_url=f"{sys.argv[1]}/{name}", api_key="x", max_retries=0)
    made = {"name": name}
    try:
        with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]) as stream:
            message = stream.get_final_message()
        usage = message.usage
        made |= {
            "text": "".join(block.text for block in message.content if block.type == "text"),
            "calls": [[block.id, block.name, block.input] for block in message.content if block.type == "tool_use"],
            "stop": message.stop_reason,
            "usage": [usage.input_tokens, usage.output_tokens,
                      usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0],
        }
    except ValueError as error:
        made["error"] = str(error)
    print(json.dumps(made))
"#;

fn stop(reason: &str) -> ModelStop {
    match reason {
        "end_turn" => ModelStop::End,
        "tool_use" => ModelStop::Tools,
        "max_tokens" => ModelStop::Length,
        "refusal" => ModelStop::Refusal,
        other => panic!("the recordings have a new stop reason: {other}"),
    }
}

fn counted(usage: TokenUsage) -> Value {
    json!([usage.input, usage.output, usage.cache_read, usage.cache_write])
}

fn recordings() -> Vec<(String, Vec<u8>)> {
    let directory = python::home().join("source/anthropic-2.12.0/tests/lib/streaming/fixtures");
    let files = fs::read_dir(&directory).unwrap_or_else(|error| panic!("no recordings in {directory:?}: {error}"));
    let mut found: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    found.sort();
    assert_eq!(found.len(), 16, "the recordings of anthropic 2.12.0");
    found
}

#[tokio::test]
async fn recorded_streams_mean_to_us_what_they_mean_to_the_providers_own_client() {
    let recordings = recordings();
    let served = recordings.clone();
    let server = Raw::start(move |path, _| {
        let name = path.split('/').nth(1).unwrap_or_default();
        Answer::Bytes(served.iter().find(|(known, _)| known == name).map(|(_, bytes)| ok(bytes)).unwrap_or_default())
    });
    let names: Vec<_> = recordings.iter().map(|(name, _)| name).collect();
    let made = python::answer(SDK, &[&server.url], json!(names).to_string().as_bytes());
    let mut compared = 0;
    for line in made.lines() {
        let theirs: Value = serde_json::from_str(line).unwrap();
        let name = theirs["name"].as_str().unwrap();
        let provider = provider(Kind::Anthropic, &format!("{}/{name}", server.url));
        let ours =
            call(&provider, &request("m", said("x"))).await.0.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        if theirs.get("error").is_some() {
            // The SDK fails on arguments that are no JSON; for us they are the text as it came.
            assert_eq!(name, "tool_use_invalid_json_response");
            assert_eq!(ours.calls[0].arguments, json!("{\"location\": \"Paris\", \"unit\": celsius}"));
            compared += 1;
            continue;
        }
        assert_eq!(ours.text, theirs["text"].as_str().unwrap(), "{name}");
        assert_eq!(counted(ours.usage.unwrap()), theirs["usage"], "{name}");
        assert_eq!(ours.stop, stop(theirs["stop"].as_str().unwrap()), "{name}");
        let calls: Vec<_> = ours.calls.iter().map(|one| json!([one.id, one.name, one.arguments])).collect();
        if name == "incomplete_partial_json_response" {
            // Cut by the longest reply: the SDK guesses at the rest, we do not.
            assert!(ours.calls[0].arguments.as_str().unwrap().starts_with("{\"filename\": \"taxes.txt\""), "{ours:?}");
            assert_eq!(ours.stop, ModelStop::Length);
        } else {
            assert_eq!(json!(calls), theirs["calls"], "{name}");
        }
        compared += 1;
    }
    assert_eq!(compared, 16);
}

#[tokio::test]
async fn every_recorded_stream_that_is_cut_anywhere_is_no_reply() {
    let client = dialler();
    for (name, bytes) in recordings() {
        let end = bytes.windows(12).rposition(|window| window == b"message_stop").unwrap();
        let cuts: Vec<usize> = (0..end).step_by(211).chain([end, end + 11]).collect();
        let (cut_at, whole) = (cuts.clone(), bytes.clone());
        let server = Raw::start(move |path, _| {
            let number: usize = path.split('/').nth(1).unwrap().parse().unwrap();
            Answer::Bytes(ok(&whole[..cut_at[number]]))
        });
        for (number, cut) in cuts.iter().enumerate() {
            let here = endpoint(Kind::Anthropic, &format!("{}/{number}", server.url));
            let provider = Provider::new(here, &client, waits()).unwrap();
            let reply = call(&provider, &request("m", said("x"))).await.0;
            let failure = reply.err().unwrap_or_else(|| panic!("{name} cut at {cut} of {} was taken", bytes.len()));
            assert!(failure.may_cost, "{name} cut at {cut}: {failure:?}");
        }
    }
}

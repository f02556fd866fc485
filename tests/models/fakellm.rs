//! A whole agent loop that fakellm has scripted, on both cloud APIs.

use castoff::domain::model::{ModelMessage, ModelStop};
use castoff::model::Kind;
use serde_json::json;

use crate::python::Server;
use crate::{call, provider, request, result_of, said, tools};

const SCRIPT: &str = r#"
version: 1
rules:
  - name: answer
    when: {tool_result_contains: "total 42"}
    respond: {content: "There are 42 files."}
  - name: second look
    when: {tool_result_contains: "permission denied"}
    respond:
      tool_calls: [{name: exec, arguments: {script: "ls -la ."}}]
  - name: look
    when: {tools_include: exec}
    respond:
      tool_calls:
        - {name: exec, arguments: {script: "ls /root"}}
        - {name: read_file, arguments: {script: "notes.txt"}}
"#;

#[tokio::test]
async fn a_scripted_loop_of_calls_and_results_comes_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("fakellm.yaml");
    std::fs::write(&script, SCRIPT).unwrap();
    let server = Server::start("fakellm.server:app", &[("FAKELLM_CONFIG", script.to_str().unwrap())]);
    for (kind, base_url) in [(Kind::Anthropic, server.url.clone()), (Kind::OpenAi, format!("{}/v1", server.url))] {
        let provider = provider(kind, &base_url);
        let mut asked = request("model-x", said(&format!("{kind:?}: how many files are here?")));
        asked.tools = tools();
        let mut results = ["permission denied", "total 42"].into_iter();
        let mut made = Vec::new();
        let text = loop {
            let reply = call(&provider, &asked).await.0.unwrap();
            if kind == Kind::OpenAi {
                // This server counts nothing: what was reserved is booked.
                assert_eq!(reply.usage, None);
            }
            if reply.calls.is_empty() {
                assert_eq!(reply.stop, ModelStop::End);
                break reply.text;
            }
            assert_eq!(reply.stop, ModelStop::Tools);
            let result = results.next().unwrap();
            made.push(reply.calls.iter().map(|one| one.arguments["script"].clone()).collect::<Vec<_>>());
            asked.messages.push(ModelMessage::Model { text: reply.text, calls: reply.calls.clone() });
            asked.messages.extend(reply.calls.iter().map(|one| result_of(one, result)));
        };
        assert_eq!(text, "There are 42 files.", "{kind:?}");
        assert_eq!(made, [vec![json!("ls /root"), json!("notes.txt")], vec![json!("ls -la .")]], "{kind:?}");
    }
}

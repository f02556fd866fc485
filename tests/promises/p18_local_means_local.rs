//! Promise 18: with a local model chosen nothing falls back to a cloud one.

use crate::common::Castoff;
use crate::place::python::Server;

const PRICES: &str = "as_of: 2026-11-01\nprices:\n  other/*: { input: 3, output: 15 }\n";

#[test]
fn a_local_model_that_fails_is_not_replaced_and_a_cloud_one_is_refused() {
    // A provider that would answer, and a local one that does not.
    let server = Server::start("llmock.main:app", &[("LLMOCK_RESPONSE_STYLE", "static")]);
    let settings = |nearby: &str| {
        format!(
            "local_only: true\nproviders:\n  other: {{ kind: openai, base_url: \"{}/v1\" }}\n  near: {{ kind: openai, \
             base_url: \"{nearby}\", free: true }}\n",
            server.url
        )
    };
    let up = format!("{}/v1", server.url);
    let castoff = Castoff::start(&[("settings.yaml", &settings(&up)), ("prices.yaml", PRICES)]);
    let near = castoff.castoff(&["config", "--model", "near/model-x"]).ended(0);
    assert!(near.stdout.contains("Nothing is sent to a cloud provider."), "{near:?}");
    castoff.castoff(&["config", "--model", "anthropic/claude-sonnet-4-5"]).ended(65).says(&["local_only"]);
    let shown = castoff.castoff(&["config"]).ended(0);
    assert!(shown.stdout.contains("near/model-x"), "{shown:?}");
    castoff.run_in(castoff.root(), &["chat", "hello"]).ended(0);
    // It goes away: the turn fails, and says so; the other provider hears nothing.
    let before = server.log().lines().count();
    castoff.configure("settings.yaml", &settings("http://127.0.0.1:9/v1"));
    castoff.stop();
    castoff.serve();
    castoff.run_in(castoff.root(), &["chat", "hello again"]).ended(1).says(&["near"]);
    assert_eq!(server.log().lines().count(), before, "another provider was called:\n{}", server.log());
}

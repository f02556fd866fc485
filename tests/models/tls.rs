//! Certificates: one that nobody vouches for is refused, one that the system trusts is taken.

use castoff::domain::model::{FailureKind, ModelStop};
use castoff::model::Kind;

use crate::python::{self, Server};
use crate::{call, provider, request, said};

/// Makes an authority and a certificate of it in the directory `argv[1]`.
const AUTHORITY: &str = r#"
import sys, trustme

authority = trustme.CA()
authority.cert_pem.write_to_path(sys.argv[1] + "/authority.pem")
authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(sys.argv[1] + "/server.pem")
"#;

/// Where the server is, for this test when it is run by itself with the authority in its environment.
const SERVER: &str = "CASTOFF_TEST_TLS_SERVER";

#[tokio::test]
async fn a_certificate_is_taken_only_from_an_authority_that_is_trusted() {
    if let Ok(server) = std::env::var(SERVER) {
        let provider = provider(Kind::OpenAi, &format!("{server}/v1"));
        let reply = call(&provider, &request("m", said("x"))).await.0.unwrap();
        assert_eq!(reply.stop, ModelStop::End);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    python::answer(AUTHORITY, &[directory.path().to_str().unwrap()], b"");
    let server = Server::start_with("llmock.main:app", &[], &["--ssl-certfile", &path("server.pem")]);
    assert!(server.url.starts_with("https://"), "{}", server.url);

    let provider = provider(Kind::OpenAi, &format!("{}/v1", server.url));
    let failure = call(&provider, &request("m", said("x"))).await.0.unwrap_err();
    assert_eq!((failure.kind, failure.may_cost), (FailureKind::Unreachable, false), "{}", failure.why);
    assert!(failure.why.contains("certificate known to this machine"), "{}", failure.why);

    // The environment is read at the start of a program: so this program once more.
    let mut trusting = python::command(std::env::current_exe().unwrap());
    trusting.args(["--exact", "tls::a_certificate_is_taken_only_from_an_authority_that_is_trusted", "--nocapture"]);
    trusting.env("SSL_CERT_FILE", path("authority.pem")).env(SERVER, &server.url);
    let told = python::run(&mut trusting);
    assert!(told.contains("1 passed"), "{told}");
}

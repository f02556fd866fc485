//! The one HTTP client of all providers, and which addresses it may dial without TLS.
//!
//! Certificates are checked against Mozilla's roots, which are built in (a slim container has none),
//! and against the system's where there are any (a company's own). It follows no redirect, keeps no
//! cookie, and takes a proxy only from its rules, for https alone: the environment is read in `main`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use secrecy::{ExposeSecret as _, SecretString};

use super::Kind;

/// Hosts that are spoken to without TLS without being listed, should they be near.
const NEAR_HOSTS: [&str; 2] = ["localhost", "ollama"];

/// What the owner set about connections.
#[derive(Debug, Clone)]
pub struct ClientRules {
    /// Hosts that may be spoken to without TLS, as long as they are loopback or private.
    pub plain_http_hosts: Vec<String>,
    /// The proxy for https (`HTTPS_PROXY`), as a URL, which may hold a password; `None` connects directly.
    pub https_proxy: Option<SecretString>,
    /// Longest time to connect, TLS included.
    pub connect_time_max: Duration,
}

impl Default for ClientRules {
    fn default() -> Self {
        Self { plain_http_hosts: Vec::new(), https_proxy: None, connect_time_max: Duration::from_secs(10) }
    }
}

/// The client, with its rules. Cheap to clone: the connections are shared.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    rules: ClientRules,
}

/// A client that cannot be made, or an address that it does not dial.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is none.
    #[error("`{0}` is no base URL (write https://HOST/PATH)")]
    NoUrl(String),
    /// It has more than an address.
    #[error("a base URL holds no user name, password, query or fragment: give the key by `castoff config --api-key`")]
    NotOnlyAddress,
    /// It is not https and not near.
    #[error(
        "`{0}` would be spoken to without encryption: write https://, or list a host of your own network under \
         `plain_http_hosts`"
    )]
    Plain(String),
    /// It is not https and far, whatever is listed.
    #[error("`{0}` is an address of the internet, which is only spoken to by https://")]
    Public(String),
    /// The proxy is no URL, or TLS cannot be set up.
    #[error("the connection to models cannot be set up: {0}")]
    SetUp(String),
}

/// The client for all providers, by `rules`. Fails when the proxy is no URL.
pub fn client(rules: ClientRules) -> Result<Client, ClientError> {
    let http = build(&rules, None)?;
    Ok(Client { http, rules })
}

impl Client {
    /// The client and the URL under which the paths of `kind` lie, for the base URL of an endpoint:
    /// https, or http to what is near, or `unix:///PATH` for a socket.
    pub(super) fn dial(&self, kind: Kind, base_url: &str) -> Result<(reqwest::Client, Url), ClientError> {
        let no_url = || ClientError::NoUrl(base_url.to_owned());
        // What is no URL is quoted back, so a key in it is looked for before.
        if base_url.contains(['@', '?', '#']) {
            return Err(ClientError::NotOnlyAddress);
        }
        if let Some(path) = base_url.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
            let url = Url::parse("http://localhost/").map_err(|_error| no_url())?;
            return Ok((build(&self.rules, Some(path.into()))?, below(kind, url)));
        }
        let url = Url::parse(base_url).map_err(|_error| no_url())?;
        let host = url.host_str().map(str::to_owned).ok_or_else(no_url)?;
        match url.scheme() {
            "https" => {}
            "http" => self.may_be_plain(&host)?,
            _ => return Err(no_url()),
        }
        Ok((self.http.clone(), below(kind, url)))
    }

    fn may_be_plain(&self, host: &str) -> Result<(), ClientError> {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let listed = self.rules.plain_http_hosts.iter().any(|listed| same_host(listed, host));
        match address {
            Some(address) if address.to_canonical().is_loopback() => Ok(()),
            Some(address) if !is_near(address) => Err(ClientError::Public(host.to_owned())),
            Some(_) if listed => Ok(()),
            None if listed || NEAR_HOSTS.iter().any(|near| same_host(near, host)) => Ok(()),
            Some(_) | None => Err(ClientError::Plain(host.to_owned())),
        }
    }
}

/// The URL that a kind's paths are joined to. As the providers' own clients have it, OpenAI's base URL
/// ends in `/v1` and Anthropic's does not; the other way round is understood, too.
fn below(kind: Kind, mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/').to_owned();
    let path = match kind {
        Kind::OpenAi if path.is_empty() => "/v1".to_owned(),
        Kind::Anthropic => path.strip_suffix("/v1").map(str::to_owned).unwrap_or(path),
        Kind::OpenAi | Kind::Ollama => path,
    };
    url.set_path(&format!("{path}/"));
    url
}

fn build(rules: &ClientRules, socket: Option<PathBuf>) -> Result<reqwest::Client, ClientError> {
    let set_up = |error: &dyn std::error::Error| ClientError::SetUp(error.to_string());
    let plain = NEAR_HOSTS.iter().map(|host| (*host).to_owned()).chain(rules.plain_http_hosts.iter().cloned());
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("castoff/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls().map_err(|error| set_up(&error))?)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(rules.connect_time_max)
        .dns_resolver(Resolver { plain: plain.collect() });
    if let Some(path) = socket {
        builder = builder.unix_socket(path);
    } else if let Some(proxy) = &rules.https_proxy {
        let proxy = reqwest::Proxy::https(proxy.expose_secret())
            .map_err(|_error| ClientError::SetUp("`HTTPS_PROXY` is no URL of a proxy".to_owned()))?;
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|error| set_up(&error.without_url()))
}

fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let ring = rustls::crypto::ring::default_provider();
    // For the other crates that speak TLS; an error says that it is done already.
    drop(ring.clone().install_default());
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(ring))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Resolves names as the system does; those that may be spoken to without TLS only to what is near.
#[derive(Debug)]
struct Resolver {
    plain: Vec<String>,
}

/// A name that leads out of the house.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no loopback or private address, so it is only spoken to by https://, unlisted")]
pub(super) struct Far(String);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let near_only = self.plain.iter().any(|plain| same_host(plain, &host));
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let addresses = if near_only { near(&host, found)? } else { found };
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Those of `found` that are near; fails when there are none.
fn near(host: &str, mut found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Far> {
    found.retain(|address| is_near(address.ip()));
    if found.is_empty() { Err(Far(host.to_owned())) } else { Ok(found) }
}

/// Loopback (RFC 1122), private (RFC 1918) or unique local (RFC 4193): nothing that is link-local,
/// where clouds keep their metadata.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || (address.is_private() && address != Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

fn same_host(one: &str, other: &str) -> bool {
    let bare = |host: &str| host.trim_end_matches('.').trim_matches(['[', ']']).to_ascii_lowercase();
    bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_spoken_to_without_tls() {
        let listed = ["host.docker.internal", "10.1.2.3", "8.8.8.8", "fd00::1"].map(str::to_owned).to_vec();
        let client = client(ClientRules { plain_http_hosts: listed, ..ClientRules::default() }).unwrap();
        let cases = [
            ("https://api.anthropic.com", true),
            ("https://10.0.0.1/x", true),
            ("http://localhost:11434", true),
            ("http://LOCALHOST.:11434", true),
            ("http://127.0.0.1:1/v1", true),
            ("http://127.9.9.9", true),
            ("http://2130706433", true),
            ("http://[::1]:8080", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://ollama:11434", true),
            ("http://host.docker.internal:11434/", true),
            ("http://10.1.2.3", true),
            ("http://[fd00::1]", true),
            ("unix:///run/model.sock", true),
            ("http://10.1.2.4", false),
            ("http://192.168.1.1", false),
            ("http://169.254.169.254", false),
            ("http://8.8.8.8", false),
            ("http://0x08080808", false),
            ("http://[::ffff:8.8.8.8]", false),
            ("http://0.0.0.0", false),
            ("http://api.openai.com/v1", false),
            ("http://ollama.evil.example", false),
            ("http://localhost@evil.example", false),
            ("https://user:key@api.openai.com", false),
            ("https://api.openai.com/v1?key=x", false),
            ("ftp://localhost", false),
            ("file:///etc/passwd", false),
            ("unix:relative.sock", false),
            ("api.openai.com", false),
            ("", false),
        ];
        for (base_url, fits) in cases {
            let dialled = client.dial(Kind::OpenAi, base_url);
            assert_eq!(dialled.is_ok(), fits, "{base_url}: {dialled:?}");
        }
    }

    #[test]
    fn a_plain_name_that_leads_out_is_not_dialled() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let found = ["8.8.8.8", "10.0.0.1", "169.254.169.254", "::1", "2606:4700::1"].map(address).to_vec();
        assert_eq!(near("ollama", found).unwrap(), ["10.0.0.1", "::1"].map(address));
        assert!(near("ollama", vec![address("100.64.0.1"), address("fe80::1")]).is_err());
    }

    #[tokio::test]
    async fn names_are_looked_at_when_they_are_dialled() {
        let resolver = Resolver { plain: vec!["8.8.8.8.".to_owned(), "localhost".to_owned()] };
        let resolved = |name: &str| resolver.resolve(name.parse().unwrap());
        let told = resolved("8.8.8.8").await.err().unwrap();
        assert!(told.downcast_ref::<Far>().is_some(), "{told}");
        assert!(resolved("LOCALHOST").await.unwrap().all(|address| address.ip().is_loopback()));
        assert_eq!(resolved("9.9.9.9").await.unwrap().count(), 1, "by https anything may be dialled");
    }

    #[test]
    fn base_urls_are_understood_with_and_without_their_version() {
        let client = client(ClientRules::default()).unwrap();
        let cases = [
            (Kind::OpenAi, "https://api.openai.com", "https://api.openai.com/v1/"),
            (Kind::OpenAi, "https://h.example/api/v1/", "https://h.example/api/v1/"),
            (Kind::Anthropic, "https://api.anthropic.com/v1", "https://api.anthropic.com/"),
            (Kind::Anthropic, "http://127.0.0.1:9/anthropic", "http://127.0.0.1:9/anthropic/"),
            (Kind::Ollama, "http://ollama:11434", "http://ollama:11434/"),
            (Kind::OpenAi, "unix:///run/model.sock", "http://localhost/v1/"),
        ];
        for (kind, base_url, expected) in cases {
            assert_eq!(client.dial(kind, base_url).unwrap().1.as_str(), expected);
        }
    }

    #[test]
    fn a_password_in_the_proxy_is_not_told() {
        let rules =
            ClientRules { https_proxy: Some("http://me:hidden@[bad".to_owned().into()), ..ClientRules::default() };
        let error = client(rules).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hidden"), "{error}");
    }
}

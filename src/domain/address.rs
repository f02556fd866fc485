//! Addresses of services that Castoff calls: where plain HTTP is allowed, and how near an address is.

use core::net::IpAddr;
use std::fmt;
use std::path::Path;

/// Longest address, in bytes.
const LENGTH_MAX: usize = 2048;
/// Hosts that Compose gives us on the same machine.
const COMPOSE_HOSTS: [&str; 2] = ["ollama", "host.docker.internal"];

/// How far a request to an address goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// This machine: loopback or a Unix socket.
    Machine,
    /// A private network. A name is to be dialled only if it resolves to what [`is_private`] takes.
    Private,
    /// The internet.
    Internet,
}

/// The base of a service's addresses, checked when made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    reach: Reach,
}

/// Why a text is no base URL, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBaseUrl {
    /// For people.
    pub message: String,
    /// What helps.
    pub hint: &'static str,
}

impl BaseUrl {
    /// The base URL `text`: https, or plain http to loopback, `ollama`, `host.docker.internal` or one
    /// of `plain_http_hosts`; or `unix:/PATH`. Without name, password, query and fragment.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str, plain_http_hosts: &[String]) -> Result<Self, BadBaseUrl> {
        let bad = |what: &str, hint| Err(BadBaseUrl { message: format!("`{text}` {what}"), hint });
        if text.len() > LENGTH_MAX {
            return Err(BadBaseUrl {
                message: format!("the address is longer than {LENGTH_MAX} bytes"),
                hint: "shorten it",
            });
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return if Path::new(path).is_absolute() && !path.starts_with("//") {
                Ok(Self { text: text.to_owned(), reach: Reach::Machine })
            } else {
                bad("names no absolute path", "write `unix:/run/NAME.sock`")
            };
        }
        let Ok(url) = url::Url::parse(text) else {
            return bad("is no address", "write one such as `https://HOST` or `http://127.0.0.1:PORT`");
        };
        let Some(host) = url.host_str().filter(|_| ["https", "http"].contains(&url.scheme())) else {
            return bad("is no web address", "begin it with `https://`");
        };
        if !url.username().is_empty() || url.password().is_some() {
            // The text is not repeated: it may hold a password.
            let message = "the address holds a name or a password".to_owned();
            return Err(BadBaseUrl { message, hint: "keys are kept sealed: `castoff config --api-key`" });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return bad("has a query or a fragment", "write the part before `?` and `#`");
        }
        let reach = reach(host, plain_http_hosts);
        if url.scheme() == "http" && (reach == Reach::Internet || !may_be_plain(host, plain_http_hosts)) {
            return bad(
                "is plain http to another machine: keys and conversations could be read on the way",
                "use https, or list the host under `plain_http_hosts` if it is in your own network",
            );
        }
        Ok(Self { text: url.as_str().trim_end_matches('/').to_owned(), reach })
    }

    /// Without a slash at the end; `unix:/PATH` for a socket.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How far requests go.
    pub fn reach(&self) -> Reach {
        self.reach
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether `text` can stand in a list of hosts: a name or an address as it stands in a URL, without
/// scheme, port and path; no address of the internet.
pub fn is_private_host(text: &str) -> bool {
    let letters = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'[' | b':' | b']');
    let own = url::Url::parse(&format!("http://{text}/")).ok();
    let same = own.is_some_and(|url| url.host_str() == Some(text) && url.as_str() == format!("http://{text}/"));
    same && text.bytes().all(letters) && address(text).is_none_or(is_private)
}

/// Whether an address is loopback, private (RFC 1918, RFC 4193) or link-local: what a host of
/// [`Reach::Private`] must resolve to.
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|address| address.to_canonical().is_loopback())
}

fn reach(host: &str, plain_http_hosts: &[String]) -> Reach {
    if is_loopback(host) {
        Reach::Machine
    } else if address(host).is_some_and(is_private) || may_be_plain(host, plain_http_hosts) {
        Reach::Private
    } else {
        Reach::Internet
    }
}

fn may_be_plain(host: &str, plain_http_hosts: &[String]) -> bool {
    is_loopback(host) || COMPOSE_HOSTS.contains(&host) || plain_http_hosts.iter().any(|listed| listed == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_and_listed_hosts() {
        let listed = ["gpu.lan".to_owned(), "192.168.1.5".to_owned()];
        for (text, found) in [
            ("https://api.anthropic.com", Some(("https://api.anthropic.com", Reach::Internet))),
            ("https://api.openai.com/v1/", Some(("https://api.openai.com/v1", Reach::Internet))),
            ("http://127.0.0.1:11434", Some(("http://127.0.0.1:11434", Reach::Machine))),
            ("http://0x7f.1:8080/v1", Some(("http://127.0.0.1:8080/v1", Reach::Machine))),
            ("http://[::1]:1/", Some(("http://[::1]:1", Reach::Machine))),
            ("http://LOCALHOST:1", Some(("http://localhost:1", Reach::Machine))),
            ("http://ollama:11434", Some(("http://ollama:11434", Reach::Private))),
            ("http://host.docker.internal:11434", Some(("http://host.docker.internal:11434", Reach::Private))),
            ("http://gpu.lan:8000", Some(("http://gpu.lan:8000", Reach::Private))),
            ("http://192.168.1.5", Some(("http://192.168.1.5", Reach::Private))),
            ("https://192.168.1.6", Some(("https://192.168.1.6", Reach::Private))),
            ("unix:/run/model.sock", Some(("unix:/run/model.sock", Reach::Machine))),
            ("http://192.168.1.6", None),
            ("http://api.anthropic.com", None),
            ("http://127.0.0.1.evil.example", None),
            ("http://ollama.evil.example", None),
            ("http://localhost.", None),
            ("https://me:secret@api.example", None),
            ("https://key@api.example", None),
            ("https://api.example/?key=1", None),
            ("https://api.example/#x", None),
            ("ftp://127.0.0.1", None),
            ("file:///etc/passwd", None),
            ("api.example", None),
            ("unix:run/model.sock", None),
            ("unix://host/path", None),
            ("", None),
        ] {
            let made = BaseUrl::new(text, &listed).ok();
            assert_eq!(made.as_ref().map(|url| (url.as_str(), url.reach())), found, "{text}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        let error = BaseUrl::new("https://me:secret@api.example", &[]).unwrap_err();
        assert!(!error.message.contains("secret"), "{error:?}");
    }

    #[test]
    fn an_address_of_the_internet_is_no_private_host() {
        for (text, fits) in [
            ("gpu.lan", true),
            ("10.0.0.7", true),
            ("[fd00::1]", true),
            ("8.8.8.8", false),
            ("[2001:db8::1]", false),
            ("GPU.lan", false),
            ("gpu.lan:80", false),
            ("gpu.lan/x", false),
            ("http://gpu.lan", false),
            ("me@gpu.lan", false),
            ("", false),
            ("*", false),
        ] {
            assert_eq!(is_private_host(text), fits, "{text}");
        }
        assert!(!is_private("::ffff:8.8.8.8".parse().unwrap()));
        assert!(is_private("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!is_private("0.0.0.0".parse().unwrap()));
    }
}

//! The hosts of `network:`: names as the gate compares them, `*.` in front for all below one.

use std::net::IpAddr;

/// Longest name of a host, in bytes (RFC 1035).
const NAME_BYTES_MAX: usize = 253;
/// Longest part of one.
const PART_BYTES_MAX: usize = 63;

/// What is wrong with a host of `network:`, for people.
pub(super) fn mistake(text: &str) -> Option<&'static str> {
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    if text.contains('/') || text.contains("::") {
        return Some("is an address, not a host");
    }
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Some("has no port of 1 to 65535 behind its `:`");
    }
    let (below, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
    if name.parse::<IpAddr>().is_ok() {
        return Some("is the number of a machine, which no run reaches");
    }
    let part = |part: &str| {
        (1..=PART_BYTES_MAX).contains(&part.len())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(part) {
        return Some("is no name of a host");
    }
    (below && !name.contains('.')).then_some("is everything below a name that belongs to nobody")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_all_below_one() {
        for fine in ["github.com", "a.example", "*.crates.io", "localhost", "x.test:8443", "xn--bcher-kva.example"] {
            assert_eq!(mistake(fine), None, "{fine}");
        }
        for wrong in [
            "",
            "*",
            "*.com",
            "a.*.b",
            "http://x/y",
            "x/y",
            "https:",
            "x:0",
            "x:a",
            "169.254.169.254",
            "::1",
            "[::1]",
            "a b",
            "a..b",
            ".a",
            "a@b",
            "bücher.example",
            "-a.b",
        ] {
            assert!(mistake(wrong).is_some(), "{wrong}");
        }
        assert!(mistake(&"a.".repeat(200)).is_some());
    }
}

//! How much the well-known models read at once, where the provider does not tell.

/// Prefix of a model's name, and its context in tokens (November 2026, from the providers' pages). The
/// first that fits counts.
const CONTEXTS: [(&str, u64); 14] = [
    ("claude-", 200_000),
    ("gpt-5", 272_000),
    ("gpt-4.1", 1_000_000),
    ("gpt-4o", 128_000),
    ("gpt-4-turbo", 128_000),
    ("gpt-4", 8_192),
    ("gpt-3.5-turbo", 16_385),
    ("o1", 128_000),
    ("o3", 200_000),
    ("o4", 200_000),
    ("gemini-", 1_000_000),
    ("deepseek-", 64_000),
    ("mistral-", 32_000),
    ("grok-", 128_000),
];

/// The context of the model `name`, in tokens; a name may have a maker before it (`openai/gpt-4o`).
pub(super) fn context_tokens(name: &str) -> Option<u64> {
    let bare = name.rsplit('/').next().unwrap_or(name);
    CONTEXTS.iter().find(|(prefix, _)| bare.starts_with(prefix)).map(|(_, tokens)| *tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_counts() {
        let cases = [
            ("claude-opus-4-7", Some(200_000)),
            ("gpt-4o-mini", Some(128_000)),
            ("openai/gpt-4", Some(8_192)),
            ("x", None),
        ];
        for (name, expected) in cases {
            assert_eq!(context_tokens(name), expected, "{name}");
        }
    }
}

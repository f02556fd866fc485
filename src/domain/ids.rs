//! Names of things: checked when made, so that one can be put into a path, a label or a container
//! name without a second thought.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A text that does not have the form of the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}")]
pub struct BadId {
    text: String,
    what: &'static str,
}

/// Letters of random ids: lower case, without the four that are easily misread.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Random characters of an id: 55 bits.
const RANDOM_CHARS: usize = 11;

/// Declares an id: a letter followed by eleven random characters of [`ALPHABET`].
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $letter:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// An id from random bytes (a fresh one each time: the caller draws them).
            pub fn from_random(bytes: [u8; RANDOM_CHARS]) -> Self {
                Self(random_text($letter, bytes))
            }

            /// The id that belongs to `what` of `parent` alone, the same each time.
            pub fn derived(parent: &str, what: &str) -> Self {
                let digest = Digest::of(&[parent.as_bytes(), &[0], what.as_bytes()].concat());
                let mut bytes = [0; RANDOM_CHARS];
                bytes.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
                Self(random_text($letter, bytes))
            }

            /// The id as it is shown and stored.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;

            fn try_from(text: String) -> Result<Self, BadId> {
                if is_random_text($letter, &text) { Ok(Self(text)) } else { Err(BadId { text, what: $what }) }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

random_id!(
    /// One run: one container's life. Starts with `r`.
    RunId, 'r', "run id"
);
random_id!(
    /// One turn: a message (or a `castoff run`) and all that follows from it. Starts with `t`.
    TurnId, 't', "turn id"
);
random_id!(
    /// One approval: a question to an approver. Starts with `a`.
    ApprovalId, 'a', "approval id"
);

random_id!(
    /// One learned rule. Starts with `l`.
    RuleId, 'l', "rule id"
);
random_id!(
    /// One call of a model: what a reservation is made for. Starts with `c`.
    CallId, 'c', "model call id"
);
random_id!(
    /// One post: something that a person is shown in their chat. Starts with `p`.
    PostId, 'p', "post id"
);

fn random_text(letter: char, bytes: [u8; RANDOM_CHARS]) -> String {
    let random = bytes.iter().map(|byte| char::from(ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'a')));
    std::iter::once(letter).chain(random).collect()
}

fn is_random_text(letter: char, text: &str) -> bool {
    text.len() == 1 + RANDOM_CHARS
        && text.strip_prefix(letter).is_some_and(|rest| rest.bytes().all(|byte| ALPHABET.contains(&byte)))
}

/// A person's id: `owner`, the `id:` of `users.yaml`, or what stands in for it. Names the person's
/// home, key and records: `[a-z0-9-]`, 1 to 32 characters, not starting with `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PersonId(String);

impl PersonId {
    /// The id of the owner.
    pub fn owner() -> Self {
        Self("owner".to_owned())
    }

    /// The id as it is shown and stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PersonId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        let fits = (1..=32).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits { Ok(Self(text)) } else { Err(BadId { text, what: "person's id (1 to 32 of a-z, 0-9 and -)" }) }
    }
}

impl From<PersonId> for String {
    fn from(id: PersonId) -> Self {
        id.0
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names a workspace's directories below `state/`: 16 hexadecimal digits of the hash of its path,
/// so that no path of a person's stands in the mount tables of runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkspaceId(String);

impl WorkspaceId {
    /// The id of the workspace at `path`.
    pub fn of(path: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let digest = Sha256::digest(path.as_os_str().as_bytes());
        Self(hex(&digest).chars().take(16).collect())
    }

    /// The id as it stands in paths.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 of something, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes` (FIPS 180-4).
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hexadecimal digits, for people and tags.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl TryFrom<String> for Digest {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        let bytes = (text.len() == 64 && text.is_ascii()).then(|| {
            let digit = |index: usize| text.get(index..index + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
            (0..32).map(|at| digit(at * 2)).collect::<Option<Vec<u8>>>()
        });
        match bytes.flatten().map(<[u8; 32]>::try_from) {
            Some(Ok(bytes)) => Ok(Self(bytes)),
            Some(Err(_)) | None => Err(BadId { text, what: "digest" }),
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        if write!(text, "{byte:02x}").is_err() {
            text.clear();
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_way_through_text_and_nothing_else_does() {
        let run = RunId::from_random([7, 255, 0, 31, 32, 1, 2, 3, 4, 5, 6]);
        assert_eq!(RunId::try_from(run.to_string()), Ok(run));
        for bad in ["", "r", "t2345678abcd", "r../../etcpa", "rABCDEFGHIJK", "r2345678abcde"] {
            assert!(RunId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_persons_id_is_safe_in_a_path() {
        for (text, fits) in [
            ("owner", true),
            ("local-1000", true),
            ("", false),
            ("..", false),
            ("-x", false),
            ("a/b", false),
            ("Ann", false),
        ] {
            assert_eq!(PersonId::try_from(text.to_owned()).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn a_digest_survives_the_way_through_text() {
        let digest = Digest::of(b"castoff");
        assert_eq!(Digest::try_from(digest.to_string()), Ok(digest));
        assert!(Digest::try_from("ff".to_owned()).is_err());
        assert!(Digest::try_from("é".repeat(32)).is_err());
    }
}

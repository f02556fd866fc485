//! Who is asking.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::PersonId;

/// How far a person is trusted; the order is by rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Ignored and logged.
    Blocked,
    /// May talk, may run nothing.
    Limited,
    /// May run what the policy allows.
    Trusted,
    /// May also decide for others.
    Owner,
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked => "blocked",
            Self::Limited => "limited",
            Self::Trusted => "trusted",
            Self::Owner => "owner",
        })
    }
}

/// A person of the whitelist, as the policy of the moment knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Names home, key and records.
    pub person: PersonId,
    /// What people call them; from `users.yaml`, never from the network.
    pub name: String,
    /// Their trust level.
    pub trust: Trust,
}

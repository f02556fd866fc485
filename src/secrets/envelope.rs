//! The sealed envelope: version, key id, nonce, then XChaCha20-Poly1305 over the content, bound to
//! the place where it is kept. Moved to another row, table or person, it does not open.
//!
//! ```text
//! 1 byte version │ 8 bytes key id │ 24 bytes nonce │ content and 16 bytes tag
//! ```

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::domain::ids::PersonId;

use super::error::SecretsError;
use super::key::{KeyId, SecretKey};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Where a sealed value is kept.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The row's key.
    pub key: &'a [u8],
}

/// What can be read of an envelope without a key.
pub(super) struct Envelope<'a> {
    pub(super) key: KeyId,
    nonce: [u8; NONCE_BYTES],
    content: &'a [u8],
}

/// The envelope around `plain`. Nonces are random: 192 bits do not repeat (draft-irtf-cfrg-xchacha).
pub(super) fn seal(
    (id, key): (KeyId, &SecretKey),
    place: Place<'_>,
    person: Option<&PersonId>,
    plain: &[u8],
) -> Result<Vec<u8>, SecretsError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|source| SecretsError::NoRandom { source })?;
    let aad = bound_to(place, person);
    let content = XChaCha20Poly1305::new(key.expose().into())
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad })
        .ok()
        .ok_or(SecretsError::TooLong { bytes: plain.len() })?;
    Ok([&[VERSION][..], &id.0.to_be_bytes(), &nonce, &content].concat())
}

impl<'a> Envelope<'a> {
    /// `None` when these bytes are no envelope.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk::<8>()?;
        let (nonce, content) = rest.split_first_chunk::<NONCE_BYTES>()?;
        (*version == VERSION).then_some(Self { key: KeyId(u64::from_be_bytes(*id)), nonce: *nonce, content })
    }

    /// The content; `None` when it was sealed with another key, for another place or person, or
    /// was changed since.
    pub(super) fn open(
        &self,
        key: &SecretKey,
        place: Place<'_>,
        person: Option<&PersonId>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let aad = bound_to(place, person);
        XChaCha20Poly1305::new(key.expose().into())
            .decrypt(&XNonce::from(self.nonce), Payload { msg: self.content, aad: &aad })
            .ok()
            .map(Zeroizing::new)
    }
}

/// Table, key and person, each preceded by its length, so that no two places read the same.
fn bound_to(place: Place<'_>, person: Option<&PersonId>) -> Vec<u8> {
    // A person's id is never empty, so that no person is Castoff itself.
    let person = person.map_or("", PersonId::as_str);
    let mut bytes = vec![VERSION];
    for part in [place.table.as_bytes(), place.key, person.as_bytes()] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

//! Entries as bytes, and the walk over them.
//!
//! ```text
//! entry  = version 1 │ header │ 4 bytes length, sealed body │ 32 bytes hash
//! header = 8 bytes seq │ 8 bytes ms │ 1 byte length, what │ 0, or 1 and 16 bytes pseudonym
//! ```

use sha2::{Digest as _, Sha256};

use crate::domain::ids::Digest;
use crate::domain::time::Timestamp;

const VERSION: u8 = 1;

/// What of an entry is readable by everyone who has the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Counted from 0, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What happened; at most 255 bytes.
    pub what: String,
    /// Who did it; `None` for Castoff itself.
    pub pseudonym: Option<u128>,
}

/// One entry, as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Readable by everyone.
    pub header: Header,
    /// Readable with the person's key.
    pub body: Vec<u8>,
    /// Of this entry and all before it.
    pub hash: Digest,
}

/// Where a chain stands: how many entries, and the hash of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    entries: u64,
    head: Digest,
}

/// A chain that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many entries it has.
    pub entries: u64,
    /// Hash of the last.
    pub head: Digest,
}

/// Where a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit chain is broken at entry {seq}: {why}")]
pub struct Broken {
    /// The first entry that does not hold.
    pub seq: u64,
    /// In what way, for people.
    pub why: String,
}

impl Chain {
    /// The chain without entries.
    pub fn empty() -> Self {
        Self { entries: 0, head: Digest::of(b"castoff audit 1") }
    }

    /// A chain that stood there before.
    pub fn resume(entries: u64, head: Digest) -> Self {
        Self { entries, head }
    }

    /// How many entries it has; the next one's `seq`.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Hash of the last entry.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Puts an entry at the end, and gives the bytes to keep.
    ///
    /// # Errors
    /// [`Broken`] when `header` is not the next one, or something in it is too long to be kept.
    pub fn append(&mut self, header: &Header, body: &[u8]) -> Result<Vec<u8>, Broken> {
        let broken = |why: &str| Broken { seq: header.seq, why: why.to_owned() };
        if header.seq != self.entries {
            return Err(broken("it is not the next entry"));
        }
        let head = header.encode().ok_or_else(|| broken("the name of what happened is too long"))?;
        let length = u32::try_from(body.len()).ok().ok_or_else(|| broken("its details are too long"))?;
        let hash = link_hash(self.head, &head, body);
        *self = Self { entries: self.entries.saturating_add(1), head: hash };
        Ok([&[VERSION][..], &head, &length.to_be_bytes(), body, hash.as_bytes()].concat())
    }

    /// Checks the next kept entry: `key` is the number it was kept under.
    ///
    /// # Errors
    /// [`Broken`] when it was changed, or is not the next one.
    pub fn check(&mut self, key: u64, bytes: &[u8]) -> Result<Link, Broken> {
        let broken = |why: &str| Broken { seq: self.entries, why: why.to_owned() };
        if key != self.entries {
            return Err(broken("it is missing"));
        }
        let link = Link::parse(bytes).ok_or_else(|| broken("it cannot be read"))?;
        if link.header.seq != key {
            return Err(broken("it stands in another entry's place"));
        }
        let head = link.header.encode().ok_or_else(|| broken("it cannot be read"))?;
        if link_hash(self.head, &head, &link.body) != link.hash {
            return Err(broken("it, or an entry before it, was changed"));
        }
        *self = Self { entries: self.entries.saturating_add(1), head: link.hash };
        Ok(link)
    }

    /// Whether a walk that came this far found what `kept`, the head kept apart, says.
    ///
    /// # Errors
    /// [`Broken`] when entries are missing at the end, were added, or the last is another.
    pub fn ends_at(&self, kept: &Self) -> Result<Verified, Broken> {
        let broken = |seq: u64, why: &str| Err(Broken { seq, why: why.to_owned() });
        if self.entries < kept.entries {
            return broken(self.entries, "it and what followed was cut off");
        }
        if self.entries > kept.entries {
            return broken(kept.entries, "it was added past the end");
        }
        if self.head != kept.head {
            return broken(self.entries.saturating_sub(1), "it is not the one that the head was kept of");
        }
        Ok(Verified { entries: self.entries, head: self.head })
    }
}

impl Header {
    /// `None` when `what` has more than 255 bytes.
    fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(34 + self.what.len());
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.at.as_ms().to_be_bytes());
        bytes.push(u8::try_from(self.what.len()).ok()?);
        bytes.extend_from_slice(self.what.as_bytes());
        match self.pseudonym {
            None => bytes.push(0),
            Some(pseudonym) => {
                bytes.push(1);
                bytes.extend_from_slice(&pseudonym.to_be_bytes());
            }
        }
        Some(bytes)
    }

    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (seq, rest) = bytes.split_first_chunk::<8>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first()?;
        let (what, rest) = rest.split_at_checked(usize::from(*length))?;
        let (flag, rest) = rest.split_first()?;
        let (pseudonym, rest) = match flag {
            0 => (None, rest),
            1 => {
                let (number, rest) = rest.split_first_chunk::<16>()?;
                (Some(u128::from_be_bytes(*number)), rest)
            }
            2.. => return None,
        };
        let header = Self {
            seq: u64::from_be_bytes(*seq),
            at: Timestamp::from_ms(u64::from_be_bytes(*at)),
            what: std::str::from_utf8(what).ok()?.to_owned(),
            pseudonym,
        };
        Some((header, rest))
    }
}

impl Link {
    /// The entry that these bytes are; checks form, not the chain. `None` when they are none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (header, rest) = Header::parse(rest)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (body, hash) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let hash = Digest::from_bytes(<[u8; 32]>::try_from(hash).ok()?);
        (*version == VERSION).then(|| Self { header, body: body.to_vec(), hash })
    }
}

/// The header delimits itself and the body is the rest, so that no two entries hash the same bytes.
fn link_hash(before: Digest, header: &[u8], body: &[u8]) -> Digest {
    let hash = Sha256::new().chain_update(before.as_bytes()).chain_update(header).chain_update(body).finalize();
    Digest::from_bytes(hash.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks `entries` as the store does, and compares with the head of three entries.
    fn walk(entries: &[(u64, Vec<u8>)], kept: &Chain) -> Result<Verified, Broken> {
        let mut chain = Chain::empty();
        for (key, bytes) in entries {
            chain.check(*key, bytes)?;
        }
        chain.ends_at(kept)
    }

    fn three() -> (Vec<(u64, Vec<u8>)>, Chain) {
        let mut chain = Chain::empty();
        let entries = (0..3_u64).map(|seq| {
            let header = Header {
                seq,
                at: Timestamp::from_ms(1000 + seq),
                what: "run.permitted".to_owned(),
                pseudonym: (seq != 1).then_some(7),
            };
            (seq, chain.append(&header, format!("sealed {seq}").as_bytes()).unwrap())
        });
        let entries = entries.collect();
        (entries, chain)
    }

    #[test]
    fn an_untouched_chain_holds() {
        let (entries, kept) = three();
        assert_eq!(walk(&entries, &kept), Ok(Verified { entries: 3, head: kept.head() }));
        assert_eq!(walk(&[], &Chain::empty()).map(|verified| verified.entries), Ok(0));
    }

    #[test]
    fn any_changed_bit_is_found() {
        let (entries, kept) = three();
        for (index, (_, bytes)) in entries.iter().enumerate() {
            for bit in 0..bytes.len() * 8 {
                let mut changed = entries.clone();
                changed[index].1[bit / 8] ^= 1 << (bit % 8);
                assert!(walk(&changed, &kept).is_err(), "entry {index}, bit {bit}");
            }
        }
    }

    #[test]
    fn what_is_removed_moved_added_or_cut_off_is_found() {
        let (entries, kept) = three();
        let pick = |order: &[usize]| order.iter().map(|&at| entries[at].clone()).collect::<Vec<_>>();
        for order in [&[][..], &[0], &[0, 1], &[1, 2], &[0, 2], &[0, 2, 1], &[0, 1, 1, 2]] {
            assert!(walk(&pick(order), &kept).is_err(), "{order:?}");
            let renumbered: Vec<_> = (0..).zip(pick(order)).map(|(key, (_, bytes))| (key, bytes)).collect();
            assert!(walk(&renumbered, &kept).is_err(), "{order:?} renumbered");
        }
        let shorter = Chain::resume(2, Link::parse(&entries[1].1).unwrap().hash);
        assert_eq!(walk(&entries, &shorter).map_err(|broken| broken.seq), Err(2));
    }
}

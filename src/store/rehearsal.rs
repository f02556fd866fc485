//! A data file that is opened, repaired and checked without being touched: what is written stays in
//! memory and is forgotten. It needs no room beside the file, and leaves nothing behind in a crash.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PAGE_BYTES: usize = 4096;
const PAGE: u64 = PAGE_BYTES as u64;

/// The file as it is, and over it what was written.
#[derive(Debug)]
pub(super) struct Rehearsal {
    file: File,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    /// The length as it would be.
    bytes: u64,
    /// How much of the file's beginning still shows; less than its length once that was cut.
    shown: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Rehearsal {
    /// A rehearsal on `file`, which is only read.
    pub(super) fn of(file: File) -> Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file, over: Mutex::new(Over { bytes, shown: bytes, pages: BTreeMap::new() }) })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page of the file as far as it shows, zeros after it.
    fn page(&self, number: u64, shown: u64) -> Result<Vec<u8>> {
        let mut page = vec![0; PAGE_BYTES];
        let start = number * PAGE;
        if let Some(part) = page.get_mut(..within(shown.saturating_sub(start).min(PAGE))) {
            self.file.read_exact_at(part, start)?;
        }
        Ok(page)
    }
}

/// A number of bytes inside a page.
fn within(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(PAGE_BYTES)
}

impl redb::StorageBackend for Rehearsal {
    fn len(&self) -> Result<u64> {
        Ok(self.over().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let over = self.over();
        let end = offset.saturating_add(out.len() as u64);
        if end > over.bytes {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the file ends before"));
        }
        if end <= over.shown && over.pages.range(offset / PAGE..=end / PAGE).next().is_none() {
            return self.file.read_exact_at(out, offset);
        }
        let (mut at, mut rest) = (offset, out);
        while !rest.is_empty() {
            let number = at / PAGE;
            let page = match over.pages.get(&number) {
                Some(page) => Cow::Borrowed(page),
                None => Cow::Owned(self.page(number, over.shown)?),
            };
            let from = page.get(within(at % PAGE)..).unwrap_or_default();
            let (to, left) = rest.split_at_mut(from.len().min(rest.len()));
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            at += to.len() as u64;
            rest = left;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut over = self.over();
        over.bytes = len;
        over.shown = over.shown.min(len);
        over.pages.retain(|number, _| number * PAGE < len);
        if let Some(last) = over.pages.get_mut(&(len / PAGE)) {
            last.iter_mut().skip(within(len % PAGE)).for_each(|byte| *byte = 0);
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut over = self.over();
        over.bytes = over.bytes.max(offset.saturating_add(data.len() as u64));
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let number = at / PAGE;
            let mut page = match over.pages.remove(&number) {
                Some(page) => page,
                None => self.page(number, over.shown)?,
            };
            let to = page.get_mut(within(at % PAGE)..).unwrap_or_default();
            let (from, left) = rest.split_at(to.len().min(rest.len()));
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            at += from.len() as u64;
            rest = left;
            over.pages.insert(number, page);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;
    use redb::StorageBackend as _;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        Cut(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let write =
            (0..20_000_u64, prop::collection::vec(1..255_u8, 1..9000)).prop_map(|(at, data)| Step::Write(at, data));
        prop_oneof![write, (0..30_000_u64).prop_map(Step::Cut)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn it_reads_as_a_file_would_and_leaves_the_file_alone(bytes in 0..20_000_usize, steps in prop::collection::vec(step(), 0..12)) {
            let before: Vec<u8> = (0..=255).cycle().take(bytes).collect();
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&before).unwrap();
            let rehearsal = Rehearsal::of(file.reopen().unwrap()).unwrap();
            let mut model = before.clone();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        rehearsal.write(at, &data).unwrap();
                        let at = usize::try_from(at).unwrap();
                        model.resize(model.len().max(at + data.len()), 0);
                        model[at..at + data.len()].copy_from_slice(&data);
                    }
                    Step::Cut(len) => {
                        rehearsal.set_len(len).unwrap();
                        model.resize(usize::try_from(len).unwrap(), 0);
                    }
                }
                prop_assert_eq!(rehearsal.len().unwrap(), model.len() as u64);
                let mut whole = vec![9; model.len()];
                rehearsal.read(0, &mut whole).unwrap();
                prop_assert!(whole == model);
                let tail = model.len() / 3;
                let mut part = vec![9; model.len() - tail];
                rehearsal.read(tail as u64, &mut part).unwrap();
                prop_assert!(part == model[tail..]);
                prop_assert!(rehearsal.read(1, &mut whole).is_err() || model.is_empty());
            }
            prop_assert!(std::fs::read(file.path()).unwrap() == before);
        }
    }
}

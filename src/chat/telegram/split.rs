//! Cuts styled text into parts that Telegram takes, each a message of its own.
//!
//! A cut is made between two blocks if it can be; in a block that fits no message, between lines,
//! then words, then at a border of graphemes, and only in a grapheme that is too long between
//! characters. What is cut is reopened in the next part in the same style.

use unicode_segmentation::UnicodeSegmentation as _;

use super::rich::{Run, Size, visible};

/// What one message may take: text after entity parsing ("1-4096 characters", Bot API 10.1), HTML
/// before it (the Bot API server refuses more than 32 KiB), entities (those beyond 100 are ignored).
pub(super) const MESSAGE_MAX: Size = Size { units: 4096, bytes: 32_000, entities: 100 };

/// A place between two characters: index of the run, and byte in its text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    run: usize,
    byte: usize,
}

/// A place where a part may end, and what the part takes up to there.
#[derive(Debug, Clone, Copy)]
struct Cut {
    place: Place,
    units: usize,
}

/// The last places of each kind at which a part may end.
#[derive(Debug, Default)]
struct Cuts {
    border: Option<Cut>,
    line: Option<Cut>,
    word: Option<Cut>,
    grapheme: Option<Cut>,
}

/// The parts, in order: each within `most`, none without visible text.
pub(super) fn split(runs: &[Run], most: Size) -> Vec<Vec<Run>> {
    let mut parts = Vec::new();
    let mut from = Place::default();
    while from.run < runs.len() {
        let from_text = skip_gap(runs, from);
        let to = part_end(runs, from_text, most);
        let part = trimmed(between(runs, from_text, to));
        if visible(&part) {
            parts.push(part);
        }
        from = to;
    }
    parts
}

/// Where the next part begins: a part does not begin with the gap that it was cut at. Indentation in
/// code stays.
fn skip_gap(runs: &[Run], from: Place) -> Place {
    let mut at = from;
    while let Some(run) = runs.get(at.run) {
        let rest = run.text.get(at.byte..).unwrap_or_default();
        let kept = if run.style.pre.is_some() { rest.trim_start_matches('\n') } else { rest.trim_start() };
        if !run.border && !kept.is_empty() {
            return Place { run: at.run, byte: run.text.len() - kept.len() };
        }
        at = Place { run: at.run + 1, byte: 0 };
    }
    at
}

fn part_end(runs: &[Run], from: Place, most: Size) -> Place {
    let mut cuts = Cuts::default();
    let mut taken = Size::default();
    for (index, run) in runs.iter().enumerate().skip(from.run) {
        let start = if index == from.run { from.byte } else { 0 };
        if run.border {
            cuts.border = Some(Cut { place: Place { run: index, byte: 0 }, units: taken.units });
        }
        taken = taken.plus(run.style.size());
        let rest = run.text.get(start..).unwrap_or_default();
        for (offset, grapheme) in rest.grapheme_indices(true) {
            let here = Place { run: index, byte: start + offset };
            let with = taken.plus(Size::of(grapheme));
            if !with.fits(most) {
                return cuts.best(runs, most).unwrap_or_else(|| inside(grapheme, here, taken, most));
            }
            taken = with;
            let cut = Some(Cut { place: Place { run: index, byte: here.byte + grapheme.len() }, units: taken.units });
            cuts.grapheme = cut;
            match grapheme {
                "\n" => cuts.line = cut,
                " " => cuts.word = cut,
                _ => {}
            }
        }
    }
    Place { run: runs.len(), byte: 0 }
}

/// The last place in a grapheme that alone is too long; at least one character is taken.
fn inside(grapheme: &str, start: Place, taken: Size, most: Size) -> Place {
    let mut size = taken;
    let mut byte = start.byte;
    for character in grapheme.chars() {
        size = size.plus(Size::of(character.encode_utf8(&mut [0; 4])));
        if byte > start.byte && !size.fits(most) {
            break;
        }
        byte += character.len_utf8();
    }
    Place { run: start.run, byte }
}

impl Cuts {
    /// The best of them: a block that fits a message is not cut, and no part is short without need.
    fn best(&self, runs: &[Run], most: Size) -> Option<Place> {
        let whole_next = self.border.filter(|cut| block_fits(runs, cut.place.run + 1, most));
        let long = |cut: &Option<Cut>| cut.filter(|cut| cut.units * 2 >= most.units);
        let any = |cut: &Option<Cut>| cut.filter(|cut| cut.units > 0);
        whole_next
            .filter(|cut| cut.units > 0)
            .or_else(|| long(&self.border))
            .or_else(|| long(&self.line))
            .or_else(|| long(&self.word))
            .or_else(|| any(&self.border))
            .or_else(|| any(&self.line))
            .or_else(|| any(&self.word))
            .or_else(|| any(&self.grapheme))
            .map(|cut| cut.place)
    }
}

/// Whether the block that begins with this run fits a message.
fn block_fits(runs: &[Run], first: usize, most: Size) -> bool {
    let mut size = Size::default();
    for run in runs.iter().skip(first).take_while(|run| !run.border) {
        size = size.plus(run.style.size()).plus(Size::of(&run.text));
        if !size.fits(most) {
            return false;
        }
    }
    true
}

fn between(runs: &[Run], from: Place, to: Place) -> Vec<Run> {
    let mut part = Vec::new();
    for (index, run) in runs.iter().enumerate().skip(from.run).take_while(|(index, _)| *index <= to.run) {
        let start = if index == from.run { from.byte } else { 0 };
        let end = if index == to.run { to.byte } else { run.text.len() };
        let text = run.text.get(start..end).unwrap_or_default();
        if !text.is_empty() {
            part.push(Run { text: text.to_owned(), style: run.style.clone(), border: run.border });
        }
    }
    part
}

/// Without white space at the end.
fn trimmed(mut part: Vec<Run>) -> Vec<Run> {
    while let Some(last) = part.last_mut() {
        let kept = last.text.trim_end().len();
        last.text.truncate(kept);
        if kept > 0 {
            break;
        }
        part.pop();
    }
    part
}

//! What is shown in a chat, and what the buttons below it mean.

use crate::domain::ids::{ApprovalId, RunId};

use super::rich::{Rich, Size};
use super::split::MESSAGE_MAX;

/// Longest text below a document ("0-1024 characters after entities parsing", Bot API 10.1), in
/// UTF-16 units.
pub const CAPTION_UNITS_MAX: usize = 1024;
/// Longest name of a document, in bytes.
const NAME_BYTES_MAX: usize = 60;
/// Longest data of a button, in bytes ("1-64 bytes").
pub const DATA_BYTES_MAX: usize = 64;
/// Room that texts leave for [`Outgoing::may_repeat`].
pub(super) const ROOM_UNITS: usize = 32;

/// Longest head of a card, in UTF-16 units.
const HEAD_UNITS: usize = 500;

/// One message as it is to be shown. A message that has a document keeps it over its edits, and one that has
/// none never gets one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Telegram's HTML; at most [`CAPTION_UNITS_MAX`] units when there is a document.
    pub html: String,
    /// Rows of buttons.
    pub keyboard: Vec<Vec<Button>>,
    /// Name and bytes of a document that the text stands below.
    pub document: Option<(String, Vec<u8>)>,
    /// What stands below a document that the message has from before, while there is none in this; the text where
    /// this is not said.
    pub caption: Option<String>,
}

/// A button below a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// What stands on it.
    pub text: String,
    /// What comes back when it is pressed: [`Press::data`].
    pub data: String,
}

/// What a pressed button asks for. Who may ask for it is for the caller to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Press {
    /// Grant this approval.
    Yes(ApprovalId),
    /// Refuse it.
    No(ApprovalId),
    /// Show what granting it for always would cover, and ask.
    Always(ApprovalId),
    /// Grant it for always.
    Learn(ApprovalId),
    /// Show the output of this run.
    Log(RunId),
    /// Show what it changed.
    Diff(RunId),
    /// Take back what it changed.
    Undo(RunId),
    /// Let its held changes land.
    Apply(RunId),
    /// Drop its held changes.
    Discard(RunId),
}

impl Press {
    /// The data of its button: a letter, a colon and the id; 14 bytes.
    pub fn data(&self) -> String {
        match self {
            Self::Yes(approval) => format!("y:{approval}"),
            Self::No(approval) => format!("n:{approval}"),
            Self::Always(approval) => format!("a:{approval}"),
            Self::Learn(approval) => format!("s:{approval}"),
            Self::Log(run) => format!("l:{run}"),
            Self::Diff(run) => format!("d:{run}"),
            Self::Undo(run) => format!("u:{run}"),
            Self::Apply(run) => format!("p:{run}"),
            Self::Discard(run) => format!("x:{run}"),
        }
    }

    /// The press that has this data; `None` for any other text, whoever sent it.
    pub fn parse(data: &str) -> Option<Self> {
        let (letter, id) = data.split_once(':')?;
        let approval = || ApprovalId::try_from(id.to_owned()).ok();
        let run = || RunId::try_from(id.to_owned()).ok();
        match letter {
            "y" => approval().map(Self::Yes),
            "n" => approval().map(Self::No),
            "a" => approval().map(Self::Always),
            "s" => approval().map(Self::Learn),
            "l" => run().map(Self::Log),
            "d" => run().map(Self::Diff),
            "u" => run().map(Self::Undo),
            "p" => run().map(Self::Apply),
            "x" => run().map(Self::Discard),
            _ => None,
        }
    }

    /// A button for it.
    pub fn button(&self, text: &str) -> Button {
        Button { text: text.to_owned(), data: self.data() }
    }
}

impl Outgoing {
    /// A message of text alone.
    pub fn text(html: String) -> Self {
        Self { html, ..Self::default() }
    }

    /// A document with a text of at most [`CAPTION_UNITS_MAX`] units below it.
    pub fn document(name: &str, bytes: Vec<u8>, html: String) -> Self {
        Self { html, document: Some((safe_name(name), bytes)), ..Self::default() }
    }

    /// The same, saying that it may have been sent already.
    #[must_use]
    pub fn may_repeat(self) -> Self {
        let gap = if self.html.is_empty() { "" } else { "\n" };
        Self { html: format!("<i>(may repeat)</i>{gap}{}", self.html), ..self }
    }

    /// `body` below `head` in a message if it fits one, else `short` below `head` and a document with
    /// `file` in it. A head takes at most [`HEAD_UNITS`]; its text does not decide, so that a card
    /// stays what it was when its head changes.
    pub(super) fn fitted(mut head: Rich, body: Rich, short: Rich, (name, file): (&str, &str)) -> Self {
        let around = Size { units: ROOM_UNITS + HEAD_UNITS, bytes: 6 * HEAD_UNITS, entities: 12 };
        let fits = body.size().plus(around).fits(MESSAGE_MAX);
        head.border(1, false);
        let mut below = Rich { runs: head.runs.clone() };
        below.runs.extend(short.runs);
        if !fits {
            return Self::document(name, file.as_bytes().to_vec(), below.html());
        }
        head.runs.extend(body.runs);
        Self { caption: Some(below.html()), ..Self::text(head.html()) }
    }
}

/// A file name that every system takes; letters, digits, `.`, `-` and `_` of it.
pub(super) fn safe_name(name: &str) -> String {
    let fits = |character: char| character.is_alphanumeric() || matches!(character, '.' | '-' | '_');
    let mut safe = String::new();
    for character in name.chars().map(|character| if fits(character) { character } else { '_' }) {
        if safe.len() + character.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        safe.push(character);
    }
    let safe = safe.trim_start_matches('.');
    if safe.is_empty() { "file".to_owned() } else { safe.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_press_comes_back_as_it_went() {
        let (approval, run) = (ApprovalId::from_random([7; 11]), RunId::from_random([9; 11]));
        let presses = [
            Press::Yes(approval.clone()),
            Press::No(approval.clone()),
            Press::Always(approval.clone()),
            Press::Learn(approval),
            Press::Log(run.clone()),
            Press::Diff(run.clone()),
            Press::Undo(run.clone()),
            Press::Apply(run.clone()),
            Press::Discard(run),
        ];
        for press in presses {
            assert!(press.data().len() <= DATA_BYTES_MAX);
            assert_eq!(Press::parse(&press.data()), Some(press));
        }
    }

    #[test]
    fn data_that_no_button_has_is_no_press() {
        let run = RunId::from_random([9; 11]);
        for data in
            ["", "y", "y:", ":", "yes", "y:a", "z:aaaaaaaaaaaa", "y:aaaaaaaaaaaa ", "Y:aaaaaaaaaaaa", "y:a/../../../x"]
        {
            assert_eq!(Press::parse(data), None, "{data:?}");
        }
        assert_eq!(Press::parse(&format!("y:{run}")), None, "a run is no approval");
    }

    #[test]
    fn a_document_has_a_name_that_every_system_takes() {
        for (name, safe) in
            [("a b/c.txt", "a_b_c.txt"), ("../../.x", "_.._.x"), ("..", "file"), ("é.txt", "é.txt"), ("\u{202e}", "_")]
        {
            assert_eq!(safe_name(name), safe);
        }
        assert!(safe_name(&"é".repeat(500)).len() <= NAME_BYTES_MAX);
    }
}

//! Whatever a model writes, Telegram takes it, and nothing that can be read is lost.

use castoff::chat::telegram::{plain, render};
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser};
use serde_json::json;

use crate::botapi::authorities::{Entity, parse_html, validate};

/// "1-4096 characters after entities parsing", counted in UTF-16 units.
const UNITS_MAX: usize = 4096;
/// The Bot API server refuses longer HTML.
const BYTES_MAX: usize = 1 << 15;

/// Typed tags that become styles; what they are made of is not shown.
const TAGS: [&str; 17] = [
    "<b>",
    "</b>",
    "<strong>",
    "</strong>",
    "<i>",
    "</i>",
    "<em>",
    "</em>",
    "<u>",
    "</u>",
    "<s>",
    "</s>",
    "<del>",
    "</del>",
    "<code>",
    "</code>",
    "<br>",
];

/// The letters and digits that a reader of the Markdown sees, in order.
fn letters_of_markdown(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut letters = String::new();
    for event in Parser::new_ext(markdown, options) {
        if let Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) = event
            && !TAGS.contains(&text.as_ref())
        {
            letters.extend(text.chars().filter(|c| c.is_alphanumeric()));
        }
    }
    letters
}

/// Whether `wanted` can be read in `text` with nothing left out or in another order.
fn is_within(wanted: &str, text: &str) -> Result<(), String> {
    let mut rest = text.chars();
    for (index, letter) in wanted.chars().enumerate() {
        if !rest.any(|other| other == letter) {
            let lost: String = wanted.chars().skip(index).take(20).collect();
            return Err(format!("lost from {lost:?} on"));
        }
    }
    Ok(())
}

fn check(markdown: &str) -> Vec<String> {
    let parts = render(markdown);
    let mut shown = String::new();
    for part in &parts {
        let parsed = parse_html(part).unwrap_or_else(|error| panic!("{error}: {part:?} of {markdown:.500?}"));
        let units = parsed.text.encode_utf16().count();
        assert!((1..=UNITS_MAX).contains(&units), "{units} units: {part:.200?}");
        assert!(part.len() <= BYTES_MAX, "{} bytes: {part:.200?}", part.len());
        // Telegram trims a message, but not the indentation of code that it begins with.
        let begins_as_code = parsed.entities.first().is_some_and(|entity| entity.kind == "pre" && entity.offset == 0);
        let trimmed = if begins_as_code { parsed.text.trim_end() } else { parsed.text.trim() };
        assert!(trimmed == parsed.text, "{part:.200?} is cut to something else on its way");
        assert!(parsed.text.chars().any(|c| !c.is_whitespace()), "{part:.200?} is empty");
        assert!(plain(part) == parsed.text, "the plain form of {part:.200?} is another");
        shown.push_str(&parsed.text);
    }
    if let Err(lost) = is_within(&letters_of_markdown(markdown), &shown) {
        panic!("{lost}: {markdown:.500?} is shown as {shown:.500?}");
    }
    parts
}

/// What Markdown and its like are made of.
const MARKUP: &[&str] = &[
    "*",
    "**",
    "***",
    "_",
    "__",
    "~~",
    "`",
    "```",
    "````",
    "\n",
    "\n\n",
    "  \n",
    "# ",
    "## ",
    "> ",
    ">> ",
    "- ",
    "* ",
    "1. ",
    "  - ",
    "    ",
    "\t",
    "|",
    "\n|-|-|\n",
    "| a | b |\n",
    "---\n",
    "===\n",
    "[",
    "]",
    "](",
    ")",
    "![",
    "<",
    ">",
    "&",
    "&amp;",
    "&lt;b&gt;",
    "&nbsp;",
    "<b>",
    "</b>",
    "<u>",
    "</u>",
    "<br>",
    "<code>",
    "</a>",
    "<script>",
    "<!-- ",
    " -->",
    "\\",
    "\"",
    "'",
    "$x$",
    "http://a.example/?b=c&d=\"",
    "https://b.example",
    "[l](https://a.example/x?y=1&z=2)",
    "[l](javascript:alert(1))",
    "[l](tg://user?id=1)",
    "![i](http://c.example/i.png)",
    "<https://d.example>",
    "<me@e.example>",
    "```rust\n",
    "```a\"b<c\n",
    "~~~\n",
    "[ ] ",
    "- [x] ",
    "\0",
    "\r",
    "\r\n",
    "\u{1b}[31m",
    "\u{202e}",
    "\u{200b}",
    "\u{feff}",
    "👩‍👩‍👧",
    "🇩🇪",
    "e\u{301}\u{302}",
    "漢字",
    "word",
    "two words",
    "x1 ",
];

fn soup() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(MARKUP);
    let piece = prop_oneof![6 => fixed.prop_map(str::to_owned), 1 => "\\PC{0,12}", 1 => "[a-z ]{1,40}"];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_accepted_whole(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_markdown_is_accepted_whole(text in soup()) {
        check(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn long_markdown_is_accepted_whole(one in soup(), other in soup(), times in 20..60_usize) {
        check(&format!("{one}{other}").repeat(times));
    }

    #[test]
    fn bytes_that_are_no_text_are_accepted_whole(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        check(&String::from_utf8_lossy(&bytes));
    }
}

fn entity(kind: &str, offset: usize, length: usize) -> Entity {
    Entity { kind: kind.to_owned(), offset, length, url: None, language: None }
}

#[test]
fn markdown_looks_as_it_was_meant() {
    let code = |language: &str, offset, length| Entity {
        language: Some(language.to_owned()),
        ..entity("pre", offset, length)
    };
    let link = |url: &str, offset, length| Entity { url: Some(url.to_owned()), ..entity("text_link", offset, length) };
    for (markdown, text, entities) in [
        (
            "**b** *i* ~~s~~ `c` <u>u</u>",
            "b i s c u",
            vec![
                entity("bold", 0, 1),
                entity("italic", 2, 1),
                entity("strikethrough", 4, 1),
                entity("code", 6, 1),
                entity("underline", 8, 1),
            ],
        ),
        ("**a *b* c**", "a b c", vec![entity("bold", 0, 5), entity("italic", 2, 1)]),
        ("# Head\ntext", "Head\n\ntext", vec![entity("bold", 0, 4)]),
        ("a < b && c > \"d\"", "a < b && c > \"d\"", vec![]),
        ("```rust\nfn a() {}\n```", "fn a() {}", vec![code("rust", 0, 9)]),
        ("see:\n\n    a\tb\n", "see:\n\na    b", vec![entity("pre", 6, 6)]),
        ("> q **b**\n>\n> r\n\nz", "q b\n\nr\n\nz", vec![entity("blockquote", 0, 6), entity("bold", 2, 1)]),
        ("- a\n- b\n  1. c\n  2. d\n\n  e\n- [x] f", "• a\n• b\n   1. c\n   2. d\n   e\n• ☑ f", vec![]),
        ("[l](https://a.example/?b=1&c=2)", "l", vec![link("https://a.example/?b=1&c=2", 0, 1)]),
        ("[l](tg://user?id=1) [m](javascript:a)", "l (tg://user?id=1) m (javascript:a)", vec![]),
        ("[l](http://localhost/x)", "l (http://localhost/x)", vec![]),
        ("![cat](https://a.example/c.png)", "🖼 cat", vec![link("https://a.example/c.png", 3, 3)]),
        ("| a | bb |\n|-|-|\n| ccc | **d** |", "a   | bb\n----|---\nccc | d", vec![entity("pre", 0, 25)]),
        ("<div>x</div>", "<div>x</div>", vec![]),
        ("**`c`**", "c", vec![entity("code", 0, 1)]),
    ] {
        let parts = check(markdown);
        assert_eq!(parts.len(), 1, "{markdown:?}");
        let parsed = parse_html(&parts[0]).unwrap();
        assert_eq!((parsed.text.as_str(), parsed.entities), (text, entities), "{markdown:?}");
    }
}

#[test]
fn nothing_to_see_is_no_message() {
    for nothing in
        ["", " \n\n ", "\0\u{1b}\u{202e}", "\u{200b}\u{2800}\u{feff}", "**\u{200b}**", "```\n\n```", "<b></b>"]
    {
        assert_eq!(render(nothing), Vec::<String>::new(), "{nothing:?}");
    }
}

#[test]
fn blocks_stay_whole_where_they_can() {
    let paragraph = "word ".repeat(300);
    let code = format!("```sh\n{}```", "  echo line\n".repeat(250));
    let parts = check(&format!("{paragraph}\n\n{paragraph}\n\n{code}\n\nend"));
    assert_eq!(parts.len(), 2);
    let [first, second] = [0, 1].map(|at| parse_html(&parts[at]).unwrap());
    assert_eq!(first.text, format!("{0}\n\n{0}", paragraph.trim()));
    assert!(first.entities.is_empty());
    assert!(second.text.ends_with("\n\nend"));
    assert_eq!((second.entities[0].kind.as_str(), second.entities[0].offset), ("pre", 0));
}

#[test]
fn code_that_is_too_long_is_cut_between_lines_and_goes_on_as_code() {
    let lines: Vec<String> = (0..900).map(|number| format!("    line {number}")).collect();
    let parts = check(&format!("```python\n{}\n```", lines.join("\n")));
    let parsed: Vec<_> = parts.iter().map(|part| parse_html(part).unwrap()).collect();
    for part in &parsed {
        let whole =
            Entity { language: Some("python".to_owned()), ..entity("pre", 0, part.text.encode_utf16().count()) };
        assert_eq!(part.entities, [whole]);
    }
    let joined: Vec<&str> = parsed.iter().flat_map(|part| part.text.split('\n')).collect();
    // The first line of a message begins where Telegram begins it.
    assert_eq!(joined, lines);
}

#[test]
fn one_huge_word_is_cut_between_graphemes() {
    for (unit, length) in [("a", 1), ("👩‍👩‍👧", 8), ("e\u{301}", 2), ("𝒳", 2), ("漢", 1)] {
        let parts = check(&unit.repeat(9000 / length));
        for part in &parts {
            assert_eq!(part.replace(unit, ""), "", "{unit} was cut");
        }
        assert_eq!(parts.concat(), unit.repeat(9000 / length));
        assert_eq!(parts.len(), 3, "{unit}");
    }
    // A letter with more marks than a message holds can only be cut inside.
    let parts = check(&format!("e{}", "\u{301}".repeat(10_000)));
    assert_eq!(parts.len(), 3);
}

#[test]
fn tags_do_not_make_a_message_too_long_for_the_server() {
    check(&"**a**b".repeat(3000));
    check(&format!("[x](https://a.example/{}) ", "&".repeat(1900)).repeat(200));
    check(&"[x](https://a.example/) *y* ".repeat(500));
    check(&"<&>\"".repeat(5000));
}

#[test]
fn the_judges_can_say_no() {
    let refused = parse_html("<b>a").unwrap_err();
    assert!(refused.contains("Can't find end tag corresponding to start tag \"b\""), "{refused}");
    assert!(validate("Update", &json!({ "update_id": 1 })).is_ok());
    assert!(validate("Update", &json!({ "update_id": "one" })).is_err());
}

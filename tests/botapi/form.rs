//! `multipart/form-data`, as much of RFC 7578 as a client of the Bot API writes.

/// One field.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) file_name: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

/// The parts of a body with this content type; `None` when it is no form.
pub(crate) fn parts(content_type: &str, body: &[u8]) -> Option<Vec<Part>> {
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=")?.trim_matches('"');
    let mark = format!("\r\n--{boundary}").into_bytes();
    let body = [b"\r\n".as_slice(), body].concat();
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(found) = find(&body[at..], &mark) {
        starts.push(at + found);
        at += found + mark.len();
    }
    let (last, _) = starts.split_last()?;
    if !body[last + mark.len()..].starts_with(b"--") {
        return None;
    }
    starts.windows(2).map(|pair| part(&body[pair[0] + mark.len()..pair[1]])).collect()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn part(text: &[u8]) -> Option<Part> {
    let text = text.strip_prefix(b"\r\n")?;
    let end = find(text, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&text[..end]).ok()?;
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let field = |wanted: &str| {
        let (_, rest) = disposition.split_once(&format!("; {wanted}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    Some(Part { name: field("name")?, file_name: field("filename"), bytes: text[end + 4..].to_vec() })
}

//! As much of Rust's lexical syntax as has to be known about a source before rustc reads it.

/// A piece of a source. White space and comments are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An identifier or a keyword, without `r#`.
    Word(&'a str),
    /// The content of a string literal, with its escapes.
    Text(&'a str),
    /// An opening brace.
    Open,
    /// A closing brace.
    Close,
    /// A semicolon.
    Semicolon,
    /// Anything else, one character at a time.
    Other,
}

/// Whether rustc takes a character for white space (Unicode's `Pattern_White_Space`).
pub(super) fn is_space(char: char) -> bool {
    matches!(char, '\t'..='\r' | ' ' | '\u{85}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
}

/// The length of the shebang that the text begins with, without the end of its line; 0 if there is none. As in rustc,
/// `#!` before a `[` begins an attribute, whatever white space and comments are in between.
pub(super) fn shebang(text: &str) -> usize {
    match text.strip_prefix("#!").map(without_trivia) {
        Some(rest) if !rest.starts_with('[') => text.lines().next().unwrap_or_default().len(),
        _ => 0,
    }
}

/// The text without white space and comments before it, as far as they are not documentation.
fn without_trivia(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches(is_space);
        match comment(text).filter(|_| !is_doc(text)) {
            Some(length) => text = &text[length..],
            None => return text,
        }
    }
}

/// Whether the comment that the text begins with is documentation.
fn is_doc(text: &str) -> bool {
    ["//!", "/*!"].iter().any(|begin| text.starts_with(begin)) || is_outer_doc(text)
}

/// Whether the text begins with the documentation of an item.
pub(super) fn is_outer_doc(text: &str) -> bool {
    text.starts_with("///") && !text.starts_with("////")
        || text.starts_with("/**") && !text.starts_with("/***") && !text.starts_with("/**/")
}

/// The length of the inner attribute that the text begins with.
pub(super) fn attribute(text: &str) -> Option<usize> {
    let mut rest = without_trivia(without_trivia(text.strip_prefix('#')?).strip_prefix('!')?);
    rest.starts_with('[').then_some(())?;
    let mut depth = 0;
    loop {
        let length = match comment(rest) {
            Some(length) => length,
            None => token(rest)?.1,
        };
        match rest.as_bytes()[0] {
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        rest = &rest[length..];
        if depth == 0 {
            return Some(text.len() - rest.len());
        }
    }
}

/// The tokens of a source.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches(is_space);
            if let Some(length) = comment(rest) {
                rest = &rest[length..];
                continue;
            }
            let (token, length) = token(rest)?;
            rest = &rest[length..];
            return Some(token);
        }
    })
}

/// The length of the comment that the text begins with, without the end of its line; `None` if it begins with
/// something else.
pub(super) fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.starts_with("/*").then_some(())?;
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

/// The token that the text begins with, and its length.
fn token(text: &str) -> Option<(Token<'_>, usize)> {
    let first = text.chars().next()?;
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    if let Some((content, length)) = string(text) {
        return Some((Token::Text(content), length));
    }
    Some(match first {
        '{' => (Token::Open, 1),
        '}' => (Token::Close, 1),
        ';' => (Token::Semicolon, 1),
        '\'' => (Token::Other, character(text)),
        _ if is_word(first) => {
            let word = text.strip_prefix("r#").unwrap_or(text);
            let length = word.find(|char| !is_word(char)).unwrap_or(word.len());
            (Token::Word(&word[..length]), text.len() - word.len() + length)
        }
        _ => (Token::Other, first.len_utf8()),
    })
}

/// The content of the string literal that the text begins with, and the length of the literal.
fn string(text: &str) -> Option<(&str, usize)> {
    let literal = text.trim_start_matches(['b', 'c']);
    let (literal, is_raw) = literal.strip_prefix('r').map_or((literal, false), |literal| (literal, true));
    let hashes = literal.bytes().take_while(|byte| *byte == b'#').count();
    let content = literal[hashes..].strip_prefix('"').filter(|_| is_raw || hashes == 0)?;
    let prefix = text.len() - content.len();
    // `bcr"` and such are no literals, but cannot occur in a valid source either.
    let end = if is_raw {
        content.find(&format!("\"{}", "#".repeat(hashes)))
    } else {
        let mut is_escaped = false;
        content.find(|char| {
            let is_end = char == '"' && !is_escaped;
            is_escaped = char == '\\' && !is_escaped;
            is_end
        })
    };
    let end = end.unwrap_or(content.len());
    Some((&content[..end], (prefix + end + 1 + hashes).min(text.len())))
}

/// The length of the character literal or of the quote of the lifetime that the text begins with.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            text[from..].find('\'').filter(|length| *length < 10).map_or(1, |length| from + length + 1)
        }
        (Some((_, char)), Some((at, '\''))) if char != '\'' => at + 1,
        _ => 1,
    }
}

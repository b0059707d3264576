//! Header fields and their grammar (RFC 9110 section 5).

/// A header field or an environ variable: its name and its value.
pub type Field = (String, Vec<u8>);

/// The class of each byte in tokens (RFC 9110 section 5.6.2): 0 if not allowed, else [`CAPITAL`] or [`OTHER`].
const TOKEN: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < kinds.len() {
        kinds[byte] = match byte as u8 {
            b'A'..=b'Z' => CAPITAL,
            b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~' => {
                OTHER
            }
            _ => 0,
        };
        byte += 1;
    }
    kinds
};
const CAPITAL: u8 = 1;
const OTHER: u8 = 3;

/// Whether this is a token, such as a method or a field name.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().fold(OTHER, |kinds, byte| kinds & TOKEN[usize::from(*byte)]) != 0
}

/// Whether this is a field name in HTTP/2: a token without capital letters (RFC 9113 section 8.2.1).
pub fn is_lower_case_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().fold(OTHER, |kinds, byte| kinds & TOKEN[usize::from(*byte)]) == OTHER
}

/// Whether this is a field value: no control characters except HTAB, and no surrounding white space (RFC 9110 section
/// 5.5).
pub fn is_value(value: &[u8]) -> bool {
    let is_control = |byte: u8| (byte < b' ') & (byte != b'\t') | (byte == 0x7f);
    // Branch-free, so that the compiler can vectorize it.
    let has_control = value.iter().fold(false, |has, byte| has | is_control(*byte));
    !has_control && !matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

/// Whether a handler may see a field of this name. A name with `_` or another odd character could be confused with a
/// different field once it is a variable (rule H6), and `Proxy` with the variable that configures HTTP clients (rule H7).
pub fn is_unambiguous(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') && !name.eq_ignore_ascii_case(b"proxy")
}

/// Whether a field of this name, in lower case, may be a trailer: one that frames, routes, authenticates or controls a
/// message comes too late after it (RFC 9110 section 6.5.1).
pub fn may_be_trailer(name: &str) -> bool {
    const FORBIDDEN: [&str; 30] = [
        "age",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "expect",
        "expires",
        "host",
        "keep-alive",
        "location",
        "max-forwards",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "retry-after",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "warning",
        "www-authenticate",
    ];
    !name.starts_with("if-") && !FORBIDDEN.contains(&name)
}

/// Splits a line into the name and the value of a field, without the white space around the value (RFC 9112 section 5);
/// `None` for a line without a colon.
#[must_use]
pub fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..colon], trim(&line[colon + 1..])))
}

/// Trims white space around a field value: SP and HTAB only.
pub fn trim(value: &[u8]) -> &[u8] {
    let mut rest = value;
    while let [b' ' | b'\t', inner @ ..] | [inner @ .., b' ' | b'\t'] = rest {
        rest = inner;
    }
    rest
}

/// Decodes `%XX` once and keeps invalid escapes unchanged (rule T10).
pub fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| (*byte as char).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// The elements of a list of tokens or addresses, without white space around them.
///
/// Empty elements are ignored (RFC 9110 section 5.6.1.2). Quotes have no meaning: one that a client leaves open must
/// not hide what a proxy has appended.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Like [`elements`], with any separator, and for lists whose elements may contain it in a quoted string (RFC 9110
/// section 5.6.4).
pub fn quoted_elements(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_end = move |byte: &u8| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
        *byte == separator && !is_quoted
    };
    value.split(is_end).map(trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_name_is_a_token_and_in_http2_has_no_capitals() {
        for byte in 0..=u8::MAX {
            let is_in_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token(&[b'a', byte, b'A']), is_in_token, "{byte:#04x}");
            let is_in_name = is_in_token && !byte.is_ascii_uppercase();
            assert_eq!(is_lower_case_name(&[b'a', byte, b'z']), is_in_name, "{byte:#04x}");
        }
        assert!(!is_token(b"") && !is_lower_case_name(b""));
    }

    #[test]
    fn h8_only_sp_and_htab_are_white_space_and_only_around_a_value() {
        assert_eq!(trim(b" \t a\t b \t"), b"a\t b");
        assert_eq!(trim(b"\x0ca\x0b\r"), b"\x0ca\x0b\r");
        assert_eq!((trim(b" "), trim(b"")), (&b""[..], &b""[..]));
        for byte in 0..=u8::MAX {
            assert_eq!(is_value(&[byte]), byte > b' ' && byte != 0x7f, "{byte:#04x}");
            assert_eq!(is_value(&[b'a', byte, b'a']), byte >= b' ' && byte != 0x7f || byte == b'\t', "{byte:#04x}");
        }
        assert!(is_value(b""));
    }

    #[test]
    fn empty_elements_of_a_list_are_ignored() {
        let list =
            |value: &'static str| elements(value.as_bytes()).map(<[u8]>::escape_ascii).map(|one| one.to_string());
        for (value, expected) in [
            ("", &[][..]),
            (" ,\t, ", &[]),
            ("a", &["a"]),
            ("a,", &["a"]),
            (",a ,, \tb c\t,", &["a", "b c"]),
            ("\"a,b", &["\\\"a", "b"]),
        ] {
            assert!(list(value).eq(expected.iter().copied()), "{value:?}");
        }
    }

    #[test]
    fn a_quoted_string_may_contain_the_separator() {
        let list = |value: &'static [u8]| quoted_elements(value, b',').collect::<Vec<_>>();
        assert_eq!(list(b"a;b=\"c, d\", e"), [&b"a;b=\"c, d\""[..], b"e"]);
        assert_eq!(list(b"\"a\\\",b\",c"), [&b"\"a\\\",b\""[..], b"c"]);
        assert_eq!(list(b"a\\,b,\"c,d"), [&b"a\\"[..], b"b", b"\"c,d"]);
    }
}

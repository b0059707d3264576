//! What a client accepts: media types and content codings (RFC 9110 section 12.5).

use crate::{field::quoted_elements, request::RequestHead};

/// Whether the client names this media type explicitly. Clients that accept anything do not, such as curl.
#[must_use]
pub fn accepts(head: &RequestHead, media_type: &str) -> bool {
    weight(head, "accept", media_type).is_some_and(|weight| weight > 0)
}

/// How much the client wants a content coding, in thousandths; `None` if `Accept-Encoding` says nothing about it.
#[must_use]
pub fn coding_weight(head: &RequestHead, coding: &str) -> Option<u16> {
    weight(head, "accept-encoding", coding).or_else(|| weight(head, "accept-encoding", "*"))
}

/// The weight of an element of a list, in thousandths; the highest one if it is named several times.
fn weight(head: &RequestHead, field: &str, name: &str) -> Option<u16> {
    let elements = head.values(field).flat_map(|value| quoted_elements(value, b','));
    let weights = elements.filter_map(|element| {
        let mut parts = quoted_elements(element, b';');
        let is_named = parts.next()?.eq_ignore_ascii_case(name.as_bytes());
        is_named.then(|| parts.find_map(parse_weight).unwrap_or(1000))
    });
    weights.max()
}

/// Parses `q=0.5` (RFC 9110 section 12.4.2). A malformed weight is 0: what the client wants is unclear.
fn parse_weight(parameter: &[u8]) -> Option<u16> {
    let (b'q' | b'Q', [b'=', number @ ..]) = parameter.split_first()? else { return None };
    let parsed = match number {
        [whole @ (b'0' | b'1')] => Some(u16::from(whole - b'0') * 1000),
        [whole @ (b'0' | b'1'), b'.', rest @ ..] if rest.len() <= 3 && rest.iter().all(u8::is_ascii_digit) => {
            let digits = rest.iter().chain(b"000").take(3);
            let thousandths = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
            Some((u16::from(whole - b'0') * 1000 + thousandths).min(1000))
        }
        _ => None,
    };
    Some(parsed.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn head(field: &str, value: &str) -> RequestHead {
        RequestHead::new(Bytes::from(format!("GET / HTTP/1.1\r\n{field}: {value}\r\n\r\n")))
    }

    #[test]
    fn a_type_is_accepted_if_the_list_names_it_with_a_weight() {
        let accepts = |value: &str| super::accepts(&head("Accept", value), "text/html");
        for value in
            ["text/html", "a/b,,TEXT/HTML ;q=0.5", "a/b;c=\"d,e\", text/html", ", text/html,", "text/html;q=0.001"]
        {
            assert!(accepts(value), "{value}");
        }
        for value in ["", "*/*", "text/html;q=0", "text/html; Q=0.000", "a/b;c=\"d, text/html\"", "text/html2"] {
            assert!(!accepts(value), "{value}");
        }
        assert!(accepts("a/b\r\nAccept: text/html"));
    }

    #[test]
    fn a_coding_has_the_weight_that_is_given_for_it_or_for_all() {
        for (value, weight) in [
            ("br", Some(1000)),
            ("gzip, BR;q=0.5", Some(500)),
            ("br; q=0.125", Some(125)),
            ("br;q=1.000", Some(1000)),
            ("br;q=0", Some(0)),
            ("br;q=2", Some(0)),
            ("br;q=0.1234", Some(0)),
            ("*;q=0.3", Some(300)),
            ("br;q=0, *", Some(0)),
            ("gzip", None),
            ("", None),
        ] {
            assert_eq!(coding_weight(&head("Accept-Encoding", value), "br"), weight, "{value}");
        }
    }
}

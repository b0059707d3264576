//! JSON with one value per line, for comparisons. Nothing but white space changes: neither the order of members nor the
//! form of numbers.

use serde::de::IgnoredAny;

/// How large the result may be, in bytes: much of it is indentation if values are nested deeply.
const SIZE_MAX: usize = 8 << 20;

/// The text with one value per line, or `None` if it is not JSON, a single value, or would be too large.
#[must_use]
pub(super) fn pretty(text: &str) -> Option<String> {
    let is_structure = text.trim_start().starts_with(['{', '[']);
    if !is_structure || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return None;
    }
    let mut pretty = String::with_capacity(2 * text.len());
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if pretty.len() > SIZE_MAX {
            return None;
        }
        if is_string {
            pretty.push(char);
            is_string = char != '"' || is_escaped;
            is_escaped = char == '\\' && !is_escaped;
            continue;
        }
        match char {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                pretty.push(char);
                while chars.next_if(|next| matches!(next, ' ' | '\t' | '\r' | '\n')).is_some() {}
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    pretty.push(end);
                } else {
                    depth += 1;
                    line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut pretty, depth);
                pretty.push(char);
            }
            ',' => {
                pretty.push(char);
                line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            _ => {
                is_string = char == '"';
                pretty.push(char);
            }
        }
    }
    pretty.push('\n');
    Some(pretty)
}

fn line(pretty: &mut String, depth: usize) {
    pretty.push('\n');
    (0..depth).for_each(|_| pretty.push_str("  "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_changes() {
        for (text, expected) in [
            (
                r#"{"b":1.0,"a":[1,2,{}],"c":"x\"{,\\"}"#,
                "{\n  \"b\": 1.0,\n  \"a\": [\n    1,\n    2,\n    {}\n  ],\n  \"c\": \"x\\\"{,\\\\\"\n}\n",
            ),
            ("[ ]", "[]\n"),
            ("[12345678901234567890123]", "[\n  12345678901234567890123\n]\n"),
        ] {
            let pretty = pretty(text).expect("it is JSON");
            assert_eq!(pretty, expected);
            assert_eq!(super::pretty(&pretty), Some(pretty.clone()), "it stays as it is");
        }
    }

    #[test]
    fn what_is_not_json_is_left_alone() {
        for text in ["", "hello", "{", "{}x", "1", "\"a\"", &"[".repeat(100_000)] {
            assert_eq!(pretty(text), None, "{text:.20}");
        }
    }
}

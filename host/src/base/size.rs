//! Parsing and printing of sizes such as `64KiB`.

/// The error for a size that cannot be parsed.
const HINT: &str = "write a number with an optional unit, such as 512, 64KiB, 128MiB or 1GiB";

const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// Parses `512`, `64KiB`, `128MiB` or `1GiB` into bytes.
///
/// # Errors
///
/// The text has another form, or the size does not fit into 64 bits.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "B" => 1,
        unit => UNITS.iter().find(|(_, name)| *name == unit).map(|(factor, _)| *factor).ok_or(HINT)?,
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(|| HINT.into())
}

/// Formats a size as a user would write it: `64KiB`, or a plain number of bytes.
#[must_use]
pub(crate) fn text(bytes: u64) -> String {
    let unit = UNITS.into_iter().find(|(factor, _)| bytes > 0 && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| bytes.to_string(), |(factor, unit)| format!("{}{unit}", bytes / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_size_parses_to_the_same_number() {
        for (text, bytes) in
            [("0", 0), ("7", 7), ("1500", 1500), ("1KiB", 1 << 10), ("300MiB", 300 << 20), ("2GiB", 2 << 30)]
        {
            assert_eq!(parse(text), Ok(bytes));
            assert_eq!(super::text(bytes), text);
        }
        assert_eq!(parse("64B"), Ok(64));
        for wrong in ["", "KiB", "5KB", "5k", "-5", "99999999999999999999", "18446744073709551615KiB"] {
            assert!(parse(wrong).is_err(), "{wrong:?} is not a size");
        }
    }
}

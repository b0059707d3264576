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
        unit => match UNITS.iter().find(|(_, name)| *name == unit) {
            Some((factor, _)) => *factor,
            None => return Err(similar(number, unit).unwrap_or_else(|| HINT.into())),
        },
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(|| HINT.into())
}

/// What to write instead of a unit such as `MB` or `m`, which means different sizes to different programs.
fn similar(number: &str, unit: &str) -> Option<String> {
    let begins_alike = |(_, name): &&(u64, &str)| {
        let letter = name.get(..1).unwrap_or_default();
        matches!(unit.len(), 1..=3) && unit.get(..1).is_some_and(|first| first.eq_ignore_ascii_case(letter))
    };
    let (_, name) = UNITS.iter().find(begins_alike).filter(|_| !number.is_empty())?;
    Some(format!("write {number}{name}"))
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
        for wrong in ["64MB", "64M", "64m", "64mb", "64mib"] {
            assert_eq!(parse(wrong), Err("write 64MiB".into()), "{wrong:?} is close to a size");
        }
    }
}

//! Reads what `wasmserve dump` prints.

/// The bytes of one connection, unescaped from the printed lines.
///
/// # Panics
///
/// The lines are not those of `dump`.
#[must_use]
pub fn bytes(stdout: &str, id: u64) -> Vec<u8> {
    let prefix = format!("[{id}] ");
    let text: String = stdout.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        bytes.push(match char {
            '\\' => match chars.next().expect("an escape has two characters") {
                'r' => b'\r',
                'n' => b'\n',
                't' => b'\t',
                'x' => {
                    let digits: String = chars.by_ref().take(2).collect();
                    u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
                }
                char => u8::try_from(char).expect("ASCII"),
            },
            char => u8::try_from(char).expect("ASCII"),
        });
    }
    bytes
}

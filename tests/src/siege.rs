//! Sieges: a real server is given what harms servers, many times over, while a prober sends ordinary requests. Each siege
//! says in a table what became of it, and which of its bars are met.
//!
//! Counts (crashes, wrong statuses, leaks, octets) are the same on any machine, so tests assert them. Times are for a machine
//! that does nothing else; they are told, and nobody fails by them.

mod report;

mod wire;

mod prober;

mod crowd;

mod random;

mod spin;

mod faults;

mod slow;

mod overload;

mod descriptors;

mod drain;

mod isolation;

mod framing;

mod swap;

pub use report::{Bar, Report};

/// How long a siege may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// All that the bars ask for: minutes each, and a release build.
    Full,
    /// A few seconds each: the same, with smaller numbers.
    Short,
}

impl Scale {
    /// The number for this scale.
    fn of<T>(self, full: T, short: T) -> T {
        match self {
            Self::Full => full,
            Self::Short => short,
        }
    }
}

/// A siege: its name on the command line, and what lays it.
pub type Siege = (&'static str, fn(Scale) -> Report);

/// All sieges, in the order in which they are laid.
pub const SIEGES: [Siege; 9] = [
    ("spin", spin::lay),
    ("faults", faults::lay),
    ("slow", slow::lay),
    ("overload", overload::lay),
    ("descriptors", descriptors::lay),
    ("drain", drain::lay),
    ("isolation", isolation::lay),
    ("framing", framing::lay),
    ("swap", swap::lay),
];

/// Lays the siege of that name.
///
/// # Panics
///
/// There is none, or the server does not start.
#[must_use]
pub fn lay(name: &str, scale: Scale) -> Report {
    let (_, lay) = SIEGES.iter().find(|(other, _)| *other == name).expect("it is the name of a siege");
    lay(scale)
}

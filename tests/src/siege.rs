//! Sieges: attacks on a real server, repeated many times, while a prober sends ordinary requests.
//!
//! Each siege reports its results in a table, and which of its bars are met.
//!
//! Counts (crashes, wrong statuses, leaks, bytes) are the same on any machine, so tests assert them. Times only mean
//! something on a machine that is otherwise idle: they are reported, and fail no test.

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

mod capture;

pub use report::{Bar, Report};

/// The size of a siege.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Everything that the bars require: minutes each, and a release build.
    Full,
    /// The same with smaller numbers: a few seconds each.
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

/// A siege: its name on the command line, and the function that runs it.
pub type Siege = (&'static str, fn(Scale) -> Report);

/// All sieges, in the order in which they run.
pub const SIEGES: [Siege; 10] = [
    ("spin", spin::lay),
    ("faults", faults::lay),
    ("slow", slow::lay),
    ("overload", overload::lay),
    ("descriptors", descriptors::lay),
    ("drain", drain::lay),
    ("isolation", isolation::lay),
    ("framing", framing::lay),
    ("swap", swap::lay),
    ("capture", capture::lay),
];

/// Runs the siege with this name.
///
/// # Panics
///
/// There is no such siege, or the server does not start.
#[must_use]
pub fn lay(name: &str, scale: Scale) -> Report {
    let (_, lay) = SIEGES.iter().find(|(other, _)| *other == name).expect("there is a siege with this name");
    lay(scale)
}

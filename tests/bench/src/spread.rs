//! Minimum, median and maximum of several rounds.

use std::fmt;

/// The minimum, the median and the maximum of several figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The minimum.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The maximum.
    pub max: f64,
}

impl Spread {
    /// Computes them from these figures. Without figures, all are NaN.
    #[must_use]
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        let last = figures.len().saturating_sub(1);
        Self { min: at(0), median: (at(last / 2) + at(figures.len() / 2)) / 2.0, max: at(last) }
    }
}

impl fmt::Display for Spread {
    /// The median, with the minimum and the maximum: `9.5 (8.6–11.3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, median, max } = *self;
        let (min, max) = (Rounded(min).to_string(), Rounded(max).to_string());
        write!(f, "{}", Rounded(median))?;
        if min == max { Ok(()) } else { write!(f, " ({min}–{max})") }
    }
}

/// A figure rounded to three digits, more than measurements reproduce.
#[derive(Clone, Copy, Debug)]
pub struct Rounded(pub f64);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            _ if self.0.is_nan() => write!(f, "–"),
            ..9.995 => write!(f, "{:.2}", self.0),
            ..99.95 => write!(f, "{:.1}", self.0),
            _ => write!(f, "{:.0}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_computed_from_the_sorted_figures() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]), Spread { min: 1.0, median: 2.5, max: 4.0 });
        assert_eq!(Spread::of([9.5, 8.6, 11.3]).to_string(), "9.50 (8.60–11.3)");
        assert_eq!(Spread::of([90_123.4]).to_string(), "90123");
        assert_eq!(Spread::of([]).to_string(), "–");
    }
}

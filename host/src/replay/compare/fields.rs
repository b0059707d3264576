//! Compares header and trailer fields.

use std::time::{Duration, Instant};

use super::{
    answer::Answer,
    changes::changes,
    comparison::{Difference, NONE, What},
    value::{is_noise, shorten},
};

/// The indices of fields that belong together in two lists, in order, and of those that only one has.
fn pairs(old: &[(String, String)], new: &[(String, String)]) -> Vec<(Option<usize>, Option<usize>)> {
    let names =
        |fields: &[(String, String)]| fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect::<Vec<_>>();
    let (mut pairs, (mut at, mut to)) = (Vec::new(), (0, 0));
    let changes = changes(&names(old), &names(new), Instant::now() + Duration::from_millis(50));
    for (before, after) in changes.into_iter().chain([(old.len()..old.len(), new.len()..new.len())]) {
        pairs.extend((at..before.start).zip(to..after.start).map(|(at, to)| (Some(at), Some(to))));
        pairs.extend(before.clone().map(|at| (Some(at), None)));
        pairs.extend(after.clone().map(|to| (None, Some(to))));
        (at, to) = (before.end, after.end);
    }
    pairs
}

/// Compares fields by their names, in order.
pub(super) fn fields(
    what: What,
    old: &[(String, String)],
    new: &[(String, String)],
    others: &[Answer],
    of: impl Fn(&Answer) -> &[(String, String)],
    differences: &mut Vec<Difference>,
) {
    let is_named = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
    let count =
        |fields: &[(String, String)], name: &str| fields.iter().filter(|(other, _)| is_named(name, other)).count();
    let pairs_of_others: Vec<_> = others.iter().map(|other| pairs(new, of(other))).collect();
    // The value that another run has in place of a field of the new response.
    let in_place_of = |at: usize, other: usize| {
        let to = pairs_of_others[other].iter().find(|(from, _)| *from == Some(at)).and_then(|(_, to)| *to)?;
        Some(of(&others[other])[to].1.clone())
    };
    let all = pairs(old, new);
    let removed = all.iter().filter(|(_, to)| to.is_none()).filter_map(|(at, _)| Some(&old[(*at)?]));
    let added = all.iter().filter(|(at, _)| at.is_none()).filter_map(|(_, to)| Some(&new[(*to)?]));
    let (removed, added): (Vec<_>, Vec<_>) = (removed.collect(), added.collect());
    let is_among = |field: &(String, String), list: &[&(String, String)]| {
        list.iter().any(|(name, value)| is_named(name, &field.0) && *value == field.1)
    };
    for pair in &all {
        let by_itself = |name: &str| others.iter().any(|other| count(of(other), name) != count(new, name));
        let (name, before, after, differs_by_itself) = match *pair {
            (Some(at), Some(to)) => {
                let ((name, before), (_, after)) = (&old[at], &new[to]);
                let runs: Vec<_> = (0..others.len()).map(|other| in_place_of(to, other)).collect();
                let known: Vec<&str> = runs.iter().flatten().map(|run| &**run).collect();
                let differs = runs.len() > known.len() || is_noise(before, after, &known);
                (name, before.clone(), after.clone(), differs)
            }
            (Some(at), None) => {
                let after = if is_among(&old[at], &added) { "the same, in another place" } else { NONE };
                let (name, before) = &old[at];
                (name, before.clone(), after.into(), by_itself(name))
            }
            (None, Some(to)) => {
                if is_among(&new[to], &removed) {
                    continue;
                }
                let (name, after) = &new[to];
                (name, NONE.into(), after.clone(), by_itself(name))
            }
            (None, None) => continue,
        };
        if before != after {
            let (before, after) = (shorten(&before).into_owned(), shorten(&after).into_owned());
            let (name, lines) = (name.clone(), Vec::new());
            differences.push(Difference { what, name, before, after, lines, counts: true, differs_by_itself });
        }
    }
}

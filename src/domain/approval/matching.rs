//! One person for one seat: maximum bipartite matching by augmenting paths (Kuhn), so that the order in which people
//! approve never makes a difference.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::approval::{Seat, Vote};
use crate::domain::pipeline::Requirement;

/// Seats as many people as can be, one person in one seat, and says who sits for which group.
pub(super) fn seated(require: &[Requirement], votes: &[Vote<'_>]) -> Vec<Seat> {
    let chairs: Vec<usize> =
        require.iter().enumerate().flat_map(|(index, r)| (0..r.min).map(move |_| index)).collect();
    let fits = |chair: usize, person: usize| {
        let requirement = chairs.get(chair).and_then(|index| require.get(*index));
        requirement.zip(votes.get(person)).is_some_and(|(r, vote)| vote.serves(&r.who))
    };
    let mut holder: BTreeMap<usize, usize> = BTreeMap::new();
    for chair in 0..chairs.len() {
        let mut tried = BTreeSet::new();
        seat_somebody(chair, votes.len(), &fits, &mut holder, &mut tried);
    }
    let sits = |person: usize| holder.get(&person).and_then(|chair| chairs.get(*chair)).copied();
    require
        .iter()
        .enumerate()
        .map(|(index, r)| Seat {
            who: r.who.to_string(),
            team: r.who.word().map(str::to_owned),
            need: r.min,
            by: (0..votes.len())
                .filter(|person| sits(*person) == Some(index))
                .filter_map(|person| votes.get(person).map(Vote::login))
                .collect(),
        })
        .collect()
}

/// Finds a person for the chair, moving others to chairs they fit too. Depth is bounded by the number of people.
fn seat_somebody(
    chair: usize,
    people: usize,
    fits: &impl Fn(usize, usize) -> bool,
    holder: &mut BTreeMap<usize, usize>,
    tried: &mut BTreeSet<usize>,
) -> bool {
    for person in 0..people {
        if !fits(chair, person) || !tried.insert(person) {
            continue;
        }
        let free = match holder.get(&person).copied() {
            None => true,
            Some(other) => seat_somebody(other, people, fits, holder, tried),
        };
        if free {
            holder.insert(person, chair);
            return true;
        }
    }
    false
}

//! Which stages a release is in before it is in another: those of `needs`, and one of those of `needs_any`.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::name::StageName;
use crate::domain::pipeline::{Pipeline, Stage};

impl Stage {
    /// The stages that releases come from: all of `needs`, and those of `needs_any`, one of which is enough.
    pub fn comes_from(&self) -> impl Iterator<Item = &StageName> {
        self.needs.iter().chain(&self.needs_any)
    }
}

/// For each stage of a pipeline those that every release has been in before it is in that one. It is walked for all of
/// them at once, so whoever asks more than once keeps it.
#[derive(Debug)]
pub struct Behind<'p>(BTreeMap<&'p StageName, BTreeSet<&'p StageName>>);

impl Behind<'_> {
    /// Whether a release that is in one stage has been in the other before, whichever way it came: one of its
    /// `needs`, or of theirs, or what all of its `needs_any` have behind them.
    pub fn leads(&self, before: &StageName, to: &StageName) -> bool {
        self.0.get(to).is_some_and(|behind| behind.contains(before))
    }
}

impl Pipeline {
    /// Whether a release may have been in one stage before it is in the other, by one of the ways there.
    pub fn may_lead(&self, before: &StageName, to: &StageName) -> bool {
        let (mut open, mut known) = (vec![to], BTreeSet::new());
        while let Some(name) = open.pop() {
            let comes_from = self.stage(name).into_iter().flat_map(Stage::comes_from);
            open.extend(comes_from.filter(|name| known.insert(*name)));
        }
        known.contains(before)
    }

    /// A stage that is beside another one: neither surely behind it nor ever before it.
    pub fn beside(&self, name: &StageName, behind: &Behind<'_>) -> Option<&Stage> {
        let apart = |other: &&Stage| {
            other.name != *name && !behind.leads(name, &other.name) && !self.may_lead(&other.name, name)
        };
        self.stages.iter().find(apart)
    }

    /// What is surely behind each stage.
    pub fn behind(&self) -> Behind<'_> {
        let mut behind: BTreeMap<&StageName, BTreeSet<&StageName>> =
            self.stages.iter().map(|stage| (&stage.name, BTreeSet::new())).collect();
        // Each round adds what one more step back leads to, so that there are as many as the longest way has steps.
        // Circles, which are told of elsewhere, come to rest, too.
        loop {
            let mut grew = false;
            for stage in &self.stages {
                let found = behind_of(stage, &behind);
                let known = behind.entry(&stage.name).or_default();
                grew |= found.len() > known.len();
                known.extend(found);
            }
            if !grew {
                return Behind(behind);
            }
        }
    }
}

/// What is behind a stage, as far as it is known what is behind those that it comes from.
fn behind_of<'p>(
    stage: &'p Stage,
    behind: &BTreeMap<&StageName, BTreeSet<&'p StageName>>,
) -> BTreeSet<&'p StageName> {
    let with_it = |need: &'p StageName| {
        let mut found = behind.get(need).cloned().unwrap_or_default();
        found.insert(need);
        found
    };
    let mut found: BTreeSet<&StageName> = stage.needs.iter().flat_map(with_it).collect();
    let ways = stage.needs_any.iter().map(with_it);
    found.extend(ways.reduce(|one, other| &one & &other).unwrap_or_default());
    found
}

#[cfg(test)]
mod tests {
    use crate::domain::manifest;
    use crate::domain::name::StageName;

    #[test]
    fn what_is_behind_a_stage_is_what_every_way_to_it_passes() {
        let text = "version: 1\ndeploy: ./d.sh\nstages:\n  - test\n  - {name: eu, needs: test}\n  - {name: dry, needs: test}\n  \
                    - {name: us, needs: dry}\n  - {name: all, needs_any: [eu, us]}\n  - {name: last, needs: all}\n";
        let files = [(manifest::NATIVE_PATHS[0].to_owned(), text.to_owned())].into();
        let pipeline = manifest::load(&files, &"acme/web".parse().unwrap()).unwrap().pipelines.remove(0);
        let behind = pipeline.behind();
        let of = |name: &str| {
            let name: StageName = name.parse().unwrap();
            behind.0[&name].iter().map(|name| name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of("test"), [""; 0]);
        assert_eq!(of("us"), ["dry", "test"]);
        assert_eq!(of("all"), ["test"], "not eu: a release may have come by us");
        assert_eq!(of("last"), ["all", "test"]);
        let may = |before: &str, to: &str| pipeline.may_lead(&before.parse().unwrap(), &to.parse().unwrap());
        assert!(may("eu", "last") && may("dry", "last") && !may("last", "eu") && !may("eu", "us"));
    }
}

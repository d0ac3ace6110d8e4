//! What a new release is called: counters are counted up in the decision that makes it (SEMANTICS §10).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::decide::{Draft, Start};
use crate::domain::name::ReleaseNo;
use crate::domain::naming::{BUILD_NUMBER, DEFAULT_NAME, Names, NamingError, Template};
use crate::domain::variable::{Facts, Resolution, hidden, of_release, source_branch};
use crate::domain::version::{Version, next_candidate};

impl Draft {
    /// The names and the version of a release; a tag says the version itself.
    pub(super) fn names(
        &self,
        (start, inputs): (&Start, &BTreeMap<String, String>),
        no: ReleaseNo,
        tagged: Option<Version>,
    ) -> (Names, Version) {
        let mut names = Names { project: start.project.clone(), ..Names::default() };
        let mut facts = Facts {
            release: no.to_string(),
            project: start.project.clone(),
            branch: source_branch(&start.branch, start.started_by.tag()),
            commit: start.commit.to_string(),
            given: inputs.clone(),
            begun: true,
            ..Facts::unknown()
        };
        let built = self.state.releases.values().find(|r| r.created.commit == start.commit);
        let built = built.map(|r| r.created.names.build_number.clone()).filter(|number| !number.is_empty());
        names.build_number =
            built.unwrap_or_else(|| self.own_number("build", BUILD_NUMBER, (start, &facts), &mut names));
        facts.build_number.clone_from(&names.build_number);
        let given = start.pipeline.release.name.as_ref();
        let given = given.and_then(|t| self.number("name", t, (start, &facts), &mut names).ok());
        // A branch's name can make it longer than a name may be, and who pushes gives no input of the button; a release
        // is not lost for that.
        names.name =
            given.unwrap_or_else(|| self.own_number("name", DEFAULT_NAME, (start, &facts), &mut names));
        let version = tagged.unwrap_or_else(|| self.version(start, &facts, &mut names));
        (names, version)
    }

    /// A name of one of our own templates.
    fn own_number(&self, kind: &str, template: &str, of: (&Start, &Facts), names: &mut Names) -> String {
        let template = template.parse::<Template>();
        template.and_then(|t| self.number(kind, &t, of, names)).unwrap_or_default()
    }

    fn number(
        &self,
        kind: &str,
        template: &Template,
        of: (&Start, &Facts),
        names: &mut Names,
    ) -> Result<String, NamingError> {
        let (key, rendered) = self.rendered(kind, template, of)?;
        let rev = self.last(&key).saturating_add(1);
        let name = rendered.with(rev)?;
        if template.counts() {
            names.counters.insert(key, rev);
        }
        Ok(name)
    }

    fn rendered(
        &self,
        kind: &str,
        template: &Template,
        (start, facts): (&Start, &Facts),
    ) -> Result<(String, crate::domain::naming::Rendered), NamingError> {
        let levels = of_release(&start.pipeline, facts);
        let all = Resolution::of(&levels).map_err(|_| NamingError::Empty)?;
        let look_up = |name: &str| all.expand(&format!("$({name})"), "a name", &hidden).ok();
        let zone = start.pipeline.release.zone();
        let rendered = template.render((self.now, &zone), &look_up)?;
        Ok((format!("{kind} {}", rendered.key()), rendered))
    }

    /// The last value of a counter.
    fn last(&self, key: &str) -> u32 {
        self.state.counters.get(key).copied().unwrap_or(0)
    }

    /// The next version of the manifest's template that nobody has taken, else what follows from the commits.
    fn version(&self, start: &Start, facts: &Facts, names: &mut Names) -> Version {
        let taken = || start.taken.iter().chain(self.state.versions());
        let template = start.pipeline.release.version.as_ref();
        let found = template.and_then(|template| {
            let (key, rendered) = self.rendered("version", template, (start, facts)).ok()?;
            let texts: BTreeSet<String> =
                taken().chain(&start.taken_by_others).map(ToString::to_string).collect();
            let first = self.last(&key).saturating_add(1);
            // One more number than there are versions: one of them is free.
            let most = u32::try_from(texts.len()).unwrap_or(u32::MAX);
            let mut revs = first..=first.saturating_add(most);
            let rev = revs.find(|rev| rendered.with(*rev).is_ok_and(|text| !texts.contains(&text)))?;
            let version = rendered.with(rev).ok()?.parse::<Version>().ok()?;
            names.counters.insert(key, rev);
            Some(version)
        });
        found.unwrap_or_else(|| next_candidate(taken(), &start.taken_by_others, &start.messages))
    }
}

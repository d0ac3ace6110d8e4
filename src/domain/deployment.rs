//! What a stage deploys when it deploys several things: whose turn it is, and what becomes of one when another fails.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::name::{Alias, DeploymentName};

/// The part of a stage that something is deployed in; a part begins when the one before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// `pre_deployments`.
    Pre,
    /// `deployments`.
    Main,
    /// `post_deployments`.
    Post,
}

/// One thing a stage deploys; stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unit {
    /// When.
    pub part: Part,
    /// What.
    pub name: DeploymentName,
}

/// One thing a stage deploys, and what comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Which.
    pub unit: Unit,
    /// Those of the same part that come first.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<DeploymentName>,
    /// It is left out when all of these run there already; deployed every time without any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub if_changed: BTreeSet<Alias>,
}

/// What became of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Failed,
    /// With the reason, as people read it after a comma.
    Skipped(String),
    /// What it deploys runs there already: what depends on it goes on.
    Same,
}

/// How far the deployments of one run are; what has no fate was deployed, or will be.
#[derive(Debug)]
pub struct Fates<'a> {
    deployments: &'a [Deployment],
    fates: BTreeMap<&'a Unit, Fate>,
}

/// What to do with a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It runs.
    Run,
    /// What it belongs to has failed; only what runs whatever happened does.
    Failed,
    /// What it belongs to never begins.
    Skipped,
}

impl<'a> Fates<'a> {
    /// Nothing has happened yet.
    pub fn new(deployments: &'a [Deployment]) -> Self {
        Self { deployments, fates: BTreeMap::new() }
    }

    /// Whether a step of this deployment runs. The sentence says why the deployment is skipped, once.
    pub fn turn(&mut self, unit: &Unit) -> (Turn, Option<String>) {
        let Some(deployment) = self.deployments.iter().find(|d| d.unit == *unit) else {
            return (Turn::Run, None);
        };
        match self.fates.get(&deployment.unit) {
            Some(Fate::Failed) => return (Turn::Failed, None),
            Some(Fate::Skipped(_) | Fate::Same) => return (Turn::Skipped, None),
            None => {}
        }
        let missing = |other: &&Unit| {
            other.part < unit.part || (other.part == unit.part && deployment.after.contains(&other.name))
        };
        let mut missed = self.fates.iter().filter(|(_, fate)| **fate != Fate::Same).map(|(unit, _)| *unit);
        let Some(first) = missed.find(missing) else { return (Turn::Run, None) };
        let why = format!("it needs {}", first.name);
        (Turn::Skipped, Some(self.skipped(unit, &why)))
    }

    /// This deployment never begins; the answer says so.
    pub fn skipped(&mut self, unit: &Unit, why: &str) -> String {
        if let Some(deployment) = self.deployments.iter().find(|d| d.unit == *unit) {
            self.fates.insert(&deployment.unit, Fate::Skipped(why.to_owned()));
        }
        format!("{} is skipped, {why}", unit.name)
    }

    /// What this deployment deploys runs there already.
    pub fn left_out(&mut self, unit: &Unit) {
        if let Some(deployment) = self.deployments.iter().find(|d| d.unit == *unit) {
            self.fates.insert(&deployment.unit, Fate::Same);
        }
    }

    /// A step of this deployment failed.
    pub fn failed(&mut self, unit: &Unit) {
        if let Some(deployment) = self.deployments.iter().find(|d| d.unit == *unit) {
            self.fates.insert(&deployment.unit, Fate::Failed);
        }
    }

    /// What became of all those of these parts, as the end of a sentence about the one that failed first.
    pub fn told(&self, parts: &[Part]) -> String {
        let of_parts = || self.deployments.iter().filter(|d| parts.contains(&d.unit.part));
        let done: Vec<&str> =
            of_parts().filter(|d| !self.fates.contains_key(&d.unit)).map(|d| d.unit.name.as_str()).collect();
        let skipped = of_parts().filter_map(|d| match self.fates.get(&d.unit) {
            Some(Fate::Skipped(why)) => Some(format!("{} was skipped, {why}", d.unit.name)),
            Some(Fate::Same) => Some(format!("{} was left out, it runs there already", d.unit.name)),
            Some(Fate::Failed) | None => None,
        });
        let done = (!done.is_empty()).then(|| format!("done: {}", done.join(", ")));
        done.into_iter().chain(skipped).collect::<Vec<_>>().join("; ")
    }
}

/// Whose turn it is among deployments that run side by side: each as soon as those are over that it comes after (row
/// C42).
#[derive(Debug)]
pub struct Turns<'a> {
    waiting: Vec<&'a Deployment>,
    /// Begun, and not over yet.
    running: BTreeSet<&'a Unit>,
}

impl<'a> Turns<'a> {
    /// None of these has begun; what else they come after is over.
    pub fn new(deployments: &'a [Deployment], units: &[&Unit]) -> Self {
        let waiting = deployments.iter().filter(|d| units.contains(&&d.unit)).collect();
        Self { waiting, running: BTreeSet::new() }
    }

    /// One that begins now; nothing while the others wait for one that runs.
    pub fn begin(&mut self) -> Option<&'a Unit> {
        let open = |name: &DeploymentName| {
            let waits = self.waiting.iter().map(|d| &d.unit);
            waits.chain(self.running.iter().copied()).any(|unit| unit.name == *name)
        };
        let at = self.waiting.iter().position(|d| !d.after.iter().any(open))?;
        let unit = &self.waiting.remove(at).unit;
        self.running.insert(unit);
        Some(unit)
    }

    /// It has ended, well or not, or never began.
    pub fn over(&mut self, unit: &Unit) {
        self.running.remove(unit);
    }
}

/// The order in which each comes after those it depends on, otherwise as written; the error is a circle.
pub fn in_order(deployments: Vec<Deployment>) -> Result<Vec<Deployment>, Vec<DeploymentName>> {
    let mut left = deployments;
    let mut out: Vec<Deployment> = Vec::new();
    while !left.is_empty() {
        let waits = |d: &Deployment| {
            left.iter().any(|o| o.unit.part == d.unit.part && d.after.contains(&o.unit.name))
        };
        match left.iter().position(|d| !waits(d)) {
            Some(at) => out.push(left.remove(at)),
            None => return Err(circle(&left)),
        }
    }
    Ok(out)
}

/// Follows what they wait for from the first one until a name comes twice; each of them waits for another.
fn circle(left: &[Deployment]) -> Vec<DeploymentName> {
    let mut path: Vec<DeploymentName> = Vec::new();
    let mut at = left.first();
    while let Some(deployment) = at {
        let name = &deployment.unit.name;
        if let Some(start) = path.iter().position(|n| n == name) {
            let mut circle = path.split_off(start);
            circle.push(name.clone());
            return circle;
        }
        path.push(name.clone());
        let next =
            |o: &&Deployment| o.unit.part == deployment.unit.part && deployment.after.contains(&o.unit.name);
        at = left.iter().find(next);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(part: Part, name: &str, after: &[&str]) -> Deployment {
        let after = after.iter().map(|n| n.parse().unwrap()).collect();
        Deployment { unit: Unit { part, name: name.parse().unwrap() }, after, if_changed: BTreeSet::new() }
    }

    fn unit(part: Part, name: &str) -> Unit {
        one(part, name, &[]).unit
    }

    #[test]
    fn c42_each_comes_after_those_it_depends_on_and_a_circle_is_named() {
        let main = |name, after: &[&str]| one(Part::Main, name, after);
        let sorted = in_order(vec![
            main("web", &["api", "db"]),
            main("api", &["db"]),
            main("db", &[]),
            main("mail", &[]),
        ]);
        let names: Vec<String> = sorted.unwrap().iter().map(|d| d.unit.name.to_string()).collect();
        assert_eq!(names, ["db", "api", "web", "mail"]);
        let circle = in_order(vec![main("web", &["a"]), main("a", &["b"]), main("b", &["a"])]).unwrap_err();
        let circle: Vec<String> = circle.iter().map(ToString::to_string).collect();
        assert_eq!(circle, ["a", "b", "a"]);
    }

    #[test]
    fn c42_what_needs_nothing_runs_side_by_side_and_the_rest_as_soon_as_it_may() {
        let all = [
            one(Part::Main, "db", &[]),
            one(Part::Main, "mail", &[]),
            one(Part::Main, "api", &["db"]),
            one(Part::Main, "web", &["api", "mail"]),
            one(Part::Post, "smoke", &[]),
        ];
        let units: Vec<Unit> = ["db", "mail", "api", "web"].map(|name| unit(Part::Main, name)).to_vec();
        let mut turns = Turns::new(&all, &units.iter().collect::<Vec<_>>());
        let mut begin = |over: Option<&str>| -> Vec<String> {
            if let Some(name) = over {
                turns.over(&unit(Part::Main, name));
            }
            std::iter::from_fn(|| turns.begin()).map(|unit| unit.name.to_string()).collect()
        };
        assert_eq!(begin(None), ["db", "mail"]);
        assert_eq!(begin(Some("db")), ["api"], "mail still runs");
        assert_eq!(begin(Some("api")), [""; 0], "web needs mail, too");
        assert_eq!(begin(Some("mail")), ["web"]);
        assert_eq!(begin(Some("web")), [""; 0], "what is of another part is not theirs");
    }

    #[test]
    fn c41_c42_a_failure_skips_what_needs_it_and_nothing_else() {
        let all = [
            one(Part::Pre, "schema", &[]),
            one(Part::Main, "api", &[]),
            one(Part::Main, "mail", &[]),
            one(Part::Main, "web", &["api"]),
            one(Part::Main, "edge", &["web"]),
        ];
        let mut fates = Fates::new(&all);
        assert_eq!(fates.turn(&unit(Part::Main, "api")), (Turn::Run, None));
        fates.failed(&unit(Part::Main, "api"));
        assert_eq!(fates.turn(&unit(Part::Main, "api")).0, Turn::Failed);
        assert_eq!(fates.turn(&unit(Part::Main, "mail")), (Turn::Run, None));
        let (turn, told) = fates.turn(&unit(Part::Main, "web"));
        assert_eq!((turn, told.as_deref()), (Turn::Skipped, Some("web is skipped, it needs api")));
        assert_eq!(fates.turn(&unit(Part::Main, "web")), (Turn::Skipped, None), "it is said once");
        assert_eq!(fates.turn(&unit(Part::Main, "edge")).0, Turn::Skipped);
        assert_eq!(
            fates.told(&[Part::Pre, Part::Main]),
            "done: schema, mail; web was skipped, it needs api; edge was skipped, it needs web"
        );
        let mut fates = Fates::new(&all);
        fates.failed(&unit(Part::Pre, "schema"));
        assert_eq!(fates.turn(&unit(Part::Main, "mail")).1.unwrap(), "mail is skipped, it needs schema");
    }

    #[test]
    fn e28_what_runs_there_already_counts_as_done() {
        let all = [
            one(Part::Pre, "schema", &[]),
            one(Part::Main, "api", &[]),
            one(Part::Main, "mail", &[]),
            one(Part::Main, "web", &["api"]),
            one(Part::Post, "smoke", &[]),
        ];
        let mut fates = Fates::new(&all);
        fates.left_out(&unit(Part::Main, "api"));
        assert_eq!(fates.turn(&unit(Part::Main, "api")), (Turn::Skipped, None));
        assert_eq!(fates.turn(&unit(Part::Main, "web")), (Turn::Run, None));
        assert_eq!(fates.turn(&unit(Part::Post, "smoke")), (Turn::Run, None));
        fates.failed(&unit(Part::Main, "mail"));
        assert_eq!(
            fates.told(&[Part::Pre, Part::Main]),
            "done: schema, web; api was left out, it runs there already"
        );
    }
}

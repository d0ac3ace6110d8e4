//! Channels: the kinds of releases a pipeline tells apart, which stages each passes, and where stages list builds.
//!
//! A release has one of the pipeline's `channels` from its creation on (SEMANTICS §1); releases of different ones do
//! not take each other's turn (§4). A stage's `channel` is another thing: a list that people and tools read, to which
//! a release is added when it starts there (row D13).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::glob::{Glob, selects};
use crate::domain::name::{ChannelName, RefName, StageName, printable};
use crate::domain::pipeline::{Pipeline, Stage};
use crate::domain::version::Version;

/// Longest rule about versions; a version itself has at most 64 bytes.
const MAX_RULE_BYTES: usize = 80;

/// One of `channels`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Whether releases belong to it that fit no other.
    pub default: bool,
    /// The branches whose releases belong to it; empty for no rule.
    pub branches: Vec<Glob>,
    /// The versions that belong to it.
    pub version: Option<VersionRule>,
    /// The stages its releases pass; empty for all.
    pub stages: BTreeSet<StageName>,
}

/// Which versions belong to a channel: `prerelease:^preview`, `prerelease:^$` for those without one.
///
/// `^` and `$` stand for the ends of the part behind `-`; everything else stands for itself, so that no regular
/// expression is ever built from somebody's text (THREATS T10).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionRule(String);

/// Why a text is not a rule about versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRuleError(String);

impl fmt::Display for VersionRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a rule about versions: `prerelease:` and letters, digits, `.` and `-`, with `^` for the \
             start and `$` for the end",
            self.0
        )
    }
}

impl std::error::Error for VersionRuleError {}

/// What a rule begins with.
const PRE_RELEASE: &str = "prerelease:";

impl FromStr for VersionRule {
    type Err = VersionRuleError;
    fn from_str(text: &str) -> Result<Self, VersionRuleError> {
        let rule = Self(text.to_owned());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        let (start, middle, end) = rule.parts();
        let says = !middle.is_empty() || (start && end);
        let known = text.starts_with(PRE_RELEASE) && text.len() <= MAX_RULE_BYTES;
        if known && says && middle.bytes().all(plain) {
            Ok(rule)
        } else {
            Err(VersionRuleError(printable(text)))
        }
    }
}

impl TryFrom<String> for VersionRule {
    type Error = VersionRuleError;
    fn try_from(text: String) -> Result<Self, VersionRuleError> {
        text.parse()
    }
}

impl From<VersionRule> for String {
    fn from(rule: VersionRule) -> String {
        rule.0
    }
}

impl fmt::Display for VersionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for VersionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl VersionRule {
    /// Whether it is bound to the start, its text, and whether it is bound to the end.
    fn parts(&self) -> (bool, &str, bool) {
        let text = self.0.strip_prefix(PRE_RELEASE).unwrap_or(&self.0);
        let inner = text.strip_prefix('^').unwrap_or(text);
        let middle = inner.strip_suffix('$').unwrap_or(inner);
        (inner.len() < text.len(), middle, middle.len() < inner.len())
    }

    /// Whether a version belongs.
    pub fn fits(&self, version: &Version) -> bool {
        let pre = version.pre_release().unwrap_or_default();
        match self.parts() {
            (true, text, true) => pre == text,
            (true, text, false) => pre.starts_with(text),
            (false, text, true) => pre.ends_with(text),
            (false, text, false) => pre.contains(text),
        }
    }
}

impl Channel {
    /// Whether it has a rule about which releases belong to it.
    pub fn has_rule(&self) -> bool {
        !self.branches.is_empty() || self.version.is_some()
    }

    /// Whether a release fits its rules.
    fn fits(&self, branch: &RefName, version: &Version) -> bool {
        self.has_rule()
            && selects(&self.branches, branch.as_str())
            && self.version.as_ref().is_none_or(|rule| rule.fits(version))
    }
}

/// The channel of a new release: the first whose rules it fits, else the default one.
pub fn of_release<'c>(channels: &'c [Channel], branch: &RefName, version: &Version) -> Option<&'c Channel> {
    let fitting = channels.iter().find(|channel| channel.fits(branch, version));
    fitting.or_else(|| channels.iter().find(|channel| channel.default))
}

/// The pipeline as a release passes it: without the stages that do not take its branch, and with those of its channel
/// alone.
#[must_use]
pub fn pipeline_of(pipeline: &Pipeline, branch: &RefName, channel: Option<&Channel>) -> Pipeline {
    let taken = taken(pipeline, branch);
    match channel.filter(|channel| !channel.stages.is_empty()) {
        Some(channel) => passed(&taken, channel),
        None => taken,
    }
}

/// A stage that does not take the branch is left out, and so is what comes after it alone: a release that may not be
/// in prod is not announced as being there.
fn taken(pipeline: &Pipeline, branch: &RefName) -> Pipeline {
    let mut taken = pipeline.clone();
    taken.stages.retain(|stage| stage.branches.take(branch));
    loop {
        let kept: BTreeSet<StageName> = taken.stages.iter().map(|stage| stage.name.clone()).collect();
        let is_reached = |stage: &Stage| {
            let ways = &stage.needs_any;
            let any = ways.is_empty() || ways.iter().any(|need| kept.contains(need));
            let train = stage.train.as_ref().is_none_or(|train| kept.contains(&train.from));
            any && train && stage.needs.iter().all(|need| kept.contains(need))
        };
        taken.stages.retain(is_reached);
        if taken.stages.len() == kept.len() {
            for stage in &mut taken.stages {
                stage.needs_any.retain(|need| kept.contains(need));
            }
            return taken;
        }
    }
}

/// The stages of a channel alone. What needed a stage that is left out needs what that one needed; a choice between
/// stages is one between those that are left, and where none is, all that they needed is needed.
fn passed(pipeline: &Pipeline, channel: &Channel) -> Pipeline {
    let kept = |name: &StageName| channel.stages.contains(name);
    let of = |stage: &Stage| {
        let ways: Vec<StageName> = stage.needs_any.iter().filter(|need| kept(need)).cloned().collect();
        let through = if ways.is_empty() { stage.needs_any.as_slice() } else { &[] };
        let needs = stage.needs.iter().chain(through);
        Stage { needs: kept_behind(pipeline, needs, kept), needs_any: ways, ..stage.clone() }
    };
    let stages = pipeline.stages.iter().filter(|stage| kept(&stage.name)).map(of);
    Pipeline { stages: stages.collect(), ..pipeline.clone() }
}

/// These stages; in place of each that is left out, the kept ones that it came from.
fn kept_behind<'p>(
    pipeline: &'p Pipeline,
    needs: impl DoubleEndedIterator<Item = &'p StageName>,
    kept: impl Fn(&StageName) -> bool,
) -> Vec<StageName> {
    let mut found: Vec<StageName> = Vec::new();
    let mut seen: BTreeSet<&StageName> = BTreeSet::new();
    let mut left: Vec<&StageName> = needs.rev().collect();
    while let Some(name) = left.pop() {
        if !seen.insert(name) {
            continue;
        }
        if kept(name) {
            found.push(name.clone());
        } else if let Some(stage) = pipeline.stage(name) {
            let before: Vec<&StageName> = stage.comes_from().collect();
            left.extend(before.into_iter().rev());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest;

    fn pipeline(channels: &str) -> Pipeline {
        let text = format!(
            "version: 1\ndeploy: ./d.sh\nstages: [prep, source, build, staging, publish]\nchannels: {{{channels}}}\n"
        );
        let files = [(manifest::NATIVE_PATHS[0].to_owned(), text)].into();
        manifest::load(&files, &"acme/web".parse().unwrap()).unwrap().pipelines.remove(0)
    }

    fn channel_of(pipeline: &Pipeline, branch: &str, version: &str) -> Option<String> {
        let found = of_release(&pipeline.channels, &branch.parse().unwrap(), &version.parse().unwrap());
        found.map(|channel| channel.name.to_string())
    }

    #[test]
    fn d13_a_release_belongs_to_the_first_channel_it_fits_or_to_the_default_one() {
        let rings = pipeline(
            "servicing: {default: true, branches: ['release/*']}, preview: {version: 'prerelease:^preview', stages: [prep]}",
        );
        let of = |branch, version| channel_of(&rings, branch, version).unwrap();
        assert_eq!(of("release/8.0", "8.0.1"), "servicing");
        assert_eq!(of("release/8.0", "8.0.1-preview.2"), "servicing", "the first that fits");
        assert_eq!(of("main", "9.0.0-preview.2"), "preview");
        assert_eq!(of("main", "9.0.0-rc.1"), "servicing", "the default");
        let only = pipeline("nightly: {branches: [main], version: 'prerelease:nightly$'}");
        assert_eq!(channel_of(&only, "main", "1.0.0-x.nightly").as_deref(), Some("nightly"));
        assert_eq!(channel_of(&only, "main", "1.0.0"), None, "both rules count, and there is no default");
        assert_eq!(channel_of(&pipeline(""), "main", "1.0.0"), None);
    }

    #[test]
    fn rules_about_versions_are_bound_where_they_say() {
        let fits =
            |rule: &str, version: &str| rule.parse::<VersionRule>().unwrap().fits(&version.parse().unwrap());
        assert!(fits("prerelease:^$", "1.0.0") && !fits("prerelease:^$", "1.0.0-rc.1"));
        assert!(fits("prerelease:view", "1.0.0-preview.1") && !fits("prerelease:^view", "1.0.0-preview.1"));
        assert!(fits("prerelease:.1$", "1.0.0-rc.1") && !fits("prerelease:.1$", "1.0.0-rc.12"));
        for wrong in ["", "prerelease:", "prerelease:^", "prerelease:a*", "8.0", "prerelease:^(a|b)$"] {
            assert!(wrong.parse::<VersionRule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_needed_a_stage_that_is_left_out_needs_what_that_one_needed() {
        let rings = pipeline("preview: {default: true, stages: [prep, build, publish]}");
        let main: RefName = "main".parse().unwrap();
        let cut = pipeline_of(&rings, &main, rings.channels.first());
        let needs: Vec<String> = cut.stages.iter().map(|s| format!("{} {:?}", s.name, s.needs)).collect();
        assert_eq!(needs, ["prep []", "build [prep]", "publish [build]"]);
        let whole = pipeline("all: {default: true}");
        assert_eq!(pipeline_of(&whole, &main, whole.channels.first()), whole);
        assert_eq!(pipeline_of(&whole, &main, None), whole);
    }

    fn stages_of(text: &str, branch: &str, channel: Option<&str>) -> Vec<String> {
        let text = format!("version: 1\ndeploy: ./d.sh\n{text}");
        let files = [(manifest::NATIVE_PATHS[0].to_owned(), text)].into();
        let read = manifest::load(&files, &"acme/web".parse().unwrap()).unwrap().pipelines.remove(0);
        let channel = channel.map(|name| read.channels.iter().find(|c| c.name.as_str() == name).unwrap());
        let cut = pipeline_of(&read, &branch.parse().unwrap(), channel);
        let list =
            |names: &[StageName], by: &str| names.iter().map(StageName::as_str).collect::<Vec<_>>().join(by);
        cut.stages
            .iter()
            .map(|s| format!("{} <{}{}", s.name, list(&s.needs, "+"), list(&s.needs_any, "/")))
            .collect()
    }

    #[test]
    fn a_release_has_no_stage_that_does_not_take_its_branch_and_none_behind_it() {
        let text = "stages:\n  - test\n  - {name: prod, branches: [main, 'release/*']}\n  - announce\n  \
                    - {name: docs, needs: test}\n  - {name: mail, needs_any: [announce, docs]}\n";
        let all = ["test <", "prod <test", "announce <prod", "docs <test", "mail <announce/docs"];
        assert_eq!(stages_of(text, "main", None), all);
        assert_eq!(stages_of(text, "release/8", None), all);
        assert_eq!(stages_of(text, "wild", None), ["test <", "docs <test", "mail <docs"]);
    }

    #[test]
    fn a_channel_that_leaves_out_a_choice_needs_what_was_before_it() {
        let text = "stages:\n  - test\n  - {name: eu, needs: test}\n  - {name: us, needs: test}\n  \
                    - {name: prod, needs_any: [eu, us]}\nchannels:\n  near: {branches: [a], stages: [test, eu, prod]}\n  \
                    quick: {branches: [b], stages: [test, prod]}\n";
        assert_eq!(stages_of(text, "a", Some("near")), ["test <", "eu <test", "prod <eu"]);
        assert_eq!(stages_of(text, "b", Some("quick")), ["test <", "prod <test"]);
    }
}

//! The stable codes of manifest problems, and the paragraph `liftlock explain` prints for each.

use serde::{Serialize, Serializer};

use crate::domain::manifest::problem::Severity;

/// Declares the codes once: variant, code, severity, explanation.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $code:literal $severity:ident $text:literal;)+) => {
        /// What is wrong with a manifest; the code is stable, the wording of messages is not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code as people write it: `M0201`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// Whether a manifest with this problem is refused.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            /// A paragraph on what it means and what to do.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

codes! {
    /// The text is not YAML.
    Syntax "M0101" Error
        "The text is not YAML. The place is where the parser gave up; the cause is often on the line before: \
         a missing `:` or space after it, a tab used to indent, an unclosed quote or bracket.";
    /// The text is beyond a limit.
    TooLarge "M0102" Error
        "A manifest has at most 256 KiB, 32 levels, and 20 000 nodes and 512 KiB with all aliases followed; a list \
         has at most 100 items, a pipeline 50 stages, a repository 50 pipelines. The limits keep a hostile file from costing the server memory or time.";
    /// A key is written twice.
    DuplicateKey "M0103" Error
        "The same key is written twice in one mapping. Other tools silently keep one of the two; here one has to go.";
    /// Not exactly one document.
    NotOneDocument "M0104" Error
        "A manifest is one YAML document. An empty file has none, and `---` in the middle starts a second.";
    /// A feature of YAML that manifests do not use.
    Feature "M0105" Error
        "Tags (`!x`), merge keys (`<<`), keys that are not plain text and aliases inside their own anchor are not \
         accepted: they make a file mean something else to each tool. Anchors and aliases are.";
    /// A key nobody knows.
    UnknownKey "M0201" Error
        "The key is not one of those the mapping takes. Unknown keys are errors because a misspelt \
         `requires_approval` that is ignored is a deploy without approval.";
    /// A key of a later capability.
    NotYet "M0202" Error
        "The key belongs to the manifest's format, but this version does not act on it yet. It is refused rather \
         than ignored, so that nothing runs with less protection than the file promises.";
    /// A key is missing.
    MissingKey "M0203" Error
        "The mapping needs this key, or one of these keys.";
    /// An old spelling.
    AliasKey "M0204" Warning
        "The key is accepted for old files. The proper spelling is in the hint.";
    /// Keys that exclude each other.
    Exclusive "M0205" Error
        "These keys say the same thing in two ways; keep one of them.";
    /// A key without effect here.
    NoEffect "M0206" Warning
        "The key is accepted so that an existing file loads, but has no effect here, because no hosted build service \
         reads it. The message says what holds instead.";
    /// Not the right kind of value.
    WrongShape "M0301" Error
        "The value has the wrong shape, for example a list where a text is expected, or nothing at all.";
    /// A text that does not fit.
    BadText "M0302" Error
        "The text is not a name, pattern, path, address or time span of the kind the key takes. \
         Time spans are numbers with units: `30s`, `10m`, `24h`, `7d`.";
    /// Not one of the words.
    BadChoice "M0303" Error
        "The key takes one of a few words, and this is none of them.";
    /// Not `true` or `false`.
    NotBoolean "M0304" Error
        "Only `true` and `false`, without quotes, are booleans. `yes`, `no`, `on` and `off` are booleans to some YAML \
         tools and texts to others, so they are refused.";
    /// Not a number in range.
    BadNumber "M0305" Error
        "The key takes a whole number between the two bounds in the message, without quotes.";
    /// A version of the format that is not known.
    BadVersion "M0306" Error
        "The first key of a manifest says which version of the format it is written in. There is one: `version: 1`. \
         A buildspec has `version: 0.2`.";
    /// A name is used twice.
    DuplicateName "M0401" Error
        "Two stages, artifacts, pipelines, variables or entries of a list have the same name; commands and statuses could not \
         tell them apart.";
    /// `needs` names no stage.
    UnknownStage "M0402" Error
        "`needs` names a stage that the pipeline does not have.";
    /// `builds` or `from` names no pipeline.
    UnknownPipeline "M0425" Error
        "`triggers.builds` and `from: build/…` of an artifact name pipelines of the same file, or of other \
         repositories by the names that the server's config has for them; and an artifact comes from a pipeline whose \
         builds are listened to.";
    /// `builds` names a pipeline that is not in the file.
    Upstream "M0427" Warning
        "A name in `triggers.builds` that is no pipeline of the file is one of another repository. What is behind it \
         stands in the server's config, which also says who may take its builds: `[[upstream]] name = \"runtime\", \
         repository = \"acme/runtime\", pipeline = \"ci\", allow = [\"acme/sdk:*/build\"]`. A server that does not know \
         the name refuses the manifest.";
    /// A stage names no check.
    UnknownCheck "M0421" Error
        "`verify` or `gates` names a check that `checks` of the pipeline does not declare, and the name is close to one \
         that it does.";
    /// A check that nobody declares.
    Reported "M0428" Warning
        "A check that `checks` does not declare and that is not built in is somebody else's: the stage waits until a \
         commit status of that name is green, as `{wait_for: {status: <name>}}` would. Anybody who may write statuses \
         may report it; `{wait_for: {status: <name>, by: <login>}}` says who.";
    /// A key of a check that nothing acts on.
    Idle "M0429" Error
        "What is said of a check has to mean something where stages ask it. `cache` keeps answers of `verify`, since \
         gates are sampled anew each time. `on_timeout`, and `timeout` of a question, are about samples: a check that \
         `verify` asks once has none, unless it says how often it is asked (`every`).";
    /// A contract or a deployment names no artifact.
    UnknownArtifact "M0426" Error
        "`contract` of a `release` promises files of an artifact that the pipeline does not have, so no release could \
         ever keep it; or a deployment is left out as long as an artifact has not changed that no release has.";
    /// Stages wait for each other.
    Cycle "M0403" Error
        "The stages wait for each other in a circle, so none of them could ever start. A stage without `needs` waits \
         for the one before it in the list.";
    /// There is no stage.
    NoStages "M0404" Error
        "A pipeline has at least one stage; a pipeline without one would build and never deploy.";
    /// A stage builds.
    BuildInStage "M0405" Error
        "The build happens once, before the first stage, and its artifact is sealed with a digest. Every stage \
         receives those bytes. Recompiling per environment is not a release: what was tested is not what is shipped.";
    /// A variable that cannot be used.
    Variable "M0406" Error
        "A variable cannot be used in a stage: a macro `$(Name)` names nothing or leads to itself, or two names are \
         one variable of the environment. Names are told apart without their case, and a command sees \
         `Invictus.ApiKey.Name` as `INVICTUS_APIKEY_NAME`. `$$(x)` is the text `$(x)`, for a shell's own command.";
    /// A name that cannot be made.
    Naming "M0407" Error
        "The name or version of a release cannot be made of its template: a token names no variable of the release, \
         the result is too long or no version, or it has no counter `$(Rev:r)` where two releases must differ.";
    /// A channel that cannot be.
    Channel "M0442" Error
        "A release belongs to the first of `channels` whose `branches` and `version` it fits, or else to the one that \
         is the `default`. So there is at most one default, every other channel says which releases belong to it, \
         and each has at least one stage.";
    /// An entry of `notify` that tells nobody.
    Notify "M0443" Error
        "An entry of `notify` names a place, `slack:<name>`, `mail:<name>`, `webhook:<name>` or `issue`, and at least one event. An \
         issue is about one release, so what is about all of them, such as a freeze, goes elsewhere.";
    /// An environment that nothing is deployed to.
    Environment "M0444" Error
        "`environments` says something about a place that no stage deploys to. A stage's `environment` names its \
         place, and is the stage's own name when it says nothing.";
    /// A deployment that cannot be.
    Deployment "M0461" Error
        "A stage deploys what `deployments` names, or every service of the commit, each by the deploy commands with \
         `$SERVICE` and `$STACK_NAME`, or by its `template_path`. `depends_on` names others of the same list, not in a \
         circle, and nobody else sets the variables that a deployment is told.";
    /// A service that is not there, or that nothing deploys.
    NoService "M0462" Warning
        "Services are the folders with a `manifest.yml` in `copilot/`, or in the folder that `services` names. Either \
         `deployments` names one that the commit does not have, or there are services and no `deploy` commands.";
    /// Targets that a stage cannot be rolled out to.
    Targets "M0445" Error
        "A stage with `targets` runs its deploy commands once for every target of its environment that has one of the \
         roles; the server's config declares targets. `strategy` says in which batches or portions. A step that asks people \
         stands in a hook, because it would ask once for every target.";
    /// A strategy that cannot be.
    Strategy "M0446" Error
        "`strategy: {canary: …}` brings a release out in portions that rise to 100. Each but the last is watched `for` a \
         time while its `gates` are sampled; then it goes on by itself. With `targets` a portion is a part of them, \
         without, the deploy commands run once for each portion and find it in `$LIFTLOCK_PERCENT`. \
         `{blue_green: …}` deploys to the one of two `slots` that is not live, and `switch` makes it the live one; for \
         as long as `keep` says the other slot stays to be switched back to.";
    /// A step that cannot make artifacts.
    Derivation "M0447" Error
        "A step of `deploy` makes artifacts of the release anew (`derives`) or further ones (`artifacts`): it finds copies \
         of the first in the folder `$LIFTLOCK_SEAL` and puts the others there by their names. They are sealed when it has \
         passed, and part of the release when all commands of the stage have. So they are made once, in a stage whose \
         commands run once, and published in a later one: people approved what the stage began with, and are asked about \
         what it made before that goes anywhere.";
    /// An approval nobody could give.
    Impossible "M0501" Error
        "The rule asks for more people than it names, so it could never be satisfied.";
    /// Whoever pushed may approve.
    SelfApproval "M0502" Warning
        "`approval: 1` asks for one maintainer, who may be the one who pushed. That is on purpose, so that a lone \
         maintainer is not locked out. With two or more people, write `approval: {min: 1, exclude: [pusher]}`.";
    /// A rule names a team that is not declared.
    UnknownTeam "M0503" Error
        "The rule names a team that `teams` does not declare. A plain word is a role (`triage`, `write`, `maintain`, \
         `admin`) or the name of a team in `teams`; a team of the host is written `org/slug`, a person `@login`.";
    /// A window that never opens on some days.
    Swallowed "M0504" Warning
        "The window lies in hours that the clocks jump over in spring, so it does not open on such a day. That may be \
         meant; a window that must open every week lies elsewhere in the day.";
    /// A stage does not say how a release is taken back.
    NoRollback "M0505" Warning
        "People who approve a stage want to know how they get back when it goes wrong. `rollback: {auto: true}` goes \
         back to the release before by itself when checks or gates fail, `safe: false` holds the stage and asks \
         instead, `approval: 1` says that people decide. Without any of it `/rollback` needs one approval.";
    /// A button's input that nobody gives when a push, a tag or a time starts the release.
    NotGiven "M0506" Warning
        "A `required` input is asked of whoever presses the button. A push, a tag, a time or a build asks nobody, so a \
         release that one of them starts does not have it, and a stage that names it waits and says why. A \
         `default` serves all of them.";
    /// Releases that could not be told apart by what they are of.
    Per "M0507" Error
        "`triggers.button.per` names an input whose values are tracks: releases of one service follow one another, and \
         have nothing to do with those of another. So each release needs a value, which only the button asks for: the \
         input is `required`, nothing else starts the pipeline, and no stage is a train, which takes one release along.";
    /// A cut-off that comes before the train before it has left.
    CutOff "M0508" Error
        "`cut_off` of a stage's `schedule` says how long before a departure it is settled what the train takes along. It \
         is shorter than the time between two departures, or a train would be settled before the one before it has left.";
    /// Two files declare the repository's pipelines.
    TwoFiles "M0601" Error
        "Both `.github/liftlock.yml` and `.github/liftlock.yaml` exist, and they may differ. Delete one.";
    /// No file declares pipelines.
    NoFile "M0602" Error
        "None of the places where a manifest may be has one: `.github/liftlock.yml`, `.github/liftlock.yaml`, \
         `copilot/pipeline.yml`, `copilot/pipelines/<name>/manifest.yml`. `liftlock init` writes a first one.";
    /// The buildspec is not in the tree.
    NoBuildspec "M0603" Warning
        "The build reads its commands from this buildspec, and the commit does not have it. The release is made and \
         its build fails with the same message, so that the failure is seen where it belongs.";
    /// The template of the notes is not in the tree.
    NoTemplate "M0607" Warning
        "The notes of releases are to be written by this template, and the commit does not have it, so they are written \
         as if none was named. People may write them over until they are published.";
    /// A file the manifest cannot be made of.
    Extends "M0605" Error
        "`extends` names files of the same commit, or of another repository at a commit (`org/repo//file.yml@` and 40 \
         digits), that declare stages, checks, teams, variables and groups. A file is at most 4 steps away from the \
         manifest and never its own, there are at most 10, and a stage of the manifest can only become stricter than \
         the file it is from. Another repository is one of the same owner that the server serves, or one that a \
         `[[repository]]` of its config is for, with `manifest` in `allow`.";
    /// A file of another repository that nobody looked at.
    Unread "M0606" Warning
        "`extends` names a file of another repository, and only a server reads those. What it declares is not known \
         here: a check, team or variable that the manifest does not declare itself is taken to be declared there. \
         Push, and the status of the commit says whether the manifest loads.";
    /// The manifest names another repository.
    OtherRepository "M0604" Warning
        "`source.properties.repository` names another repository than the one the file was read from. The file's own \
         repository is the source; the address is only compared.";
    /// The keys of a step contradict each other.
    BadStep "M0701" Error
        "The keys of the step do not go together: an argument without a value or with a fallback that may have none \
         itself, arguments for a command, a script that nothing reads.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The paragraph on a code, written in any case; nothing for a code that does not exist.
pub fn explain(code: &str) -> Option<&'static str> {
    Code::ALL.iter().find(|c| c.as_str().eq_ignore_ascii_case(code.trim())).map(|c| c.explanation())
}

//! What a pipeline says about itself, for its page: texts, documents to read, stages and channels.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::domain::demand::Button;
use crate::domain::input::Input;
use crate::domain::name::VariableName;
use crate::domain::notice::Route;
use crate::domain::pipeline::{Agent, Stage};
use crate::domain::release::Release;
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::variable::Variable;
use crate::domain::view;
use crate::http::view::{Link, rfc3339};
use crate::notify::Routes;

/// A pipeline in its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// A name for people.
    pub title: Option<String>,
    /// A sentence.
    pub description: Option<String>,
    /// A page to read.
    pub docs_url: Option<Link>,
    /// Its stages, in order.
    pub stages: Vec<StageAbout>,
    /// What is in the channels of its stages.
    pub channels: Vec<ChannelLine>,
    /// What starts a release of it, in sentences.
    pub starts: Vec<String>,
    /// What it waits for before there is one, and who can do what about it.
    pub waits: Vec<WaitLine>,
    /// The form that starts it.
    pub button: Option<ButtonForm>,
    /// Routes of its notices that the server does not have: nobody is told there.
    pub unrouted: Vec<String>,
}

/// The form that starts a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ButtonForm {
    /// What the button says.
    pub title: String,
    /// What may be given.
    pub inputs: Vec<InputField>,
}

/// A field of the form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputField {
    /// Its name.
    pub name: String,
    /// Whether it must be given.
    pub required: bool,
    /// What it is when it is not given.
    pub default: String,
    /// The only values it may have; any word when empty.
    pub choices: Vec<String>,
}

impl ButtonForm {
    fn of(button: &Button, variables: &BTreeMap<VariableName, Variable>) -> Self {
        let field = |(name, input): (&String, &Input)| InputField {
            name: name.clone(),
            required: input.required,
            default: input.default.clone().unwrap_or_default(),
            choices: input.choices.clone(),
        };
        // Left empty, a variable has the value of the manifest.
        let settable = variables.iter().filter(|(_, variable)| variable.settable);
        let settable = settable.map(|(name, _)| InputField {
            name: name.to_string(),
            required: false,
            default: String::new(),
            choices: Vec::new(),
        });
        Self {
            title: button.title.clone().unwrap_or_else(|| "Start".to_owned()),
            inputs: button.inputs.iter().map(field).chain(settable).collect(),
        }
    }
}

/// Something that is waited for before there is a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitLine {
    /// What.
    pub text: String,
    /// Who can do what about it.
    pub next: Option<String>,
}

/// A stage in its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StageAbout {
    /// Its name in commands.
    pub stage: String,
    /// A name for people.
    pub title: Option<String>,
    /// A page to read.
    pub docs_url: Option<Link>,
    /// The channel it adds releases to.
    pub channels: Vec<String>,
    /// Whether it runs commands.
    pub runs_commands: bool,
    /// Where people find what runs there.
    pub url: Option<Link>,
    /// Whether people depend on it.
    pub production: bool,
}

/// A release in a channel of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelLine {
    /// The channel.
    pub channel: String,
    /// The release's version.
    pub version: String,
    /// Its page.
    pub path: String,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    pub since: Timestamp,
}

impl About {
    /// Of a pipeline as its rules in force say.
    pub fn of(state: &State, routes: &Routes) -> Self {
        let Some(pipeline) = state.pipeline() else { return Self::default() };
        let listed = state.listed().into_iter();
        let missing = pipeline.notify.iter().filter_map(|notify| match &notify.to {
            Route::Server(name) if !routes.routes.contains_key(name) => Some(name.to_string()),
            Route::Server(_) | Route::Issue => None,
        });
        let missing: BTreeSet<String> = missing.collect();
        Self {
            unrouted: missing.into_iter().collect(),
            starts: view::trigger::sentences(&pipeline),
            waits: view::join::waits(state)
                .into_iter()
                .map(|wait| WaitLine { text: wait.text, next: wait.next })
                .chain(view::demand::lines(state).into_iter().map(|text| WaitLine { text, next: None }))
                .collect(),
            button: pipeline
                .triggers
                .button
                .as_ref()
                .map(|button| ButtonForm::of(button, &pipeline.variables)),
            title: pipeline.about.title.clone(),
            description: pipeline.about.description.clone(),
            docs_url: pipeline.about.docs_url.as_ref().and_then(Link::new),
            stages: pipeline.stages.iter().map(StageAbout::of).collect(),
            channels: listed
                .map(|(label, (release, since))| ChannelLine::of(state, label.as_str(), (release, since)))
                .collect(),
        }
    }

    /// Whether the page has anything to say.
    pub fn says_something(&self) -> bool {
        let stages = || self.stages.iter().any(StageAbout::says_something);
        self.title.is_some()
            || self.description.is_some()
            || self.docs_url.is_some()
            || !self.channels.is_empty()
            || !self.unrouted.is_empty()
            || !self.starts.is_empty()
            || stages()
    }
}

impl StageAbout {
    /// Of a stage.
    pub fn of(stage: &Stage) -> Self {
        Self {
            stage: stage.name.to_string(),
            title: stage.about.title.clone(),
            docs_url: stage.about.docs_url.as_ref().and_then(Link::new),
            channels: stage.channels.iter().map(ToString::to_string).collect(),
            runs_commands: stage.agent == Agent::Local,
            url: stage.around.url.as_ref().and_then(Link::new),
            production: stage.around.production,
        }
    }

    /// Whether there is more to it than its name.
    pub fn says_something(&self) -> bool {
        let declared = self.title.is_some() || self.docs_url.is_some() || !self.channels.is_empty();
        declared || !self.runs_commands || self.url.is_some() || self.production
    }
}

impl ChannelLine {
    /// A release that was added then.
    pub fn of(state: &State, channel: &str, (release, since): (&Release, Timestamp)) -> Self {
        Self {
            channel: channel.to_owned(),
            version: release.created.version.to_string(),
            path: view::release_path(&state.id, release.no()),
            since,
        }
    }
}

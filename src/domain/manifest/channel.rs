//! `channels` of a pipeline: which releases belong to each, and which stages they pass (SEMANTICS §1, §4).

use std::collections::BTreeSet;

use crate::domain::channel::{Channel, VersionRule};
use crate::domain::manifest::code::Code;
use crate::domain::manifest::order;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::View;
use crate::domain::name::{ChannelLabel, StageName};

/// Most channels of a pipeline: each release is compared with all of them.
const MAX_CHANNELS: usize = 50;

/// A rule about versions, as the table of keys asks.
pub(super) fn check_version(text: &str) -> Result<(), String> {
    text.parse::<VersionRule>().map(drop).map_err(|e| e.to_string())
}

/// Reads `channel` or `channels` of a stage.
pub(super) fn of_stage(stage: View<'_>) -> BTreeSet<ChannelLabel> {
    ["channel", "channels"].iter().flat_map(|key| stage.all(key)).collect()
}

/// Reads `channels`; `written` are the names of all stages in the file.
pub(super) fn of_pipeline(
    pipeline: View<'_>,
    written: &BTreeSet<&str>,
    findings: &mut Findings<'_>,
) -> Vec<Channel> {
    let entries = pipeline.below("channels").entries();
    if let Some(first) = entries.get(MAX_CHANNELS) {
        let message =
            format!("a pipeline has at most {MAX_CHANNELS} channels, and here are {}", entries.len());
        findings.add(Code::TooLarge, first.key_at, message);
    }
    let mut out: Vec<Channel> = Vec::new();
    for entry in entries.iter().take(MAX_CHANNELS) {
        let Ok(name) = entry.key.parse() else { continue };
        let inner = View::of(&entry.value);
        let channel = Channel {
            name,
            default: inner.flag("default").unwrap_or(false),
            branches: inner.all("branches"),
            version: inner.parsed("version"),
            stages: stages(inner, written, findings),
        };
        let other = out.iter().find(|other| other.default && channel.default);
        if let Some(other) = other {
            let message = format!("`{}` and `{}` are both the default channel", other.name, channel.name);
            findings.add(Code::Channel, entry.key_at, message);
        }
        let ruled = inner.get("branches").is_some() || inner.get("version").is_some();
        if !channel.default && !ruled {
            let message = format!("no release would belong to the channel `{}`", channel.name);
            let hint = "give it `branches` or a `version`, or make it the `default`".to_owned();
            findings.add_hinted(Code::Channel, entry.key_at, message, hint);
        }
        out.push(channel);
    }
    out
}

/// The stages that a channel names.
fn stages(channel: View<'_>, written: &BTreeSet<&str>, findings: &mut Findings<'_>) -> BTreeSet<StageName> {
    if let Some(entry) = channel.entry("stages").filter(|_| channel.items("stages").is_empty()) {
        let message = "a channel without a stage would release nothing".to_owned();
        findings.add(Code::Channel, entry.key_at, message);
    }
    order::named(channel, written, findings)
}

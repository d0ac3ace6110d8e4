//! The keys of `channels`.

use super::{Optional, PATTERN, PLAIN, STAGE_NAME, parses};
use crate::domain::manifest::channel;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::name::{ChannelLabel, ChannelName};

words! {
    NAME = parses::<ChannelName>, Some("^[a-z][a-z0-9-]{0,30}$");
    LABEL = parses::<ChannelLabel>, Some("\\S");
    VERSION_RULE = channel::check_version, Some("^prerelease:\\^?[A-Za-z0-9.-]*\\$?$");
}

keys! { CHANNEL_KEYS {
    "default" Optional, Shape::Flag, "Whether releases belong to it that fit no other.";
    "branches" Optional, Shape::List(&Shape::Text(&PATTERN)), "The branches whose releases belong to it.";
    "version" Optional, Shape::Text(&VERSION_RULE), "The versions that belong to it: `prerelease:^preview`.";
    "stages" Optional, Shape::List(&Shape::Text(&STAGE_NAME)), "The stages its releases pass; all by default.";
} }
static CHANNEL: Object = Object { what: "a channel", keys: &[CHANNEL_KEYS], ..PLAIN };
static ITEM: Shape = Shape::Object(&CHANNEL);

/// Channels of a pipeline by name.
pub(super) const CHANNELS: Shape = Shape::Map { key: &NAME, value: &ITEM };
/// What a stage adds releases to.
pub(super) const OF_STAGE: Shape = Shape::Text(&LABEL);

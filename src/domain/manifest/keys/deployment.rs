//! The keys of what a stage deploys when it deploys several things, and of the folder with its services.

use super::{ALIAS, Optional, PATH, PLAIN, Required, VALUE, parses};
use crate::domain::manifest::build;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::name::DeploymentName;

words! {
    NAME = parses::<DeploymentName>, Some("^[A-Za-z][A-Za-z0-9_-]{0,99}$");
    STACK = stack, Some("^[A-Za-z$][A-Za-z0-9$()._-]{0,127}$");
    FOLDER = build::check_path, None;
}

/// A stack's name as `CloudFormation` takes it, or macros that make one.
fn stack(text: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-$()._".contains(&b);
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$');
    if starts && text.len() <= 128 && text.bytes().all(fits) {
        Ok(())
    } else {
        Err("a stack's name starts with a letter, then letters, digits and `-`, at most 128".to_owned())
    }
}

const DEPENDS_ON: Shape = Shape::Any(&[Shape::Text(&NAME), Shape::List(&Shape::Text(&NAME))]);

keys! { BESIDE_KEYS {
    "buildspec" Required, Shape::Text(&PATH), "A buildspec file with its commands, run in the source tree.";
    "depends_on" Optional, DEPENDS_ON, "Those of the same list that come first.";
} }
static PRE: Object = Object { what: "a pre-deployment", keys: &[BESIDE_KEYS], ..PLAIN };
static POST: Object = Object { what: "a post-deployment", keys: &[BESIDE_KEYS], ..PLAIN };
static PRE_SHAPE: Shape = Shape::Object(&PRE);
static POST_SHAPE: Shape = Shape::Object(&POST);

const IF_CHANGED: Shape = Shape::Any(&[Shape::Text(&ALIAS), Shape::List(&Shape::Text(&ALIAS))]);

keys! { DEPLOYMENT_KEYS {
    "depends_on" Optional, DEPENDS_ON, "Those that come first.";
    "if_changed" Optional, IF_CHANGED, "Artifacts: it is left out when the stage has all of them already, deployed in the same way.";
    "stack_name" Optional, Shape::Text(&STACK), "`$STACK_NAME`; application, environment and name by default.";
    "template_path" Optional, Shape::Text(&VALUE), "`$TEMPLATE_PATH`, a CloudFormation template of the artifact.";
    "template_config" Optional, Shape::Text(&VALUE), "`$TEMPLATE_CONFIG`, its parameters.";
} }
static DEPLOYMENT: Object = Object { what: "a deployment", keys: &[DEPLOYMENT_KEYS], ..PLAIN };
static DEPLOYMENT_SHAPE: Shape = Shape::Any(&[Shape::Object(&DEPLOYMENT), Shape::Empty]);

pub(super) const PRE_DEPLOYMENTS: Shape = Shape::Map { key: &NAME, value: &PRE_SHAPE };
pub(super) const DEPLOYMENTS: Shape = Shape::Map { key: &NAME, value: &DEPLOYMENT_SHAPE };
pub(super) const POST_DEPLOYMENTS: Shape = Shape::Map { key: &NAME, value: &POST_SHAPE };
pub(super) const SERVICES: Shape = Shape::Text(&FOLDER);

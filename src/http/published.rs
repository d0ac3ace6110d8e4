//! What of a release is published where, as pages and API show it.

use serde::Serialize;

use crate::domain::publication::{Publish, Row};
use crate::domain::release::Release;
use crate::http::view::{Light, Link};

/// A release at an outlet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicationLine {
    /// What is published where.
    pub outlet: String,
    /// The stage that worked on it last.
    pub stage: String,
    /// How far it is: `planned`, `uploaded`, `visible`, `verified` or `announced`.
    pub state: String,
    /// Why it went no further the last time.
    pub stopped: Option<String>,
    /// What is not published there, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// What people are to know besides, such as that its text was edited there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<&'static str>,
    /// Where people find it.
    pub address: Option<Link>,
    /// Its files, with what their bytes are.
    pub files: Vec<PublishedFile>,
}

/// A file that is published, or is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublishedFile {
    /// Its name there.
    pub name: String,
    /// What must be there: its digest.
    pub is: String,
}

impl PublicationLine {
    /// The rows of a release.
    pub fn all(release: &Release) -> Vec<Self> {
        release.ledger.iter().map(Self::of).collect()
    }

    fn of((publish, row): (&Publish, &Row)) -> Self {
        let file = |item: &crate::domain::publication::Item| PublishedFile {
            name: item.name.clone(),
            is: item.is.clone(),
        };
        Self {
            outlet: publish.to_string(),
            stage: row.stage.to_string(),
            state: row.reached.word().to_owned(),
            stopped: row.stopped.as_ref().map(|stopped| stopped.sentence(&row.items)),
            left_out: row.left_out.clone(),
            remark: row.remark(),
            address: row.address.as_ref().and_then(Link::new),
            files: row.items.iter().map(file).collect(),
        }
    }

    /// The state at a glance.
    pub fn light(&self) -> Light {
        match (&self.stopped, self.state.as_str()) {
            (Some(_), _) => Light::Bad,
            (None, "announced") => Light::Good,
            (None, _) => Light::Moving,
        }
    }

    /// The names of its files.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        names.join(", ")
    }
}

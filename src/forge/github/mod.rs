//! GitHub: signed webhooks in, translated to facts; its types end in this folder.

pub mod payload;
pub mod translate;

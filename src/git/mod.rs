//! Repositories: a bare mirror for each, read with libgit2, filled by the hardened `git` program.
//!
//! libgit2 never opens a connection here, so its `insteadOf`, credential and redirect rules cannot matter; its
//! global settings would take `unsafe` to change and are left alone. Commits are looked up by full id alone: no
//! text is ever given to a revision parser (THREATS T21).

mod clone;
pub mod fetch;
pub mod origin;
mod push;
pub mod repo;
mod stale;
pub mod tree;
pub mod write;

#[cfg(test)]
mod testing;

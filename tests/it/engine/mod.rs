//! The whole engine against the fake GitHub: each test reads as the conversation on the pull request.

mod calendar;
mod checks;
mod deployments;
mod environments;
mod groups;
mod hooks;
mod identity;
mod invictus;
mod joins;
mod manifests;
mod notices;
mod probes;
mod retention;
mod road;
mod rollback;
mod runbooks;
mod signoff;
mod sources;
mod speech;
mod starts;
mod steps;
mod tree;
mod trust;
mod variables;
mod weather;
mod world;

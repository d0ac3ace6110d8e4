//! Faults, against the real program: killed, stopped, told twice, out of disk, without power, in two processes (STORAGE §5).
#![expect(clippy::print_stdout, reason = "figures of the faults, for whoever runs them")]

use std::path::PathBuf;

mod again;
mod artifacts;
mod chain;
mod chaos;
mod derivations;
mod drive;
mod evidence;
mod keys;
mod kills;
mod objects;
mod places;
mod power;
mod publishing;
mod replicas;
mod restores;
mod rig;
mod rollouts;
mod runbooks;
mod stops;
mod wires;

use rig::{Door, Plan, Push, Yard, deliver};

fn plan(repositories: &[&str], lease: &'static str) -> Plan {
    Plan {
        program: PathBuf::from(env!("CARGO_BIN_EXE_liftlock")),
        repositories: repositories.iter().map(|&name| name.to_owned()).collect(),
        rules: &rig::PLAIN,
        lease,
        postgres: None,
        data: None,
    }
}

fn yard(repositories: &[&str], lease: &'static str) -> Yard {
    Yard::new(plan(repositories, lease))
}

/// A push of `hello` that the server took.
fn one(yard: &Yard, door: &Door) -> Push {
    let push = yard.push("hello", "feat: say hello", "page");
    assert_eq!(deliver(door, &push.delivery()).unwrap(), 202);
    push
}

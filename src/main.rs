//! The program: parse arguments, start, exit code.

fn main() {}

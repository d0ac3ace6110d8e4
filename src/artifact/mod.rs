//! Artifacts: packed so that the same content is the same bytes, stored by digest, checked before every use.
//!
//! A folder becomes a `tar.zst`, a single file stays as it is (EVIDENCE, Sealing).

mod behind;
mod copies;
pub mod disk;
pub mod file;
pub mod hashing;
pub mod image;
pub mod locks;
pub mod pack;
pub mod scan;
pub mod store;
pub mod tarball;
pub mod unpack;
pub mod unzip;

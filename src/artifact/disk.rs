//! Free space of the file system that artifacts are written to.

use std::io;
use std::path::Path;

use crate::trouble::{Outcome, Trouble};

/// Bytes that an ordinary user may still write where `path` lies.
pub fn available_bytes(path: &Path) -> Outcome<u64> {
    let stat = rustix::fs::statvfs(path).map_err(|e| {
        Trouble::transient(format!("ask for the free space of {}", path.display()))
            .because(io::Error::from(e))
    })?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_known_where_a_folder_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(available_bytes(dir.path()).unwrap() > 0);
        assert!(available_bytes(&dir.path().join("absent")).is_err());
    }
}

//! Buckets as outlets: one folder for every version, in which an object is created under a name that has none.

use super::{Seen, Taken};
use crate::bucket::{Bucket, Created};
use crate::https::pieces::Content;
use crate::trouble::Outcome;

/// Creates the object, unless something has its name.
pub(super) async fn put(bucket: &Bucket, version: &str, name: &str, content: Content) -> Outcome<Taken> {
    Ok(match bucket.create(&format!("{version}/{name}"), content).await? {
        Created::Yes => Taken::Yes,
        Created::Occupied => Taken::Occupied,
    })
}

/// What stands under a name, read with our key.
pub(super) async fn read(bucket: &Bucket, version: &str, name: &str) -> Outcome<Seen> {
    let found = bucket.digest(&format!("{version}/{name}")).await?;
    Ok(found.map_or(Seen::Nothing, |digest| Seen::Is(digest.to_string())))
}

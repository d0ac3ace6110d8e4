//! Buckets as outlets: one folder for every version, in which an object is created under a name that has none.

use super::{Seen, Taken};
use crate::bucket::{Bucket, Created};
use crate::https::pieces::Content;
use crate::trouble::Outcome;

/// Files up to so many bytes are created by one request, which takes a key that may only put; larger ones in pieces.
const AT_ONCE: u64 = 64 * 1024 * 1024;
/// Where pieces come together, in no version's folder. What a writer left there that died, the next try writes over and
/// takes away.
const INCOMING: &str = "incoming";

/// Creates the object, unless something has its name.
pub(super) async fn put(bucket: &Bucket, version: &str, name: &str, content: Content) -> Outcome<Taken> {
    let name = format!("{version}/{name}");
    let created = match content {
        Content::File(file, size) if size > AT_ONCE => {
            bucket.create_in_pieces(&name, &format!("{INCOMING}/{name}"), (file, size)).await?
        }
        content @ (Content::File(..) | Content::Text(_)) => bucket.create(&name, content).await?,
    };
    Ok(match created {
        Created::Yes => Taken::Yes,
        Created::Occupied => Taken::Occupied,
    })
}

/// What stands under a name, read with our key.
pub(super) async fn read(bucket: &Bucket, version: &str, name: &str) -> Outcome<Seen> {
    let found = bucket.digest(&format!("{version}/{name}")).await?;
    Ok(found.map_or(Seen::Nothing, |digest| Seen::Is(digest.to_string())))
}

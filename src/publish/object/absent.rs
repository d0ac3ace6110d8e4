//! What there is in the place of the clients in a program that was built without them.

use super::Bucket;
use crate::https::pieces::Content;
use crate::publish::{Seen, Taken};
use crate::trouble::{Outcome, Trouble};

fn absent(bucket: &Bucket, key: &str) -> Trouble {
    Trouble::refused(format!("{bucket}/{key}: this program was built without the feature `object-stores`"))
}

pub(super) async fn put(bucket: &Bucket, key: &str, _: Content) -> Outcome<Taken> {
    std::future::ready(Err(absent(bucket, key))).await
}

pub(super) async fn read(bucket: &Bucket, key: &str) -> Outcome<Seen> {
    std::future::ready(Err(absent(bucket, key))).await
}

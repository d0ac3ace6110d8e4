//! What there is in the place of the clients in a program that was built without them.

use std::fs::File;

use super::{Bucket, Created, Known};
use crate::domain::name::Digest;
use crate::domain::time::Timestamp;
use crate::https::pieces::Content;
use crate::trouble::{Outcome, Trouble};

async fn absent<T>(bucket: &Bucket, key: &str) -> Outcome<T> {
    let what = format!("{bucket}/{key}: this program was built without the feature `object-stores`");
    std::future::ready(Err(Trouble::refused(what))).await
}

pub(super) async fn create(bucket: &Bucket, key: &str, _: Content) -> Outcome<Created> {
    absent(bucket, key).await
}

pub(super) async fn create_in_pieces(bucket: &Bucket, key: &str, _: &str, _: File) -> Outcome<Created> {
    absent(bucket, key).await
}

pub(super) async fn fetch(bucket: &Bucket, key: &str, _: Option<File>) -> Outcome<Option<Digest>> {
    absent(bucket, key).await
}

pub(super) async fn look(bucket: &Bucket, key: &str) -> Outcome<Option<Known>> {
    absent(bucket, key).await
}

pub(super) async fn mark(bucket: &Bucket, key: &str) -> Outcome<()> {
    absent(bucket, key).await
}

pub(super) async fn delete(bucket: &Bucket, key: &str) -> Outcome<()> {
    absent(bucket, key).await
}

pub(super) async fn set_aside(bucket: &Bucket, key: &str, _: &str) -> Outcome<()> {
    absent(bucket, key).await
}

pub(super) async fn sweep(bucket: &Bucket, key: &str, _: Timestamp) -> Outcome<()> {
    absent(bucket, key).await
}

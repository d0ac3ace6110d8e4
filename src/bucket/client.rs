//! The clients of object stores: one crate that speaks with all of them, with the keys of the config and no others.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3Builder, S3CopyIfNotExists};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    RetryConfig,
};
use sha2::{Digest as _, Sha256};

use super::{Bucket, Created, Known, Provider};
use crate::domain::name::Digest;
use crate::domain::time::Timestamp;
use crate::https::pieces::Content;
use crate::trouble::{Outcome, Trouble};

/// Bytes of a file that are read at once.
const CHUNK: usize = 1024 * 1024;
/// Bytes of one piece of an object that is brought in pieces: stores take none under 5 MiB, and 10,000 of them.
const PIECE: usize = 8 * 1024 * 1024;
/// Longest that a store may send nothing of what it has begun to answer.
const SILENT: Duration = Duration::from_mins(1);
/// Longest that one request may take: the largest object over a slow line.
const WITHIN: Duration = Duration::from_mins(15);
/// Longest until somebody answers at all.
const CONNECTED: Duration = Duration::from_secs(20);
/// How often a request is made again by itself, and how long at most; after that the ledger says where we are.
const AGAIN: usize = 2;
const AGAIN_WITHIN: Duration = Duration::from_secs(30);
/// What S3's clients say when nobody says where a bucket is.
const REGION: &str = "us-east-1";

type Client = Box<dyn ObjectStore>;

fn open(bucket: &Bucket) -> Outcome<Client> {
    let plain = bucket.endpoint.as_ref().is_some_and(|at| at.starts_with("http://"));
    let options = ClientOptions::new()
        .with_timeout(WITHIN)
        .with_read_timeout(SILENT)
        .with_connect_timeout(CONNECTED)
        .with_allow_http(plain);
    let retry = RetryConfig { max_retries: AGAIN, retry_timeout: AGAIN_WITHIN, ..RetryConfig::default() };
    let (name, password) = (bucket.name.as_str(), bucket.password.expose());
    let client = match bucket.provider {
        Provider::S3 => {
            let mut builder = AmazonS3Builder::new()
                .with_bucket_name(name)
                .with_region(bucket.region.as_deref().unwrap_or(REGION))
                .with_access_key_id(&bucket.user)
                .with_secret_access_key(password)
                .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
                .with_client_options(options)
                .with_retry(retry);
            if let Some(endpoint) = &bucket.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            builder.build().map(boxed)
        }
        Provider::Gcs => {
            let mut builder = GoogleCloudStorageBuilder::new()
                .with_bucket_name(name)
                .with_service_account_key(password)
                .with_client_options(options)
                .with_retry(retry);
            if let Some(endpoint) = &bucket.endpoint {
                builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint);
            }
            builder.build().map(boxed)
        }
        Provider::Azure => {
            let mut builder = MicrosoftAzureBuilder::new()
                .with_container_name(name)
                .with_account(&bucket.user)
                .with_access_key(password)
                .with_client_options(options)
                .with_retry(retry);
            if let Some(endpoint) = &bucket.endpoint {
                builder = builder.with_endpoint(endpoint.clone());
            }
            builder.build().map(boxed)
        }
    };
    // Why a key cannot be read may quote it.
    client.map_err(|_| Trouble::refused(format!("{bucket} cannot be opened: its key is none, or its name")))
}

fn boxed(store: impl ObjectStore) -> Client {
    Box::new(store)
}

fn path(bucket: &Bucket, key: &str) -> Outcome<Path> {
    Path::parse(key).map_err(|e| Trouble::refused(format!("{bucket} takes no `{key}`")).because(e))
}

pub(super) async fn create(bucket: &Bucket, key: &str, content: Content) -> Outcome<Created> {
    let (client, path) = (open(bucket)?, path(bucket, key)?);
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let put = client.put_opts(&path, payload(content).await?, options).await;
    created(bucket, put.map(drop))
}

fn created(bucket: &Bucket, done: Result<(), Error>) -> Outcome<Created> {
    match done {
        Ok(()) => Ok(Created::Yes),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Occupied),
        Err(other) => Err(not_found(bucket, other)),
    }
}

/// Where nothing is asked for that might not be there, only the bucket can be what is not found.
fn not_found(bucket: &Bucket, error: Error) -> Trouble {
    if matches!(error, Error::NotFound { .. }) {
        return Trouble::refused(format!("there is no {bucket}"));
    }
    said(bucket, error)
}

pub(super) async fn create_in_pieces(
    bucket: &Bucket,
    key: &str,
    beside: &str,
    mut file: File,
) -> Outcome<Created> {
    let (client, to, from) = (open(bucket)?, path(bucket, key)?, path(bucket, beside)?);
    let fails = |e| not_found(bucket, e);
    let mut upload = client.put_multipart(&from).await.map_err(fails)?;
    loop {
        let (next, piece) = piece(file, PIECE).await?;
        file = next;
        if piece.is_empty() {
            break;
        }
        if let Err(e) = upload.put_part(PutPayload::from(piece)).await {
            upload.abort().await.unwrap_or_default();
            return Err(fails(e));
        }
    }
    upload.complete().await.map_err(fails)?;
    let copied = client.copy_if_not_exists(&from, &to).await;
    // What stays there when this fails is swept.
    client.delete(&from).await.unwrap_or_default();
    created(bucket, copied)
}

pub(super) async fn fetch(bucket: &Bucket, key: &str, to: Option<File>) -> Outcome<Option<Digest>> {
    let (client, path) = (open(bucket)?, path(bucket, key)?);
    let found = match client.get_opts(&path, GetOptions::default()).await {
        Ok(found) => found,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(other) => return Err(said(bucket, other)),
    };
    let (mut sum, mut pieces, mut to) = (Sha256::new(), found.into_stream(), to);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|e| said(bucket, e))?;
        sum.update(&piece);
        if let Some(mut file) = to.take() {
            let written = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file));
            let written = written.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
            let fails = |e| Trouble::transient(format!("write what {bucket} has of {key}")).because(e);
            to = Some(written.map_err(fails)?);
        }
    }
    let hex = hex::encode(sum.finalize());
    Digest::of_hex(&hex).map(Some).map_err(|e| Trouble::bug("a digest").because(e))
}

pub(super) async fn look(bucket: &Bucket, key: &str) -> Outcome<Option<Known>> {
    let (client, path) = (open(bucket)?, path(bucket, key)?);
    match client.head(&path).await {
        Ok(meta) => Ok(Some(Known { size: meta.size, at: Timestamp(meta.last_modified.timestamp_millis()) })),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(other) => Err(said(bucket, other)),
    }
}

pub(super) async fn mark(bucket: &Bucket, key: &str) -> Outcome<()> {
    let (client, path) = (open(bucket)?, path(bucket, key)?);
    client.put(&path, PutPayload::default()).await.map(drop).map_err(|e| not_found(bucket, e))
}

pub(super) async fn delete(bucket: &Bucket, key: &str) -> Outcome<()> {
    let (client, path) = (open(bucket)?, path(bucket, key)?);
    match client.delete(&path).await {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(other) => Err(said(bucket, other)),
    }
}

pub(super) async fn set_aside(bucket: &Bucket, key: &str, aside: &str) -> Outcome<()> {
    let (client, from, to) = (open(bucket)?, path(bucket, key)?, path(bucket, aside)?);
    match client.rename(&from, &to).await {
        // Another reader found the same and was first.
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(other) => Err(said(bucket, other)),
    }
}

pub(super) async fn sweep(bucket: &Bucket, below: &str, before: Timestamp) -> Outcome<()> {
    let (client, below) = (open(bucket)?, path(bucket, below)?);
    let fails = |e| not_found(bucket, e);
    let mut left = Vec::new();
    let mut listed = client.list(Some(&below));
    while let Some(meta) = listed.next().await {
        let meta = meta.map_err(fails)?;
        left.extend((meta.last_modified.timestamp_millis() < before.0).then_some(meta.location));
    }
    drop(listed);
    for path in left {
        client.delete(&path).await.map_err(fails)?;
    }
    Ok(())
}

/// All of it, in pieces that are not copied again.
async fn payload(content: Content) -> Outcome<PutPayload> {
    let mut file = match content {
        Content::Text(text) => return Ok(PutPayload::from(text)),
        Content::File(file, _) => file,
    };
    let mut pieces: Vec<Bytes> = Vec::new();
    loop {
        let (next, piece) = piece(file, CHUNK).await?;
        file = next;
        if piece.is_empty() {
            return Ok(pieces.into_iter().collect());
        }
        pieces.push(piece);
    }
}

/// The next bytes of a file, at most so many; none behind its end.
async fn piece(mut file: File, most: usize) -> Outcome<(File, Bytes)> {
    let read = tokio::task::spawn_blocking(move || {
        let mut piece = Vec::with_capacity(most);
        let limit = u64::try_from(most).unwrap_or(u64::MAX);
        (&mut file).take(limit).read_to_end(&mut piece)?;
        Ok((file, Bytes::from(piece)))
    });
    let read = read.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    read.map_err(|e| Trouble::transient("read what an object is to be made of").because(e))
}

fn said(bucket: &Bucket, error: Error) -> Trouble {
    if matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) {
        let what = "does not let us: look at its key, and what that key may do there";
        return Trouble::refused(format!("{bucket} {what}"));
    }
    Trouble::transient(format!("{bucket} does not answer as it should")).because(error)
}

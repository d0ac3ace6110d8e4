//! The clients of object stores: one crate that speaks with all of them, with the keys of the config and no others.

use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, GetOptions, ObjectStore, PutMode, PutOptions, PutPayload, RetryConfig,
};
use sha2::{Digest as _, Sha256};

use super::{Bucket, Provider};
use crate::https::pieces::Content;
use crate::publish::folder::digest;
use crate::publish::{Seen, Taken};
use crate::trouble::{Outcome, Trouble};

/// Bytes of a file that are read at once.
const CHUNK: usize = 1024 * 1024;
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
    let options =
        ClientOptions::new().with_timeout(WITHIN).with_connect_timeout(CONNECTED).with_allow_http(plain);
    let retry = RetryConfig { max_retries: AGAIN, retry_timeout: AGAIN_WITHIN, ..RetryConfig::default() };
    let (name, password) = (bucket.name.as_str(), bucket.password.expose());
    let client = match bucket.provider {
        Provider::S3 => {
            let mut builder = AmazonS3Builder::new()
                .with_bucket_name(name)
                .with_region(bucket.region.as_deref().unwrap_or(REGION))
                .with_access_key_id(&bucket.user)
                .with_secret_access_key(password)
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

pub(super) async fn put(bucket: &Bucket, key: &str, content: Content) -> Outcome<Taken> {
    let (client, path) = (open(bucket)?, path(bucket, key)?);
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match client.put_opts(&path, payload(content).await?, options).await {
        Ok(_) => Ok(Taken::Yes),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Taken::Occupied),
        Err(Error::NotFound { .. }) => Err(Trouble::refused(format!("there is no {bucket}"))),
        Err(other) => Err(said(bucket, other)),
    }
}

pub(super) async fn read(bucket: &Bucket, key: &str) -> Outcome<Seen> {
    let (client, path) = (open(bucket)?, path(bucket, key)?);
    let found = match client.get_opts(&path, GetOptions::default()).await {
        Ok(found) => found,
        Err(Error::NotFound { .. }) => return Ok(Seen::Nothing),
        Err(other) => return Err(said(bucket, other)),
    };
    let (mut sum, mut pieces) = (Sha256::new(), found.into_stream());
    while let Some(piece) = pieces.next().await {
        sum.update(&piece.map_err(|e| said(bucket, e))?);
    }
    Ok(Seen::Is(digest(sum)?.to_string()))
}

/// All of it, in pieces that are not copied again.
async fn payload(content: Content) -> Outcome<PutPayload> {
    let mut file = match content {
        Content::Text(text) => return Ok(PutPayload::from(text)),
        Content::File(file, _) => file,
    };
    let pieces = tokio::task::spawn_blocking(move || {
        let mut pieces: Vec<Bytes> = Vec::new();
        loop {
            let mut piece = Vec::with_capacity(CHUNK);
            let limit = u64::try_from(CHUNK).unwrap_or(u64::MAX);
            if (&mut file).take(limit).read_to_end(&mut piece)? == 0 {
                return Ok(pieces);
            }
            pieces.push(Bytes::from(piece));
        }
    });
    let pieces = pieces.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    let pieces = pieces.map_err(|e| Trouble::transient("read what is to be published").because(e))?;
    Ok(pieces.into_iter().collect())
}

fn said(bucket: &Bucket, error: Error) -> Trouble {
    if matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) {
        let what = "does not let us: look at its key, and what that key may do there";
        return Trouble::refused(format!("{bucket} {what}"));
    }
    Trouble::transient(format!("{bucket} does not answer as it should")).because(error)
}

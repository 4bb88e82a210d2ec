//! The blobs in the vault of the person behind the session: listing, reading, writing and deleting ciphertext.
//!
//! A version's `ETag` is what tells it from every other. Whoever changes a blob says which version that is made from
//! (`If-Match`), or that there is none yet, so that nobody writes over what they have not seen (RFC 9110 section 13).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use wayleave_core::blob::BlobName;
use wayleave_core::ports::Blob;
use wayleave_core::subject::Subject;

use crate::access::Context;
use crate::app::App;
use crate::audit::Entry;
use crate::error::{ApiError, ErrorCode};
use crate::http::conditions::{Condition, Tags};
use crate::http::query::Query;
use crate::openapi::Octets;
use crate::vault::blobs::Blobs;
use crate::vault::{Right, VaultAccess};
use crate::wire::{Done, Envelope, ErrorBody, PageQuery, rfc3339};

/// What a blob's body is called: nothing that a browser would show or run.
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const ATTACHMENT: HeaderValue = HeaderValue::from_static("attachment");

/// A blob, as far as the server knows it.
#[derive(Serialize, ToSchema)]
pub struct BlobInfo {
    /// Its name.
    #[schema(max_length = 128, example = "notes.2026-11")]
    name: String,
    /// Its bytes.
    size: u64,
    /// Its version, as `If-Match` takes it: with the quotes.
    #[schema(max_length = 34, example = "\"5d0c7f4f8e7b4cfc9c5f1d3a9e6b2a10\"")]
    etag: String,
    /// When this version was written. RFC 3339.
    #[schema(format = DateTime)]
    changed_at: String,
}

impl BlobInfo {
    fn of(blob: &Blob) -> Self {
        Self {
            name: blob.name.as_str().to_owned(),
            size: blob.size,
            etag: etag(blob),
            changed_at: rfc3339(blob.changed_at),
        }
    }
}

/// A page of blobs.
#[derive(Serialize, ToSchema)]
pub struct BlobPage {
    /// In the order of their names.
    items: Vec<BlobInfo>,
    /// `after` of the next page; none on the last.
    next: Option<String>,
    /// Bytes of all blobs of the account.
    bytes: u64,
    /// How many bytes there may be.
    quota: u64,
}

/// Lists the blobs, in the order of their names.
#[utoipa::path(get, path = "/api/vault/blobs", operation_id = "list_blobs", tag = "vault", params(PageQuery),
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<BlobPage>), (status = "default", body = ErrorBody)))]
pub async fn list(
    State(app): State<Arc<App>>,
    context: Context,
    Query(page): Query<PageQuery>,
) -> Result<Envelope<BlobPage>, ApiError> {
    let (blobs, owner) = open(&app, &context, Right::Read).await?;
    let most = page.most()?;
    let after = page.after.as_deref().map(str::parse::<BlobName>).transpose();
    let after = after.map_err(|_| ApiError::validation(&[("after", "`next` of the page before")]))?;
    let listed = blobs.list(&owner, after.as_ref(), most).await?;
    let next = listed.blobs.last().filter(|_| listed.more).map(|last| last.name.as_str().to_owned());
    Ok(Envelope::new(BlobPage {
        items: listed.blobs.iter().map(BlobInfo::of).collect(),
        next,
        bytes: listed.usage.bytes,
        quota: blobs.options().allowance.bytes,
    }))
}

/// Reads a blob, as the ciphertext that was written.
#[utoipa::path(get, path = "/api/vault/blobs/{name}", operation_id = "read_blob", tag = "vault",
    security(("session" = []), ("bearer" = [])),
    params(("name" = String, Path, description = "The blob.", max_length = 128),
           ("If-None-Match" = Option<String>, Header, description = "A version that is at hand.", max_length = 1024)),
    responses((status = 200, description = "The content.", content_type = "application/octet-stream", body = inline(Octets),
                  headers(("ETag" = String, description = "The version."))),
              (status = 304, description = "It is the version at hand."),
              (status = "default", body = ErrorBody)))]
pub async fn read(
    State(app): State<Arc<App>>,
    context: Context,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (blobs, owner) = open(&app, &context, Right::Read).await?;
    let held = Tags::of(&headers, IF_NONE_MATCH)?;
    let blob = blobs.find(&owner, &found(&name)?).await?.ok_or_else(|| ApiError::new(ErrorCode::NotFound))?;
    let mut response = if held.is_some_and(|held| held.has_weakly(blob.id)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(blobs.outgoing(&owner, &blob)?);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, OCTETS);
        headers.insert(CONTENT_DISPOSITION, ATTACHMENT);
        headers.insert(CONTENT_LENGTH, blob.size.into());
        response
    };
    response.headers_mut().insert(ETAG, tag(&blob)?);
    Ok(response)
}

/// Writes a blob whole.
///
/// With `If-Match`, replaces the version that it names; without, or with `If-None-Match: *`, makes a new blob. The answer
/// carries the new version's `ETag`.
#[utoipa::path(put, path = "/api/vault/blobs/{name}", operation_id = "write_blob", tag = "vault",
    security(("session" = []), ("bearer" = [])),
    params(("name" = String, Path, description = "The blob: 1 to 128 letters, digits, `.`, `-` and `_`, not beginning with a dot.", max_length = 128),
           ("If-Match" = Option<String>, Header, description = "The version that this one is made from.", max_length = 1024),
           ("If-None-Match" = Option<String>, Header, description = "`*`: there is no such blob yet.", max_length = 1024)),
    request_body(content = inline(Octets), content_type = "application/octet-stream"),
    responses((status = 200, description = "Replaced.", body = Envelope<BlobInfo>, headers(("ETag" = String, description = "The version."))),
              (status = 201, description = "Made.", body = Envelope<BlobInfo>, headers(("ETag" = String, description = "The version."))),
              (status = 412, description = "Another version is there.", body = ErrorBody),
              (status = 413, description = "Larger than a blob, or all of them, may be.", body = ErrorBody),
              (status = 428, description = "There is such a blob, and nothing says which version is to be replaced.", body = ErrorBody),
              (status = "default", body = ErrorBody)))]
pub async fn write(
    State(app): State<Arc<App>>,
    context: Context,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let mut body = Body::new(body.fuse());
    let written = put(&app, &context, &name, &parts.headers, &mut body).await;
    let (status, blob) = match written {
        Ok(written) => written,
        Err(error) => {
            if error.code() != ErrorCode::RequestTimeout {
                discard(&mut body).await;
            }
            return Err(error);
        }
    };
    record(&app, &context, "vault.blob_written", &blob)?;
    let mut response = (status, Envelope::new(BlobInfo::of(&blob))).into_response();
    response.headers_mut().insert(ETAG, tag(&blob)?);
    Ok(response)
}

async fn put(
    app: &App,
    context: &Context,
    name: &str,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(StatusCode, Blob), ApiError> {
    let (blobs, owner) = open(app, context, Right::Write).await?;
    let name: BlobName = name.parse().map_err(|_| ApiError::validation(&[("name", NAME)]))?;
    let condition = Condition::of(headers)?;
    let current = blobs.find(&owner, &name).await?;
    // What cannot succeed need not be sent; what can is looked at again when it is there.
    let expected = condition.judge(current.as_ref().map(|blob| blob.id))?;
    let upload = blobs.receive(&owner, body, declared(headers)).await?;
    if let Err(error) = still_open(app, context).await {
        blobs.abort(&upload).await;
        return Err(error);
    }
    let blob = blobs.commit(&upload, &name, expected).await.map_err(|error| condition.unmet(error))?;
    Ok((if current.is_some() { StatusCode::OK } else { StatusCode::CREATED }, blob))
}

/// Deletes the version of a blob that `If-Match` names; with `*`, whichever is there.
#[utoipa::path(delete, path = "/api/vault/blobs/{name}", operation_id = "delete_blob", tag = "vault",
    security(("session" = []), ("bearer" = [])),
    params(("name" = String, Path, description = "The blob.", max_length = 128),
           ("If-Match" = Option<String>, Header, description = "The version that is to go.", max_length = 1024)),
    responses((status = 200, body = Done),
              (status = 412, description = "Another version is there.", body = ErrorBody),
              (status = 428, description = "Nothing says which version is to go.", body = ErrorBody),
              (status = "default", body = ErrorBody)))]
pub async fn delete(
    State(app): State<Arc<App>>,
    context: Context,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Done, ApiError> {
    let (blobs, owner) = open(&app, &context, Right::Write).await?;
    let name = found(&name)?;
    let condition = Condition::of(&headers)?;
    let current = blobs.find(&owner, &name).await?;
    if current.is_none() && condition.is_absent() {
        return Err(ApiError::new(ErrorCode::NotFound));
    }
    let expected = condition.judge(current.as_ref().map(|blob| blob.id))?;
    let was = blobs.delete(&owner, &name, expected).await?;
    record(&app, &context, "vault.blob_deleted", &was)?;
    Ok(Done::YES)
}

/// How long a refused body is taken in.
const DISCARDING: Duration = Duration::from_secs(5);

const NAME: &str = "1 to 128 letters, digits, `.`, `-` and `_`, not beginning with a dot";

/// The blobs and whose they are, for a session that holds the vault open. 404 where the deployment has none.
async fn open<'a>(app: &'a App, context: &Context, right: Right) -> Result<(&'a Blobs, Subject), ApiError> {
    let blobs = app.blobs.as_ref().ok_or_else(|| ApiError::new(ErrorCode::NotFound))?;
    VaultAccess::demand(app, context, right).await?;
    let owner = context.session()?.subject().cloned();
    Ok((blobs, owner.ok_or_else(|| ApiError::new(ErrorCode::PermissionDenied))?))
}

/// Whether the session may still write: it may have ended, and the vault been locked, while the body came in.
async fn still_open(app: &App, context: &Context) -> Result<(), ApiError> {
    let context = context.renewed(app).await?;
    VaultAccess::demand(app, &context, Right::Write).await.map(drop)
}

/// The name of something to be found: what is no name is not there.
fn found(name: &str) -> Result<BlobName, ApiError> {
    name.parse().map_err(|_| ApiError::new(ErrorCode::NotFound))
}

/// Takes in, for a while, what a client goes on sending that was refused before its end: many read no answer before they
/// have sent everything, and a connection that is closed under them takes the answer with it.
async fn discard(body: &mut Body) {
    let to_its_end = async { while let Some(Ok(_)) = body.frame().await {} };
    // Whoever takes longer does without the answer.
    tokio::time::timeout(DISCARDING, to_its_end).await.ok();
}

/// What the client said of its body's length; the edge has seen to it that there is at most one such header.
fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn etag(blob: &Blob) -> String {
    format!("\"{}\"", blob.id)
}

fn tag(blob: &Blob) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(&etag(blob)).map_err(|_| ApiError::new(ErrorCode::InternalError))
}

/// Writes down that a blob was changed, and never which.
fn record(app: &App, context: &Context, event: &'static str, blob: &Blob) -> Result<(), ApiError> {
    let session = context.session()?;
    app.record(Entry {
        session: Some(app.reference(&session.record().id)),
        subject: session.subject().map(|subject| subject.as_str().into()),
        detail: Some(json!({ "size": blob.size })),
        ..context.entry(event)
    });
    Ok(())
}

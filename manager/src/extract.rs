//! What handlers take out of a request, with our own refusal when it is not there.

use std::net::{IpAddr, SocketAddr};

use axum::{
    Json, RequestPartsExt as _,
    extract::{
        ConnectInfo, FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{JsonRejection, PathRejection},
    },
    http::{StatusCode, header::AUTHORIZATION, request::Parts},
};
use proto::{api::error::ErrorCode, limits};
use serde::de::DeserializeOwned;

use crate::{bearer::BearerHash, error::ApiError};

/// The longest `Authorization` value that is looked at.
const AUTHORIZATION_LEN_MAX: usize = 128;
/// The header that makes a request repeatable.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Its longest value.
const KEY_LEN_MAX: usize = 64;

/// A JSON body.
#[derive(Debug, Clone, Copy)]
pub struct Body<T>(pub T);

/// Values of the path's `{…}`.
#[derive(Debug, Clone, Copy)]
pub struct InPath<T>(pub T);

/// Values behind the `?`.
#[derive(Debug, Clone, Copy)]
pub struct InQuery<T>(pub T);

/// The hash of the bearer token, which may be anybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer(pub BearerHash);

/// Where the request comes from: the address of the socket, never a header that anybody can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source(pub IpAddr);

/// What names a request, so that the same one again does nothing twice; `None` when the caller gave it no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Json(value) = Json::from_request(request, state).await.map_err(|rejection| refuse_body(&rejection))?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequestParts<S> for InPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        // No id has a NUL, and PostgreSQL takes none in a text.
        if parts.uri.path().contains("%00") {
            return Err(ApiError::not_found());
        }
        // A path that cannot be read names nothing that exists.
        let Path(value) = parts.extract().await.map_err(|_unreadable: PathRejection| ApiError::not_found())?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for InQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(value) = Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .filter(|value| value.len() <= AUTHORIZATION_LEN_MAX)
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(|token| Self(BearerHash::of(token)))
            .ok_or(ApiError::new(ErrorCode::NotLoggedIn))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(Self(None)) };
        let key = value.to_str().ok().filter(|key| (1..=KEY_LEN_MAX).contains(&key.len()));
        let key = key.ok_or(ApiError::bad_request("Idempotency-Key must have 1 to 64 printable ASCII characters"))?;
        Ok(Self(Some(key.to_owned())))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Source {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
            Some(ConnectInfo(address)) => Ok(Self(address.ip())),
            None => Err(ApiError::internal("the listener does not say where a request comes from")),
        }
    }
}

fn refuse_body(rejection: &JsonRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::new(ErrorCode::TooLarge);
    }
    let mut message = rejection.body_text();
    // The sentence may quote what was sent.
    message.truncate(message.floor_char_boundary(limits::REASON_LEN_MAX));
    ApiError::bad_request(message)
}

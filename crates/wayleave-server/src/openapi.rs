//! What every operation of the OpenAPI document has in common: credentials, and the forms of refusals.

use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Response, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::wire::Problem;

/// Bytes of any kind: without a type, as the standard wants them to be stated.
pub(crate) struct Octets;

impl PartialSchema for Octets {
    fn schema() -> RefOr<Schema> {
        let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        any.content_media_type("application/octet-stream").into()
    }
}

impl ToSchema for Octets {}

/// Completes a document made from the route table.
pub(crate) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            "__Host-id",
            "The session cookie. Unsafe methods also need the `x-csrf-token` header.",
        ))),
    );
    components.add_security_scheme("bearer", bearer("An access token of a session."));
    components.add_security_scheme("service", bearer("A service key, `sk_...`."));
    components.schemas.insert(Problem::name().into(), Problem::schema());
    for item in document.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, patch, .. } = item;
        for operation in [get, put, post, delete, patch].into_iter().flatten() {
            for (status, response) in &mut operation.responses.responses {
                match response {
                    RefOr::T(response) => complete_response(status, response),
                    RefOr::Ref(_) => {}
                }
            }
        }
    }
}

fn bearer(description: &str) -> SecurityScheme {
    SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build())
}

fn complete_response(status: &str, response: &mut Response) {
    let refusal = status == "default" || status.starts_with(['4', '5']);
    if response.description.is_empty() {
        response.description = if refusal { "Any refusal; `error.code` says which." } else { "Done." }.into();
    }
    if refusal {
        let problem = Content::new(Some(Ref::from_schema_name(Problem::name())));
        response.content.insert("application/problem+json".into(), problem.into());
    }
}

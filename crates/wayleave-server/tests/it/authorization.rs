//! Who may do what: every route of the router's table asked by every role, against one table of statuses.

use std::collections::BTreeSet;

use crate::asks::{ask_of, routes};
use crate::roles::{Held, ROLES, Scene};

/// What every role gets from every route, by a request that is right in everything but who sends it.
#[rustfmt::skip]
const TABLE: &[(&str, [u16; ROLES.len()])] = &[
    //                                             nobody wrong  stale right stale  admin must    exter service vault
    //                                                    user   user  user  admin        change  nal   key     holder
    ("GET /api/csrf",                               [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),
    ("POST /api/auth/login",                        [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),
    ("POST /api/auth/logout",                       [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),
    ("GET /api/auth/session",                       [401,  200,  200,  200,  200,  200,  200,  200,  401,  200]),
    ("GET /api/auth/user",                          [401,  200,  200,  200,  200,  200,  200,  403,  401,  200]),

    ("POST /api/auth/register",                     [201,  201,  201,  201,  201,  201,  201,  201,  201,  201]),
    ("POST /api/auth/password",                     [401,  200,  200,  200,  200,  200,  200,  403,  401,  401]),
    ("POST /api/auth/password/reset",               [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),
    ("POST /api/auth/step-up",                      [401,  200,  200,  200,  200,  200,  403,  403,  401,  401]),
    // Closed as soon as there is an administrator, which three of the roles are.
    ("GET /setup",                                  [200,  200,  200,  200,  403,  403,  403,  200,  200,  200]),
    ("POST /setup",                                 [201,  201,  201,  201,  403,  403,  403,  201,  201,  201]),

    ("POST /api/auth/opaque/register/start",        [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),
    ("POST /api/auth/opaque/register/finish",       [201,  201,  201,  201,  201,  201,  201,  201,  201,  201]),
    ("POST /api/auth/opaque/change/start",          [401,  200,  401,  200,  401,  200,  200,  403,  401,  200]),
    // Who has a vault must bring its key along.
    ("POST /api/auth/opaque/change/finish",         [401,  200,  401,  200,  401,  200,  200,  403,  401,  422]),
    ("POST /api/auth/opaque/login/start",           [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),
    ("POST /api/auth/opaque/login/finish",          [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),

    ("POST /api/auth/opaque/step-up",               [401,  401,  401,  401,  401,  401,  403,  401,  401,  200]),

    ("POST /api/auth/sessions",                     [401,  401,  401,  401,  401,  401,  401,  401,  201,  401]),
    ("GET /api/auth/sessions",                      [401,  200,  200,  200,  200,  200,  403,  200,  401,  200]),
    ("GET /api/auth/sessions/current",              [401,  200,  200,  200,  200,  200,  403,  200,  401,  200]),
    ("GET /api/auth/sessions/validate",             [401,  200,  200,  200,  200,  200,  403,  200,  401,  200]),
    // The credential is the refresh token in the body, whoever brings it.
    ("POST /api/auth/sessions/refresh",             [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),
    ("POST /api/auth/sessions/logout",              [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),
    ("POST /api/auth/sessions/extend",              [401,  200,  200,  200,  200,  200,  403,  200,  401,  200]),
    // Somebody else's session is as good as none (A19).
    ("DELETE /api/auth/sessions/{id}",              [401,  404,  401,  200,  401,  404,  403,  404,  401,  404]),
    ("DELETE /api/auth/sessions",                   [401,  200,  401,  200,  401,  200,  403,  200,  401,  200]),

    ("GET /api/vault/key",                          [401,  403,  403,  403,  403,  403,  403,  403,  401,  200]),
    ("PUT /api/vault/key",                          [401,  403,  403,  403,  403,  403,  403,  403,  401,  200]),
    ("GET /api/vault/blobs",                        [401,  403,  403,  403,  403,  403,  403,  403,  401,  200]),
    ("GET /api/vault/blobs/{name}",                 [401,  403,  403,  403,  403,  403,  403,  403,  401,  200]),
    ("PUT /api/vault/blobs/{name}",                 [401,  403,  403,  403,  403,  403,  403,  403,  401,  201]),
    ("DELETE /api/vault/blobs/{name}",              [401,  403,  403,  403,  403,  403,  403,  403,  401,  200]),
    ("POST /api/vault/lock",                        [401,  200,  200,  200,  200,  200,  403,  200,  401,  200]),

    ("GET /api/auth/verify",                        [401,  200,  200,  200,  200,  200,  403,  200,  401,  200]),
    ("POST /api/auth/introspect",                   [401,  401,  401,  401,  401,  401,  401,  401,  200,  401]),
    ("POST /api/auth/revoke",                       [401,  401,  401,  401,  401,  401,  401,  401,  200,  401]),
    ("GET /.well-known/jwks.json",                  [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),

    ("GET /api/admin/settings",                     [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("PUT /api/admin/settings",                     [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("GET /api/admin/sessions",                     [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("GET /api/admin/sessions/{id}",                [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("DELETE /api/admin/sessions/{id}",             [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("DELETE /api/admin/sessions",                  [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("GET /api/admin/users",                        [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("POST /api/admin/users",                       [401,  403,  403,  403,  401,  201,  403,  403,  401,  403]),
    ("GET /api/admin/users/{id}",                   [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("PATCH /api/admin/users/{id}",                 [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("POST /api/admin/users/{id}/unlock",           [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("POST /api/admin/users/{id}/reset-link",       [401,  403,  403,  403,  401,  201,  403,  403,  401,  403]),
    ("POST /api/admin/users/{id}/vault/lock",       [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("DELETE /api/admin/users/{id}/sessions",       [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("GET /api/admin/invitations",                  [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("POST /api/admin/invitations",                 [401,  403,  403,  403,  401,  201,  403,  403,  401,  403]),
    ("DELETE /api/admin/invitations/{id}",          [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("GET /api/admin/service-keys",                 [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("POST /api/admin/service-keys",                [401,  403,  403,  403,  401,  201,  403,  403,  401,  403]),
    ("DELETE /api/admin/service-keys/{name}",       [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("GET /api/admin/audit",                        [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("GET /api/admin/stats",                        [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("POST /api/admin/sweep",                       [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("GET /api/admin/keys",                         [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),
    ("POST /api/admin/keys/rotate",                 [401,  403,  403,  403,  401,  200,  403,  403,  401,  403]),

    ("GET /healthz",                                [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),
    ("GET /readyz",                                 [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),
    // Whoever has the token of the configuration, which is nobody here.
    ("GET /metrics",                                [404,  404,  404,  404,  404,  404,  404,  404,  404,  404]),
    ("GET /openapi.json",                           [200,  200,  200,  200,  200,  200,  200,  200,  200,  200]),
];

/// Every route is in both tables, once.
#[test]
fn the_tables_have_the_same_routes() {
    let stated: BTreeSet<_> = TABLE.iter().map(|(line, _)| (*line).to_owned()).collect();
    let routed: BTreeSet<_> = routes().iter().map(|route| route.line()).collect();
    assert_eq!(stated.len(), TABLE.len(), "a route is stated twice");
    assert_eq!(routed.len(), routes().len(), "a route is in the router's table twice");
    let unstated: Vec<_> = routed.difference(&stated).collect();
    assert!(unstated.is_empty(), "routes that nothing is stated about: {unstated:?}");
    let unrouted: Vec<_> = stated.difference(&routed).collect();
    assert!(unrouted.is_empty(), "routes that do not exist: {unrouted:?}");
}

/// A80, A19, R025: every route asked by every role, with a cookie and with a bearer token. Who is refused changes
/// nothing.
#[tokio::test]
async fn every_role_gets_what_the_table_states() {
    let routes = routes();
    let mut wrong = Vec::new();
    for (column, role) in ROLES.iter().enumerate() {
        for held in [Held::Cookie, Held::Bearer] {
            // Whoever is refused changes nothing, so the next may ask in the same scene.
            let mut unchanged = None;
            for route in &routes {
                let Some((line, statuses)) = TABLE.iter().find(|(line, _)| *line == route.line()) else { continue };
                let scene = match unchanged.take() {
                    Some(scene) => scene,
                    None => Scene::new(role, held).await,
                };
                let before = scene.state().await;
                let client = scene.client();
                let answer = client.ask_as_is(ask_of(route, &scene).request(&client)).await;
                if answer.status != statuses[column] {
                    let body = String::from_utf8_lossy(&answer.body).into_owned();
                    wrong.push(format!("{line} by {} ({held:?}): {} {body}", role.name, answer.status));
                } else if statuses[column] >= 400 {
                    if scene.state().await == before {
                        unchanged = Some(scene);
                    } else {
                        wrong.push(format!("{line} by {} ({held:?}) was refused and changed something", role.name));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

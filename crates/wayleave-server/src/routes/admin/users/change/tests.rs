//! Tests of what a change of an account comes to, without a server around it.

use wayleave_core::record::Revision;
use wayleave_core::time::Timestamp;

use super::*;

fn ann() -> Account {
    Account {
        id: AccountId::new([1; 16]),
        email: "ann@example.org".parse().unwrap(),
        name: "Ann".into(),
        role: "Nurse".into(),
        phone: Some("+49 30 1234".into()),
        labels: vec!["night".into()],
        avatar: None,
        permissions: Permissions::new(["admin", "read:profile"]).unwrap(),
        disabled: false,
        must_change_password: false,
        epoch: 4,
        created_at: Timestamp::MIN,
        updated_at: Timestamp::MIN,
        last_sign_in_at: None,
        revision: Revision::default(),
    }
}

fn read(body: Value) -> Result<Change, ApiError> {
    let request: ChangeUser = serde_json::from_value(body).map_err(|_| ApiError::new(ErrorCode::ValidationFailed))?;
    Change::read(request)
}

fn changed(body: Value) -> Account {
    let mut account = ann();
    read(body).unwrap().apply(&mut account);
    account
}

#[test]
fn what_is_not_named_stays() {
    assert_eq!(changed(json!({})), ann());
    assert_eq!(changed(json!({ "name": " Anna " })), Account { name: "Anna".into(), ..ann() });
    assert_eq!(changed(json!({ "phone": null })), Account { phone: None, ..ann() });
    assert_eq!(changed(json!({ "labels": [] })), Account { labels: Vec::new(), ..ann() });
    let avatar = Some("https://example.org/a.png".into());
    assert_eq!(changed(json!({ "avatar": "https://example.org/a.png" })), Account { avatar, ..ann() });
}

/// R020: turning an account off, and demanding a new password, outdate everything that it has open. Nothing else does.
#[test]
fn the_epoch_moves_when_sessions_must_end() {
    assert_eq!(changed(json!({ "disabled": true })).epoch, 5);
    assert_eq!(changed(json!({ "must_change_password": true })).epoch, 5);
    assert_eq!(changed(json!({ "disabled": true, "must_change_password": true })).epoch, 5);
    for harmless in [
        json!({ "disabled": false }),
        json!({ "must_change_password": false }),
        json!({ "permissions": [] }),
        json!({ "email": "anna@example.org" }),
    ] {
        assert_eq!(changed(harmless.clone()).epoch, 4, "{harmless}");
    }
    let mut disabled = Account { disabled: true, ..ann() };
    read(json!({ "disabled": true })).unwrap().apply(&mut disabled);
    assert_eq!(disabled.epoch, 4);
}

#[test]
fn hostile_changes_are_refused() {
    for body in [
        json!({ "id": "user_AAAAAAAAAAAAAAAAAAAAAA" }),
        json!({ "epoch": 0 }),
        json!({ "name": null }),
        json!({ "name": "  " }),
        json!({ "name": "a\nb" }),
        json!({ "email": null }),
        json!({ "email": "nobody" }),
        json!({ "disabled": null }),
        json!({ "disabled": "yes" }),
        json!({ "permissions": ["Admin"] }),
        json!({ "permissions": "admin" }),
        json!({ "avatar": "javascript:alert(1)" }),
        json!({ "labels": [""] }),
        json!({ "phone": "1".repeat(41) }),
    ] {
        assert!(read(body.clone()).is_err(), "{body}");
    }
}

#[test]
fn the_audit_log_learns_fields_and_permissions_and_no_values() {
    let after = changed(json!({
        "name": "Canary", "email": "canary@example.org", "permissions": ["read:profile", "users:manage"],
    }));
    let before = ann();
    let told = events(&before, &after);
    assert_eq!(
        told,
        [(
            "user.changed",
            json!({ "fields": ["email", "name", "permissions"] }).as_object().cloned().unwrap(),
            vec![("granted", vec!["users:manage"]), ("taken", vec!["admin"])],
        )]
    );
    let names = |before: &Account, after: &Account| events(before, after).iter().map(|e| e.0).collect::<Vec<_>>();
    let disabled = changed(json!({ "disabled": true }));
    assert_eq!(names(&before, &disabled), ["user.disabled"]);
    assert_eq!(names(&disabled, &before), ["user.enabled"]);
    assert_eq!(names(&before, &changed(json!({ "disabled": true, "role": "x" }))), ["user.changed", "user.disabled"]);
    assert!(names(&before, &before).is_empty());
}

#[test]
fn a_disabled_administrator_administers_nothing() {
    assert!(administers(&ann()));
    assert!(!administers(&changed(json!({ "disabled": true }))));
    assert!(!administers(&changed(json!({ "permissions": ["admins", "read:profile"] }))));
}

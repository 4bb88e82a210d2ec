//! Who the client is: the peer, unless the peer is a proxy of ours.

use std::net::Ipv4Addr;

use serde_json::json;
use wayleave_server::config::ForwardedHeader;

use super::ANN;
use crate::world::{Keeping, World};

const SPOOFED: [(&str, &str); 9] = [
    ("x-forwarded-for", "203.0.113.77"),
    ("forwarded", "for=203.0.113.77"),
    ("x-real-ip", "203.0.113.77"),
    ("true-client-ip", "203.0.113.77"),
    ("cf-connecting-ip", "203.0.113.77"),
    ("x-client-ip", "203.0.113.77"),
    ("x-user-id", "admin"),
    ("x-wayleave-subject", "user:admin"),
    ("x-forwarded-user", "admin"),
];

/// The coarse networks that a sign-in from `peer` with `fields` is put down under in the audit log.
async fn source(world: &World, peer: Ipv4Addr, fields: &[(&str, &str)]) -> String {
    let mut client = world.client();
    client.address = peer;
    client.fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(client.sign_in(ANN, crate::world::PASSWORD).await.status, 200);
    let rows = world.audit().await;
    let row = rows.iter().rev().find(|row| &*row.event == "login.success").unwrap();
    let listed = client.get("/api/auth/sessions/current").await.json()["data"]["network"].clone();
    assert_eq!(listed, json!(row.source), "the list and the log say the same");
    row.source.as_deref().unwrap().to_owned()
}

async fn behind(header: ForwardedHeader) -> World {
    let world = World::with(Keeping::Memory, |config| {
        config.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap(), "192.0.2.1/32".parse().unwrap()];
        config.server.forwarded_header = header;
        config.rate_limits.login = Some("2/1h".parse().unwrap());
    })
    .await;
    world.person(ANN, &[]).await;
    world
}

/// A21, R028: nothing that an untrusted peer says of itself changes where it is or who it is.
#[tokio::test]
async fn untrusted_peers_are_not_believed() {
    for header in [ForwardedHeader::None, ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
        let world = behind(header).await;
        let peer = Ipv4Addr::new(198, 51, 100, 7);
        assert_eq!(source(&world, peer, &SPOOFED).await, "198.51.100.0/24");
        let mut client = world.client();
        client.address = peer;
        client.fields = SPOOFED.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        assert_eq!(client.get("/api/auth/user").await.code(), "session_required");
        // The limit counts the peer, however often it changes what it says.
        for count in 0..4 {
            client.fields[0].1 = format!("203.0.113.{count}");
            client.fields[1].1 = format!("for=203.0.113.{count}");
            let status = client.post("/api/auth/login", &json!({})).await.status;
            assert_eq!(status == 429, count >= 1, "{count}");
        }
    }
}

/// R028: behind trusted proxies the hops are counted from the right, in the one header that they write.
#[tokio::test]
async fn trusted_hops_are_counted_from_the_right() {
    type Fields<'a> = &'a [(&'a str, &'a str)];
    let proxy = Ipv4Addr::new(10, 0, 0, 1);
    let cases: [(ForwardedHeader, Fields<'_>, &str); 16] = [
        (ForwardedHeader::XForwardedFor, &[("x-forwarded-for", "203.0.113.5")], "203.0.113.0/24"),
        (ForwardedHeader::XForwardedFor, &[("x-forwarded-for", "1.2.3.4, 203.0.113.5")], "203.0.113.0/24"),
        (ForwardedHeader::XForwardedFor, &[("x-forwarded-for", "1.2.3.4, 203.0.113.5, 10.9.9.9")], "203.0.113.0/24"),
        (ForwardedHeader::XForwardedFor, &[("x-forwarded-for", "10.1.1.1, 203.0.113.5")], "203.0.113.0/24"),
        (
            ForwardedHeader::XForwardedFor,
            &[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "203.0.113.5, 192.0.2.1")],
            "203.0.113.0/24",
        ),
        (ForwardedHeader::XForwardedFor, &[("x-forwarded-for", "203.0.113.5, garbage")], "10.0.0.0/24"),
        (ForwardedHeader::XForwardedFor, &[("x-forwarded-for", "garbage, 203.0.113.5")], "203.0.113.0/24"),
        (ForwardedHeader::XForwardedFor, &[("x-forwarded-for", "203.0.113.5, 127.0.0.1")], "127.0.0.0/24"),
        (ForwardedHeader::XForwardedFor, &[("x-forwarded-for", "2001:db8:1:2::9")], "2001:db8:1::/48"),
        (ForwardedHeader::XForwardedFor, &[("x-forwarded-for", "::ffff:203.0.113.5")], "203.0.113.0/24"),
        (ForwardedHeader::XForwardedFor, &[("x-forwarded-for", "")], "10.0.0.0/24"),
        (ForwardedHeader::XForwardedFor, &[("forwarded", "for=203.0.113.5"), ("x-real-ip", "1.1.1.1")], "10.0.0.0/24"),
        (ForwardedHeader::Forwarded, &[("forwarded", "for=1.2.3.4, for=203.0.113.5;proto=https")], "203.0.113.0/24"),
        (ForwardedHeader::Forwarded, &[("forwarded", "for=\"[2001:db8:1:2::9]:4711\"")], "2001:db8:1::/48"),
        (ForwardedHeader::Forwarded, &[("x-forwarded-for", "203.0.113.5")], "10.0.0.0/24"),
        (ForwardedHeader::None, &[("x-forwarded-for", "203.0.113.5")], "10.0.0.0/24"),
    ];
    for (header, fields, expected) in cases {
        let world = behind(header).await;
        assert_eq!(source(&world, proxy, fields).await, expected, "{header:?} {fields:?}");
    }
}

/// R028, R104: clients behind one proxy have limits of their own; what one of them writes to the left counts for nothing.
#[tokio::test]
async fn limits_are_per_client_behind_a_proxy() {
    let world = behind(ForwardedHeader::XForwardedFor).await;
    let ask = async |claims: &str| {
        let mut client = world.client();
        client.address = Ipv4Addr::new(10, 0, 0, 1);
        client.fields.push(("x-forwarded-for".into(), claims.into()));
        client.post("/api/auth/login", &json!({})).await.status.as_u16()
    };
    assert_ne!(ask("203.0.113.5").await, 429);
    assert_ne!(ask("8.8.8.8, 203.0.113.5").await, 429);
    assert_eq!(ask("9.9.9.9, 203.0.113.5").await, 429);
    assert_eq!(ask("10.0.0.9, 203.0.113.5, 10.0.0.2").await, 429);
    assert_ne!(ask("203.0.113.6").await, 429);
    // All of a subscriber's IPv6 network is one client.
    assert_ne!(ask("2001:db8::1").await, 429);
    assert_ne!(ask("2001:db8::2").await, 429);
    assert_eq!(ask("2001:db8::ffff:3").await, 429);
    assert_ne!(ask("2001:db8:0:1::1").await, 429);
}

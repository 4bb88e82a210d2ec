//! Forwarding headers, honest and not.

use http::HeaderValue;

use super::*;

fn proxies(header: ForwardingHeader) -> TrustedProxies {
    TrustedProxies { networks: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()], header }
}

fn client(header: ForwardingHeader, peer: &str, fields: &[(&str, &str)]) -> String {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    proxies(header).client(peer.parse().unwrap(), &headers).ip().to_string()
}

type Fields<'a> = &'a [(&'a str, &'a str)];

fn check(header: ForwardingHeader, table: &[(&str, Fields<'_>, &str)]) {
    for (peer, fields, expected) in table {
        assert_eq!(client(header, peer, fields), *expected, "{peer} {fields:?}");
    }
}

/// A21, R028: nothing that an untrusted peer says of itself is believed.
#[test]
fn an_untrusted_peer_is_the_client() {
    let spoofed: &[(&str, &str)] = &[
        ("x-forwarded-for", "198.51.100.7"),
        ("forwarded", "for=198.51.100.7"),
        ("x-real-ip", "198.51.100.7"),
        ("x-client-ip", "198.51.100.7"),
    ];
    for header in [ForwardingHeader::XForwardedFor, ForwardingHeader::Forwarded] {
        check(header, &[("203.0.113.9", spoofed, "203.0.113.9"), ("2001:db8::9", spoofed, "2001:db8::9")]);
    }
}

/// R028: trusted hops are counted from the right.
#[test]
fn trusted_hops_are_counted_from_the_right() {
    check(
        ForwardingHeader::XForwardedFor,
        &[
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, 198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, 198.51.100.7, 10.9.9.9")], "198.51.100.7"),
            ("10.0.0.1", &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7:4711")], "198.51.100.7"),
            ("10.0.0.1", &[("x-forwarded-for", "2001:db8::7")], "2001:db8::7"),
            ("10.0.0.1", &[("x-forwarded-for", "[2001:db8::7]:4711")], "2001:db8::7"),
            ("::ffff:10.0.0.1", &[("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[("x-forwarded-for", "::ffff:198.51.100.7")], "198.51.100.7"),
            ("fd00::1", &[("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
        ],
    );
}

/// A21: what cannot be read is not guessed at; the last proxy that could be read stands for its clients.
#[test]
fn the_unreadable_ends_the_walk() {
    check(
        ForwardingHeader::XForwardedFor,
        &[
            ("10.0.0.1", &[("x-forwarded-for", "unknown")], "10.0.0.1"),
            ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7, nonsense, 10.0.0.2")], "10.0.0.2"),
            ("10.0.0.1", &[("x-forwarded-for", "")], "10.0.0.1"),
            ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7,")], "10.0.0.1"),
            ("10.0.0.1", &[("x-forwarded-for", "999.1.1.1")], "10.0.0.1"),
            ("10.0.0.1", &[("forwarded", "for=198.51.100.7")], "10.0.0.1"),
        ],
    );
    let long = vec!["10.0.0.2"; 1000].join(",");
    let long = format!("198.51.100.7,{long}");
    check(ForwardingHeader::XForwardedFor, &[("10.0.0.1", &[("x-forwarded-for", &long)], "10.0.0.2")]);
}

#[test]
fn the_standard_header_is_read_strictly() {
    check(
        ForwardingHeader::Forwarded,
        &[
            ("10.0.0.1", &[("forwarded", "for=198.51.100.7")], "198.51.100.7"),
            ("10.0.0.1", &[("forwarded", "proto=https;FOR=\"198.51.100.7:80\";by=10.0.0.1")], "198.51.100.7"),
            ("10.0.0.1", &[("forwarded", "for=1.1.1.1, for=\"[2001:db8::7]:80\"")], "2001:db8::7"),
            ("10.0.0.1", &[("forwarded", "for=198.51.100.7;for=1.1.1.1")], "10.0.0.1"),
            ("10.0.0.1", &[("forwarded", "for=_hidden")], "10.0.0.1"),
            ("10.0.0.1", &[("forwarded", "for=\"198.51.100.7")], "10.0.0.1"),
            ("10.0.0.1", &[("forwarded", "by=198.51.100.7")], "10.0.0.1"),
            ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7")], "10.0.0.1"),
        ],
    );
}

/// R022: what logs show is a network, not a person.
#[test]
fn coarse_networks() {
    let of = |text: &str| ClientAddress::new(text.parse().unwrap());
    assert_eq!(of("198.51.100.77").coarse().to_string(), "198.51.100.0/24");
    assert_eq!(of("2001:db8:1:2:3:4:5:6").coarse().to_string(), "2001:db8:1::/48");
    assert_eq!(of("198.51.100.77").subscriber().to_string(), "198.51.100.77/32");
    assert_eq!(of("2001:db8:1:2:3:4:5:6").subscriber().to_string(), "2001:db8:1:2::/64");
    assert_eq!(of("::ffff:198.51.100.77").coarse().to_string(), "198.51.100.0/24");
}

#[test]
fn the_coarse_network_is_written_as_it_is_formatted() {
    let addresses = (0..=255).map(|octet| IpAddr::from([octet, 255 - octet, octet / 2, 9]));
    for address in addresses.chain(["2001:db8:1:2::3".parse().unwrap(), "::ffff:192.0.2.1".parse().unwrap()]) {
        let client = ClientAddress::new(address);
        assert_eq!(*client.coarse_text(), *client.coarse().to_string());
    }
}

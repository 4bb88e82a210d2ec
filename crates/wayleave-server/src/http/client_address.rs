//! Who the client is on the network: the peer, or what trusted proxies say of it (R028, A21).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

#[cfg(test)]
mod tests;

/// Most hops of a forwarding header that are walked; what lies beyond is not believed.
pub const MAX_HOPS: usize = 16;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies in front of this server.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    /// Their addresses. Empty: nobody is believed, the client is the peer.
    pub networks: Vec<IpNet>,
    /// The one header that they write. The other is ignored, since a client's own copy of it would come through.
    pub header: ForwardingHeader,
}

/// Which header proxies write.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`, as nginx, Traefik and Caddy write it.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The address of the client, in the request's extensions. An IPv4 address mapped into IPv6 is kept as IPv4.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// This address.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The full address. For decisions, not for logs.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.0
    }

    /// The network that logs and listings show: /24 of IPv4, /48 of IPv6.
    #[must_use]
    pub fn coarse(self) -> IpNet {
        self.network(24, 48)
    }

    /// [`Self::coarse`] as text.
    #[must_use]
    pub fn coarse_text(self) -> Arc<str> {
        match self.0 {
            // By hand, because every request has one and formatting costs ten times as much.
            IpAddr::V4(address) => {
                let mut text = String::with_capacity("255.255.255.0/24".len());
                let [first, second, third, _] = address.octets();
                for octet in [first, second, third] {
                    for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
                        if octet >= least {
                            text.push(char::from(b'0' + octet / unit % 10));
                        }
                    }
                    text.push('.');
                }
                text.push_str("0/24");
                text.into()
            }
            IpAddr::V6(_) => self.coarse().to_string().into(),
        }
    }

    /// What one customer of a provider usually has, for rate limits: one IPv4 address, a /64 of IPv6.
    #[must_use]
    pub fn subscriber(self) -> IpNet {
        self.network(32, 64)
    }

    /// What one customer of a hosting provider may have, for rate limits beside those of its networks: a /48 of IPv6.
    #[must_use]
    pub fn site(self) -> Option<IpNet> {
        match self.0 {
            IpAddr::V4(_) => None,
            IpAddr::V6(_) => Some(self.network(32, 48)),
        }
    }

    fn network(self, v4: u8, v6: u8) -> IpNet {
        match self.0 {
            IpAddr::V4(address) => {
                Ipv4Net::new(address, v4).map_or_else(|_| IpAddr::V4(address).into(), |net| net.trunc().into())
            }
            IpAddr::V6(address) => {
                Ipv6Net::new(address, v6).map_or_else(|_| IpAddr::V6(address).into(), |net| net.trunc().into())
            }
        }
    }
}

impl TrustedProxies {
    /// Whether `address` is one of them.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that came from `peer`.
    ///
    /// The header is read from the right, the side that our own proxies wrote. As long as an address is a trusted
    /// proxy, the one before it is believed; the first that is not is the client. Something unreadable ends the walk,
    /// and the proxy that wrote it stands for its clients.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer;
        if self.contain(peer) {
            for hop in self.hops(headers).into_iter().rev().take(MAX_HOPS) {
                let Some(address) = hop else { break };
                client = address;
                if !self.contain(address) {
                    break;
                }
            }
        }
        ClientAddress::new(client)
    }

    /// Puts the [`ClientAddress`] into the request's extensions. The peer's address comes from [`ConnectInfo`], which
    /// [`serve`](crate::http::serve::serve) sets; without it the client is the unspecified address, which no proxy list
    /// contains.
    pub(super) fn assign(&self, request: &mut Request) {
        let client = self.client(peer(request), request.headers());
        request.extensions_mut().insert(client);
    }

    fn hops(&self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        let (name, read): (_, fn(&str) -> Option<IpAddr>) = match self.header {
            ForwardingHeader::XForwardedFor => (X_FORWARDED_FOR, node),
            ForwardingHeader::Forwarded => (FORWARDED, forwarded_for),
        };
        let mut hops = Vec::new();
        for field in headers.get_all(name) {
            match field.to_str() {
                Ok(text) => hops.extend(text.split(',').map(read)),
                Err(_) => hops.push(None),
            }
        }
        hops
    }
}

/// One element of `Forwarded`: the node of its only `for` parameter.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for parameter in element.split(';') {
        let (name, value) = parameter.trim_matches([' ', '\t']).split_once('=')?;
        if name.eq_ignore_ascii_case("for") {
            if found.is_some() {
                return None;
            }
            let value = match value.strip_prefix('"') {
                Some(rest) => rest.strip_suffix('"')?,
                None => value,
            };
            found = Some(node(value)?);
        }
    }
    found
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse().ok().map(IpAddr::V6)
}

/// The address at the other end of the connection.
pub(crate) fn peer<B>(request: &http::Request<B>) -> IpAddr {
    match request.extensions().get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(address)) => address.ip(),
        None => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}

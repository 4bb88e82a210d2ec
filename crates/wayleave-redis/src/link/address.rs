//! Where a server is, and how one makes oneself known there.

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, TlsCertificates};

use crate::error::OpenError;
use crate::options::Tls;

/// A server's address with user, password and certificates.
#[derive(Clone)]
pub(crate) struct Address(ConnectionInfo);

impl Address {
    /// Reads a URL.
    pub(crate) fn parse(url: &str, tls: &Tls) -> Result<Self, OpenError> {
        let info = url.into_connection_info().map_err(OpenError::Address)?;
        let info = match info.addr() {
            ConnectionAddr::TcpTls { .. } => {
                use_ring();
                let Tls { root, client } = tls;
                let certificates = TlsCertificates {
                    root_cert: root.clone(),
                    client_tls: client
                        .clone()
                        .map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key }),
                };
                let client = Client::build_with_tls(info, certificates).map_err(OpenError::Address)?;
                client.get_connection_info().clone()
            }
            _ => info,
        };
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("wayleave", env!("CARGO_PKG_VERSION"));
        Ok(Self(info.set_redis_settings(settings)))
    }

    /// The node of the same Cluster at `host` and `port`. An empty host is this one's.
    pub(crate) fn sibling(&self, host: &str, port: u16) -> Self {
        let of_host = |own: &str| if host.is_empty() { own.to_owned() } else { host.to_owned() };
        let addr = match self.0.addr() {
            ConnectionAddr::TcpTls { host, port: _, insecure, tls_params } => ConnectionAddr::TcpTls {
                host: of_host(host),
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            ConnectionAddr::Tcp(host, _) => ConnectionAddr::Tcp(of_host(host), port),
            _ => ConnectionAddr::Tcp(of_host("127.0.0.1"), port),
        };
        Self(self.0.clone().set_addr(addr))
    }

    /// The same by the text `host:port`, as redirections have it.
    pub(crate) fn redirected(&self, to: &str) -> Option<Self> {
        let (host, port) = to.rsplit_once(':')?;
        Some(self.sibling(host, port.parse().ok()?))
    }

    /// `host:port`, or a path.
    pub(crate) fn name(&self) -> String {
        self.0.addr().to_string()
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.0
    }
}

/// The client crate takes the process's provider of cryptography; where there is none yet, it is ring.
fn use_ring() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have been quicker, which is as good.
        rustls::crypto::ring::default_provider().install_default().ok();
    }
}

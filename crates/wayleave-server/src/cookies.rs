//! The cookies of this deployment, described once.

use wayleave_web::cookies::CookieSpec;
use wayleave_web::fetch_metadata::OriginPolicy;

/// Every cookie that the server sets, and whose pages may send them.
#[derive(Clone, Debug)]
pub struct Cookies {
    /// The session.
    pub session: CookieSpec,
    /// What a CSRF token is bound to before there is a session.
    pub pre_session: CookieSpec,
    /// The CSRF token, readable by scripts.
    pub csrf: CookieSpec,
    /// The first and the last of these as a browser may hold them beside the others: without the configured domain.
    pub twins: Vec<CookieSpec>,
    /// The mark of a browser that signed in before; sent to the sign-in route alone.
    pub device: CookieSpec,
    /// Whose pages may act with them.
    pub origins: OriginPolicy,
}

//! Prints the OpenAPI document of the server; `cargo xtask openapi` writes it to `spec/openapi.json`.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(wayleave_server::router::openapi_text().as_bytes())
}

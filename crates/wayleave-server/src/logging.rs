//! The log: to standard error, for people or for machines.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{Config, LogFormat};

/// Starts logging, once per process.
pub fn start(config: &Config) {
    let filter = EnvFilter::new(format!("{},sqlx=warn,hyper=warn", config.log.level));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    // A second start in one process keeps the first log.
    let _ = match config.log.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

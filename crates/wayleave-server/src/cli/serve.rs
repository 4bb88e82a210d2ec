//! `wayleave serve`.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wayleave::{Background, SystemClock, SystemEntropy};
use wayleave_core::ports::Deposit;
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::token::LinkToken;

use super::{failed, remark, say};
use crate::access::ADMIN;
use crate::app::App;
use crate::assembly::{self, Ambient, Assembly, Backend, Blueprint};
use crate::changes::{Watch, follow};
use crate::claim::{Claim, ClaimError};
use crate::config::{Config, Loaded};
use crate::http::hosts::Hosts;
use crate::http::serve::{ServeOptions, Stopped, serve};
use crate::logging;
use crate::marks::Mark;
use crate::router::{self, Limits};
use crate::secrets::{self, MasterKeys};

/// How long the link that makes the first administrator is good.
const SETUP: Duration = Duration::from_secs(15 * 60);
/// The file of that link, where there is no terminal to show it on.
pub(super) const LINK_FILE: &str = "setup-link";
/// How often the server looks whether another process wrote to its store: what one ends is heard within this and the
/// time of a reload.
const WATCH: Duration = Duration::from_millis(250);

/// How often the server looks for changed settings while it cannot hear the other servers.
const LOOK: Duration = Duration::from_secs(1);
/// How often it does so in any case: who changed them may have died before it told anybody.
const LOOK_ANYWAY: Duration = Duration::from_secs(15);

/// Connections of the listener for metrics.
const METRICS_CONNECTIONS: usize = 16;

/// Serves until a signal says to stop.
pub(super) async fn run(loaded: &Loaded) -> ExitCode {
    match start(&loaded.config).await {
        Ok(code) => code,
        Err(error) => failed(&*error),
    }
}

async fn start(config: &Config) -> Result<ExitCode, Box<dyn std::error::Error>> {
    logging::start(config);
    crate::http::panic::install_silent_hook();
    let ambient = Ambient { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) };
    let opened = secrets::open(config, &*ambient.entropy)?;
    // Held until the process ends: what one server keeps in memory another on the same folder could not take back.
    let _alone = alone(opened.folder.path())?;
    let listener = TcpListener::bind(config.server.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.server.listen))?;
    let bound = listener.local_addr()?;
    let backend = Backend::open(config, &opened.keys, &ambient).await?;
    let claim = claim(config, &opened.keys, &backend, &ambient).await?;
    let watch = Watch::start(backend.clone()).await?;
    let link_file = config.resolve(Path::new(LINK_FILE));
    let setup_done = {
        let link_file = link_file.clone();
        move || remove(&link_file)
    };
    let assembly = assembly::assemble(Blueprint {
        config,
        keys: &opened.keys,
        backend,
        ambient,
        bound,
        parameters: assembly::password_parameters(config)?,
        node: config.nodes.name.as_str(),
        claim,
        setup_done: Arc::new(setup_done),
    })
    .await?;
    let app = Arc::clone(&assembly.app);
    Mark::Served.put(&*app.store, app.now()).await?;
    say(&format!("Wayleave {} listens on {}", env!("CARGO_PKG_VERSION"), app.options.public_url));
    say(&format!("Data folder: {}", opened.folder.path().display()));
    offer_setup(&app, &link_file).await?;
    app.record(crate::audit::Entry { event: "server.started", ..crate::audit::Entry::default() });
    let stop = stop_on_signal()?;
    let limits = assembly::rate_limits(config)?;
    let upkeep = [
        tokio::spawn(follow_others(Arc::clone(&app), watch, stop.clone())),
        tokio::spawn(follow_nodes(Arc::clone(&app), stop.clone())),
        tokio::spawn(tidy(Arc::clone(&app), limits.clone(), stop.clone())),
    ];
    // Until the last request is answered: the other servers must hear of what it changes.
    let served = CancellationToken::new();
    let background = tokio::spawn(Arc::clone(&app.manager).run_background(background(config), served.clone()));
    let metrics = serve_metrics(config, &app, bound, stop.clone()).await?;
    let router = assembly::http_stack(config, bound, Arc::clone(&app.entropy))?.wrap(router::router(&app, &limits));
    let stopped = serve(listener, router, assembly::serve_options(config), stop.clone()).await;
    stop.cancel();
    served.cancel();
    for task in upkeep {
        let _ = task.await;
    }
    let _ = background.await;
    if let Some(metrics) = metrics {
        let _ = metrics.await;
    }
    finish(app, assembly).await;
    Ok(match stopped {
        Stopped::Drained => ExitCode::SUCCESS,
        Stopped::Cut(connections) => {
            remark(&format!("{connections} connections were cut at the deadline"));
            ExitCode::SUCCESS
        }
    })
}

/// The listener that has `/metrics` alone, if there is one.
async fn serve_metrics(
    config: &Config,
    app: &Arc<App>,
    bound: SocketAddr,
    stop: CancellationToken,
) -> Result<Option<JoinHandle<Stopped>>, Box<dyn std::error::Error>> {
    let Some(address) = config.metrics.listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    say(&format!("Metrics: http://{}/metrics", listener.local_addr()?));
    let stack = assembly::metrics_stack(config, bound, Arc::clone(&app.entropy))?;
    let hosts = Hosts::new(config.metrics.hosts.iter().map(|host| host.as_str().into()));
    let router = stack.wrap(router::metrics_router(app, hosts));
    let options = ServeOptions { most_connections: METRICS_CONNECTIONS, ..assembly::serve_options(config) };
    Ok(Some(tokio::spawn(serve(listener, router, options, stop))))
}

/// This server's claim on its name, where several servers can share the directory.
async fn claim(
    config: &Config,
    keys: &MasterKeys,
    backend: &Backend,
    ambient: &Ambient,
) -> Result<Option<Claim>, ClaimError> {
    if !config.directory().is_shared() {
        return Ok(None);
    }
    let settings = Arc::clone(&backend.directory.settings);
    Ok(Some(Claim::take(settings, config.nodes.name.as_str(), keys.ids(), &*ambient.entropy).await?))
}

/// The lock of the one server that may run on a data folder.
pub(super) fn alone(folder: &Path) -> Result<std::fs::File, Box<dyn std::error::Error>> {
    let path = folder.join("server.lock");
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(format!("another server runs on {}; stop it first", folder.display()).into())
        }
        Err(std::fs::TryLockError::Error(error)) => Err(format!("cannot lock {}: {error}", path.display()).into()),
    }
}

async fn finish(app: Arc<App>, assembly: Assembly) {
    app.record(crate::audit::Entry { event: "server.stopped", ..crate::audit::Entry::default() });
    drop(app);
    assembly.stop().await;
}

fn background(config: &Config) -> Background {
    Background {
        flush_every: config.sessions.last_seen_flush,
        sweep_every: config.sessions.sweep_interval,
        sweep_batch: config.sessions.sweep_batch,
        keep_ended: config.sessions.retention,
        ..Background::default()
    }
}

fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

/// Takes over what other servers on the same store changed for all, and looks for it while they cannot be heard.
async fn follow_nodes(app: Arc<App>, stop: CancellationToken) {
    let Some(cluster) = &app.cluster else { return };
    let mut settings = cluster.settings();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut look_anyway = tokio::time::interval(LOOK_ANYWAY);
    look_anyway.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut taken_over = true;
    loop {
        let reloaded = tokio::select! {
            () = stop.cancelled() => return,
            changed = settings.changed() => {
                if changed.is_err() {
                    return;
                }
                app.reload().await
            }
            _ = look.tick() => {
                if taken_over && cluster.status().leased {
                    continue;
                }
                app.reload().await
            }
            _ = look_anyway.tick() => {
                if !taken_over {
                    continue;
                }
                app.reload_settings().await
            }
        };
        taken_over = reloaded.is_ok();
        if let Err(error) = reloaded {
            tracing::warn!(%error, "what another server changed could not be read; it will be tried again");
        }
    }
}

/// Follows what other processes do to the store.
async fn follow_others(app: Arc<App>, mut watch: Watch, stop: CancellationToken) {
    let mut look = tokio::time::interval(WATCH);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut answers = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        let followed = follow(&app, &mut watch).await;
        match &followed {
            Err(error) if answers => {
                tracing::warn!(%error, "the store does not say what others write; memory stands aside until it does");
            }
            Ok(()) if !answers => tracing::info!("the store says again what others write"),
            Ok(()) | Err(_) => {}
        }
        answers = followed.is_ok();
    }
}

/// Forgets what need not be remembered. Apart from [`follow_others`], which must not wait for it.
async fn tidy(app: Arc<App>, limits: Limits, stop: CancellationToken) {
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = minute.tick() => {}
        }
        let of_attempts = app.failed_attempts.iter().flat_map(|failed| failed.limits());
        limits.iter().chain(of_attempts).for_each(|limit| limit.sweep());
        let rule = app.policy.current().policy.lockout();
        if let Err(error) = app.directory.counters.sweep(rule, app.now(), 10_000).await {
            tracing::warn!(%error, "old counters could not be removed");
        }
        if let Some(blobs) = &app.blobs
            && let Err(error) = blobs.sweep().await
        {
            tracing::warn!(%error, "what is left of old blobs could not be removed");
        }
    }
}

/// While nobody can administer the deployment: makes the link for whoever started the server. It goes to a terminal,
/// where only that person sees it; otherwise into a file that only the server's user can read, never into a log.
async fn offer_setup(app: &App, link_file: &PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    if app.directory.accounts.anybody_holds(ADMIN).await? {
        remove(link_file);
        return Ok(());
    }
    let mut random = [0; 34];
    app.entropy.fill(&mut random)?;
    let token = LinkToken::new(random);
    let now = app.now();
    let ticket =
        Ticket { purpose: Purpose::Setup, key: token.hash().0, payload: Box::default(), expires_at: now.plus(SETUP) };
    if app.store.deposit(&ticket, 64, now).await? != Deposit::Done {
        remark("There is no administrator yet, and too many links to make one wait to expire. Start again later.");
        return Ok(());
    }
    let link = format!("{}/setup#{}", app.options.public_url, *token.reveal());
    if std::io::stdout().is_terminal() {
        say(&format!(
            "There is no administrator yet. Make one within 15 minutes, with this link, good once:\n  {link}"
        ));
    } else {
        remove(link_file);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(link_file)?;
        writeln!(file, "{link}")?;
        say(&format!(
            "There is no administrator yet. Make one within 15 minutes, with the link in {}, good once.",
            link_file.display()
        ));
    }
    Ok(())
}

/// Removes the file of the link that makes the first administrator.
pub(super) fn remove(file: &Path) {
    match std::fs::remove_file(file) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => remark(&format!("cannot remove {}: {error}", file.display())),
    }
}

//! CONFIG: reading and changing settings of the running server. The directives' own rules are `config`'s; this applies
//! what a change has to bring about at once.

use std::io;
use std::path::Path;

use super::spec::{Category, Flags, Group, Outcome, Spec};
use super::{acl, help};
use crate::config::{BindAddress, Config, SetError, file, title};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::server::defrag::Counts;
use crate::server::{Listening, Server};
use crate::sys::listen::{self, BoundSocket};
use crate::sys::{error_text, limits, title as shown};

const FLAGS: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE);
const TO_ALL: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The rows.
pub const ROWS: &[Spec] = &[Spec::container(
    "CONFIG",
    &[
        Spec::new("GET", -3, FLAGS, get)
            .group(Group::Server, Category::NONE, "2.0.0")
            .doc(
                "Shows settings by name or glob.",
                "O(N) where N is the number of settings and of patterns",
                "parameter [parameter ...]",
            )
            .history(&[("7.0.0", "Several patterns may be given.")]),
        Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text)
            .group(Group::Server, Category::NONE, "5.0.0")
            .doc("Lists the subcommands.", "O(1)", ""),
        Spec::new("RESETSTAT", 2, FLAGS, resetstat).group(Group::Server, Category::NONE, "2.0.0").tips(TO_ALL).doc(
            "Sets the statistics back to zero.",
            "O(1)",
            "",
        ),
        Spec::new("REWRITE", 2, FLAGS, rewrite).group(Group::Server, Category::NONE, "2.8.0").tips(TO_ALL).doc(
            "Writes the settings in force to the configuration file.",
            "O(N) where N is the number of settings and of lines",
            "",
        ),
        Spec::new("SET", -4, FLAGS, set)
            .group(Group::Server, Category::NONE, "2.0.0")
            .tips(TO_ALL)
            .doc(
                "Changes settings of the running server, all of those given or none.",
                "O(N) where N is the number of settings given",
                "parameter value [parameter value ...]",
            )
            .secrets(|line| (3..line.len()).step_by(2).filter(|at| is_secret(line.at(at - 1))).collect())
            .history(&[("7.0.0", "Several settings may be given.")]),
    ],
)
.group(Group::Server, Category::NONE, "2.0.0")
.doc("Shows and changes the server's settings.", "Depends on subcommand.", "")];

/// Settings that are not shown in logs.
const SECRETS: &[&str] = &[
    "requirepass",
    "masterauth",
    "primaryauth",
    "masteruser",
    "primaryuser",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
];

fn is_secret(name: &[u8]) -> bool {
    SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()))
}

fn get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let patterns: Vec<&[u8]> = args.iter_from(2).collect();
    let found = ctx.server.config.matching(&patterns);
    ctx.reply.map(found.len());
    for (name, value) in found {
        ctx.reply.bulk(name);
        ctx.reply.bulk(&value);
    }
    Ok(Next::Done)
}

fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if !args.len().is_multiple_of(2) {
        return Err(ReplyError::SYNTAX);
    }
    let words: Vec<&[u8]> = args.iter_from(2).collect();
    let pairs: Vec<(&[u8], &[u8])> = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let mut next = ctx.server.config.clone();
    let may_protected = ctx.server.clients[ctx.client].may(ctx.server.config.enable_protected_configs);
    let changed = next
        .set_many(&pairs, may_protected)
        .and_then(|changed| apply(ctx.server, &mut next, &changed).map(|()| changed))
        .map_err(|error| ReplyError::owned([b"ERR ".as_slice(), &error.message()].concat()))?;
    ctx.server.config = next;
    if changed.contains(&"requirepass") {
        ctx.server.password_changed();
    }
    if changed.iter().any(|name| matches!(*name, "maxmemory" | "maxmemory-policy")) {
        ctx.server.warn_of_low_limit();
    }
    if changed.iter().any(|name| name.starts_with("min-replicas")) {
        ctx.server.count_good_replicas(ctx.now);
    }
    show_title(ctx.server);
    ctx.server.renew_eviction();
    ctx.server.renew_sharing();
    ctx.server.renew_byte_counts(ctx.now);
    ctx.server.note_wanted_events();
    ctx.server.renew_observation();
    ctx.reply.ok();
    Ok(Next::Done)
}

/// Brings about what new values ask for at once; everything else is read from the settings when it is needed. What can
/// fail comes first, the sockets last, so that a failure leaves everything as it was.
fn apply(server: &mut Server, next: &mut Config, changed: &[&'static str]) -> Result<(), SetError> {
    if changed.contains(&"maxclients") && next.maxclients > server.config.maxclients {
        raise_open_files(next.maxclients)?;
    }
    if changed.contains(&"dir") {
        let entered = server.change_directory(&next.dir);
        next.dir = entered.map_err(|reason| SetError::failed("dir", reason))?;
    }
    let applied = open_ports(server, next, changed).and_then(|()| switch_log(server, next, changed));
    applied.inspect_err(|_| stay(server, changed))?;
    if changed.contains(&"loglevel") {
        crate::sys::log::set_level(next.loglevel.filter());
    }
    Ok(())
}

/// Turns the log on or off, if that has changed.
fn switch_log(server: &mut Server, next: &Config, changed: &[&'static str]) -> Result<(), SetError> {
    if !changed.contains(&"appendonly") {
        return Ok(());
    }
    let now = server.clock.now();
    if !next.appendonly {
        server.end_log(now);
        return Ok(());
    }
    server.turn_log_on(now).map_err(|error| {
        log::warn!("{error}");
        SetError::failed("appendonly", "Unable to turn on AOF. Check server logs.")
    })
}

/// Goes back to the directory that another setting has failed beside, if it was left.
fn stay(server: &mut Server, changed: &[&'static str]) {
    let dir = server.config.dir.clone();
    if changed.contains(&"dir")
        && let Err(reason) = server.change_directory(&dir)
    {
        log::error!("Can't go back to {}: {reason}", dir.display());
    }
}

/// Listens on other addresses, if some are named. When one of the two ports fails, the other is as it was.
fn open_ports(server: &mut Server, next: &Config, changed: &[&'static str]) -> Result<(), SetError> {
    let named = |names: [&'static str; 2]| changed.iter().copied().find(|name| names.contains(name));
    let (metrics, clients) = (named(["metrics-bind", "metrics-port"]), named(["bind", "port"]));
    let Server { process, config, .. } = server;
    let backlog = config.tcp_backlog;
    if let Some(directive) = metrics {
        listen_anew(&mut process.metrics_port, &next.metrics_bind, next.metrics_port, backlog)
            .map_err(|error| not_bound(directive, &error))?;
    }
    if let Some(directive) = clients
        && let Err(error) = listen_anew(&mut process.clients_port, &next.bind, next.port, backlog)
    {
        if metrics.is_some()
            && let Err(error) =
                listen_anew(&mut process.metrics_port, &config.metrics_bind, config.metrics_port, backlog)
        {
            log::error!("Listening for metrics again: {}", error_text(&error));
        }
        return Err(not_bound(directive, &error));
    }
    Ok(())
}

fn not_bound(directive: &'static str, error: &io::Error) -> SetError {
    log::warn!("{}", error_text(error));
    let is_address = directive.ends_with("bind");
    let (address, port) =
        ("Failed to bind to specified addresses.", "Unable to listen on this port. Check server logs.");
    SetError::failed(directive, if is_address { address } else { port })
}

/// Shows what the list of processes is to show now: the template, the addresses and the port may have changed.
fn show_title(server: &Server) {
    if server.config.set_proc_title {
        let text = title::title(&server.config, shown::program(), server.process.identity.config_file.as_deref());
        shown::set(&text);
    }
}

fn raise_open_files(clients: u32) -> Result<(), SetError> {
    let fits = limits::raise_open_files(clients).map_or(0, |files| files.max_clients);
    if fits >= clients {
        return Ok(());
    }
    let reason =
        format!("The operating system is not able to handle the specified number of clients, try with {}", fits);
    Err(SetError::failed("maxclients", reason))
}

/// Opens the sockets of new addresses, to be listened on at the end of the turn. Those that are listened on already stay, with the
/// clients waiting there; the others give up their addresses first, because a new one may cover them (`*` covers 127.0.0.1), and
/// take them back if anything fails.
fn listen_anew(listening: &mut Listening, bind: &[BindAddress], port: u16, backlog: u32) -> io::Result<()> {
    // An earlier change of the same turn has not reached the loop yet.
    let pending = listening.next.take();
    let current = pending.as_deref().unwrap_or(&listening.open);
    let wanted = bind.iter().filter(|_| port != 0);
    // A name that does not resolve is reported when it is bound.
    let addresses: Vec<Option<String>> =
        wanted.clone().map(|bind| listen::resolve(&bind.host, port).ok().map(|address| address.to_string())).collect();
    let stays = |open: &&BoundSocket| open.kind() != "tcp" || addresses.contains(&Some(open.address.clone()));
    let (kept, leaving): (Vec<&BoundSocket>, Vec<&BoundSocket>) = current.iter().partition(stays);
    leaving.iter().for_each(|open| open.suspend());
    let is_new = |address: &Option<String>| !kept.iter().any(|open| Some(&open.address) == address.as_ref());
    let new = wanted.zip(&addresses).filter(|(_, address)| is_new(address)).map(|(bind, _)| bind);
    let opened = listen::tcp_all(new.map(|bind| (bind.host.as_str(), bind.optional)), port, backlog)
        .and_then(|new| Ok((new, kept.iter().map(|open| open.try_clone()).collect::<io::Result<Vec<_>>>()?)));
    match opened {
        Ok((new, mut sockets)) => {
            sockets.extend(new);
            listening.next = Some(sockets);
            Ok(())
        }
        Err(error) => {
            leaving.iter().for_each(|open| resume(open, backlog));
            listening.next = pending;
            Err(error)
        }
    }
}

fn resume(socket: &BoundSocket, backlog: u32) {
    if let Err(error) = socket.resume(backlog) {
        log::error!("Listening on {} again: {}", socket.address, error_text(&error));
    }
}

fn resetstat(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.server.stats.reset();
    ctx.server.replication.counts = Default::default();
    ctx.server.background.reset_freed();
    ctx.server.defrag.counts = Counts::default();
    ctx.server.observer.reset_durations();
    ctx.server.phases.reset();
    ctx.server.jobs.counts = Default::default();
    ctx.server.dbs.reset_stats();
    ctx.reply.ok();
    Ok(Next::Done)
}

fn rewrite(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let users = acl::config_lines(ctx.server);
    let Server { config, config_sources, process, .. } = &*ctx.server;
    let identity = &process.identity;
    let Some(path) = &identity.config_file else {
        return Err(ReplyError::new("ERR The server is running without a config file"));
    };
    let old = match std::fs::metadata(path) {
        // Were it replaced, as `/dev/null` would be for the administrator, nobody would find it again; and a pipe has no end.
        Ok(found) if !found.is_file() => Err(io::Error::other(format!("{} is not a regular file", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => std::fs::read(path),
    };
    let written =
        old.and_then(|old| file::write_atomically(path, &file::rewrite(&old, config, config_sources, &users)));
    if let Err(error) = written {
        log::warn!("CONFIG REWRITE of {} failed: {error}", path.display());
        return Err(ReplyError::owned(format!("ERR Rewriting config file: {}", rewrite_failure(path, &error))));
    }
    log::info!("CONFIG REWRITE executed with success.");
    ctx.reply.ok();
    Ok(Next::Done)
}

/// Redis's words for what went wrong, and, where the file cannot be replaced because of what the server is permitted, which
/// directory it needs: the new text is written beside the old one first, so that a crash leaves one of them whole.
fn rewrite_failure(path: &Path, error: &io::Error) -> String {
    let text = error_text(error);
    let is_refused = matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied | io::ErrorKind::ResourceBusy
    );
    if !is_refused {
        return text;
    }
    // A symbolic link is followed, and the file it leads to is the one that is replaced.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().unwrap_or(Path::new("/"));
    format!(
        "{text}: {} is replaced by a new file, so the server must be able to write to the directory {} (under systemd: \
         ReadWritePaths=, or start the server with a configuration file in StateDirectory=)",
        path.display(),
        directory.display()
    )
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "CONFIG",
        &[
            "GET <pattern>",
            "    Return parameters matching the glob-like <pattern> and their values.",
            "SET <directive> <value>",
            "    Set the configuration <directive> to <value>.",
            "RESETSTAT",
            "    Reset statistics reported by the INFO command.",
            "REWRITE",
            "    Rewrite the configuration file.",
        ],
    );
    Ok(Next::Done)
}

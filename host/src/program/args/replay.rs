//! Converts the flags of `wasmserve replay`. What the user does not say, the capture does.

use std::{io, path::PathBuf};

use anyhow::anyhow;
use wasmserve_gateway::mounts::Mounts;

use super::{
    command::{PaceArg, ReplayArgs},
    value,
};
use crate::{
    base::exit::{Exit, OrExit as _, StartError},
    listen::access_log::format::Format,
    program::{
        commands::replay::captured::Captured,
        config::Config,
        task::{Replay, ReplayOptions},
    },
    replay::replayer::Pace,
    source::locate::Named,
};

/// Converts the flags into a task. Reads the capture, to find out which handlers it names.
///
/// # Errors
///
/// The capture cannot be read, or names no handler while the user does not either; or a flag is wrong.
pub(super) fn task(args: ReplayArgs, program: PathBuf) -> Result<Replay, StartError> {
    let ReplayArgs { captured: path, handler, mount, only, pace, ignore, accept, json, flags } = args;
    let options = ReplayOptions {
        only,
        pace: match pace {
            PaceArg::Fast => Pace::Fast,
            PaceArg::Recorded => Pace::Recorded,
        },
        ignore,
        accept,
        json,
        is_colorful: !json && value::is_colorful(&io::stdout()),
        is_directory: path.is_dir(),
    };
    let captured = Captured::read(&path, &options).or_exit(Exit::Failed)?;
    if captured.is_empty() {
        let why = anyhow!("`{}` has nothing to replay; it has no such exchanges, or only replays", path.display());
        return Err(StartError::new(Exit::NotReplayed, &why));
    }
    let named = handler.map(|handler| (captured.mount(), Named::from(handler)));
    let mut handlers: Vec<_> = mount.into_iter().chain(named).collect();
    if handlers.is_empty() {
        handlers = captured.handlers().or_exit(Exit::Usage)?;
    }
    let handlers = Mounts::new(handlers)
        .map_err(|mount| anyhow!("two handlers are mounted at `{mount}`; give one of them another path"))
        .or_exit(Exit::Usage)?;
    let compile = flags.compile(program);
    let has_log = flags.has_access_log();
    let mut config = flags.into_config(handlers, compile)?;
    if !has_log {
        config.access_log = Format::None;
    }
    let hints = complete(&mut config, &captured);
    Ok(Replay { config, files: captured.files, hints, options })
}

/// Sets what the server of the capture had and the user has not given. Returns what the user has to know.
fn complete(config: &mut Config, captured: &Captured) -> Vec<String> {
    let gateway = &mut config.gateway;
    gateway.server_name = gateway.server_name.take().or_else(|| captured.server_name.clone());
    if gateway.trusted_proxies.is_empty() {
        gateway.trusted_proxies = captured.proxies.iter().filter_map(|proxy| proxy.parse().ok()).collect();
    }
    let grants = || config.handlers.iter().map(|(_, mounted)| &mounted.allowance.grants);
    let is_granted = |name: &String| grants().any(|grants| grants.env.iter().any(|variable| variable.name == **name));
    let missing: Vec<&str> = captured.env.iter().filter(|name| !is_granted(name)).map(|name| &**name).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "the captured handler had the variables {}, whose values are not captured; add --env",
        missing.join(", ")
    )]
}

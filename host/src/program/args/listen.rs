//! The flags for the address to listen on.

use anyhow::anyhow;
use clap::Args;

use crate::{
    base::{
        address::{self, Address, PartialAddress},
        exit::{Exit, OrExit as _, StartError},
    },
    program::config,
};

/// The flags for the address to listen on. Each gives a part of it, or both.
#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// Where to listen: HOST:PORT, HOST or PORT [default: 127.0.0.1:8000]
    #[arg(long, short_aliases = ['b', 'l'], aliases = ["bind", "listen"], value_name = "HOST:PORT")]
    addr: Option<PartialAddress>,

    /// Port to listen on; 0 picks a free one
    #[arg(short, long, value_name = "PORT", value_parser = address::port)]
    port: Option<u16>,

    /// Host to listen on; 0.0.0.0 or :: lets other machines connect
    #[arg(long, value_name = "HOST", value_parser = address::host)]
    host: Option<String>,
}

impl ListenArgs {
    /// Whether other programs would listen on all addresses with these flags, as with `:9000`.
    pub(super) fn is_narrowed(&self) -> bool {
        self.host.is_none() && self.addr.as_ref().is_some_and(|addr| addr.is_open)
    }

    /// Combines the flags.
    ///
    /// # Errors
    ///
    /// Two flags give the same part ([`Exit::Usage`]).
    pub(super) fn address(self) -> Result<Address, StartError> {
        let of_addr = self.addr.unwrap_or(PartialAddress { host: None, port: None, is_open: false });
        let host = only_one(of_addr.host, self.host, "--host")?;
        let port = only_one(of_addr.port, self.port, "--port")?;
        Ok(Address { host: host.unwrap_or_else(|| config::HOST.to_owned()), port: port.unwrap_or(config::PORT) })
    }
}

fn only_one<T>(of_addr: Option<T>, other: Option<T>, flag: &str) -> Result<Option<T>, StartError> {
    match (of_addr, other) {
        (Some(_), Some(_)) => {
            let part = flag.trim_start_matches('-');
            Err(anyhow!("--addr and {flag} both give a {part}; leave one of them out; see --help")).or_exit(Exit::Usage)
        }
        (one, other) => Ok(one.or(other)),
    }
}

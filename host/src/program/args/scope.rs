//! Flags that apply to all handlers, or to the one at a mount: `--timeout 5s`, `--timeout /events:1h`.

use std::fmt::{self, Debug};

use anyhow::anyhow;
use wasmserve_gateway::mounts::{Mount, Mounts};

use crate::base::exit::{Exit, OrExit as _, StartError};

/// The value of a flag, which may begin with the path of a mount and a colon.
///
/// Which paths are mounted is only known when the whole command line is. Before that, a text that may begin with one is
/// kept as it is.
#[derive(Clone)]
pub(super) struct Scoped<T> {
    text: String,
    parse: fn(&str) -> Result<T, String>,
    /// The value of the text as a whole, unless it may begin with a mount.
    value: Option<T>,
}

/// A parser for values that may begin with a mount, from one for values that do not.
pub(super) fn scoped<T: Clone + Send + Sync + 'static>(
    parse: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Scoped<T>, String> + Clone + Send + Sync + 'static {
    move |text| {
        let value = if may_begin_with_mount(text) { None } else { Some(parse(text)?) };
        Ok(Scoped { text: text.to_owned(), parse, value })
    }
}

/// Whether a text looks like `/path:…`. What looks like `/path::…` is the value of `--dir` without a mount.
fn may_begin_with_mount(text: &str) -> bool {
    text.starts_with('/') && text.find(':').is_some_and(|colon| !text[colon..].starts_with("::"))
}

impl<T> Debug for Scoped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be a secret.
        f.debug_struct("Scoped").finish_non_exhaustive()
    }
}

impl<T> Scoped<T> {
    /// Finds the mount, if there is one, and parses what follows it.
    fn resolve<H>(self, handlers: &Mounts<H>) -> Result<(Option<Mount>, T), String> {
        let Self { text, parse, value } = self;
        if let Some(value) = value {
            return Ok((None, value));
        }
        // The longest path first: paths may contain colons, too.
        for (mount, _) in handlers.iter() {
            let path = text.strip_prefix(&*mount.to_string()).map(|rest| rest.strip_prefix('/').unwrap_or(rest));
            if let Some(rest) = path.and_then(|rest| rest.strip_prefix(':')).filter(|rest| !rest.starts_with(':')) {
                return Ok((Some(mount.clone()), parse(rest)?));
            }
        }
        // A path on the host may contain colons, too.
        parse(&text).map(|value| (None, value)).map_err(|_| {
            let (path, _) = text.split_once(':').unwrap_or((&text, ""));
            let mounts: Vec<String> = handlers.iter().map(|(mount, _)| format!("`{mount}`")).collect();
            format!("no handler is mounted at `{path}`; mounted are {}", mounts.join(", "))
        })
    }
}

/// The values of a flag, in the order of the command line, each with its mount if it is for one handler only.
#[derive(Debug)]
pub(super) struct Values<T>(Vec<(Option<Mount>, T)>);

impl<T: Clone> Values<T> {
    /// Resolves the values of a flag that may be given several times.
    ///
    /// # Errors
    ///
    /// A value is invalid, or begins with the path of a mount that does not exist ([`Exit::Usage`]).
    pub(super) fn new<H>(flag: &str, values: Vec<Scoped<T>>, handlers: &Mounts<H>) -> Result<Self, StartError> {
        let resolve = |scoped: Scoped<T>| {
            let text = scoped.text.clone();
            scoped.resolve(handlers).map_err(|why| anyhow!("{flag} cannot be `{text}`: {why}")).or_exit(Exit::Usage)
        };
        values.into_iter().map(resolve).collect::<Result<_, _>>().map(Self)
    }

    /// Resolves the values of a flag that may be given once for all handlers, and once for each.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), or a flag is given twice.
    pub(super) fn once<H>(flag: &str, values: Vec<Scoped<T>>, handlers: &Mounts<H>) -> Result<Self, StartError> {
        let Self(values) = Self::new(flag, values, handlers)?;
        for (at, (mount, _)) in values.iter().enumerate() {
            if values[..at].iter().any(|(other, _)| other == mount) {
                let scope = mount.as_ref().map(|mount| format!(" for `{mount}`")).unwrap_or_default();
                return Err(anyhow!("{flag} can be given only once{scope}; see --help")).or_exit(Exit::Usage);
            }
        }
        Ok(Self(values))
    }

    /// The values that apply to the handler at this mount, in the order of the command line.
    pub(super) fn all(&self, mount: &Mount) -> impl Iterator<Item = &T> {
        let applies = move |other: &Option<Mount>| other.as_ref().is_none_or(|other| other == mount);
        self.0.iter().filter(move |(other, _)| applies(other)).map(|(_, value)| value)
    }

    /// The values that apply to all handlers.
    pub(super) fn general(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter(|(mount, _)| mount.is_none()).map(|(_, value)| value)
    }

    /// The values that apply only to the handler at this mount.
    pub(super) fn own(&self, mount: &Mount) -> impl Iterator<Item = &T> {
        self.0.iter().filter(move |(other, _)| other.as_ref() == Some(mount)).map(|(_, value)| value)
    }

    /// The value for the handler at this mount: its own one, or else that for all handlers.
    pub(super) fn of(&self, mount: &Mount) -> Option<T> {
        self.own(mount).chain(self.general()).next().cloned()
    }
}

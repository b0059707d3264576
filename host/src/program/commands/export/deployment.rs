//! What an exported handler needs beside its component on a platform: files that describe it, and the commands that
//! publish and start it.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{
    base::output,
    program::{
        commands::path::{argument, shown},
        task::Deploy,
    },
};

/// The longest name. Kubernetes allows 63 characters, and the platforms append to it.
const NAME_MAX: usize = 50;

/// A handler as the files describe it. All texts but the component's consist of characters that need no escaping in JSON,
/// YAML, TOML and shells.
pub(super) struct Deployment {
    /// Its name, which is a label of the DNS and starts with a letter.
    pub name: String,
    /// Its component's file, beside the files that describe it.
    pub component: PathBuf,
    /// The image that contains the component in a registry: `REGISTRY/NAME:TAG`.
    pub image: String,
    /// The host name in requests for it.
    pub host: String,
    /// What it may send requests to: `HOST:PORT`.
    pub net: Vec<String>,
    /// Whether it uses `wasi:keyvalue`.
    pub keyvalue: bool,
}

impl Deployment {
    /// Describes the handler with this name, and completes what the user left out.
    pub(super) fn new(deploy: Deploy, name: &str, component: &Path, keyvalue: bool) -> Self {
        let name = label(name);
        let image = deploy.image.unwrap_or_else(|| format!("localhost:5000/{name}:latest"));
        let host = deploy.host.unwrap_or_else(|| format!("{name}.localhost"));
        Self { name, component: component.to_owned(), image, host, net: deploy.net, keyvalue }
    }

    /// Whether the tag moves from one version of the image to the next one.
    pub(super) fn is_latest(&self) -> bool {
        self.image.ends_with(":latest")
    }

    /// The flag of the tools that push images, if the registry is on this machine and has no TLS.
    pub(super) fn insecure(&self) -> &'static str {
        let registry = self.image.split([':', '/']).next().unwrap_or_default();
        if registry == "localhost" || registry.starts_with("127.") { " --insecure" } else { "" }
    }

    /// A file beside the component, as a word of a command.
    pub(super) fn beside(&self, name: &str) -> String {
        argument(&self.component.with_file_name(name))
    }
}

/// A file that describes a handler to a platform.
pub(super) struct Manifest {
    /// The file's name, in the directory of the component.
    pub name: String,
    /// Its content.
    pub text: String,
}

impl Manifest {
    /// Writes it beside the component, and returns the file as a word of a command.
    ///
    /// # Errors
    ///
    /// It cannot be written, or a file with its name has other content. That is left as it is, because the user may have
    /// changed it.
    pub(super) fn write(&self, deployment: &Deployment) -> anyhow::Result<String> {
        let file = deployment.component.with_file_name(&self.name);
        match output::create(&file, self.text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !fs::read(&file).is_ok_and(|old| old == self.text.as_bytes()) {
                    bail!(
                        "`{}` exists with other content, and is kept; remove it, or leave out --for to keep your changes",
                        shown(&file)
                    );
                }
            }
            written => written.with_context(|| format!("`{}` cannot be written", shown(&file)))?,
        }
        Ok(argument(&file))
    }
}

/// A name as a label of the DNS that starts with a letter, which is a valid name everywhere.
fn label(name: &str) -> String {
    let words: Vec<String> = name
        .split(|char: char| !char.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let name = words.join("-");
    let mut name = if name.starts_with(|char: char| char.is_ascii_alphabetic()) { name } else { format!("app-{name}") };
    name.truncate(NAME_MAX);
    name.trim_end_matches('-').to_owned()
}

/// Parses the name of an image, as in `ghcr.io/me/hello:1`. Without a tag it is `latest`.
///
/// # Errors
///
/// It names no registry, or has characters that images cannot have in their names.
pub(crate) fn parse_image(text: &str) -> Result<String, String> {
    let wrong = || "write REGISTRY/NAME:TAG in lower case, as in ghcr.io/me/hello:1".to_owned();
    let (registry, rest) = text.split_once('/').ok_or_else(wrong)?;
    let (name, tag) = rest.split_once(':').unwrap_or((rest, "latest"));
    let (host, port) = registry.split_once(':').unwrap_or((registry, "0"));
    let is_part = |part: &str| {
        part.starts_with(|char: char| char.is_ascii_alphanumeric())
            && part.ends_with(|char: char| char.is_ascii_alphanumeric())
            && part.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || "._-".contains(char))
    };
    let is_tag = !tag.is_empty()
        && tag.len() <= 128
        && !tag.starts_with(['.', '-'])
        && tag.chars().all(|char| char.is_ascii_alphanumeric() || "._-".contains(char));
    // Otherwise the first part belongs to the name of an image at Docker Hub.
    let is_registry = registry.contains(['.', ':']) || registry == "localhost";
    if !is_registry || !is_host(host) || port.parse::<u16>().is_err() || !name.split('/').all(is_part) || !is_tag {
        return Err(wrong());
    }
    Ok(format!("{registry}/{name}:{tag}"))
}

/// Parses a host name, as in `hello.example.com`.
///
/// # Errors
///
/// It is not one: it has a port, a wildcard or an underscore, for example.
pub(crate) fn parse_host(text: &str) -> Result<String, String> {
    match is_host(text) {
        true => Ok(text.to_ascii_lowercase()),
        false => {
            Err("write a host name without a port, as in hello.example.com; a label has letters, digits and `-`".into())
        }
    }
}

/// Parses an address that the handler may send requests to, as in `api.example.com:443`. Unlike the addresses that the
/// server grants, its name need not be known here.
///
/// # Errors
///
/// It is not `HOST:PORT`. Addresses of IPv6 are not, because the platforms have no form for them.
pub(crate) fn parse_net(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok() => Ok(text.to_ascii_lowercase()),
        _ => Err("write HOST:PORT, as in api.example.com:443".into()),
    }
}

/// Whether this is a host name (RFC 1123 section 2.1) or an address of IPv4.
fn is_host(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|char| char.is_ascii_alphanumeric() || char == '-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_that_start_with_a_letter() {
        for (name, expected) in [
            ("hello", "hello"),
            ("my_handler", "my-handler"),
            ("My Handler.v2", "my-handler-v2"),
            ("__init__", "init"),
            ("2048", "app-2048"),
            ("caf\u{e9}", "caf"),
            ("\u{65e5}\u{672c}", "app"),
            ("", "app"),
        ] {
            assert_eq!(label(name), expected, "{name:?}");
        }
        assert_eq!(label(&"ab-".repeat(30)).len(), NAME_MAX);
        assert_eq!(label(&format!("{}-b", "a".repeat(NAME_MAX - 1))), "a".repeat(NAME_MAX - 1));
    }

    #[test]
    fn an_image_names_its_registry() {
        let image = |text| parse_image(text).ok();
        assert_eq!(image("ghcr.io/me/hello:1.2"), Some("ghcr.io/me/hello:1.2".into()));
        assert_eq!(image("localhost/hello"), Some("localhost/hello:latest".into()));
        assert_eq!(image("127.0.0.1:5000/a/b_c:V1"), Some("127.0.0.1:5000/a/b_c:V1".into()));
        for wrong in [
            "",
            "hello",
            "hello:1",
            "me/hello:1",
            "ghcr.io/",
            "ghcr.io/:1",
            "ghcr.io/Me/hello",
            "ghcr.io/a//b",
            "ghcr.io/a:",
            "ghcr.io/a:-1",
            "ghcr.io/a:1:2",
            "ghcr.io/a@sha256:0",
            "https://ghcr.io/a",
            "ghcr.io:x/a",
            "ghcr.io/a:1\nb",
            "ghcr.io/a b",
            "ghcr.io/\"a",
            "gh_cr.io/a",
        ] {
            assert_eq!(image(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_host_is_a_name_without_a_port() {
        assert_eq!(parse_host("Hello.Example.com"), Ok("hello.example.com".into()));
        for wrong in ["", "a_b", "*.example.com", "a.", ".a", "-a", "a-", "a:80", "[::1]", "a/b", "h\u{e9}", "a\nb"] {
            assert!(parse_host(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse_host(&"a".repeat(64)).is_err() && parse_host(&"a.".repeat(127)).is_err());
    }

    #[test]
    fn an_address_has_a_port() {
        assert_eq!(parse_net("api.example.com:443"), Ok("api.example.com:443".into()));
        assert_eq!(parse_net("10.0.0.1:5432"), Ok("10.0.0.1:5432".into()));
        for wrong in ["", "a", "a:", ":1", "a:65536", "a:http", "[::1]:80", "*:80", "http://a:80", "a:80/x"] {
            assert!(parse_net(wrong).is_err(), "{wrong:?}");
        }
    }
}

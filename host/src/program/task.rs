//! The tasks that the program can perform, with their parameters.

use std::{ffi::OsString, path::PathBuf};

use http::{HeaderName, HeaderValue, StatusCode};

use super::config::Config;
use crate::{
    base::address::Address,
    capture::{
        export::Format,
        record::{Origin, Record},
        redact::Redaction,
    },
    compose::export::Keep,
    kind::wasm::{compile::CompileOptions, settings::Abi},
    lifecycle::options::LifecycleOptions,
    replay::replayer::Pace,
    source::{
        build::options::{BuildOptions, Messages},
        example::{Example, Template},
        filter::Wrap,
    },
    viewer::ViewerOptions,
};

/// What the program has to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Serve handlers until something stops the server.
    Serve(Box<Config>),
    /// Compile a component, for a server that waits for it.
    Compile(Abi, CompileOptions),
    /// Create a new handler.
    New(New),
    /// Write the source of a built-in handler to a file.
    Eject(&'static Example),
    /// Show what a component contains.
    Inspect(Inspect),
    /// Print what clients send.
    Dump(Dump),
    /// Export captured exchanges.
    Convert(Convert),
    /// Show captured exchanges in the viewer.
    Ui(Ui),
    /// Build a handler without serving it.
    Build(Build),
    /// Turn a handler into a component that other hosts serve.
    Export(Export),
    /// Run the tests in a handler's source.
    Test(Test),
    /// Send captured requests again.
    Replay(Box<Replay>),
    /// Write the contract: into a directory, or to stdout if `None`.
    Wit(Option<PathBuf>),
    /// Open the SDK's documentation.
    Doc {
        /// Whether cargo's messages may have colours.
        is_colorful: bool,
    },
    /// Remove the caches.
    Clean,
}

/// The parameters of `wasmserve test`.
#[derive(Debug)]
pub(crate) struct Test {
    /// The source: a file or a crate.
    pub source: OsString,
    /// The arguments of the program that runs the tests.
    pub arguments: Vec<OsString>,
    /// How to build it.
    pub options: BuildOptions,
}

/// The parameters of `wasmserve convert`.
#[derive(Debug)]
pub(crate) struct Convert {
    /// The captures: files or directories.
    pub files: Vec<PathBuf>,
    /// The format of the result.
    pub format: Format,
    /// The ids of the exchanges; all if empty.
    pub only: Vec<u64>,
    /// Where to write the result; to stdout if `None`.
    pub output: Option<PathBuf>,
    /// What is replaced in it.
    pub redaction: Redaction,
    /// Where problems are reported.
    pub messages: Messages,
}

/// The parameters of `wasmserve ui`.
#[derive(Debug)]
pub(crate) struct Ui {
    /// The captures: files or directories.
    pub files: Vec<PathBuf>,
    /// The bytes of memory that their exchanges may take.
    pub memory: usize,
    /// Where and how the viewer is served.
    pub viewer: ViewerOptions,
    /// What is replaced in exports.
    pub redaction: Redaction,
    /// Where problems are reported.
    pub messages: Messages,
}

/// The parameters of `wasmserve replay`.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The handlers to replay into, and their limits. Nothing is listened on.
    pub config: Config,
    /// The files of the capture.
    pub files: Vec<PathBuf>,
    /// What the user should know before.
    pub hints: Vec<String>,
    /// What to replay, and how to report it.
    pub options: ReplayOptions,
}

/// What `wasmserve replay` replays, and how it reports that.
#[derive(Debug)]
pub(crate) struct ReplayOptions {
    /// The ids of the exchanges to replay; all if empty.
    pub only: Vec<u64>,
    /// When the parts of requests are sent.
    pub pace: Pace,
    /// Fields that are not compared, besides `Date`.
    pub ignore: Vec<String>,
    /// Whether responses that differ replace those in the files.
    pub accept: bool,
    /// Whether to report in JSON.
    pub json: bool,
    /// Whether the report may have colours.
    pub is_colorful: bool,
    /// Whether the capture is a directory of files.
    pub is_directory: bool,
}

impl ReplayOptions {
    /// Whether an exchange is to be replayed. Replays are not, unless they are edited, kept or asked for: their responses
    /// are those of a handler that was about to be changed.
    #[must_use]
    pub(crate) fn is_chosen(&self, record: &Record) -> bool {
        if self.only.is_empty() { !is_mere_replay(record) } else { self.only.contains(&record.id) }
    }

    /// Whether an exchange is not replayed because it is a replay.
    #[must_use]
    pub(crate) fn is_left_out(&self, record: &Record) -> bool {
        self.only.is_empty() && is_mere_replay(record)
    }
}

fn is_mere_replay(record: &Record) -> bool {
    matches!(record.origin, Origin::Replay { edited: false, .. }) && record.kept.is_none()
}

/// The parameters of `wasmserve build`.
#[derive(Debug)]
pub(crate) struct Build {
    /// The source: a file, a crate or a Python app.
    pub source: OsString,
    /// Where to write the component; into the current directory if `None`.
    pub output: Option<PathBuf>,
    /// How to build it.
    pub options: BuildOptions,
    /// How Python is compiled, if it is a Python app.
    pub compile: CompileOptions,
}

/// The parameters of `wasmserve export`.
#[derive(Debug)]
pub(crate) struct Export {
    /// What to make the component of, and how.
    pub build: Build,
    /// The filters in front of it, the outermost one first.
    pub filters: Vec<Wrap>,
    /// What is left to the host.
    pub keep: Keep,
    /// What to write beside the component, if anything.
    pub deploy: Option<Deploy>,
}

/// How `wasmserve export --for` describes a handler to a platform.
#[derive(Debug)]
pub(crate) struct Deploy {
    /// The platform.
    pub platform: Platform,
    /// The image that contains the component in a registry, `REGISTRY/NAME:TAG`; one on this machine if `None`.
    pub image: Option<String>,
    /// The host name in requests for the handler; one for this machine if `None`.
    pub host: Option<String>,
    /// What the handler may send requests to: `HOST:PORT`.
    pub net: Vec<String>,
}

/// A platform that runs exported handlers on many machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// wasmCloud, with or without Kubernetes.
    WasmCloud,
    /// Spin, and SpinKube on Kubernetes.
    Spin,
}

/// The parameters of `wasmserve new`.
#[derive(Debug)]
pub(crate) struct New {
    /// The path of the file, with or without its extension, or of the directory of a crate or a project.
    pub name: PathBuf,
    /// The template to start from.
    pub template: &'static Template,
    /// Whether to create a crate.
    pub is_crate: bool,
}

/// The parameters of `wasmserve inspect`.
#[derive(Debug)]
pub(crate) struct Inspect {
    /// The component's file.
    pub file: PathBuf,
    /// The maximum size of the file in bytes.
    pub component: u64,
    /// How the component is compiled, which checks whether it compiles.
    pub compile: CompileOptions,
    /// Where the messages about a Python app go.
    pub messages: Messages,
}

/// The parameters of `wasmserve dump`.
#[derive(Debug)]
pub(crate) struct Dump {
    /// The address to listen on.
    pub addr: Address,
    /// Whether other programs would listen on all addresses, as with `:9000`.
    pub is_narrowed: bool,
    /// The answer to clients; `None` if they get none.
    pub reply: Option<ReplyOptions>,
    /// How to print what they send.
    pub layout: Layout,
    /// Whether people read the output on a terminal with colours.
    pub is_colorful: bool,
    /// When the server stops. Its exchanges are connections.
    pub lifecycle: LifecycleOptions,
}

/// What `wasmserve dump` answers.
#[derive(Debug)]
pub(crate) struct ReplyOptions {
    /// The status; 200 if `None`.
    pub status: Option<StatusCode>,
    /// A file with the body, or with the whole response if it begins with `HTTP/`.
    pub file: Option<PathBuf>,
    /// Further header fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// How `wasmserve dump` prints what clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Every byte, escaped, in the lines of the client.
    Text,
    /// Every byte, in hexadecimal and as text.
    Hex,
    /// Requests by their parts.
    Pretty,
}

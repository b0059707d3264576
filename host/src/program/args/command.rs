//! The subcommands and their flags.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, str::FromStr as _};

use clap::{Args, Subcommand, ValueEnum, builder::PossibleValuesParser};
use clap_complete::Shell;
use http::{HeaderName, HeaderValue, StatusCode};
use wasmserve_gateway::mounts::Mount;

use super::{capture::RedactArgs, flags::Flags, lifecycle::LifecycleArgs, listen::ListenArgs, value, wrap};
use crate::{
    base::size,
    capture::{export::Format, store::CaptureOptions},
    kind::wasm::component,
    program::commands::{dump::reply, export::deployment},
    source::{example, filter::Wrap, locate::Named},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a new handler: a file, or a crate
    New(NewArgs),

    /// Build a handler from its source without serving it
    Build(BuildArgs),

    /// Turn a handler into a component of wasi:http, which other hosts serve
    Export(ExportArgs),

    /// Show what a component contains, and whether it can be served
    Inspect(InspectArgs),

    /// Print exactly what clients send, without parsing it as HTTP and without a handler
    Dump(DumpArgs),

    /// Turn captured exchanges into curl commands, HAR, tests or packets
    Convert(ConvertArgs),

    /// Show captured exchanges in a browser
    Ui(UiArgs),

    /// Print the log records that Python's logging.handlers.HTTPHandler sends
    Logs(ExampleArgs),

    /// Send each request body back as it arrives
    Echo(ExampleArgs),

    /// Run the tests in a handler's source, on this machine
    Test(TestArgs),

    /// Send captured requests to a handler again, and compare the responses
    Replay(Box<ReplayArgs>),

    /// Open the SDK's documentation in a browser, and print its URL
    Doc,

    /// Write the contract for handlers in other languages
    Wit {
        /// The directory to write it into; without one it is printed
        directory: Option<PathBuf>,
    },

    /// Remove what was built and compiled from the cache
    Clean,

    /// Print a shell's completion script
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Print the manual page: `wasmserve man | man -l -`
    Man {
        /// The command whose manual page to print
        #[arg(value_name = "COMMAND")]
        of: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The name of the handler; the file is NAME.rs, or NAME.py for Python, or a directory for Django
    pub(super) name: PathBuf,

    /// The example to start from
    #[arg(long, value_name = "TEMPLATE", default_value = "hello",
          value_parser = PossibleValuesParser::new(example::TEMPLATES.map(|template| template.name)))]
    pub(super) template: String,

    /// Create a crate, with a test for `cargo test`
    #[arg(long = "crate")]
    pub(super) is_crate: bool,
}

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// A Rust file, a crate's directory, or a Python app
    pub(super) source: OsString,

    /// Where to write the component [default: the current directory, named after the source]
    #[arg(short, long, value_name = "HANDLER.WASM")]
    pub(super) output: Option<PathBuf>,

    /// Include debug information, so that stacks show files and lines
    #[arg(long)]
    pub(super) debug: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// A handler: a component, a Rust file, a crate's directory, or a Python app
    pub(super) handler: OsString,

    /// Where to write the component [default: the current directory, NAME-http.wasm]
    #[arg(short, long, value_name = "FILE.WASM")]
    pub(super) output: Option<PathBuf>,

    /// Leave variables, files and sockets to the host; without this, the handler sees none
    #[arg(long, value_name = "WHAT", value_parser = ["cli"])]
    pub(super) keep: Option<String>,

    /// Put a filter in front of the handler: auth, cors, delay-and-fail, or your own; the first one sees requests first
    #[arg(long, value_name = "FILTER", value_parser = wrap::parse)]
    pub(super) wrap: Vec<Wrap>,

    /// Leave wasi:keyvalue to the host, if the handler imports it
    #[arg(long)]
    pub(super) with_kv: bool,

    /// Write what a platform needs too, beside the component
    #[arg(long = "for", value_name = "PLATFORM")]
    pub(super) platform: Option<PlatformArg>,

    /// With --for: the image that contains the component in a registry [default: localhost:5000/NAME:latest]
    #[arg(long, value_name = "REGISTRY/NAME:TAG", requires = "platform", value_parser = deployment::parse_image)]
    pub(super) image: Option<String>,

    /// With --for wasmcloud: the host name in requests for the handler [default: NAME.localhost]
    #[arg(long, value_name = "NAME", requires = "platform", value_parser = deployment::parse_host)]
    pub(super) host: Option<String>,

    /// With --for: let the handler connect and send requests to an address; can be repeated
    #[arg(long, value_name = "HOST:PORT", requires = "platform", value_parser = deployment::parse_net)]
    pub(super) allow_net: Vec<String>,
}

/// The platforms of `--for`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum PlatformArg {
    /// wasmCloud: a request for its hosts, and a WorkloadDeployment for Kubernetes
    #[value(name = "wasmcloud")]
    WasmCloud,
    /// Spin: a spin.toml, and a SpinApp for Kubernetes
    Spin,
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// A Rust file, or a crate's directory
    pub(super) source: OsString,

    /// Arguments of the tests, as in `cargo test`: a part of their names, or `--nocapture`
    #[arg(last = true, value_name = "ARGUMENT")]
    pub(super) arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The component, or a Python app
    #[arg(value_name = "HANDLER.WASM")]
    pub(super) file: PathBuf,

    /// Maximum size of the file
    #[arg(long, value_name = "SIZE", default_value = size::text(component::SIZE_MAX), value_parser = size::parse)]
    pub(super) max_component: u64,
}

#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    /// Files or directories that --capture has written, or WARC files of other programs
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(super) files: Vec<PathBuf>,

    /// The format: curl, har, raw, rest, hurl, test, pcapng or warc
    #[arg(long = "as", value_name = "FORMAT", value_parser = Format::from_str)]
    pub(super) format: Format,

    /// Only the exchanges with these ids, as in the log
    #[arg(long, value_name = "ID,..", value_delimiter = ',')]
    pub(super) only: Vec<u64>,

    /// Where to write the result, with further files beside it if it needs any [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Keep secrets such as Authorization and Cookie
    #[arg(long, conflicts_with = "redact")]
    pub(super) with_secrets: bool,

    #[command(flatten)]
    pub(super) redact: RedactArgs,
}

#[derive(Debug, Args)]
pub(super) struct UiArgs {
    /// Files or directories that --capture has written, or WARC files of other programs
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(super) files: Vec<PathBuf>,

    /// Where to serve the page, on this machine [default: port 8001, or the next free one up to 8010]
    #[arg(long, value_name = "[IP:]PORT", value_parser = value::loopback)]
    pub(super) addr: Option<SocketAddr>,

    /// Other names of this machine under which browsers reach the page
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', value_parser = value::viewer_host)]
    pub(super) ui_host: Vec<String>,

    /// How much memory the exchanges may use; if there are more, the oldest are left out
    #[arg(long, value_name = "SIZE", default_value = size::text(CaptureOptions::DEFAULT.memory as u64), value_parser = value::capture_memory)]
    pub(super) ui_memory: usize,

    #[command(flatten)]
    pub(super) redact: RedactArgs,
}

#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    /// Answer clients with this status, or 200, when they have sent a request and pause, or end their side
    #[arg(long, value_name = "STATUS", num_args = 0..=1, value_parser = reply::parse_status)]
    pub(super) reply: Option<Option<StatusCode>>,

    /// Answer with this file: as the body, or as the whole response if it begins with HTTP/
    #[arg(long, value_name = "FILE")]
    pub(super) reply_file: Option<PathBuf>,

    /// Answer with this header field; can be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = reply::parse_header)]
    pub(super) header: Vec<(HeaderName, HeaderValue)>,

    /// Print bytes and text side by side, like `hexdump -C`
    #[arg(long, conflicts_with = "pretty")]
    pub(super) hex: bool,

    /// Print requests for people: the head by its parts, JSON and forms by their fields, chunks decoded
    #[arg(long)]
    pub(super) pretty: bool,

    #[command(flatten)]
    pub(super) listen: ListenArgs,

    #[command(flatten)]
    pub(super) lifecycle: LifecycleArgs,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The capture: a file, or a directory of --capture
    #[arg(value_name = "CAPTURE")]
    pub(super) captured: PathBuf,

    /// The handler to replay into [default: the one that the capture names]
    pub(super) handler: Option<OsString>,

    /// Replay into another handler below a path
    #[arg(long, value_name = "PATH=HANDLER", value_parser = value::mount())]
    pub(super) mount: Vec<(Mount, Named)>,

    /// Replay only the exchanges with these ids
    #[arg(long, value_name = "ID,..", value_delimiter = ',')]
    pub(super) only: Vec<u64>,

    /// When to send the parts of a request: one after the other, or when they came
    #[arg(long, value_name = "PACE", value_enum, default_value = "fast")]
    pub(super) pace: PaceArg,

    /// Header fields not to compare, besides Date
    #[arg(long, value_name = "FIELD,..", value_delimiter = ',')]
    pub(super) ignore: Vec<String>,

    /// Write responses that differ into the capture, as those to expect from now on
    #[arg(long)]
    pub(super) accept: bool,

    /// Print one line of JSON for each exchange
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) flags: Flags,
}

/// The values of `--pace`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum PaceArg {
    /// One after the other
    Fast,
    /// When they came
    Recorded,
}

#[derive(Debug, Args)]
pub(super) struct ExampleArgs {
    /// Write the handler's source to a file for you to change, instead of serving it
    #[arg(long)]
    pub(super) eject: bool,

    #[command(flatten)]
    pub(super) flags: Flags,
}

//! Options for how the gateway treats requests and responses, and how directories are served.

use http::HeaderValue;
use wasmserve_gateway::{environ::SOFTWARE, forwarded::Proxies};

/// How the gateway treats requests and responses.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// The proxies whose `X-Forwarded-*` fields are trusted (rule H11).
    pub trusted_proxies: Vec<Proxies>,
    /// Whether to log what is unusual in requests.
    pub lint: bool,
    /// Whether error pages show clients why and where a handler failed.
    pub debug: bool,
    /// Whether `OPTIONS *` goes to the handler of `/`; otherwise the host answers it (rule T5).
    pub asterisk_to_handler: bool,
    /// Whether a client that closes its sending side of the connection counts as gone, though it may only have finished
    /// its request (rules K9, K10).
    pub abort_on_half_close: bool,
    /// The value of `SERVER_NAME`, in place of the local address (rule E6).
    pub server_name: Option<String>,
    /// The `Server` field of responses in which the handler sets none; `None` for no field.
    pub server: Option<HeaderValue>,
}

impl GatewayOptions {
    /// The default options.
    pub const DEFAULT: Self = Self {
        trusted_proxies: Vec::new(),
        lint: false,
        debug: false,
        asterisk_to_handler: false,
        abort_on_half_close: false,
        server_name: None,
        server: Some(HeaderValue::from_static(SOFTWARE)),
    };
}

/// How the files in a directory are served.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileOptions {
    /// Whether `index.html` is the answer for pages that do not exist.
    pub spa: bool,
    /// Whether pages of other origins may read the files.
    pub cors: bool,
    /// Whether pages reload when a file changes.
    pub live: bool,
}

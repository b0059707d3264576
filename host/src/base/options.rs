//! What the gateway does with requests and responses, beyond the limits.

use std::net::IpAddr;

use http::HeaderValue;
use wasmserve_gateway::environ::SOFTWARE;

/// What the gateway does with requests and responses.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Bodies up to this length are read before the handler begins, so that they have a length (rule I8); 0 for none.
    pub buffer_body: u64,
    /// The proxies that are believed what they say of their clients (rule H11).
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether to tell what is unusual in requests.
    pub lint: bool,
    /// Whether clients are told why a handler failed, and where.
    pub debug: bool,
    /// Whether `OPTIONS *` goes to the handler of `/` instead of being answered by the host (rule T5).
    pub asterisk_to_handler: bool,
    /// Whether a client that ends its side of the connection is taken to be gone, though it may only have said all that it
    /// has to say (rules K9, K10).
    pub abort_on_half_close: bool,
    /// What `SERVER_NAME` says instead of our address (rule E6).
    pub server_name: Option<String>,
    /// The `Server` field of responses in which the handler sets none; no field if `None`.
    pub server: Option<HeaderValue>,
}

impl GatewayOptions {
    /// The settings without any flag.
    pub const DEFAULT: Self = Self {
        buffer_body: 0,
        trusted_proxies: Vec::new(),
        lint: false,
        debug: false,
        asterisk_to_handler: false,
        abort_on_half_close: false,
        server_name: None,
        server: Some(HeaderValue::from_static(SOFTWARE)),
    };
}

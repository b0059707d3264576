//! A server whose viewer is asked for things, as a program would.

use std::{net::SocketAddr, thread, time::Instant};

use serde_json::{Value, json};

use crate::{
    TIMEOUT,
    client::{Client, Response},
    server::{Launch, Server},
};

const TOKEN: &str = "AAECAwQFBgcICQoLDA0ODw";

/// A server with a viewer.
pub struct Viewed {
    /// The server.
    pub server: Server,
    addr: SocketAddr,
}

impl Viewed {
    /// Starts it, with a viewer on a free port.
    ///
    /// # Panics
    ///
    /// It does not start, or has no viewer.
    #[must_use]
    pub fn start(launch: Launch) -> Self {
        let server = launch.flags(["--ui=127.0.0.1:0"]).env("WASMSERVE_UI_TOKEN", TOKEN).start();
        let line = server.line(|line| line.starts_with("viewer on http://"));
        let addr = line["viewer on http://".len()..].split('/').next().and_then(|addr| addr.parse().ok());
        Self { server, addr: addr.unwrap_or_else(|| panic!("no address: {line}")) }
    }

    /// Asks the API, with a body if it is to do something.
    ///
    /// # Panics
    ///
    /// The answer is not JSON.
    #[must_use]
    pub fn ask(&self, path: &str, body: Option<&Value>) -> (u16, Value) {
        let response = self.get(path, body);
        (response.status, serde_json::from_slice(&response.body).expect("it is JSON"))
    }

    /// The bytes of one part of an exchange.
    ///
    /// # Panics
    ///
    /// There is no such part.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let response = self.get(path, None);
        assert_eq!(response.status, 200, "{path}: {response:?}");
        response.body
    }

    fn get(&self, path: &str, body: Option<&Value>) -> Response {
        let (method, body) = body.map_or(("GET", String::new()), |body| ("POST", body.to_string()));
        let (addr, length) = (self.addr, body.len());
        let mut client = Client::connect(addr);
        client.send(format!(
            "{method} /api/{path} HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        client.response()
    }

    /// The exchange with this target, once it is complete.
    ///
    /// # Panics
    ///
    /// There is none.
    #[must_use]
    pub fn find(&self, target: &str) -> Value {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < TIMEOUT, "there is no exchange with the target {target}");
            let (_, list) = self.ask("exchanges", None);
            let exchanges = list["exchanges"].as_array().expect("a list");
            if let Some(found) = exchanges.iter().find(|one| one["target"] == target) {
                return found.clone();
            }
            thread::yield_now();
        }
    }

    /// Keeps the exchange with this target, once it is complete. Returns its seq and its id.
    ///
    /// # Panics
    ///
    /// It cannot be kept.
    #[must_use]
    pub fn keep(&self, target: &str) -> (Value, Value) {
        let found = self.find(target);
        let seq = found["seq"].clone();
        assert_eq!(self.ask(&format!("exchanges/{seq}/keep"), Some(&json!({ "note": "" }))).0, 200);
        (seq, found["id"].clone())
    }
}

//! A server in this process.

use std::{
    any, env, io,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Instant,
};

use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::oneshot,
    task::JoinHandle,
    time::{Sleep, sleep},
};
use wasmserve::{
    ConcurrencyLimits, Engine, EngineLimits, GatewayOptions, Grants, Handler, Limits, Listener, Server,
    capture::store::Store,
};

use crate::{TIMEOUT, guest, place};

/// A server in this process, with one handler and the default limits, on a free port.
pub struct Local {
    /// The address that it listens on.
    pub addr: SocketAddr,
    server: Arc<Server>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
    runtime: Runtime,
}

impl Local {
    /// Starts a server.
    ///
    /// # Panics
    ///
    /// The system has no threads or ports left.
    #[must_use]
    pub fn start(handler: Box<dyn Handler>, listener: Arc<dyn Listener>) -> Self {
        let concurrency = ConcurrencyLimits::of_this_machine();
        Self::run(Server::new(handler, Limits::DEFAULT, concurrency, GatewayOptions::DEFAULT, vec![listener]))
    }

    /// Starts a server whose exchanges are captured in `store`.
    ///
    /// # Panics
    ///
    /// The system has no threads or ports left.
    #[must_use]
    pub fn captured(handler: Box<dyn Handler>, listener: Arc<dyn Listener>, store: &Arc<Store>) -> Self {
        let concurrency = ConcurrencyLimits::of_this_machine();
        let (limits, gateway) = (Limits::DEFAULT, GatewayOptions::DEFAULT);
        Self::run(Server::captured(store, handler, limits, concurrency, gateway, vec![listener]))
    }

    fn run(server: Server) -> Self {
        let runtime = Runtime::new().expect("the system has threads left");
        let server = Arc::new(server);
        let (stop, stopped) = oneshot::channel();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("the system has ports left");
        let addr = listener.local_addr().expect("the listener is bound");
        let serving = runtime.spawn({
            let server = Arc::clone(&server);
            async move { server.run(listener, None, shutdown(stopped)).await }
        });
        Self { addr, server, stop, serving, runtime }
    }

    /// Waits until no handler is running: some still run after their clients have received everything.
    ///
    /// # Panics
    ///
    /// A handler runs for too long.
    pub fn settle(&self) {
        let deadline = Instant::now() + TIMEOUT;
        while self.server.running() > 0 {
            assert!(Instant::now() < deadline, "{} instances are left", self.server.running());
            thread::yield_now();
        }
    }

    /// Shuts down, and lets running exchanges finish.
    ///
    /// # Panics
    ///
    /// The server fails.
    pub fn stop(self) {
        self.settle();
        self.stop.send(()).expect("the server is running");
        self.runtime.block_on(self.serving).expect("the server does not panic").expect("the server does not fail");
    }
}

/// Lets running exchanges finish once the shutdown is requested, for as long as tests wait for anything.
async fn shutdown(requested: oneshot::Receiver<()>) -> Sleep {
    _ = requested.await;
    sleep(TIMEOUT)
}

/// Runs a test with a component in another process of the same program. The engine keeps compiled code where its
/// environment says, and the environment of this process names the developer's cache. It cannot be changed while other
/// threads may read it.
///
/// # Panics
///
/// The test fails, or is not the only closure of a function.
pub fn apart<T: FnOnce()>(test: T) {
    if env::var_os("XDG_CACHE_HOME").is_some_and(|cache| cache == *place::shared_cache()) {
        return test();
    }
    // `fast::behaviour::each_behaviour_is_right::{{closure}}`
    let path = any::type_name::<T>();
    let name = path.split_once("::").and_then(|(_, path)| path.strip_suffix("::{{closure}}")).unwrap_or(path);
    let program = env::current_exe().expect("the path of the program is known");
    let mut command = Command::new(program);
    command.args(["--exact", name, "--nocapture"]).envs(place::environment()).stdin(Stdio::null());
    let output = command.output().expect("the program can be started");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let is_well = output.status.success() && stdout.contains("\ntest result: ok. 1 passed;");
    assert!(is_well, "{name}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
}

/// Loads a guest of the tests by its name.
///
/// # Panics
///
/// There is no such guest, or this process is not [`apart`].
#[must_use]
pub fn component(name: &str) -> Box<dyn Handler> {
    let cache = env::var_os("XDG_CACHE_HOME").unwrap_or_default();
    assert!(cache == *place::shared_cache(), "tests must not use the developer's cache");
    let (engine, _) = Engine::new(&EngineLimits::DEFAULT).expect("the system has threads left");
    wasmserve::load(&engine, guest::program(name), u64::MAX, &Limits::DEFAULT, &Grants::default())
        .expect("the guest is a handler")
}

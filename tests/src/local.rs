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
use wasmserve::{ConcurrencyLimits, Engine, EngineLimits, GatewayOptions, Grants, Handler, Limits, Listener, Server};

use crate::{PATIENCE, guest, place};

/// A server of one handler with the default limits, on a free port.
pub struct Local {
    /// Where it listens.
    pub addr: SocketAddr,
    server: Arc<Server>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
    runtime: Runtime,
}

impl Local {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// The system has no threads or ports left.
    #[must_use]
    pub fn start(handler: Box<dyn Handler>, listener: Arc<dyn Listener>) -> Self {
        let runtime = Runtime::new().expect("there are threads left");
        let concurrency = ConcurrencyLimits::of_this_machine();
        let server = Server::new(handler, Limits::DEFAULT, concurrency, GatewayOptions::DEFAULT, vec![listener]);
        let server = Arc::new(server);
        let (stop, stopped) = oneshot::channel();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("there are ports left");
        let addr = listener.local_addr().expect("it is bound");
        let serving = runtime.spawn({
            let server = Arc::clone(&server);
            async move { server.run(listener, None, shutdown(stopped)).await }
        });
        Self { addr, server, stop, serving, runtime }
    }

    /// Waits until no handler runs any more: some go on when their clients have all that they get.
    ///
    /// # Panics
    ///
    /// One of them goes on for too long.
    pub fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.server.running() > 0 {
            assert!(Instant::now() < deadline, "{} instances are left", self.server.running());
            thread::yield_now();
        }
    }

    /// Lets the running exchanges end.
    ///
    /// # Panics
    ///
    /// It does not end well.
    pub fn stop(self) {
        self.settle();
        self.stop.send(()).expect("it runs");
        self.runtime.block_on(self.serving).expect("it ends well").expect("there are threads left");
    }
}

/// Lets the running exchanges end when it is told to, as long as tests wait for anything.
async fn shutdown(is_told: oneshot::Receiver<()>) -> Sleep {
    _ = is_told.await;
    sleep(PATIENCE)
}

/// Runs a test with a component in another process of the same program. An engine keeps what it compiles where its environment
/// says, and that of this process is the developer's; it cannot be changed while other threads may read it.
///
/// # Panics
///
/// The test fails, or is not a function's only closure.
pub fn apart<T: FnOnce()>(test: T) {
    if env::var_os("XDG_CACHE_HOME").is_some_and(|cache| cache == *place::shared_cache()) {
        return test();
    }
    // `fast::behaviour::each_behaviour_is_right::{{closure}}`
    let path = any::type_name::<T>();
    let name = path.split_once("::").and_then(|(_, path)| path.strip_suffix("::{{closure}}")).unwrap_or(path);
    let program = env::current_exe().expect("Linux tells");
    let mut command = Command::new(program);
    command.args(["--exact", name, "--nocapture"]).envs(place::environment()).stdin(Stdio::null());
    let output = command.output().expect("it has been started before");
    let told = String::from_utf8_lossy(&output.stdout);
    let is_well = output.status.success() && told.contains("\ntest result: ok. 1 passed;");
    assert!(is_well, "{name}: {told}{}", String::from_utf8_lossy(&output.stderr));
}

/// A handler of the tests, by its name.
///
/// # Panics
///
/// There is none of that name, or this process is not [`apart`].
#[must_use]
pub fn component(name: &str) -> Box<dyn Handler> {
    let cache = env::var_os("XDG_CACHE_HOME").unwrap_or_default();
    assert!(cache == *place::shared_cache(), "the developer's own cache is not for tests");
    let (engine, _) = Engine::new(&EngineLimits::DEFAULT).expect("there are threads left");
    wasmserve::load(&engine, guest::program(name), u64::MAX, &Limits::DEFAULT, &Grants::default())
        .expect("it is a handler")
}

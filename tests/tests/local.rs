//! A server in this process.

use std::{io, net::SocketAddr, sync::Arc, thread, time::Instant};

use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::oneshot,
    task::JoinHandle,
    time::{Sleep, sleep},
};
use wasmserve::{ConcurrencyLimits, Engine, EngineLimits, GatewayOptions, Grants, Handler, Limits, Listener, Server};
use wasmserve_tests::{PATIENCE, guest};

/// A server of one handler with the default limits, on a free port.
pub(crate) struct Local {
    pub(crate) addr: SocketAddr,
    server: Arc<Server>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
    runtime: Runtime,
}

impl Local {
    pub(crate) fn start(handler: Box<dyn Handler>, listener: Arc<dyn Listener>) -> Self {
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
    pub(crate) fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.server.running() > 0 {
            assert!(Instant::now() < deadline, "{} instances are left", self.server.running());
            thread::yield_now();
        }
    }

    /// Lets the running exchanges end.
    pub(crate) fn stop(self) {
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

/// A handler of the tests, by its name.
pub(crate) fn component(name: &str) -> Box<dyn Handler> {
    let (engine, _) = Engine::new(&EngineLimits::DEFAULT).expect("there are threads left");
    wasmserve::load(&engine, guest::program(name), u64::MAX, &Limits::DEFAULT, &Grants::default())
        .expect("it is a handler")
}

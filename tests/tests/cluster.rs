//! Handlers on a cluster of wasmCloud: two hosts, which share nothing but NATS and a registry.

use std::path::Path;

use serde_json::json;
use wasmserve_tests::{
    cluster::{Cluster, Host},
    guest,
};

/// The host name by which the hosts know the handler.
const NAME: &str = "hello.localhost";

/// Pushes a component to the registry, and starts it on each host.
fn start(cluster: &Cluster, hosts: &[Host], component: &Path) {
    let image = format!("{}/hello:1", cluster.registry());
    let component = component.to_str().expect("the path is UTF-8");
    cluster.wash(&["oci", "push", "--insecure", &image, component]);
    let handler = json!({ "name": "hello", "image": image });
    let http = json!({
        "namespace": "wasi", "package": "http", "version": "0.2.0",
        "interfaces": ["incoming-handler"], "config": { "host": NAME },
    });
    let world = json!({ "components": [handler], "hostInterfaces": [http] });
    let workload = json!({ "namespace": "default", "name": "hello", "witWorld": world });
    let request = json!({ "workloadId": "hello", "workload": workload }).to_string();
    for host in hosts {
        assert_eq!(cluster.begin(host, request.as_bytes()), "WORKLOAD_STATE_RUNNING");
    }
}

#[test]
fn one_host_answers_everything_when_the_other_one_is_killed() {
    let mut cluster = Cluster::start();
    let hosts = ["one", "two"].map(|name| cluster.host(name));
    start(&cluster, &hosts, guest::measured("greets_through_wasi_http"));
    for host in &hosts {
        let response = host.get(NAME, "/");
        assert_eq!((response.status, response.text()), (200, "Hello, World!\n"));
        assert_eq!(host.get("other.localhost", "/").status, 404);
    }
    let [killed, left] = hosts;
    let (mut killed, mut client) = (Some(killed), left.connect());
    for number in 0..1000 {
        if number == 100 {
            killed.take().map(Host::kill);
        }
        client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, "Hello, World!\n"), "{number}");
    }
}

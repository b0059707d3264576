//! `--forwarded-allow-ips`: which proxies the gateway trusts.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
};

use wasmserve_tests::{
    client::Client,
    guest,
    server::{Launch, Server},
};

use super::{start, variable};

/// The origin of a request as its handler sees it: `REMOTE_ADDR`, `wsgi.url_scheme` and `HTTPS`.
fn origin(server: &Server, fields: &str) -> (String, String, Option<String>) {
    let response = server.ask(format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    assert_eq!(response.status, 200, "{response:?}");
    let get = |name| variable(response.text(), name).map(ToOwned::to_owned);
    assert_eq!(get("REMOTE_ADDR"), get("REMOTE_HOST"), "E7");
    (get("REMOTE_ADDR").expect("E7"), get("wsgi.url_scheme").expect("E12"), get("HTTPS"))
}

fn plain(addr: &str) -> (String, String, Option<String>) {
    (addr.into(), "http".into(), None)
}

fn tls(addr: &str) -> (String, String, Option<String>) {
    (addr.into(), "https".into(), Some("on".into()))
}

#[test]
fn h11_only_listed_proxies_are_trusted() {
    let both = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
    let trusted = start("environ", &["--forwarded-allow-ips", "10.0.0.1,127.0.0.1"]);
    assert_eq!(origin(&trusted, both), tls("192.0.2.7"));
    assert_eq!(origin(&trusted, ""), plain("127.0.0.1"));
    assert_eq!(origin(&trusted, "X-Forwarded-For: 192.0.2.7\r\n"), plain("192.0.2.7"));
    assert_eq!(origin(&trusted, "X-Forwarded-Proto: HTTPS\r\n"), tls("127.0.0.1"));

    for flags in [&[][..], &["--forwarded-allow-ips", "192.0.2.1"]] {
        let server = start("environ", flags);
        assert_eq!(origin(&server, both), plain("127.0.0.1"), "{flags:?}");
        let text = server.ask(format!("GET / HTTP/1.1\r\nHost: x\r\n{both}\r\n")).text().to_owned();
        assert_eq!(variable(&text, "HTTP_X_FORWARDED_FOR"), Some("192.0.2.7"), "it is an ordinary header: {text}");
    }
}

#[test]
fn h11_the_client_is_the_last_hop_that_is_not_a_trusted_proxy() {
    let server = start("environ", &["--forwarded-allow-ips", "127.0.0.1,10.0.0.1,2001:db8::1"]);
    let hops = |value: &str| origin(&server, &format!("X-Forwarded-For: {value}\r\n")).0;
    assert_eq!(hops("6.6.6.6, 192.0.2.7"), "192.0.2.7", "the client's own claim is not trusted");
    assert_eq!(hops("6.6.6.6, 192.0.2.7, 10.0.0.1"), "192.0.2.7");
    assert_eq!(hops("192.0.2.7\r\nX-Forwarded-For: 10.0.0.1"), "192.0.2.7");
    assert_eq!(hops("192.0.2.7:4711, 10.0.0.1:80"), "192.0.2.7");
    assert_eq!(hops("2001:db8::7, 2001:db8::1"), "2001:db8::7");
    assert_eq!(hops("[2001:db8::7]:4711"), "2001:db8::7");
    assert_eq!(hops("::ffff:192.0.2.7, ::ffff:10.0.0.1"), "192.0.2.7");
    assert_eq!(hops("10.0.0.1"), "127.0.0.1", "all hops are proxies");
    for garbage in ["", ",", "unknown", "192.0.2.7, _hidden", "999.1.1.1", "192.0.2", "<script>", "[::1", "\u{e9}"] {
        assert_eq!(hops(garbage), "127.0.0.1", "{garbage:?}");
    }
}

#[test]
fn h11_contradicting_schemes_are_a_400() {
    let server = start("environ", &["--forwarded-allow-ips", "127.0.0.1"]);
    let twice = |a, b| format!("X-Forwarded-Proto: {a}\r\nX-Forwarded-Proto: {b}\r\n");
    let response = server.ask(format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", twice("https", "http")));
    assert_eq!((response.status, response.field("Connection")), (400, Some("close")));
    server.line_with("[1] 400 refused: the X-Forwarded-Proto fields contradict each other");
    assert_eq!(origin(&server, &twice("https", "HTTPS")), tls("127.0.0.1"));
    assert_eq!(origin(&server, "X-Forwarded-Proto: gopher\r\n"), plain("127.0.0.1"), "an unknown scheme is ignored");
}

#[test]
fn h11_a_list_in_one_field_is_the_same_as_several_fields() {
    let server = start("environ", &["--forwarded-allow-ips", "127.0.0.1,10.0.0.1"]);
    assert_eq!(origin(&server, "X-Forwarded-Proto: https, https\r\n"), tls("127.0.0.1"));
    assert_eq!(origin(&server, "X-Forwarded-Proto: ,HTTPS\t,\r\n"), tls("127.0.0.1"));
    for list in ["https, http", "http,https", "https,http\r\nX-Forwarded-Proto: https"] {
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: {list}\r\n\r\n");
        assert_eq!(server.ask(request).status, 400, "{list}");
    }
    let hops = |value: &str| origin(&server, &format!("X-Forwarded-For: {value}\r\n")).0;
    assert_eq!(hops("192.0.2.7,"), "192.0.2.7");
    assert_eq!(hops("192.0.2.7, , 10.0.0.1"), "192.0.2.7");
    assert_eq!(hops("[2001:db8::7]"), "2001:db8::7");
    assert_eq!(hops("[2001:db8::7]:443,"), "2001:db8::7");
    assert_eq!(hops("\"[2001:db8::7]:443\""), "2001:db8::7");
    assert_eq!(hops("fe80::7%eth0"), "fe80::7");
}

#[test]
fn h11_networks_of_proxies_are_trusted() {
    let from = |trusted: &str, hops: &str| {
        origin(&start("environ", &["--forwarded-allow-ips", trusted]), &format!("X-Forwarded-For: {hops}\r\n")).0
    };
    assert_eq!(from("127.0.0.0/8,172.16.0.0/12", "192.0.2.7, 172.20.0.3"), "192.0.2.7");
    assert_eq!(from("fd00::/8,10.0.0.0/8", "192.0.2.7"), "127.0.0.1");
    assert_eq!(from("*", "192.0.2.7, 10.0.0.1"), "192.0.2.7");
    assert_eq!(from("127.1.2.3/8", "192.0.2.7"), "192.0.2.7", "bits beyond the prefix have no meaning");
    assert_eq!(from("127.0.0.1,172.16.0.0/12", "172.20.0.9, 172.20.0.3"), "172.20.0.9", "a client among the proxies");
}

#[test]
fn h11_a_network_of_ipv4_matches_a_client_of_a_socket_for_both_versions() {
    if TcpListener::bind("[::]:0").is_err() {
        // This machine has no IPv6.
        return;
    }
    let flags = ["--addr", "[::]:0", "--forwarded-allow-ips", "127.0.0.0/8"].map(PathBuf::from);
    let server = Launch::bare().flags([guest::program("environ")]).flags(flags).start();
    let mut client = Client::connect((Ipv4Addr::LOCALHOST, server.addr().port()).into());
    client.send("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
    assert_eq!(variable(client.response().text(), "REMOTE_ADDR"), Some("192.0.2.7"));
}

#[test]
fn h11_a_proxy_may_have_an_ipv6_address() {
    if TcpListener::bind("[::1]:0").is_err() {
        // This machine has no IPv6.
        return;
    }
    let start = |trusted: &str| {
        let flags = ["--addr", "[::1]:0", "--forwarded-allow-ips", trusted].map(PathBuf::from);
        Launch::bare().flags([guest::program("environ")]).flags(flags).start()
    };
    assert_eq!(origin(&start("::1"), "X-Forwarded-For: 192.0.2.7\r\n"), plain("192.0.2.7"));
    assert_eq!(origin(&start("0:0::0:1"), "X-Forwarded-For: 2001:DB8:0::7\r\n"), plain("2001:db8::7"));
    assert_eq!(origin(&start("127.0.0.1"), "X-Forwarded-For: 192.0.2.7\r\n"), plain("::1"));
}

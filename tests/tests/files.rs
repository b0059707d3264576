//! Directories that are served: what is found in them, what never is, and how it is sent.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, FileTimes, Permissions},
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, fs::symlink, net::UnixListener},
    path::Path,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};
use wasmserve_tests::{
    client::{Body, Client, End, Response},
    guest,
    http2::{self, Http2},
    place::Place,
    server::{Launch, Server, refuses},
};

/// A server for the directory `site` in a place.
fn serve(place: &Place, flags: &[&str]) -> Server {
    _ = fs::create_dir(place.join("site"));
    Launch::bare().at(place).flags(["site", "--addr", "127.0.0.1:0"]).flags(flags).start()
}

/// A place with a directory `site` that contains these files.
fn site(files: &[(&str, &[u8])]) -> Place {
    let place = Place::new();
    fs::create_dir(place.join("site")).expect("a place is writable");
    for (name, content) in files {
        let path = place.join("site").join(name);
        fs::create_dir_all(path.parent().expect("the path has a parent")).expect("a place is writable");
        fs::write(path, content).expect("a place is writable");
    }
    place
}

/// Sends a request with these fields on its own connection.
fn ask(server: &Server, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
    if method == "HEAD" {
        let mut client = server.connect();
        client.send(request);
        return Response { head: client.response_to_head(), body: Vec::new(), end: End::Whole, trailers: Vec::new() };
    }
    server.ask(request)
}

/// The tag of a file, once it is strong: for a moment after a change it is weak.
fn strong_tag(server: &Server, target: &str) -> String {
    loop {
        let response = server.get(target);
        let etag = response.field("etag").expect("a file has a tag");
        if !etag.starts_with("W/") {
            return etag.to_owned();
        }
        thread::yield_now();
    }
}

/// The time that files in these tests were changed, if it matters: Sun, 06 Nov 1994 08:49:37 GMT.
fn date() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(784_111_777)
}

fn set_date(path: &Path, date: SystemTime) {
    let file = File::options().write(true).open(path).expect("the file exists");
    file.set_times(FileTimes::new().set_modified(date)).expect("the times of our own files can be set");
}

#[test]
fn a_directory_is_served_with_types_and_validators() {
    let place = site(&[("index.html", b"<h1>home"), ("a b/c.css", b"p{}"), ("LICENSE", b"text"), ("x", b"\0\x01")]);
    set_date(&place.join("site/index.html"), date());
    let server = serve(&place, &[]);
    let home = server.get("/");
    assert_eq!((home.status, home.text()), (200, "<h1>home"));
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "8"),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("cache-control", "no-cache"),
        ("accept-ranges", "bytes"),
        ("vary", "Accept-Encoding"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(home.field(name), Some(value), "{name}");
    }
    assert!(home.field("etag").is_some_and(|etag| etag.ends_with('"')));
    for (target, content_type) in [
        ("/index.html", "text/html; charset=utf-8"),
        ("/a%20b/c.css?v=1", "text/css; charset=utf-8"),
        ("/LICENSE", "text/plain; charset=utf-8"),
        ("/x", "application/octet-stream"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.field("content-type")), (200, Some(content_type)), "{target}");
    }
    for target in ["/none", "/index.html/", "/LICENSE/x"] {
        let response = server.get(target);
        assert_eq!((response.status, response.text()), (404, "404 Not Found: there is no file here\n"), "{target}");
    }
}

#[test]
fn a_head_has_the_fields_of_a_get() {
    let place = site(&[("a.txt", b"text"), ("d/x", b""), ("p/index.html", b"<p>")]);
    let server = serve(&place, &["--cors"]);
    for target in ["/a.txt", "/p/"] {
        strong_tag(&server, target);
    }
    for target in ["/a.txt", "/d", "/d/", "/p/", "/none", "/../x"] {
        let fields = |method| {
            let Response { head, .. } = ask(&server, method, target, &[]);
            let fields: BTreeMap<_, _> = head.fields.into_iter().filter(|(name, _)| name != "Date").collect();
            (head.status, fields)
        };
        assert_eq!(fields("GET"), fields("HEAD"), "{target}");
    }
    let head = ask(&server, "HEAD", "/a.txt", &[("Range", "bytes=0-1")]);
    assert_eq!((head.status, head.field("content-length")), (200, Some("4")), "a range is for GET only");
}

#[test]
fn files_can_only_be_read() {
    let place = site(&[("a.txt", b"text")]);
    let server = serve(&place, &[]);
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "get"] {
        let mut client = server.connect();
        client.send(format!("{method} /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"));
        let response = client.response();
        assert_eq!((response.status, response.field("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
        client.send("GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(client.response().text(), "text", "the body of a request is ignored");
    }
    let options = ask(&server, "OPTIONS", "/a.txt", &[]);
    assert_eq!((options.status, options.field("allow")), (204, Some("GET, HEAD, OPTIONS")));
    assert_eq!(fs::read(place.join("site/a.txt")).expect("the file is there"), b"text");
}

#[test]
fn nothing_outside_of_the_directory_and_nothing_hidden_is_served() {
    let place = site(&[
        ("in.txt", b"in"),
        ("d/in.txt", b"in"),
        (".env", b"secret"),
        (".git/config", b"secret"),
        (".well-known/x", b"in"),
        ("d/.secret", b"secret"),
    ]);
    place.file("outside.txt", "secret");
    let at = |name: &str| place.join("site").join(name);
    for (target, link) in [
        ("../outside.txt", "up"),
        ("..", "parent"),
        ("/etc/passwd", "root"),
        ("/proc/self/root/etc/passwd", "magic"),
        ("loop", "loop"),
        ("d/../in.txt", "inside"),
        ("gone", "dangling"),
    ] {
        symlink(target, at(link)).expect("a place is writable");
    }
    let place_itself = fs::canonicalize(&*place).expect("the place exists");
    symlink(place_itself.join("site/d"), at("absolute")).expect("a place is writable");
    symlink(place_itself.join("outside.txt"), at("d/outside")).expect("a place is writable");
    let server = serve(&place, &[]);
    for target in [
        "/../outside.txt",
        "/d/../../outside.txt",
        "/d/../in.txt",
        "/./in.txt",
        "/%2e%2e/outside.txt",
        "/%2E%2E%2Foutside.txt",
        "/..%2foutside.txt",
        "/d%2fin.txt",
        "/d%2F..%2F..%2Foutside.txt",
        "/..%5coutside.txt",
        "/d/..\\..\\outside.txt",
        "/%252e%252e/outside.txt",
        "/%c0%ae%c0%ae/outside.txt",
        "/in.txt%00",
        "/in.txt%00.html",
        "/%00",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git/",
        "/.git",
        "/d/.secret",
        "/.well-known/../.env",
        "/up",
        "/parent/outside.txt",
        "/parent/",
        "/root",
        "/magic",
        "/loop",
        "/dangling",
        "/d/outside",
        "/in.txt/",
        "/in.txt/../../outside.txt",
        "//../outside.txt",
        "/d/..",
        "/d/.",
        "/..;/outside.txt",
        "/in.txt:",
        "/in.txt.",
        "/IN.TXT",
        "/d;/in.txt",
    ] {
        let response = server.get(target);
        assert_eq!(response.status, 404, "{target}");
        assert!(!response.text().contains("secret") && !response.text().contains("root:"), "{target}");
    }
    for target in
        ["/in.txt", "/d/in.txt", "//in.txt", "/d//in.txt", "/inside", "/absolute/in.txt", "/.well-known/x", "/%69n.txt"]
    {
        assert_eq!(server.get(target).text(), "in", "{target}");
    }
    server.line_with("a link on this path leads out of the directory, and is not followed; mount its target with");
    let listing = server.get("/");
    for name in [".env", ".git", "up", "parent", "root", "magic", "loop", "dangling"] {
        assert!(!listing.text().contains(&format!("./{name}")), "{name} is listed");
    }
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let place = site(&[("unreadable", b"secret")]);
    let at = |name: &str| place.join("site").join(name);
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a place is writable");
    let _socket = UnixListener::bind(at("socket")).expect("a place is writable");
    fs::set_permissions(at("unreadable"), Permissions::from_mode(0o000)).expect("the file is ours");
    let server = serve(&place, &[]);
    for name in ["fifo", "socket"] {
        assert_eq!(server.get(&format!("/{name}")).status, 404, "{name}");
    }
    // The superuser may read everything.
    if File::open(at("unreadable")).is_err() {
        assert_eq!(server.get("/unreadable").text(), "403 Forbidden: the server may not read this file\n");
    }
    assert!(!server.get("/").text().contains("fifo"));
}

#[test]
fn a_directory_without_a_slash_is_redirected_on_the_same_host() {
    let place = site(&[("d/index.html", b"<p>"), ("a:b/x", b""), ("evil.example/x", b""), ("s p/x", b"")]);
    let server = serve(&place, &["--mount=/m=files:site"]);
    for (target, location) in [
        ("/d", "./d/"),
        ("/d?x=1&y=%20", "./d/?x=1&y=%20"),
        ("/a:b", "./a:b/"),
        ("//evil.example", "./evil.example/"),
        ("/s%20p", "./s%20p/"),
        ("/m", "./m/"),
        ("/m/d", "./d/"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.field("location")), (301, Some(location)), "{target}");
    }
}

#[test]
fn ranges_are_parts_of_the_file() {
    let content: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
    let place = site(&[("ten-thousand.bin", &content), ("empty", b"")]);
    let server = serve(&place, &[]);
    let part = |range: &str| ask(&server, "GET", "/ten-thousand.bin", &[("Range", range)]);
    for (range, first, last) in [
        ("bytes=0-499", 0, 499),
        ("bytes=500-999", 500, 999),
        ("bytes=-500", 9500, 9999),
        ("bytes=9500-", 9500, 9999),
        ("bytes=0-0", 0, 0),
        ("bytes=9999-20000", 9999, 9999),
        ("bytes=500-600,601-999", 500, 999),
        ("bytes=500-700,601-999", 500, 999),
        ("bytes=0-0,20000-", 0, 0),
    ] {
        let response = part(range);
        assert_eq!(response.status, 206, "{range}");
        assert_eq!(response.field("content-range"), Some(&*format!("bytes {first}-{last}/10000")), "{range}");
        assert_eq!(response.body, content[first..=last], "{range}");
        assert_eq!(response.field("content-type"), Some("application/octet-stream"));
    }
    for range in ["bytes=10000-", "bytes=-0", "bytes=20000-30000,40000-"] {
        let response = part(range);
        assert_eq!((response.status, response.field("content-range")), (416, Some("bytes */10000")), "{range}");
    }
    let many = (0..100).map(|at| format!("{}-{}", 2 * at, 2 * at)).collect::<Vec<_>>().join(",");
    for range in ["bytes=5-4", "bytes=a-b", "lines=0-1", "bytes", &format!("bytes={many}")] {
        let response = part(range);
        assert_eq!((response.status, response.body.len()), (200, 10_000), "{range}");
    }
    assert_eq!(ask(&server, "GET", "/empty", &[("Range", "bytes=0-")]).status, 416);
    assert_eq!(ask(&server, "GET", "/empty", &[("Range", "bytes=-1")]).status, 200);
}

#[test]
fn several_ranges_are_parts_of_one_message_in_their_order() {
    let place = site(&[("a.txt", b"0123456789")]);
    let server = serve(&place, &[]);
    let response = ask(&server, "GET", "/a.txt", &[("Range", "bytes=8-, 0-1,4-4")]);
    let content_type = response.field("content-type").expect("a response with a body has a type");
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect("several parts");
    let part = |range: &str, content: &str| {
        let kind = "text/plain; charset=utf-8";
        format!("--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes {range}/10\r\n\r\n{content}\r\n")
    };
    let whole = [part("8-9", "89"), part("0-1", "01"), part("4-4", "4")].concat();
    assert_eq!((response.status, response.text()), (206, &*format!("{whole}--{boundary}--\r\n")));
    assert_eq!(response.field("content-range"), None);
}

#[test]
fn conditions_decide_before_ranges() {
    let place = site(&[("a.txt", b"0123456789")]);
    set_date(&place.join("site/a.txt"), date());
    let server = serve(&place, &[]);
    let (same, later, earlier) =
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT", "Sun, 06 Nov 1994 08:49:36 GMT");
    let etag = strong_tag(&server, "/a.txt");
    let weak = format!("W/{etag}");
    for (fields, status) in [
        (&[("If-None-Match", &*etag)][..], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", "\"other\"")], 200),
        (&[("If-None-Match", "\"other\""), ("If-Modified-Since", later)], 200),
        (&[("If-Modified-Since", same)], 304),
        (&[("If-Modified-Since", earlier)], 200),
        (&[("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")], 304),
        (&[("If-Modified-Since", "soon")], 200),
        (&[("If-Match", &etag)], 200),
        (&[("If-Match", &weak)], 412),
        (&[("If-Match", "\"other\""), ("If-None-Match", &etag)], 412),
        (&[("If-Unmodified-Since", earlier)], 412),
        (&[("If-Unmodified-Since", earlier), ("If-Match", &etag)], 200),
        (&[("Range", "bytes=0-1"), ("If-Range", &etag)], 206),
        (&[("Range", "bytes=0-1"), ("If-Range", &weak)], 200),
        (&[("Range", "bytes=0-1"), ("If-Range", "\"other\"")], 200),
        (&[("Range", "bytes=0-1"), ("If-Range", same)], 206),
        (&[("Range", "bytes=0-1"), ("If-Range", later)], 200),
        (&[("Range", "bytes=99-"), ("If-Range", "\"other\"")], 200),
        (&[("Range", "bytes=0-1"), ("If-None-Match", &etag)], 304),
        (&[("Range", "bytes=99-"), ("If-Match", "\"other\"")], 412),
    ] {
        let response = ask(&server, "GET", "/a.txt", fields);
        assert_eq!(response.status, status, "{fields:?}");
        assert_eq!(response.field("etag"), Some(&*etag), "{fields:?}");
        if status == 304 {
            assert_eq!(
                (response.field("cache-control"), response.field("vary")),
                (Some("no-cache"), Some("Accept-Encoding"))
            );
        }
    }
    let none = ask(&server, "GET", "/none", &[("If-None-Match", "*")]);
    assert_eq!(none.status, 404, "a condition is about a file that is there");
}

#[test]
fn a_changed_file_has_another_tag_even_with_the_same_size_and_date() {
    let place = site(&[("a.txt", b"one")]);
    let path = place.join("site/a.txt");
    set_date(&path, date());
    let server = serve(&place, &[]);
    let first = server.get("/a.txt").field("etag").map(str::to_owned);
    fs::write(&path, b"two").expect("a place is writable");
    set_date(&path, date());
    let second = server.get("/a.txt");
    assert_eq!(second.text(), "two");
    assert_ne!(second.field("etag").map(str::to_owned), first);
}

#[test]
fn compressed_copies_are_sent_to_those_who_want_them() {
    let place = site(&[
        ("a.js", b"original"),
        ("a.js.br", b"brotli"),
        ("a.js.zst", b"zstd"),
        ("a.js.gz", b"gzip"),
        ("d/index.html", b"<p>original"),
        ("d/index.html.gz", b"gzip"),
        ("old.js", b"original"),
        ("old.js.gz", b"gzip"),
        ("only.js.gz", b"gzip"),
    ]);
    set_date(&place.join("site/old.js.gz"), date());
    let server = serve(&place, &[]);
    for (target, accepted, coding) in [
        ("/a.js", "gzip, deflate, br, zstd", Some("br")),
        ("/a.js", "gzip;q=1, br;q=0.2", Some("gzip")),
        ("/a.js", "zstd", Some("zstd")),
        ("/a.js", "br;q=0, *;q=0.5", Some("zstd")),
        ("/a.js", "identity, gzip;q=0.5", None),
        ("/a.js", "deflate", None),
        ("/a.js", "", None),
        ("/d/", "gzip", Some("gzip")),
        ("/old.js", "gzip", None),
    ] {
        let response = ask(&server, "GET", target, &[("Accept-Encoding", accepted)]);
        let name = match coding {
            Some("br") => "brotli",
            Some(coding) => coding,
            None => "original",
        };
        assert!(response.text().ends_with(name), "{target} {accepted}");
        assert_eq!((response.status, response.field("content-encoding")), (200, coding), "{target} {accepted}");
        assert_eq!(response.field("vary"), Some("Accept-Encoding"));
        let content_type = response.field("content-type").expect("a response with a body has a type");
        assert!(content_type.starts_with("text/") && !content_type.contains("zip"), "{content_type}");
    }
    let etag = |accepted| {
        let response = ask(&server, "GET", "/a.js", &[("Accept-Encoding", accepted)]);
        response.field("etag").map(str::to_owned).expect("a file has a tag")
    };
    let (one, other) = (etag("br"), etag("gzip"));
    assert_ne!(one, other, "each copy has its own tag");
    let fields = [("Accept-Encoding", "gzip"), ("If-None-Match", &*one)];
    assert_eq!(ask(&server, "GET", "/a.js", &fields).status, 200);
    let fields = [("Accept-Encoding", "br"), ("Range", "bytes=0-1")];
    let part = ask(&server, "GET", "/a.js", &fields);
    assert_eq!((part.status, part.text(), part.field("content-encoding")), (206, "br", Some("br")));
    let fields = [("Accept-Encoding", "br"), ("Range", "bytes=99-")];
    let none = ask(&server, "GET", "/a.js", &fields);
    assert_eq!((none.status, none.field("content-encoding"), none.text().starts_with("416")), (416, None, true));
    let fields = [("Accept-Encoding", "br"), ("Range", "bytes=0-0,2-2")];
    let several = ask(&server, "GET", "/a.js", &fields);
    assert_eq!((several.status, several.text(), several.field("content-encoding")), (200, "brotli", Some("br")));
    assert_eq!(server.get("/only.js").status, 404);
    let itself = server.get("/only.js.gz");
    assert_eq!((itself.field("content-type"), itself.field("content-encoding")), (Some("application/gzip"), None));
}

/// Checks that each element of a page is closed, and returns its links with their texts.
fn links(page: &str) -> Vec<(String, String)> {
    let (mut open, mut links, mut rest) = (Vec::new(), Vec::new(), page);
    while let Some((before, tag)) = rest.split_once('<') {
        assert!(!before.contains('>') || open.last() == Some(&"style"), "a `>` that is not escaped: {before}");
        let (tag, after) = tag.split_once('>').expect("a tag has an end");
        rest = after;
        let name = tag.split(' ').next().expect("a tag has a name");
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "<{tag}>"),
            None if ["!doctype", "meta", "link"].contains(&name) => {}
            None => open.push(name),
        }
        if let Some((_, href)) = tag.split_once(" href=\"")
            && name == "a"
        {
            let href = href.split('"').next().expect("a value has an end");
            links.push((href.to_owned(), after.split('<').next().expect("a text has an end").to_owned()));
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    links
}

#[test]
fn a_listing_leads_to_all_files_whatever_their_names() {
    let odd = OsStr::from_bytes(b"caf\xe9 \\");
    let names =
        ["<script>alert(1)<", "a b%#?&\"'", "a:b", "new\nline", "\u{202e}txt.exe", "~", "javascript:1", "=", "\u{e9}"];
    let place = site(&[("d/e/x", b"")]);
    for name in names {
        fs::write(place.join("site").join(name), name).expect("a place is writable");
    }
    fs::write(place.join("site").join(odd), b"odd").expect("a place is writable");
    let server = serve(&place, &[]);
    let page = server.get("/");
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(!page.text().contains("<script"), "{}", page.text());
    let links = links(page.text());
    let to_files: Vec<_> = links.iter().filter(|(href, _)| href.starts_with("./")).collect();
    assert_eq!(to_files.len(), names.len() + 2, "{links:?}");
    let mut got: Vec<Vec<u8>> = Vec::new();
    for (href, _) in to_files.iter().filter(|(href, _)| !href.ends_with('/')) {
        let response = server.get(&href[1..]);
        assert_eq!(response.status, 200, "{href}");
        got.push(response.body);
    }
    got.sort();
    let mut wanted: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).chain([b"odd".to_vec()]).collect();
    wanted.sort();
    assert_eq!(got, wanted);

    let deep = server.get("/d/e/");
    let up: Vec<_> = self::links(deep.text()).into_iter().filter(|(href, _)| href.starts_with("..")).collect();
    let up: Vec<_> = up.iter().map(|(href, text)| (&**href, &**text)).collect();
    assert_eq!(up, [("../../", "/"), ("../", "d"), ("../", "..")]);
    assert!(deep.text().contains("<title>/d/e/</title>"), "{}", deep.text());
}

#[test]
fn a_listing_is_sorted_by_links_and_is_json_on_request() {
    let place = site(&[("b10", b"22"), ("b9", b"333"), ("A", b"1"), ("z/x", b"")]);
    for (name, seconds) in [("b9", 1), ("A", 2), ("b10", 3)] {
        set_date(&place.join("site").join(name), date() + Duration::from_secs(seconds));
    }
    let server = serve(&place, &[]);
    let order = |query: &str| {
        let page = server.get(&format!("/{query}"));
        let files = links(page.text()).into_iter().filter_map(|(href, _)| href.strip_prefix("./").map(str::to_owned));
        files.collect::<Vec<_>>().join(" ")
    };
    for (query, wanted) in [
        ("", "z/ A b9 b10"),
        ("?sort=name&order=desc", "z/ b10 b9 A"),
        ("?sort=size&order=asc", "z/ A b10 b9"),
        ("?sort=size&order=desc", "z/ b9 b10 A"),
        ("?sort=date", "z/ b9 A b10"),
        ("?sort=nothing&x", "z/ A b9 b10"),
    ] {
        assert_eq!(order(query), wanted, "{query}");
    }
    let json = ask(&server, "GET", "/", &[("Accept", "application/json")]);
    assert_eq!((json.field("content-type"), json.field("vary")), (Some("application/json"), Some("Accept")));
    let list: serde_json::Value = serde_json::from_str(json.text()).expect("valid JSON");
    assert_eq!(list[0]["name"], "z");
    let expected = serde_json::json!({
        "name": "A", "type": "file", "size": 1, "modified": "1994-11-06T08:49:39Z", "url": "./A",
    });
    assert_eq!(list[1], expected);
    // A browser accepts JSON too, at most as a part of everything.
    let page = ask(&server, "GET", "/", &[("Accept", "text/html,application/json,*/*")]);
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
}

#[test]
fn a_huge_directory_is_listed_in_part() {
    let place = site(&[]);
    for number in 0..10_001 {
        File::create(place.join(format!("site/{number}"))).expect("a place is writable");
    }
    let server = serve(&place, &[]);
    let page = server.get("/");
    assert!(page.text().contains("Only the first 10000 entries are shown."));
    assert_eq!(page.text().matches("href=\"./").count(), 10_000);
}

#[test]
fn an_application_with_its_own_routing_gets_its_index() {
    let place = site(&[("index.html", b"<app>"), ("a.js", b"1"), ("404.html", b"<missing>"), ("d/x", b"")]);
    let server = serve(&place, &["--spa", "--mount=/m=files:site"]);
    let get = |target: &str, accept: &str| {
        let response = ask(&server, "GET", target, &[("Accept", accept)]);
        (response.status, response.text().to_owned())
    };
    const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
    for target in ["/users/7", "/users/7?x", "/users/", "/.hidden", "/m/users/7", "/a.js/x"] {
        assert_eq!(get(target, BROWSER), (200, "<app>".into()), "{target}");
    }
    assert_eq!(get("/missing.js", "*/*"), (404, "<missing>".into()));
    assert_eq!(get("/missing.png", "image/avif,image/webp,*/*"), (404, "<missing>".into()));
    assert_eq!(get("/a.js", BROWSER), (200, "1".into()));
    let vary = ask(&server, "GET", "/users/7", &[("Accept", BROWSER)]);
    assert_eq!(vary.values("vary"), ["Accept-Encoding", "Accept"]);

    let only = Launch::bare().at(&place).flags(["site", "--addr", "127.0.0.1:0", "--spa=/m", "--mount=/m=files:site"]);
    let only = only.start();
    assert_eq!(ask(&only, "GET", "/m/x", &[("Accept", BROWSER)]).status, 200);
    let missing = ask(&only, "GET", "/x", &[("Accept", BROWSER)]);
    assert_eq!((missing.status, missing.text()), (404, "<missing>"));
    assert_eq!(missing.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!((missing.field("etag"), missing.field("cache-control")), (None, Some("no-cache")));
}

#[test]
fn other_origins_may_read_with_cors_only() {
    let place = site(&[("a.txt", b"text")]);
    let with = serve(&place, &["--cors"]);
    let without = serve(&place, &[]);
    for (target, method, fields) in [
        ("/a.txt", "GET", &[("Origin", "http://other.example")][..]),
        ("/none", "GET", &[]),
        ("/a.txt", "GET", &[("If-None-Match", "*")]),
        ("/a.txt", "GET", &[("Range", "bytes=99-")]),
        ("/a.txt", "POST", &[]),
        ("/", "GET", &[]),
    ] {
        let field =
            |server| ask(server, method, target, fields).field("access-control-allow-origin").map(str::to_owned);
        assert_eq!((field(&with).as_deref(), field(&without)), (Some("*"), None), "{method} {target}");
    }
    let preflight = [
        ("Origin", "http://other.example"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "authorization,range"),
        ("Access-Control-Request-Private-Network", "true"),
    ];
    let response = ask(&with, "OPTIONS", "/a.txt", &preflight);
    assert_eq!(response.status, 204);
    for (name, value) in [
        ("origin", "*"),
        ("methods", "GET, HEAD, OPTIONS"),
        ("headers", "authorization,range"),
        ("private-network", "true"),
    ] {
        assert_eq!(response.field(&format!("access-control-allow-{name}")), Some(value), "{name}");
    }
    let refused = ask(&without, "OPTIONS", "/a.txt", &preflight);
    assert!(!refused.fields.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("access-control")));
}

#[test]
fn directories_are_mounted_beside_other_handlers() {
    let place = site(&[("index.html", b"<home>"), ("api/x", b"hidden by the mount")]);
    fs::create_dir(place.join("static")).expect("a place is writable");
    place.file("static/a.css", "p{}");
    let api = format!("/api={}", guest::program("hello").display());
    let server = serve(&place, &["--mount", &api, "--mount", "/static=static", "--mount", "/api/files=files:static"]);
    assert_eq!(server.get("/").text(), "<home>");
    assert_eq!(server.get("/api/x").text(), "Hello, World!\n");
    assert_eq!(server.get("/static/a.css").text(), "p{}");
    assert_eq!(server.get("/api/files/a.css").text(), "p{}");
    assert_eq!(server.get("/static/../index.html").status, 404);
    let page = server.get("/static/");
    assert!(page.text().contains("<title>/static/</title>"), "{}", page.text());
    assert_eq!(server.get("/staticx").status, 404);
}

#[test]
fn a_crate_is_served_as_files_only_by_its_prefix() {
    let place = site(&[("Cargo.toml", b"[package]\nname = \"x\"\n"), ("src/main.rs", b"fn main() {}")]);
    let server = Launch::bare().at(&place).flags(["files:site", "--addr", "127.0.0.1:0"]).start();
    assert_eq!(server.get("/src/main.rs").text(), "fn main() {}");
    fs::remove_file(place.join("site/Cargo.toml")).expect("the file exists");
    assert_eq!(serve(&place, &[]).get("/src/main.rs").text(), "fn main() {}");
}

#[test]
fn a_directory_with_handlers_and_no_index_is_served_with_a_hint() {
    let place = site(&[("hello.rs", b"fn main() {}")]);
    let server = serve(&place, &[]);
    server.line_with(
        "`site` is served as files, with the handlers in it; to run one, name it, as in `wasmserve site/hello.rs`",
    );
    place.file("site/index.html", "<p>");
    let server = serve(&place, &[]);
    server.get("/");
    assert!(!server.log().iter().any(|line| line.contains("hello.rs")));
}

#[test]
fn flags_for_directories_need_a_directory() {
    let place = site(&[]);
    let handler = format!("/x={}", guest::program("hello").display());
    for (flags, part) in [
        (&["--mount", &handler, "--spa"][..], "--spa is for directories; name one, as in `wasmserve --spa site/`"),
        (&["--mount", &handler, "--live"], "--live is for directories"),
        (&["site", "--mount", &handler, "--cors=/x"], "--cors=/x is for a directory, but"),
        (&["site", "--live=/y"], "--live=/y: no handler is mounted there; mounted are `/`"),
        (&["site", "--live=y"], "not a valid mount path"),
    ] {
        refuses(Launch::bare().at(&place).flags(flags), 2, &[part]);
    }
}

#[test]
fn a_directory_that_is_created_anew_is_served() {
    let place = site(&[("a.txt", b"one")]);
    let server = serve(&place, &[]);
    assert_eq!(server.get("/a.txt").text(), "one");
    fs::remove_dir_all(place.join("site")).expect("the directory is ours");
    assert_eq!(server.get("/a.txt").status, 404);
    fs::create_dir(place.join("site")).expect("a place is writable");
    place.file("site/a.txt", "two");
    assert_eq!(server.get("/a.txt").text(), "two");
    fs::rename(place.join("site"), place.join("moved")).expect("the directory is ours");
    symlink("moved", place.join("site")).expect("a place is writable");
    assert_eq!(server.get("/a.txt").text(), "two", "it may be a link, as of a deployment");
}

#[test]
fn the_end_of_a_very_large_file_is_found_at_once() {
    let place = site(&[]);
    let file = File::create(place.join("site/large")).expect("a place is writable");
    file.set_len(5 << 30).expect("a sparse file takes no space");
    drop(file);
    let server = serve(&place, &[]);
    let head = ask(&server, "HEAD", "/large", &[]);
    assert_eq!(head.field("content-length"), Some("5368709120"));
    let end = ask(&server, "GET", "/large", &[("Range", "bytes=-3")]);
    assert_eq!(end.field("content-range"), Some("bytes 5368709117-5368709119/5368709120"));
    assert_eq!(end.body, [0; 3]);
}

/// Begins to receive a file of 32 MiB, of which the server reads the rest only later, and changes it with `change`.
fn receive_while(change: impl FnOnce(&Path)) -> (Vec<u8>, End, (Server, Place)) {
    let place = site(&[("large", &vec![1; 32 << 20])]);
    let server = serve(&place, &["--write-timeout=none", "--min-rate=0"]);
    let mut client = server.connect();
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.head().expect("there is a response");
    assert_eq!(head.field("content-length"), Some("33554432"));
    change(&place.join("site/large"));
    let mut body = client.body(&head);
    let bytes = body.by_ref().flatten().collect();
    let end = body.end();
    server.get("/");
    (bytes, end, (server, place))
}

#[test]
fn f37_a_file_that_shrinks_while_it_is_sent_never_looks_complete() {
    let (bytes, end, (server, _place)) = receive_while(|path| {
        File::options().write(true).open(path).and_then(|file| file.set_len(100)).expect("the file is ours");
    });
    assert!(end == End::Cut && bytes.len() < 32 << 20, "{end:?} {}", bytes.len());
    server.line_with("200 file: response cut: the file became shorter while it was sent (GET /large HTTP/1.1)");
    assert_eq!(server.get("/large").body.len(), 100);
}

#[test]
fn a_file_that_grows_or_is_replaced_while_it_is_sent_arrives_as_it_began() {
    let (bytes, end, _) = receive_while(|path| {
        File::options().append(true).open(path).and_then(|mut file| file.write_all(b"more")).expect("the file is ours");
    });
    assert!(end == End::Whole && bytes == vec![1; 32 << 20]);
    let (bytes, end, _) = receive_while(|path| {
        let other = path.with_extension("new");
        fs::write(&other, b"other").and_then(|()| fs::rename(&other, path)).expect("the file is ours");
    });
    assert!(end == End::Whole && bytes == vec![1; 32 << 20]);
    let (bytes, end, _) = receive_while(|path| fs::remove_file(path).expect("the file is ours"));
    assert!(end == End::Whole && bytes == vec![1; 32 << 20]);
}

#[test]
fn a_slow_download_may_take_longer_than_a_handler() {
    let place = site(&[("large", &vec![1; 32 << 20])]);
    let server = serve(&place, &["--timeout=1ms"]);
    let response = server.get("/large");
    assert_eq!((response.body.len(), response.end), (32 << 20, End::Whole));
}

#[test]
fn files_are_sent_over_http_2_too() {
    let content: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let place = site(&[("large", &content), ("d/x", b"")]);
    let server = serve(&place, &[]);
    let mut client = Http2::connect(server.addr());
    let response = client.get("/large");
    assert_eq!((response.status, response.body == content), (200, true));
    let stream = client.ask(&[&http2::fields("GET", "/large")[..], &[("range", "bytes=1-2,5-6")]].concat());
    let part = client.response(stream);
    assert_eq!(part.status, 206);
    assert!(part.field("content-type").is_some_and(|kind| kind.starts_with("multipart/byteranges")));
    assert_eq!(client.get("/d").field("location"), Some("./d/"));
    assert_eq!(client.get("/../x").status, 404);
}

#[test]
fn one_request_is_enough_for_once() {
    let place = site(&[("a.txt", b"text")]);
    let server = serve(&place, &["--once"]);
    assert_eq!(server.get("/a.txt").text(), "text");
    assert_eq!(server.end().code, Some(0));
}

/// The script at the end of a page, and the path of its events.
fn events_of(page: &str) -> String {
    let (_, script) = page.split_once("<script>").expect("the page has a script");
    let since = script.split("since=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a moment");
    let path = script.split("EventSource(\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a path");
    format!("{path}{since}")
}

/// Reads events until the next one with data, and returns that.
fn next_event(body: &mut Body<'_>) -> Option<String> {
    let mut text = String::new();
    loop {
        text += str::from_utf8(&body.next()?).expect("events are text");
        if let Some((_, data)) = text.split_once("data: ") {
            return Some(data.trim_end().to_owned());
        }
    }
}

/// Waits for this event. Changes of style sheets may be reported several times, because their file is written in steps.
fn wait_for(body: &mut Body<'_>, wanted: &str) {
    loop {
        match next_event(body) {
            Some(event) if event == wanted => return,
            other => assert_eq!(other.as_deref(), Some("style"), "it should be `{wanted}`"),
        }
    }
}

/// Asks for events.
fn listen(client: &mut Client, target: &str) -> wasmserve_tests::client::Head {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"));
    client.head().expect("there is a response")
}

#[test]
fn a_page_is_reloaded_when_a_file_changes() {
    let place = site(&[("index.html", b"<h1>one</h1>"), ("d/a.css", b"p{}"), (".git/x", b"")]);
    let server = serve(&place, &["--live", "--mount=/m=files:site"]);
    let page = ask(&server, "GET", "/", &[("If-None-Match", "*"), ("Range", "bytes=0-1")]);
    assert_eq!(page.status, 200);
    assert!(page.text().starts_with("<h1>one</h1>"), "{}", page.text());
    assert_eq!((page.field("etag"), page.field("cache-control")), (None, Some("no-store")));
    let head = ask(&server, "HEAD", "/", &[]);
    assert_eq!(head.field("content-length"), page.field("content-length"));

    let mut client = server.connect();
    let head = listen(&mut client, &events_of(page.text()));
    assert_eq!((head.status, head.field("content-type")), (200, Some("text/event-stream")));
    let mut events = client.body(&head);
    place.file("site/.git/x", "hidden");
    place.file("site/d/a.css", "p{color:red}");
    wait_for(&mut events, "style");
    place.file("site/index.html", "<h1>two</h1>");
    wait_for(&mut events, "page");
    fs::create_dir(place.join("site/new")).expect("a place is writable");
    wait_for(&mut events, "page");
    place.file("site/new/x.html", "in a new directory");
    wait_for(&mut events, "page");

    // A page that was made before the last change learns it at once, also at another mount.
    let mut late = server.connect();
    let head = listen(&mut late, &events_of(page.text()));
    wait_for(&mut late.body(&head), "page");
    let mounted = server.get("/m/new/x.html");
    assert!(events_of(mounted.text()).starts_with("/m/__wasmserve/live?since="), "{}", mounted.text());
    let mut early = server.connect();
    let head = listen(&mut early, &events_of(mounted.text()));
    let mut events = early.body(&head);
    fs::remove_dir_all(place.join("site")).expect("the directory is ours");
    wait_for(&mut events, "page");
    let listed = server.get("/");
    assert_eq!(listed.status, 404);
}

#[test]
fn a_page_is_reloaded_when_a_handler_beside_it_is_replaced() {
    let place = site(&[("index.html", b"<p>")]);
    let replace = |name| fs::copy(guest::program(name), place.join("api.wasm")).expect("a place is writable");
    replace("hello");
    let server = serve(&place, &["--live", "--mount=/api=api.wasm"]);
    let mut client = server.connect();
    let head = listen(&mut client, &events_of(server.get("/").text()));
    replace("echo");
    wait_for(&mut client.body(&head), "page");
    server.served_anew(1);
}

#[test]
fn a_page_that_waits_does_not_delay_the_stop() {
    let place = site(&[("index.html", b"<p>")]);
    let server = serve(&place, &["--live", "--drain=60s"]);
    let target = events_of(server.get("/").text());
    let mut client = server.connect();
    let head = listen(&mut client, &target);
    server.signal(Signal::TERM);
    let mut body = client.body(&head);
    assert_eq!(next_event(&mut body), None);
    assert_eq!(body.end(), End::Whole);
    assert_eq!(server.end().code, Some(0));
}

#[test]
fn only_pages_of_directories_that_are_live_have_a_script() {
    let place = site(&[("a.html", b"<p>"), ("a.html.gz", b"gzip"), ("a.txt", b"<p>"), ("d/x", b"")]);
    let live = serve(&place, &["--live"]);
    let zipped = ask(&live, "GET", "/a.html", &[("Accept-Encoding", "gzip")]);
    assert_eq!((zipped.field("content-encoding"), zipped.text().contains("EventSource")), (None, true));
    assert_eq!(live.get("/a.txt").text(), "<p>");
    assert!(live.get("/d/").text().contains("EventSource"), "a listing is a page too");
    let other = serve(&place, &["--mount=/m=files:site", "--live=/m"]);
    assert_eq!(other.get("/a.html").text(), "<p>");
    assert!(other.get("/m/a.html").text().contains("EventSource"));
    assert_eq!(other.get("/__wasmserve/live").status, 404);
}

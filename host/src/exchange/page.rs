//! Error pages: one line for clients, or all details with `--debug`, in the format the client accepts.

use wasmserve_gateway::{
    accept::accepts,
    escape::{escape, html, readable},
    request::RequestHead,
};

use crate::fault::Fault;

/// The body of an error response.
#[derive(Debug)]
pub(super) struct Page {
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its text.
    pub text: String,
}

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

const STYLE: &str = "<style>body{font:1rem/1.5 system-ui;margin:3rem;max-width:60rem}\
                     pre{background:#eee;padding:1rem;overflow:auto}</style>";

/// The page for clients. Reveals nothing about the handler's internals.
#[must_use]
pub(super) fn public(status: &str, fault: &Fault, id: u64) -> Page {
    Page { content_type: TEXT, text: format!("{status}: {} (exchange {id})\n", fault.public_text()) }
}

/// The page for the handler's author, with the reason and the stack: as HTML for browsers, as JSON on request, else as
/// text.
#[must_use]
pub(super) fn debug(status: &str, fault: &Fault, id: u64, head: &RequestHead) -> Page {
    let (reason, line) = (fault.to_string(), readable(head.line()));
    let stack = fault.stack().map(|stack| stack.lines()).unwrap_or_default();
    if accepts(head, "text/html") {
        let stack: String = stack.iter().map(|line| format!("{}\n", html(line))).collect();
        let (status, kind, reason, line) = (html(status), fault.kind(), html(&reason), html(&line));
        let text = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>{status}</title>{STYLE}\
             <h1>{status}</h1><p><b>{kind}</b>: {reason}</p><pre>{stack}</pre>\
             <p>{line} (exchange {id})</p></html>\n"
        );
        return Page { content_type: HTML, text };
    }
    if accepts(head, "application/json") {
        let object = serde_json::json!({
            "status": status, "fault": fault.kind(), "reason": reason, "stack": stack, "request": line, "exchange": id,
        });
        return Page { content_type: "application/json", text: format!("{object}\n") };
    }
    let (reason, line) = (escape(reason.as_bytes()), escape(head.line()));
    let stack: String = stack.iter().map(|line| format!("  {}\n", escape(line.as_bytes()))).collect();
    Page { content_type: TEXT, text: format!("{status}: {}: {reason}\n{stack}{line} (exchange {id})\n", fault.kind()) }
}

/// The page for the handler's author when the newest version cannot be served. The page polls, and reloads once the
/// build has changed.
#[must_use]
pub(super) fn broken(output: &str, number: u64) -> Page {
    let output = html(&plain(output));
    let text = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>does not build</title>{STYLE}\
         <noscript><meta http-equiv=refresh content=2></noscript>\
         <h1>This handler does not build</h1><pre>{output}</pre>\
         <p>This page reloads when the build changes. Clients other than browsers get the previous version.</p>\
         <script>(async()=>{{for(;;)try{{\
         let answer=await fetch(location.href,{{method:'HEAD',headers:{{'Accept':'text/html','Wasmserve-Build':'{number}'}}}});\
         if(answer.headers.get('Wasmserve-Build')!=='{number}')return location.replace(location.href)\
         }}catch{{await new Promise(done=>setTimeout(done,1000))}}}})()</script></html>\n"
    );
    Page { content_type: HTML, text }
}

/// Whether the client accepts HTML, as browsers do.
#[must_use]
pub(super) fn is_for_browsers(head: &RequestHead) -> bool {
    accepts(head, "text/html")
}

/// Removes terminal escape sequences, such as colours.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\x1b' => {
                // `[`, parameters, and a letter.
                _ = chars.find(char::is_ascii_alphabetic);
            }
            '\n' | '\t' => plain.push(char),
            char if char.is_control() => {}
            char => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::stack::{Frame, Stack};

    fn page(accept: &str) -> Page {
        let head = format!("GET /<script>?\u{1b}[2J HTTP/1.1\r\nAccept: {accept}\r\n\r\n");
        let stack = Stack::new(vec![Frame::new("app::<impl \"x\">".into(), Some("a.rs:7".into()))]);
        let fault = Fault::Trap { reason: "</pre><script>alert('&')</script>\u{1b}".into(), stack };
        debug("500 Internal Server Error", &fault, 7, &RequestHead::new(Bytes::from(head)))
    }

    #[test]
    fn a_browser_gets_html_in_which_handler_and_client_text_is_escaped() {
        let page = page("text/html,application/xhtml+xml,*/*;q=0.8");
        assert_eq!(page.content_type, "text/html; charset=utf-8");
        assert!(!page.text.contains("<script>") && !page.text.contains('\u{1b}'), "{}", page.text);
        assert!(page.text.contains("&lt;script&gt;alert(&#39;&amp;&#39;)"), "{}", page.text);
        assert!(page.text.contains("at app::&lt;impl &quot;x&quot;&gt; (a.rs:7)"), "{}", page.text);
    }

    #[test]
    fn text_is_escaped_for_its_format_and_only_once() {
        let fault = Fault::Exception("C:\\temp \u{1}\u{9b}".into());
        let page = |accept: &str| {
            let head = format!("GET /\\ HTTP/1.1\r\nAccept: {accept}\r\n\r\n");
            debug("500 Internal Server Error", &fault, 7, &RequestHead::new(Bytes::from(head))).text
        };
        assert!(page("*/*").contains("exception: C:\\\\temp \\x01\\u{9b}\nGET /\\\\ HTTP/1.1"), "{}", page("*/*"));
        assert!(page("text/html").contains(": C:\\temp \\x01\\u{9b}<"), "{}", page("text/html"));
        let object: serde_json::Value = serde_json::from_str(&page("application/json")).expect("valid JSON");
        assert_eq!(
            (&object["reason"], &object["request"]),
            (&"C:\\temp \u{1}\u{9b}".into(), &"GET /\\ HTTP/1.1".into())
        );
    }

    #[test]
    fn json_is_sent_on_request_and_text_otherwise() {
        let json = page("application/json; q=1");
        let object: serde_json::Value = serde_json::from_str(&json.text).expect("valid JSON");
        assert_eq!(
            (json.content_type, &object["fault"], &object["exchange"]),
            ("application/json", &"trap".into(), &7.into())
        );
        let text = page("*/*");
        assert_eq!(text.content_type, TEXT);
        assert!(
            text.text.contains("\n  at app::<impl \"x\"> (a.rs:7)\nGET /<script>?\\x1b[2J HTTP/1.1 (exchange 7)\n")
        );
    }

    #[test]
    fn compiler_output_is_shown_escaped_and_without_colours() {
        let page = broken("\u{1b}[0m\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: `<b>` & \"\\n\"\n\u{7}</pre><script>", 7);
        assert!(
            page.text.contains("<pre>error: `&lt;b&gt;` &amp; &quot;\\n&quot;\n&lt;/pre&gt;&lt;script&gt;</pre>"),
            "{}",
            page.text
        );
        assert!(page.text.contains("'Wasmserve-Build':'7'"), "{}", page.text);
    }

    #[test]
    fn x1_the_public_page_reveals_nothing_about_the_handler() {
        let fault = Fault::Exception("secret".into());
        assert_eq!(
            public("500 Internal Server Error", &fault, 7).text,
            "500 Internal Server Error: the handler failed (exchange 7)\n"
        );
    }
}

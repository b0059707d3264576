//! What the client reads when an exchange fails: a line, or with `--debug` all that is known, in the form that it accepts.

use wasmserve_gateway::{escape::escape, request::RequestHead};

use crate::fault::Fault;

/// The body of an answer to a fault.
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

/// For anybody: nothing about the handler's inside.
#[must_use]
pub(super) fn public(status: &str, fault: &Fault, id: u64) -> Page {
    Page { content_type: TEXT, text: format!("{status}: {} (exchange {id})\n", fault.public_text()) }
}

/// For the one who writes the handler: the reason and the stack as well. In HTML for browsers, in JSON for who asks for it.
#[must_use]
pub(super) fn debug(status: &str, fault: &Fault, id: u64, head: &RequestHead) -> Page {
    let reason = escape(fault.to_string().as_bytes());
    let line = escape(head.line());
    let stack: Vec<String> = fault
        .stack()
        .map(|stack| stack.lines())
        .unwrap_or_default()
        .iter()
        .map(|line| escape(line.as_bytes()))
        .collect();
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
    let stack: String = stack.iter().map(|line| format!("  {line}\n")).collect();
    Page { content_type: TEXT, text: format!("{status}: {}: {reason}\n{stack}{line} (exchange {id})\n", fault.kind()) }
}

/// For the one who writes the handler, in a browser: why the newest one cannot be served. The page asks from then on whether
/// it is still so, and is loaded anew when it is not.
#[must_use]
pub(super) fn broken(words: &str, number: u64) -> Page {
    let words = html(&plain(words));
    let text = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>does not build</title>{STYLE}\
         <noscript><meta http-equiv=refresh content=2></noscript>\
         <h1>This handler does not build</h1><pre>{words}</pre>\
         <p>The page is loaded anew as soon as it does. Clients that are no browsers get the one before.</p>\
         <script>(async()=>{{for(;;)try{{\
         let answer=await fetch(location.href,{{method:'HEAD',headers:{{'Accept':'text/html','Wasmserve-Build':'{number}'}}}});\
         if(answer.headers.get('Wasmserve-Build')!=='{number}')return location.replace(location.href)\
         }}catch{{await new Promise(done=>setTimeout(done,1000))}}}})()</script></html>\n"
    );
    Page { content_type: HTML, text }
}

/// Whether what the client accepts is what a browser shows as a page.
#[must_use]
pub(super) fn is_for_browsers(head: &RequestHead) -> bool {
    accepts(head, "text/html")
}

/// Text without what it says to a terminal: its colours.
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

/// Whether the client names this type; who accepts anything gets text.
fn accepts(head: &RequestHead, content_type: &str) -> bool {
    head.values("accept").any(|value| {
        let mut types = value.split(|octet| *octet == b',');
        types.any(|one| {
            let one = one.split(|octet| *octet == b';').next().unwrap_or_default();
            one.trim_ascii().eq_ignore_ascii_case(content_type.as_bytes())
        })
    })
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::stack::{Frame, Stack};

    fn page(accept: &str) -> Page {
        let head = format!("GET /<script>?\u{1b}[2J HTTP/1.1\r\nAccept: {accept}\r\n\r\n");
        let stack = Stack::new(vec![Frame { function: "app::<impl \"x\">".into(), place: Some("a.rs:7".into()) }]);
        let fault = Fault::Trap { reason: "</pre><script>alert('&')</script>\u{1b}".into(), stack };
        debug("500 Internal Server Error", &fault, 7, &RequestHead::new(Bytes::from(head)))
    }

    #[test]
    fn a_browser_gets_html_in_which_nothing_of_the_handlers_or_the_clients_is_html() {
        let page = page("text/html,application/xhtml+xml,*/*;q=0.8");
        assert_eq!(page.content_type, "text/html; charset=utf-8");
        assert!(!page.text.contains("<script>") && !page.text.contains('\u{1b}'), "{}", page.text);
        assert!(page.text.contains("&lt;script&gt;alert(&#39;&amp;&#39;)"), "{}", page.text);
        assert!(page.text.contains("at app::&lt;impl &quot;x&quot;&gt; (a.rs:7)"), "{}", page.text);
    }

    #[test]
    fn json_is_for_who_asks_for_it_and_text_for_all_others() {
        let json = page("application/json; q=1");
        let object: serde_json::Value = serde_json::from_str(&json.text).expect("it is JSON");
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
    fn what_a_compiler_says_is_text_in_the_page_and_no_colour() {
        let page = broken("\u{1b}[0m\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: `<b>` & \"\\n\"\n\u{7}</pre><script>", 7);
        assert!(
            page.text.contains("<pre>error: `&lt;b&gt;` &amp; &quot;\\n&quot;\n&lt;/pre&gt;&lt;script&gt;</pre>"),
            "{}",
            page.text
        );
        assert!(page.text.contains("'Wasmserve-Build':'7'"), "{}", page.text);
    }

    #[test]
    fn x1_the_public_page_tells_nothing_of_the_handler() {
        let fault = Fault::Exception("secret".into());
        assert_eq!(
            public("500 Internal Server Error", &fault, 7).text,
            "500 Internal Server Error: the handler failed (exchange 7)\n"
        );
    }
}

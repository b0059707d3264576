//! Reloads pages in browsers when files change (`--live`): a script in each page waits for an event from the server.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::watch, time::timeout};
use wasmserve_gateway::{mounts::Mount, request::RequestHead, response::Writer};

/// Where the events come from, below the mount.
pub(super) const PATH: &str = "/__wasmserve/live";

/// How often a stream without events shows that it is alive, so that a client that has left is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What has changed so far: files in all directories that are served, and handlers beside them.
pub(crate) struct Changes {
    /// A random number for this run of the server: a page of an earlier one is out of date.
    run: u64,
    news: watch::Sender<News>,
}

/// The state of all changes.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    /// How many changes there were.
    count: u64,
    /// The last one that was more than a change of style sheets.
    last_of_pages: u64,
    /// Whether the server is stopping.
    is_stopping: bool,
}

/// A moment between two changes, as pages know it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Moment {
    run: u64,
    count: u64,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.run, self.count)
    }
}

impl Moment {
    fn parse(text: &[u8]) -> Option<Self> {
        let (run, count) = str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { run: u64::from_str_radix(run, 16).ok()?, count: count.parse().ok()? })
    }
}

impl Changes {
    /// The state before the first change.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { run: RandomState::new().hash_one(0), news: watch::Sender::default() }
    }

    /// Records a change, and wakes all pages.
    pub(crate) fn record(&self, only_styles: bool) {
        self.news.send_modify(|news| {
            news.count += 1;
            if !only_styles {
                news.last_of_pages = news.count;
            }
        });
    }

    /// Ends all streams of events, and those that begin later.
    pub(super) fn stop(&self) {
        self.news.send_modify(|news| news.is_stopping = true);
    }

    /// The script for a page at this mount, as an element.
    #[must_use]
    pub(super) fn script(&self, mount: &Mount) -> String {
        let mount = if mount.path().is_empty() { String::new() } else { mount.to_string() };
        let now = self.moment(*self.news.borrow());
        // A hidden page closes its stream, because browsers open only six connections to a server.
        format!(
            "\n<script>(()=>{{let events,since=\"{now}\";\
             const open=()=>{{events=new EventSource(\"{mount}{PATH}?since=\"+since);\
             events.onerror=()=>{{if(events.readyState===2)setTimeout(open,1000)}};\
             events.onmessage=event=>{{since=event.lastEventId;\
             if(event.data!==\"style\")return location.reload();\
             for(const old of document.querySelectorAll('link[rel~=\"stylesheet\"][href]')){{\
             const url=new URL(old.href);if(url.origin!==location.origin)continue;\
             url.searchParams.set(\"live\",since);const link=old.cloneNode();link.href=url;\
             link.onload=()=>old.remove();old.after(link)}}}}}};\
             document.addEventListener(\"visibilitychange\",()=>{{if(events)events.close();if(!document.hidden)open()}});\
             if(!document.hidden)open()}})()</script>\n"
        )
    }

    /// Sends an event for each change to a page until it leaves or the server stops.
    pub(super) async fn stream(&self, head: &RequestHead, writer: &mut Writer) {
        let fields =
            [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.into()));
        let is_head = head.method() == b"HEAD";
        let mut news = self.news.subscribe();
        // The browser knows better than the page for how long the stream has been going.
        let mut known = head
            .values("last-event-id")
            .next()
            .or_else(|| head.parts().query.strip_prefix(b"since="))
            .and_then(Moment::parse)
            .unwrap_or_else(|| self.moment(*news.borrow()));
        // These fail if the client has left.
        _ = writer.start("200 OK", fields.into(), None);
        let mut event = (!is_head).then(|| "retry: 500\n\n".to_owned());
        while let Some(text) = event {
            if writer.push(text.into()).is_err() || writer.space().await.is_err() {
                break;
            }
            event = self.next(&mut news, &mut known).await;
        }
        _ = writer.finish(Bytes::new());
    }

    /// Waits for the next text of a stream to a page that has the state of the moment `known`. Returns `None` when the
    /// server stops.
    async fn next(&self, news: &mut watch::Receiver<News>, known: &mut Moment) -> Option<String> {
        loop {
            let latest = *news.borrow_and_update();
            if latest.is_stopping {
                return None;
            }
            let now = self.moment(latest);
            if now != *known {
                let only_styles = known.run == self.run && latest.last_of_pages <= known.count;
                *known = now;
                return Some(format!("id: {now}\ndata: {}\n\n", if only_styles { "style" } else { "page" }));
            }
            if timeout(HEARTBEAT, news.changed()).await.is_err() {
                return Some(":\n\n".to_owned());
            }
        }
    }

    fn moment(&self, news: News) -> Moment {
        Moment { run: self.run, count: news.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_learns_what_has_changed_since_it_was_made() {
        let changes = Changes::new();
        let mut news = changes.news.subscribe();
        let start = Moment { run: changes.run, count: 0 };
        let mut next = async |mut known: Moment| {
            let text = changes.next(&mut news, &mut known).await;
            text.map(|text| text.rsplit("data: ").next().unwrap_or_default().trim().to_owned())
        };
        changes.record(true);
        assert_eq!(next(start).await.as_deref(), Some("style"));
        changes.record(false);
        assert_eq!(next(start).await.as_deref(), Some("page"), "a style and a page");
        changes.record(true);
        assert_eq!(next(Moment { count: 2, ..start }).await.as_deref(), Some("style"));
        assert_eq!(next(Moment { run: 1, count: 3 }).await.as_deref(), Some("page"), "an earlier run of the server");
        changes.stop();
        assert_eq!(next(Moment { count: 3, ..start }).await, None);
    }

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        let moment = Moment { run: u64::MAX, count: 7 };
        assert!(Moment::parse(moment.to_string().as_bytes()) == Some(moment));
        for wrong in ["", "-", "7", "g-1", "1-", "1--1", "\"", "1-1 "] {
            assert!(Moment::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}

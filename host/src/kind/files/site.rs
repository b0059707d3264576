//! Answers a request for a file or a directory: which one it is, and with what status, fields and body.

use std::{
    fmt::Write as _,
    fs::{File, Metadata},
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use wasmserve_gateway::{
    accept::accepts,
    field::{Field, is_value},
    mounts::Mount,
    request::RequestHead,
};

use super::{
    body::{Body, Part},
    conditions::{Validators, Verdict},
    copies,
    listing::Listing,
    media,
    path::{Wanted, with_slash},
    range::{self, Ranges, Span},
    reload::Changes,
    root::{Entry, Missing, Opened, Root},
};
use crate::base::options::FileOptions;

/// The files that stand for their directory.
const INDEXES: [&str; 2] = ["index.html", "index.htm"];

/// The page of a directory for what is not found in it.
const NOT_FOUND_PAGE: &str = "404.html";

/// Why a link is not followed.
const OUTSIDE: &str =
    "a link on this path leads out of the directory, and is not followed; mount its target with --mount PATH=files:DIR";

/// A request for a file.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The head.
    pub(super) head: RequestHead,
    /// Where the directory is mounted.
    pub(super) mount: Mount,
}

/// A response.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status line.
    pub(super) status: &'static str,
    /// The fields.
    pub(super) fields: Vec<Field>,
    /// The body, which is not sent in response to a HEAD.
    pub(super) body: Body,
    /// What the user of the server should know about it.
    pub(super) note: Option<&'static str>,
}

impl Answer {
    /// A response with a body, and its length, which a HEAD shows too.
    fn new(status: &'static str, body: Body) -> Self {
        let length = body.left().to_string();
        Self { body, ..Self::empty(status) }.with("Content-Length", length)
    }

    /// A response with a status that has no body.
    fn empty(status: &'static str) -> Self {
        Self { status, fields: Vec::new(), body: Body::of_bytes(""), note: None }
    }

    /// A response with a line of text.
    fn text(status: &'static str, what: &str) -> Self {
        let answer = Self::new(status, Body::of_bytes(format!("{status}: {what}\n")));
        answer.with("Content-Type", "text/plain; charset=utf-8")
    }

    fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().into()));
        self
    }
}

/// What a path leads to.
enum Found {
    /// A file, which may be the index of a directory, and its path.
    File(PathBuf, File, Metadata),
    /// A directory without an index, and its path.
    Directory(PathBuf, File),
    /// A directory, without the slash at the end of its path.
    WithoutSlash,
}

/// A directory and how it is served.
pub(super) struct Site {
    root: Root,
    options: FileOptions,
    /// The changes of its files, if pages reload.
    changes: Option<Arc<Changes>>,
}

impl Site {
    /// A site for an open root.
    #[must_use]
    pub(super) fn new(root: Root, options: FileOptions, changes: Option<Arc<Changes>>) -> Self {
        Self { root, options, changes }
    }

    /// The changes of its files, if pages reload.
    #[must_use]
    pub(super) fn changes(&self) -> Option<&Arc<Changes>> {
        self.changes.as_ref()
    }

    /// Answers a request. Blocks while it opens files and reads directories.
    ///
    /// # Errors
    ///
    /// The system cannot open or read something that is there.
    pub(super) fn answer(&self, request: &Request) -> io::Result<Answer> {
        let mut answer = match request.head.method() {
            b"GET" | b"HEAD" => self.get(request)?,
            b"OPTIONS" => self.options(&request.head),
            _ => {
                let answer = Answer::text("405 Method Not Allowed", "files can only be read");
                answer.with("Allow", "GET, HEAD, OPTIONS")
            }
        };
        if self.options.cors {
            answer = answer.with("Access-Control-Allow-Origin", "*").with("Access-Control-Expose-Headers", "*");
        }
        if !answer.fields.iter().any(|(name, _)| name == "Cache-Control") {
            answer = answer.with("Cache-Control", "no-cache");
        }
        Ok(answer.with("X-Content-Type-Options", "nosniff"))
    }

    fn options(&self, head: &RequestHead) -> Answer {
        let mut answer = Answer::empty("204 No Content").with("Allow", "GET, HEAD, OPTIONS");
        if !self.options.cors || head.values("access-control-request-method").next().is_none() {
            return answer;
        }
        answer = answer
            .with("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
            .with("Access-Control-Max-Age", "600")
            .with("Vary", "Access-Control-Request-Headers");
        // A `*` would not include Authorization.
        for names in head.values("access-control-request-headers").filter(|names| is_value(names)) {
            answer.fields.push(("Access-Control-Allow-Headers".to_owned(), names.to_vec()));
        }
        if head.values("access-control-request-private-network").any(|value| value == b"true") {
            answer = answer.with("Access-Control-Allow-Private-Network", "true");
        }
        answer
    }

    fn get(&self, Request { head, mount }: &Request) -> io::Result<Answer> {
        let parts = head.parts();
        let below = parts.path.get(mount.path().len()..).unwrap_or_default();
        let root = match self.root.open() {
            Ok(root) => root,
            Err(Missing::Failed(error)) => return Err(error),
            Err(_) => return Ok(Answer::text("404 Not Found", "the directory is not there")),
        };
        let found = Wanted::parse(below).ok_or(Missing::NotFound).and_then(|wanted| find(&root, &wanted));
        let listed = match found {
            Ok(Found::File(path, file, metadata)) => return self.file(&root, &path, file, &metadata, head, mount),
            Ok(Found::WithoutSlash) => {
                let answer = Answer::text("301 Moved Permanently", "directories end with a slash");
                return Ok(answer.with("Location", with_slash(parts.path, parts.query)));
            }
            Ok(Found::Directory(path, directory)) => {
                Listing::read(&root, &path, &directory, parts.query).map(|listing| (listing, path))
            }
            Err(why) => Err(why),
        };
        match listed {
            Ok((listing, path)) => Ok(self.listing(&listing, &path, head, mount)),
            Err(Missing::NotFound) => self.not_found(&root, head, mount),
            Err(Missing::Outside) => Ok(Answer { note: Some(OUTSIDE), ..self.not_found(&root, head, mount)? }),
            Err(Missing::Forbidden) => Ok(Answer::text("403 Forbidden", "the server may not read this file")),
            Err(Missing::Failed(error)) => Err(error),
        }
    }

    /// The index for a page of an application that does its own routing, else the page for what is not found, else a
    /// line of text.
    fn not_found(&self, root: &Opened<'_>, head: &RequestHead, mount: &Mount) -> io::Result<Answer> {
        let (index, page) = (Path::new(INDEXES[0]), Path::new(NOT_FOUND_PAGE));
        if self.options.spa
            && accepts(head, "text/html")
            && let Ok(Entry::File(file, metadata)) = root.entry(index)
        {
            return Ok(self.file(root, index, file, &metadata, head, mount)?.with("Vary", "Accept"));
        }
        if let Ok(Entry::File(file, metadata)) = root.entry(page) {
            let content_type = media::of(page, &file)?;
            let answer = self.whole(file, metadata.len(), &content_type, mount);
            return Ok(Answer { status: "404 Not Found", ..answer });
        }
        Ok(Answer::text("404 Not Found", "there is no file here"))
    }

    fn listing(&self, listing: &Listing, path: &Path, head: &RequestHead, mount: &Mount) -> Answer {
        let answer = |text: String, content_type| {
            Answer::new("200 OK", Body::of_bytes(text)).with("Content-Type", content_type).with("Vary", "Accept")
        };
        if accepts(head, "application/json") && !accepts(head, "text/html") {
            return answer(listing.json(), "application/json");
        }
        let script = self.changes.as_ref().map(|changes| changes.script(mount)).unwrap_or_default();
        answer(listing.page(mount, path, &script), "text/html; charset=utf-8")
    }

    /// The changes at which a file of this type reloads: a page does.
    fn reloads(&self, content_type: &str) -> Option<&Arc<Changes>> {
        self.changes.as_ref().filter(|_| content_type.starts_with("text/html"))
    }

    /// The whole file. A page that reloads ends with the script for that.
    fn whole(&self, file: File, length: u64, content_type: &str, mount: &Mount) -> Answer {
        let script = self.reloads(content_type).map(|changes| Part::Bytes(changes.script(mount).into()));
        let parts = [Part::Span(Span { start: 0, length })].into_iter().chain(script);
        Answer::new("200 OK", Body::of_file(file, parts)).with("Content-Type", content_type)
    }

    /// The file, or what the conditions, ranges and codings of the request make of it.
    fn file(
        &self,
        root: &Opened<'_>,
        path: &Path,
        file: File,
        metadata: &Metadata,
        head: &RequestHead,
        mount: &Mount,
    ) -> io::Result<Answer> {
        let content_type = media::of(path, &file)?;
        if self.reloads(&content_type).is_some() {
            // It is another page after each change of any file, so nothing of it can be kept or continued.
            return Ok(self.whole(file, metadata.len(), &content_type, mount).with("Cache-Control", "no-store"));
        }
        let (file, length, validators, coding) = match copies::best(root, path, metadata, head) {
            Some(copy) => {
                let validators = Validators::new(&copy.metadata, &format!("-{}", copy.coding));
                (copy.file, copy.metadata.len(), validators, Some(copy.coding))
            }
            None => (file, metadata.len(), Validators::new(metadata, ""), None),
        };
        let answer = match validators.evaluate(head) {
            Verdict::NotModified => Answer::empty("304 Not Modified"),
            Verdict::Failed => {
                Answer::text("412 Precondition Failed", "the file is not the version that was asked for")
            }
            Verdict::Send { range } => {
                let asked = head.values("range").collect::<Vec<_>>();
                let ranges = match &*asked {
                    [value] if range => range::parse(value, length),
                    _ => Ranges::Whole,
                };
                part(file, length, &content_type, coding, ranges)
            }
        };
        let mut answer = answer.with("Accept-Ranges", "bytes").with("Vary", "Accept-Encoding");
        answer.fields.extend(validators.fields());
        Ok(answer)
    }
}

/// Finds the file or the directory that a request wants.
fn find(root: &Opened<'_>, wanted: &Wanted) -> Result<Found, Missing> {
    match root.entry(&wanted.path)? {
        Entry::File(..) if wanted.is_dir => Err(Missing::NotFound),
        Entry::File(file, metadata) => Ok(Found::File(wanted.path.clone(), file, metadata)),
        Entry::Dir(_) if !wanted.is_dir => Ok(Found::WithoutSlash),
        Entry::Dir(directory) => {
            for index in INDEXES {
                let path = wanted.path.join(index);
                match root.entry(&path) {
                    Ok(Entry::File(file, metadata)) => return Ok(Found::File(path, file, metadata)),
                    Ok(Entry::Dir(_)) | Err(Missing::NotFound | Missing::Outside) => {}
                    Err(why) => return Err(why),
                }
            }
            Ok(Found::Directory(wanted.path.clone(), directory))
        }
    }
}

/// The parts of a file with this coding that a request wants (RFC 9110 section 15.3.7).
fn part(file: File, length: u64, content_type: &str, coding: Option<&str>, ranges: Ranges) -> Answer {
    let send = |file, status, span| {
        let answer = Answer::new(status, Body::of_file(file, [Part::Span(span)])).with("Content-Type", content_type);
        match coding {
            Some(coding) => answer.with("Content-Encoding", coding),
            None => answer,
        }
    };
    let parts = match ranges {
        Ranges::Parts(parts) => parts,
        Ranges::Whole => return send(file, "200 OK", Span { start: 0, length }),
        Ranges::Unsatisfiable => {
            let answer = Answer::text("416 Range Not Satisfiable", &format!("the file has {length} bytes"));
            return answer.with("Content-Range", format!("bytes */{length}"));
        }
    };
    match (&*parts, coding) {
        ([span], _) => send(file, "206 Partial Content", *span).with("Content-Range", span.content_range(length)),
        // The parts have a coding, but not the message that they are in, which no field can express.
        (_, Some(_)) => send(file, "200 OK", Span { start: 0, length }),
        (spans, None) => {
            let boundary = boundary();
            let mut body = Vec::new();
            for (at, span) in spans.iter().enumerate() {
                let mut head = String::from(if at == 0 { "" } else { "\r\n" });
                let range = span.content_range(length);
                _ = write!(head, "--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n");
                body.extend([Part::Bytes(head.into()), Part::Span(*span)]);
            }
            body.push(Part::Bytes(format!("\r\n--{boundary}--\r\n").into()));
            let answer = Answer::new("206 Partial Content", Body::of_file(file, body));
            answer.with("Content-Type", format!("multipart/byteranges; boundary={boundary}"))
        }
    }
}

/// A text that no file contains, because it is made now from random keys.
fn boundary() -> String {
    let keys = RandomState::new();
    format!("{:016x}{:016x}", keys.hash_one(0), keys.hash_one(1))
}

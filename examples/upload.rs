//! Receives a form with files of any size, part by part, so that memory use is constant. Stores the files if there is a
//! directory for them.
//!
//! Try it: open <http://127.0.0.1:8000/>, or `curl -F title=Report -F file=@report.pdf http://127.0.0.1:8000/`. To store
//! the files, create a directory and grant it: `wasmserve upload.rs --dir uploads::/uploads`.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use wasmserve_guest::prelude::*;

handler!(app);

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>Upload</title>
<form method=post enctype=multipart/form-data>
<input name=title placeholder=Title> <input type=file name=file multiple> <button>Send</button>
</form>
";

/// The longest field that is not a file, in bytes.
const FIELD_MAX: usize = 1 << 10;

fn app(environ: Environ) -> Result {
    match environ.method() {
        "GET" | "HEAD" => Ok(Response::html(PAGE)),
        "POST" => (201, receive(&environ, Path::new("/uploads"))?).into_response(),
        _ => Ok(Response::text("use GET or POST\n").with_status(405).with_header("Allow", "GET, HEAD, POST")),
    }
}

/// Reports what was received, one line for each part.
fn receive(environ: &Environ, directory: &Path) -> Result<String> {
    let mut report = String::new();
    let mut parts = environ.multipart()?;
    while let Some(mut part) = parts.next_part()? {
        let name = part.name().to_owned();
        let Some(file) = part.file_name().map(str::to_owned) else {
            report += &format!("{name:?} is {:?}\n", part.text(FIELD_MAX)?);
            continue;
        };
        // The name is a single one, so it cannot lead out of the directory. An existing file is not replaced.
        let mut store: Box<dyn Write> = match file.is_empty() || !directory.is_dir() {
            true => Box::new(io::sink()),
            false => Box::new(
                File::create_new(directory.join(&file))
                    .map_err(|error| Refusal::new(409, format!("{file:?} cannot be stored: {error}")))?,
            ),
        };
        let length = io::copy(&mut part, &mut store)?;
        report += &format!("{name:?} is the file {file:?} with {length} bytes\n");
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nReport\r\n\
        --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../a.txt\"\r\n\r\nhello\r\n--x--\r\n";

    fn post(content_type: &str, body: &str) -> testing::Answer {
        let environ = Environ::for_test([("REQUEST_METHOD", "POST"), ("CONTENT_TYPE", content_type)]);
        testing::call(validator(app), environ.with_input(body))
    }

    #[test]
    fn each_part_is_reported() {
        let answer = post("multipart/form-data; boundary=x", BODY);
        assert_eq!(answer.status, "201 Created");
        assert_eq!(answer.body, b"\"title\" is \"Report\"\n\"file\" is the file \"a.txt\" with 5 bytes\n");
        assert!(answer.log.is_empty());
    }

    #[test]
    fn other_bodies_are_refused() {
        assert_eq!(post("application/octet-stream", BODY).status, "415 Unsupported Media Type");
        assert_eq!(post("multipart/form-data; boundary=x", &BODY[..130]).status, "400 Bad Request");
        assert_eq!(post("multipart/form-data; boundary=y", BODY).status, "400 Bad Request");
    }

    #[test]
    fn a_browser_gets_a_form() {
        assert_eq!(testing::call(validator(app), Environ::for_test([])).body, PAGE.as_bytes());
    }
}

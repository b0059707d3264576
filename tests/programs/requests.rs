//! Sends a request to the query's `authority` through wasi:http, and answers with the status of the response.

use wasip2::http::{
    outgoing_handler,
    types::{Fields, OutgoingRequest, Scheme},
};
use wasmserve_guest::{Environ, Result, handler};

handler!(app);

fn app(environ: Environ) -> String {
    let query = environ.query();
    format!("{:?}", ask(query.get("authority").unwrap_or_default()).map_err(|error| error.to_string()))
}

fn ask(authority: &str) -> Result<u16> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).map_err(|()| "no such scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "no such authority")?;
    request.set_path_with_query(Some("/asked")).map_err(|()| "no such path")?;
    let answer = outgoing_handler::handle(request, None)?;
    answer.subscribe().block();
    let answer = answer.get().ok_or("no answer")?.map_err(|()| "an answer that was taken before")??;
    Ok(answer.status())
}

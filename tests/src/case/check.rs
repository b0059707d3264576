//! Runs a case on a connection.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    Answer, Case, Step,
    template::{Ends, shown},
    view::HandlerView,
};
use crate::{
    client::{Client, Close, End, Response},
    kind::Exceptions,
};

/// The request that a connection must still accept, and the one that must be ignored after a refused one.
const AGAIN: &str = "GET /again HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";

/// What the log must contain about an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The status in the access log.
    pub status: u16,
    /// Whether a handler has seen it.
    pub is_handled: bool,
}

impl Case {
    /// Runs the case against a server of the guest `tells_its_request`, in the words of some kind, on one new connection.
    /// Checks only the responses.
    ///
    /// # Errors
    ///
    /// A line for each difference from the file.
    pub fn check(&self, exceptions: &mut Exceptions, connect: impl FnOnce() -> Client) -> Result<(), String> {
        // The client panics if the server breaks the framing. That fails one case, and must not end the others.
        let problems = match catch_unwind(AssertUnwindSafe(|| self.talk(exceptions, &mut connect()))) {
            Ok(problems) => problems,
            Err(panic) => vec![format!("{}.case: {}", self.name, message(&*panic))],
        };
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    /// What the log must contain about this case, in order.
    pub fn logged(&self) -> impl Iterator<Item = Logged> {
        let answers = self.answers().filter(|answer| answer.status >= 200);
        let again = (!self.closes).then_some(Logged { status: 200, is_handled: true });
        answers.map(|answer| Logged { status: answer.status, is_handled: answer.is_handled }).chain(again)
    }

    /// Compares a request, as its handler sees it, with the claims. `ends` provides what no file can know.
    #[must_use]
    pub fn problems(
        &self,
        answer: &Answer,
        view: &HandlerView,
        ends: &Ends,
        exceptions: &mut Exceptions,
    ) -> Vec<String> {
        let at = |line| move |problem| format!("{}.case:{line}: {problem}", self.name);
        let mut problems: Vec<String> =
            view.problems(exceptions, &self.name).into_iter().map(at(answer.line)).collect();
        for claim in &answer.claims {
            problems.extend(view.check(claim, ends, exceptions, &self.name).err().map(at(claim.line)));
        }
        problems
    }

    fn talk(&self, exceptions: &mut Exceptions, client: &mut Client) -> Vec<String> {
        let mut problems = Vec::new();
        let mut has_ended = false;
        let mut steps = self.steps.iter().peekable();
        while let Some(step) = steps.next() {
            match step {
                Step::Send(bytes) => {
                    let is_in_doubt = matches!(steps.peek(), Some(Step::Receive(answer)) if answer.status >= 400);
                    let more = if is_in_doubt { SMUGGLED } else { "" };
                    // A server may close before it has read all of a request that it refuses.
                    _ = client.try_send([bytes, more.as_bytes()].concat());
                }
                Step::End => {
                    client.end();
                    has_ended = true;
                }
                Step::Receive(answer) => match self.receive(answer, exceptions, client) {
                    Ok(more) => problems.extend(more),
                    Err(problem) => {
                        problems.push(format!("{}.case:{}: {problem}", self.name, answer.line));
                        return problems;
                    }
                },
            }
        }
        if let Err(problem) = self.part(client, has_ended) {
            problems.push(format!("{}.case: {problem}", self.name));
        }
        problems
    }

    /// Checks the next response. The error is a reason to stop.
    fn receive(
        &self,
        answer: &Answer,
        exceptions: &mut Exceptions,
        client: &mut Client,
    ) -> Result<Vec<String>, String> {
        let expected = |got: &str| format!("expected {}, got {got}", answer.status);
        if answer.status < 200 {
            let head = client.head().ok_or_else(|| expected("the end of the connection"))?;
            return if head.status == answer.status { Ok(Vec::new()) } else { Err(expected(&format!("{head:?}"))) };
        }
        let response = client.try_response().ok_or_else(|| expected("the end of the connection"))?;
        if response.status != answer.status {
            return Err(expected(&format!("{response:?}")));
        }
        if response.end == End::Cut {
            return Err(format!("the response is cut: {response:?}"));
        }
        let mut problems = Vec::new();
        for (line, name, value) in &answer.fields {
            if !response.values(name).contains(&&**value) {
                problems
                    .push(format!("{}.case:{line}: expected `{name}: {value}`, got {:?}", self.name, response.head));
            }
        }
        if response.status >= 400 {
            let refusal = refusal(&response).err();
            problems.extend(refusal.map(|problem| format!("{}.case:{}: {problem}", self.name, answer.line)));
        } else if answer.is_handled {
            let view = HandlerView::parse(response.text())?;
            problems.extend(self.problems(answer, &view, &ends(client, &response), exceptions));
        }
        Ok(problems)
    }

    /// Checks what is left of the connection.
    fn part(&self, client: &mut Client, has_ended: bool) -> Result<(), String> {
        if !self.closes && !has_ended {
            client.send(AGAIN);
            match client.try_response() {
                Some(response) if response.status == 200 => {}
                Some(response) => return Err(format!("the response to the next request is {response:?}")),
                None => return Err("the connection is closed, and should accept another request".into()),
            }
        }
        match client.rest() {
            (rest, Close::Orderly) if rest.is_empty() => Ok(()),
            (rest, close) => {
                Err(format!("the last response is followed by {}, and the close is {close:?}", shown(&rest)))
            }
        }
    }
}

/// Rule X5: the form of a refusal.
fn refusal(response: &Response) -> Result<(), String> {
    let head = &response.head;
    let is_text = head.field("Content-Type").is_some_and(|text| text.starts_with("text/plain"));
    let is_right = is_text
        && !response.body.is_empty()
        && head.field("Date").is_some()
        && head.field("Content-Length").is_some()
        && head.field("Connection") == Some("close");
    if is_right {
        return Ok(());
    }
    Err(format!(
        "X5: a refusal must have a text/plain body, Date, Content-Length and `Connection: close`; got {response:?}"
    ))
}

fn ends(client: &Client, response: &Response) -> Ends {
    let stream = client.sender();
    let port = |addr: std::io::Result<std::net::SocketAddr>| addr.map_or(0, |addr| addr.port());
    Ends {
        server_port: port(stream.peer_addr()),
        client_port: port(stream.local_addr()),
        server: response.field("Server").unwrap_or_default().to_owned(),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the client panicked").to_owned()
}

//! Adds what happens in an exchange to its recording, if it is captured.

use crate::{
    capture::{record, time::micros},
    event::{
        Event, Listener,
        exchange::{End, Outcome},
    },
};

/// Adds what happens in exchanges to their recordings.
pub(crate) struct Recorder;

impl Listener for Recorder {
    fn on_event(&self, event: &Event<'_>) {
        match *event {
            Event::Begun(exchange) => {
                if let Some(recording) = &exchange.recording {
                    recording.begun(exchange.id);
                }
            }
            Event::Admitted(exchange) => {
                if let Some(recording) = &exchange.recording {
                    recording.admitted();
                }
            }
            Event::Started(exchange) => {
                if let Some(recording) = &exchange.recording {
                    recording.started();
                }
            }
            Event::HeadSent { exchange, .. } => {
                if let Some(recording) = &exchange.recording {
                    recording.responded();
                }
            }
            Event::Faulted { exchange, fault, .. } => {
                if let Some(recording) = &exchange.recording {
                    let stack = fault.stack().map(|stack| stack.lines()).unwrap_or_default();
                    recording.failed(fault.kind(), fault.to_string(), stack);
                }
            }
            Event::Ended { exchange, outcome } => {
                if let Some(recording) = &exchange.recording {
                    recording.ended(ended(outcome));
                }
            }
            _ => {}
        }
    }
}

fn ended(outcome: &Outcome) -> record::Outcome {
    record::Outcome {
        is_answered: outcome.end != End::Aborted,
        status: outcome.status,
        sent: outcome.sent,
        cpu: outcome.cpu.map(micros),
        memory: outcome.memory,
    }
}

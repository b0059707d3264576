//! One request to one response: the only room that sees every stage.

mod answer;
mod exchanges;
mod in_progress;
mod page;
mod reply;

pub(crate) use self::{
    answer::{Request, begin},
    exchanges::Exchanges,
    reply::Reply,
};

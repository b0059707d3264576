//! Takes one request to one response, through every stage in between.

mod answer;
mod exchanges;
mod in_progress;
mod page;
mod reply;
mod unparsed;

pub(crate) use self::{
    answer::{Request, begin},
    exchanges::Exchanges,
    reply::Reply,
    unparsed::Unparsed,
};

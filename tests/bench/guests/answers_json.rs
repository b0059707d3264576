//! Reads an order in JSON, and answers with its sum in JSON, like a typical API handler.

use serde::{Deserialize, Serialize};
use wasmserve_guest::{Environ, Response, Result, handler};

handler!(app);

#[derive(Deserialize)]
struct Order {
    customer: String,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    price: f64,
    count: u32,
}

#[derive(Serialize)]
struct Bill {
    customer: String,
    names: Vec<String>,
    total: f64,
}

fn app(environ: Environ) -> Result {
    let order: Order = serde_json::from_slice(&environ.input().read_all(1 << 20)?)?;
    let total = order.items.iter().map(|item| item.price * f64::from(item.count)).sum();
    let names = order.items.into_iter().map(|item| item.name).collect();
    let bill = serde_json::to_vec(&Bill { customer: order.customer, names, total })?;
    Ok(Response::new(200, [("Content-Type", "application/json")], bill))
}

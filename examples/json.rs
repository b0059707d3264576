//! Reads JSON and responds with JSON. A body of another type is a 415, a body that is not JSON is a 400, and JSON that is
//! not an order is a 422. The response explains the error.
//!
//! ```cargo
//! [dependencies]
//! serde = { version = "1", features = ["derive"] }
//! ```
//!
//! Try it: `curl --json '{"item": "tea", "count": 2}' http://127.0.0.1:8000/`

use serde::{Deserialize, Serialize};
use wasmserve_guest::prelude::*;

handler!(app);

#[derive(Deserialize)]
struct Order {
    item: String,
    #[serde(default = "one")]
    count: u32,
}

fn one() -> u32 {
    1
}

#[derive(Serialize)]
struct Receipt {
    item: String,
    total: u64,
}

fn app(environ: Environ) -> Result<(u16, Json<Receipt>)> {
    let order: Order = environ.json()?;
    let total = u64::from(order.count) * 3;
    Ok((201, Json(Receipt { item: order.item, total })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(content_type: &str, body: &str) -> testing::Answer {
        let environ = Environ::for_test([("REQUEST_METHOD", "POST"), ("CONTENT_TYPE", content_type)]).with_input(body);
        let answer = testing::call(validator(app), environ);
        assert!(answer.log.is_empty(), "{answer:?}");
        answer
    }

    #[test]
    fn an_order_gets_a_receipt() {
        let answer = post("application/json", r#"{"item": "tea", "count": 2}"#);
        assert_eq!(answer.status, "201 Created");
        assert_eq!(answer.body, br#"{"item":"tea","total":6}"#);
        assert_eq!(post("application/json", r#"{"item": "tea"}"#).body, br#"{"item":"tea","total":3}"#);
    }

    #[test]
    fn the_client_learns_what_is_wrong_with_an_order() {
        assert_eq!(post("text/plain", "tea").status, "415 Unsupported Media Type");
        assert_eq!(post("application/json", "tea").status, "400 Bad Request");
        let answer = post("application/json", r#"{"count": 2}"#);
        assert_eq!(answer.status, "422 Unprocessable Content");
        assert_eq!(answer.body, b"the body is not the expected value: missing field `item` at line 1 column 12\n");
    }
}

//! Hello, World! as a CGI program: the same response as `examples/hello.rs`.
#![expect(clippy::print_stdout, reason = "that is how a CGI program answers")]

fn main() {
    print!("Content-Type: text/plain\nContent-Length: 14\n\nHello, World!\n");
}

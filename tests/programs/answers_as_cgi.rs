//! Answers as a CGI program, as its path says.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a CGI program answers on stdout")]

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    process, thread,
    time::Duration,
};

fn main() -> Result<(), String> {
    let path = env::var("PATH_INFO").unwrap_or_default();
    let query = env::var("QUERY_STRING").unwrap_or_default();
    let plain = || println!("Content-Type: text/plain\n");
    match &*path {
        "/prints-what-it-reads" => _ = io::copy(&mut io::stdin(), &mut io::stdout()),
        "/describes" => describe(),
        "/echoes" => {
            plain();
            io::copy(&mut io::stdin(), &mut io::stdout()).map_err(|error| error.to_string())?;
        }
        "/counts" => {
            let (count, length) = (read_all()?, env::var("CONTENT_LENGTH").unwrap_or_else(|_| "no length".into()));
            plain();
            print!("{count} of {length}");
        }
        "/reads" => {
            plain();
            print!("{} bytes", read_all()?);
        }
        "/reads-a-file" => {
            plain();
            print!("{:?}", fs::read_to_string(query));
        }
        "/connects" => {
            plain();
            print!("{:?}", TcpStream::connect(query).map(drop));
        }
        "/redirects" => print!("Location: {query}\n\nignored"),
        "/redirects-late" => {
            compute();
            println!("Location: {query}\n");
        }
        "/redirects-and-fails" => {
            println!("Location: /\n");
            process::exit(3);
        }
        "/redirects-to-itself" => println!("Location: {path}\n"),
        "/computes" => {
            plain();
            println!("one");
            compute();
            print!("two");
        }
        "/sleeps" => thread::sleep(Duration::from_secs(3600)),
        "/sleeps-in-the-body" => {
            plain();
            println!("some");
            thread::sleep(Duration::from_secs(3600));
        }
        "/spins" => spin(),
        "/spins-in-the-body" => {
            plain();
            println!("some");
            spin();
        }
        "/panics" => panic!("no coffee"),
        "/panics-in-the-body" => {
            plain();
            println!("some");
            panic!("no coffee");
        }
        "/exits" => process::exit(query.parse().unwrap_or_default()),
        "/exits-in-the-body" => {
            plain();
            println!("some");
            process::exit(query.parse().unwrap_or_default());
        }
        "/fails" => return Err("no luck".into()),
        "/fails-in-the-body" => {
            plain();
            println!("some");
            return Err("no luck".into());
        }
        "/fills-memory" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1_u8; 1 << 20]);
            }
        }
        "/prints-nothing" => eprintln!("nothing to say"),
        "/writes-less-than-declared" => print!("Content-Length: 10\n\nsome\n"),
        "/writes-more-than-declared" => print!("Content-Length: 5\n\nsome\nmore\n"),
        "/writes-forever" => {
            plain();
            let chunk = [b'x'; 8192];
            while io::stdout().write_all(&chunk).is_ok() {}
            eprintln!("stdout is closed");
        }
        "/writes-much" => {
            plain();
            let line = [b'x'; 1000];
            for _ in 0..1000 {
                io::stdout().write_all(&line).map_err(|error| error.to_string())?;
            }
        }
        _ => {
            plain();
            print!(
                "{} {}",
                env::var("REQUEST_METHOD").unwrap_or_default(),
                env::var("REQUEST_URI").unwrap_or_default()
            );
        }
    }
    Ok(())
}

/// Prints the arguments and the variables.
fn describe() {
    println!("Content-Type: text/plain\n");
    for (number, argument) in env::args().enumerate() {
        println!("argument {number}: {argument}");
    }
    let mut variables: Vec<_> = env::vars().collect();
    variables.sort();
    for (name, value) in variables {
        println!("{name}={value}");
    }
}

fn read_all() -> Result<usize, String> {
    let mut all = Vec::new();
    io::stdin().read_to_end(&mut all).map_err(|error| error.to_string())
}

/// Computes for longer than output is held.
fn compute() {
    for number in 0..20_000_000_u64 {
        std::hint::black_box(number);
    }
}

fn spin() -> ! {
    loop {
        std::hint::black_box(0);
    }
}

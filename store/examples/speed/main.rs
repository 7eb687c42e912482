//! What operations cost, printed. `cargo run --release -p store --example speed -- WHAT`:
//!
//! - nothing: single operations, by the clock
//! - `octets`: the octets that reach the disk for an octet of mail
//! - `limits`: durable deliveries beside what the disk can do and beside the Maildir pattern; deliveries and flag changes together
//! - `large [MESSAGES [USERS [CELLS]]]`: one large mailbox, many users, many directory cells
//!
//! Files are made in the folder for temporary files (`TMPDIR`), so put that on the disk in question.

#[path = "../../tests/common/mod.rs"]
mod common;
mod figures;
mod large;
mod limits;
mod machine;
mod octets;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        None => figures::run(),
        Some("octets") => octets::run(),
        Some("limits") => limits::run(),
        Some("large") => large::run(&arguments[1..]),
        Some(other) => {
            eprintln!("there is no {other:?}; the head of main.rs says what there is");
            std::process::exit(1);
        }
    }
}

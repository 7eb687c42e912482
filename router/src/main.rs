//! Owns the listening sockets and hands each connection to a handler.

fn main() {}

//! The verbs of `lode` as a user types them, against a store of their own and without daemons. What is asserted is what is printed, where, and
//! the exit code.

mod config;
mod deliver;
mod demo;
mod export;
mod import;
mod installation;
mod mailboxes;
mod users;

//! What commands and replies are made of: one file per kind of thing, each with its type, its parser and, where replies
//! contain it, its printer.

pub mod cursor;
pub mod date;
pub mod flag;
pub mod mailbox_name;
pub mod name_encoding;
pub mod section;
pub mod sequence_set;
pub mod string;

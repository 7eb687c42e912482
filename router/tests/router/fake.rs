//! A handler that greets with `handler H generation G cell C` and echoes lines. Its mode is read from a file when it
//! starts, so that a test can change what the next one does.

use shm_abi::{
    Accepted, CellState, Channel, Connection, FromHandler, HandlerState, Heartbeat, Hello, ReceiveError,
    Table, ToHandler,
};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, process, thread};

/// Names the folder with the mode file.
pub(crate) const FOLDER: &str = "LODE_FAKE_HANDLER";

struct Fake {
    table: Table,
    hello: Hello,
    mode: String,
    sender: Channel,
    folder: PathBuf,
    clients: Mutex<Vec<TcpStream>>,
}

/// Not a test: does nothing unless the router started it.
#[test]
fn handler() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    if std::env::var_os("LODE_CHANNEL_FD").is_none() {
        return;
    }
    let mode = fs::read_to_string(folder.join("mode")).unwrap_or_default();
    let mut channel = Channel::from_environment("LODE_CHANNEL_FD").expect("a channel");
    assert_eq!(std::env::var("LODE_CHANNEL_FD").as_deref(), Ok("3"));
    let first = channel.receive::<ToHandler>().expect("a hello");
    let ToHandler::Hello(hello) = first.record else { panic!("not a hello") };
    assert_eq!(first.descriptors.len(), hello.eventfds as usize);
    match mode.as_str() {
        "die" => process::exit(3),
        "hang" => loop {
            thread::park();
        },
        _ => {}
    }
    let table = Table::open(&hello.table).expect("the table");
    let row = table.handler(hello.handler);
    assert_eq!(row.generation(), hello.generation);
    row.set_state(HandlerState::Serving);
    assert!(table.post_start(hello.handler));
    let sender = Channel::new(channel.as_fd().try_clone_to_owned().unwrap());
    sender.send(&FromHandler::Ready, &[]).unwrap();
    let fake = Arc::new(Fake { table, hello, mode, sender, folder, clients: Mutex::default() });
    let heart = fake.clone();
    thread::spawn(move || heart.beat());
    loop {
        match channel.receive::<ToHandler>() {
            Ok(incoming) => match incoming.record {
                ToHandler::Connection(connection) => {
                    fake.take(connection, incoming.descriptors.into_iter().next().expect("a socket"));
                }
                ToHandler::Shutdown { .. } if fake.mode == "stubborn" => {}
                ToHandler::Shutdown { .. } => {
                    for client in fake.clients.lock().unwrap().iter_mut() {
                        let _ = client.write_all(b"* BYE\r\n");
                    }
                    process::exit(0);
                }
                ToHandler::Reload { settings_text } => {
                    fs::write(fake.folder.join("reloaded"), settings_text).unwrap();
                }
                ToHandler::Hello(_) => panic!("a second hello"),
                // A fake has no session that could be released, traced or ended by name.
                _ => {}
            },
            Err(ReceiveError::Closed) if fake.mode == "orphan" => loop {
                thread::park();
            },
            Err(_) => process::exit(0),
        }
    }
}

impl Fake {
    fn beat(&self) {
        let row = self.table.handler(self.hello.handler);
        // Every beat is another, as long as there are any.
        for beat in 1.. {
            if self.mode != "still" || beat == 1 {
                row.beat(Heartbeat::Poll, beat);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn take(self: &Arc<Fake>, connection: Connection, socket: OwnedFd) {
        if self.mode == "silent" {
            // Has it and says nothing.
            std::mem::forget(socket);
            return;
        }
        let (handler, cell, generation) = (self.hello.handler, connection.cell, connection.generation);
        self.table.cell(handler, cell, generation).expect("the cell").set_state(CellState::Parked);
        self.sender.send(&FromHandler::Accepted(Accepted { cell, generation }), &[]).unwrap();
        // A unix stream reads and writes as well through this type.
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(false).unwrap();
        let fake = self.clone();
        thread::spawn(move || {
            fake.converse(&stream, cell);
            drop(stream);
            fake.table.free(handler, cell, generation);
            if fake.table.queue_waiting() {
                let _ = fake.sender.send(&FromHandler::Room, &[]);
            }
        });
    }

    fn converse(&self, mut stream: &TcpStream, cell: u32) {
        if self.mode != "quick" {
            self.clients.lock().unwrap().push(stream.try_clone().unwrap());
        }
        let greeting =
            format!("handler {} generation {} cell {cell}\r\n", self.hello.handler, self.hello.generation);
        if stream.write_all(greeting.as_bytes()).is_err() {
            return;
        }
        for line in BufReader::new(stream).lines() {
            match line {
                Ok(line) if line != "QUIT" => {
                    if stream.write_all(format!("{line}\r\n").as_bytes()).is_err() {
                        return;
                    }
                }
                _ => break,
            }
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

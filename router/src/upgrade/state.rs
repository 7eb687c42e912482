//! What a router leaves to the program that takes its place in the same process: records in a memfd, and descriptors by their numbers.
//!
//! ```text
//! memfd: (u32 length, record)…     Head, Listener…, Handler…, OnItsWay…, Kept…, Queued…, End
//! ```
//!
//! Both programs have the same records: the head begins with a hash of this file's code, and a program that has another refuses.
//! Nothing here owns a descriptor: the numbers are owned by who writes until it is another program, and by who reads once it has read all.

use serde::{Deserialize, Serialize};
use shm_abi::{
    BootKey, Endpoint, Parked, Process, Protocol, SessionInfo, TlsFacts, ToHandler, decode, encode,
    hash_of_code,
};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::os::fd::RawFd;
use std::path::PathBuf;

/// A hash of the records.
const FORMAT: u64 = hash_of_code(0xcbf2_9ce4_8422_2325, include_bytes!("state.rs"));
/// The longest record, in octets: a session with all that is parked of it and its input.
const RECORD_OCTETS_MAX: u32 = 1 << 20;

/// What there is one of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Head {
    /// A hash of the records, see [`Head::of_this_format`].
    pub(super) format: u64,
    pub(crate) table: String,
    pub(crate) settings_path: PathBuf,
    pub(crate) settings_text: String,
    /// The program of handlers, should the old router have to go on.
    pub(crate) handler_program: PathBuf,
    /// Where the router's program is found.
    pub(crate) router_program: PathBuf,
    pub(crate) boot_key: BootKey,
    pub(crate) pid_file: RawFd,
    pub(crate) control: RawFd,
    pub(crate) rejoin: RawFd,
    pub(crate) eventfds: Vec<RawFd>,
}

/// A connection, or a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClientState {
    pub(crate) socket: RawFd,
    pub(crate) protocol: Protocol,
    pub(crate) peer: Endpoint,
    pub(crate) local: Endpoint,
    pub(crate) attempts: u32,
    pub(crate) suspicions: u32,
    pub(crate) is_compressed: bool,
    pub(crate) tls: Option<TlsFacts>,
    pub(crate) is_at_handshake: bool,
    pub(crate) resume: Option<ResumeState>,
}

/// What a handler needs to go on with a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ResumeState {
    pub(crate) session: SessionInfo,
    pub(crate) parked: Parked,
    pub(crate) annex: Option<String>,
    pub(crate) input: Vec<u8>,
    pub(crate) target: Option<u32>,
}

/// One record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Item {
    /// The first.
    Head(Head),
    /// A listening socket.
    Listener { socket: RawFd, service: String, address: String, is_of_unit: bool },
    /// A running handler.
    Handler {
        handler: u32,
        generation: u32,
        pid: u32,
        start_ticks: u64,
        pidfd: RawFd,
        channel: RawFd,
        draining: bool,
        condemned: bool,
        outbox: Vec<ToHandler>,
    },
    /// A connection that a handler has not acknowledged.
    OnItsWay { handler: u32, cell: u32, generation: u32, client: ClientState },
    /// The socket of a session that a handler has.
    Kept { handler: u32, cell: u32, generation: u32, target: Option<u32>, client: ClientState },
    /// A connection that waits for room, or a session that waits for a handler.
    Queued(ClientState),
    /// The last: everything is there.
    End,
}

impl Item {
    /// The process in a record of a handler.
    pub(crate) fn process(pid: u32, start_ticks: u64) -> Process {
        Process { pid, start_ticks }
    }
}

impl Head {
    /// A head of this program's format.
    pub(crate) fn of_this_format(self) -> Head {
        Head { format: FORMAT, ..self }
    }
}

/// Writes records in place of what is in the file.
pub(crate) fn write(file: &mut File, items: &[Item]) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("cannot write the state for the new program: {error}");
    file.set_len(0).and_then(|()| file.rewind()).map_err(fault)?;
    let mut out = BufWriter::new(&*file);
    for item in items.iter().chain([&Item::End]) {
        let octets =
            encode(item).map_err(|error| format!("cannot encode the state for the new program: {error}"))?;
        out.write_all(&(octets.len() as u32).to_ne_bytes()).map_err(fault)?;
        out.write_all(&octets).map_err(fault)?;
    }
    out.flush().map_err(fault)?;
    drop(out);
    file.rewind().map_err(fault)
}

/// Reads all records, from the beginning of the file to the last.
pub(crate) fn read(file: File) -> Result<(Head, Vec<Item>), String> {
    let cut = |error: std::io::Error| format!("the state of the running router cannot be read: {error}");
    let mut source = BufReader::new(file);
    let mut items = Vec::new();
    let mut head = None;
    loop {
        let mut length = [0; 4];
        source.read_exact(&mut length).map_err(cut)?;
        let length = u32::from_ne_bytes(length);
        if length > RECORD_OCTETS_MAX {
            return Err("the state of the running router has a record that is too long".into());
        }
        let mut octets = vec![0; length as usize];
        source.read_exact(&mut octets).map_err(cut)?;
        let item = decode::<Item>(&octets);
        match (item, &head) {
            (Ok(Item::Head(found)), None) if found.format == FORMAT => head = Some(found),
            (_, None) => {
                return Err("the running router is of a release whose state this program cannot read".into());
            }
            (Ok(Item::End), Some(_)) => break,
            (Ok(item), Some(_)) => items.push(item),
            (Err(error), Some(_)) => {
                return Err(format!("the state of the running router cannot be read: {error}"));
            }
        }
    }
    head.map(|head| (head, items)).ok_or_else(|| "the state of the running router is empty".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            format: 0,
            table: "/lode-x".into(),
            settings_path: "/x".into(),
            settings_text: String::new(),
            handler_program: "/h".into(),
            router_program: "/r".into(),
            boot_key: BootKey([7; 32]),
            pid_file: 5,
            control: 6,
            rejoin: 7,
            eventfds: vec![8, 9],
        }
    }

    fn client() -> ClientState {
        let end = Endpoint::Unix { pid: 1, uid: 2 };
        ClientState {
            socket: 11,
            protocol: Protocol::Imap,
            peer: end,
            local: end,
            attempts: 1,
            suspicions: 0,
            is_compressed: true,
            tls: None,
            is_at_handshake: false,
            resume: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut file = tempfile().unwrap();
        let kept = Item::Kept { handler: 1, cell: 2, generation: 3, target: Some(4), client: client() };
        let items = [Item::Head(head().of_this_format()), Item::Queued(client()), kept];
        // Twice: the second replaces the first.
        write(&mut file, &items).unwrap();
        write(&mut file, &items[..2]).unwrap();
        let (read_head, read_items) = read(file).unwrap();
        assert_eq!((read_head.table.as_str(), read_head.eventfds.len()), ("/lode-x", 2));
        assert!(
            matches!(&read_items[..], [Item::Queued(client)] if client.is_compressed && client.socket == 11)
        );
    }

    #[test]
    fn another_format_and_half_a_state_are_refused() {
        let mut file = tempfile().unwrap();
        write(&mut file, &[Item::Head(head())]).unwrap();
        assert!(read(file).unwrap_err().contains("of a release"));
        let mut file = tempfile().unwrap();
        write(&mut file, &[Item::Head(head().of_this_format()), Item::Queued(client())]).unwrap();
        let whole = file.metadata().unwrap().len();
        for length in [0, 3, 40, whole - 1] {
            let copy = tempfile().unwrap();
            std::io::copy(&mut (&file).take(length), &mut (&copy)).unwrap();
            (&copy).rewind().unwrap();
            file.rewind().unwrap();
            assert!(read(copy).is_err(), "{length}");
        }
    }

    fn tempfile() -> Result<File, String> {
        super::super::memory_file()
    }
}

//! What a server is made of: new, or taken over from the program that ran before (`upgrade/`).

use crate::control::Control;
use crate::escrow::Escrow;
use crate::handlers::Running;
use crate::listen::Listener;
use crate::pid_file::PidFile;
use crate::queue::Queue;
use crate::rejoin::Rejoin;
use config::Settings;
use shm_abi::{BootKey, Table};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The parts.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) settings_path: PathBuf,
    pub(crate) settings: Settings,
    /// The program of handlers.
    pub(crate) program: PathBuf,
    /// The router's program, as it is found on disk.
    pub(crate) router_program: PathBuf,
    pub(crate) table: Table,
    pub(crate) boot_key: BootKey,
    pub(crate) pid_file: PidFile,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) control: Control,
    pub(crate) rejoin: Rejoin,
    /// One for each row, or none yet.
    pub(crate) eventfds: Vec<OwnedFd>,
    /// By row.
    pub(crate) handlers: Vec<Option<Running>>,
    pub(crate) escrow: Escrow,
    pub(crate) queue: Queue,
}

impl Parts {
    /// Those of a server that begins, with the sockets of tools and handlers made.
    pub(crate) fn new(
        settings_path: PathBuf,
        settings: Settings,
        program: PathBuf,
        table: Table,
        pid_file: PidFile,
        listeners: Vec<Listener>,
    ) -> Result<Parts, String> {
        let runtime_dir = &settings.runtime.dir;
        let control =
            Control::open(runtime_dir).map_err(|error| format!("cannot make the control socket: {error}"))?;
        let rejoin = Rejoin::open(runtime_dir)
            .map_err(|error| format!("cannot make the socket for handlers: {error}"))?;
        let router_program =
            std::env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
        let mut key = [0; 32];
        File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut key))
            .map_err(|error| format!("cannot read /dev/urandom: {error}"))?;
        let rows = table.limits().handlers as usize;
        Ok(Parts {
            settings_path,
            settings,
            program,
            router_program,
            table,
            boot_key: BootKey(key),
            pid_file,
            listeners,
            control,
            rejoin,
            eventfds: Vec::new(),
            handlers: (0..rows).map(|_| None).collect(),
            escrow: Escrow::default(),
            queue: Queue::default(),
        })
    }
}

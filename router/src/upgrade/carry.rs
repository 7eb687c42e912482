//! Between a router at work and the records of its state: both ways.

use super::state::{ClientState, Head, Item, ResumeState};
use crate::adoption::Resume;
use crate::client::Client;
use crate::control::Control;
use crate::escrow::Escrow;
use crate::handlers::{InFlight, Running};
use crate::listen::{Listener, Service};
use crate::parts::Parts;
use crate::pid_file::PidFile;
use crate::process::HandlerProcess;
use crate::queue::Queue;
use crate::rejoin::Rejoin;
use crate::server::Server;
use crate::{spawn, time};
use config::Settings;
use shm_abi::{Channel, Table, inherited};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

impl Server {
    /// Everything that the next program needs, and the descriptors that must stay open for it.
    pub(super) fn items(&self) -> (Vec<Item>, Vec<BorrowedFd<'_>>) {
        let mut bag = Bag::default();
        let head = Head {
            format: 0,
            table: self.table.name().to_string(),
            settings_path: self.settings_path.clone(),
            settings_text: self.settings.to_text(),
            handler_program: self.program.clone(),
            router_program: self.router_program.clone(),
            boot_key: self.boot_key.clone(),
            pid_file: bag.carry(self.pid_file.as_fd()),
            control: bag.carry(self.control.as_fd()),
            rejoin: bag.carry(self.rejoin.as_fd()),
            eventfds: self.eventfds.iter().map(|eventfd| bag.carry(eventfd.as_fd())).collect(),
        };
        bag.items.push(Item::Head(head.of_this_format()));
        for listener in &self.listeners {
            let item = Item::Listener {
                socket: bag.carry(listener.descriptor()),
                service: listener.service.name().to_string(),
                address: listener.address.to_string(),
                is_of_unit: listener.is_of_unit,
            };
            bag.items.push(item);
        }
        for (handler, running) in (0..).zip(&self.handlers) {
            let Some(running) = running else { continue };
            let identity = running.process.identity();
            let item = Item::Handler {
                handler,
                generation: running.generation,
                pid: identity.pid,
                start_ticks: identity.start_ticks,
                pidfd: bag.carry(running.process.as_fd()),
                channel: bag.carry(running.channel.as_fd()),
                draining: running.draining,
                condemned: running.condemned,
                outbox: running.outbox.clone(),
            };
            bag.items.push(item);
            for (&cell, on_its_way) in &running.in_flight {
                let client = bag.client(&on_its_way.client);
                let generation = on_its_way.generation;
                bag.items.push(Item::OnItsWay { handler, cell, generation, client });
            }
        }
        for (handler, cell, kept) in self.escrow.iter() {
            let client = bag.client(&kept.client);
            let (generation, target) = (kept.generation, kept.target);
            bag.items.push(Item::Kept { handler, cell, generation, target, client });
        }
        for client in self.queue.iter() {
            let client = bag.client(client);
            bag.items.push(Item::Queued(client));
        }
        (bag.items, bag.descriptors)
    }
}

#[derive(Default)]
struct Bag<'a> {
    items: Vec<Item>,
    descriptors: Vec<BorrowedFd<'a>>,
}

impl<'a> Bag<'a> {
    fn carry(&mut self, descriptor: BorrowedFd<'a>) -> RawFd {
        self.descriptors.push(descriptor);
        descriptor.as_raw_fd()
    }

    fn client(&mut self, client: &'a Client) -> ClientState {
        ClientState {
            socket: self.carry(client.socket.as_fd()),
            protocol: client.protocol,
            peer: client.peer,
            local: client.local,
            attempts: client.attempts,
            suspicions: client.suspicions,
            is_compressed: client.is_compressed,
            tls: client.tls,
            is_at_handshake: client.is_at_handshake,
            resume: client.resume.as_deref().map(|resume| ResumeState {
                session: resume.session.clone(),
                parked: resume.parked.clone(),
                annex: resume.annex.clone(),
                input: resume.input.clone(),
                target: resume.target,
            }),
        }
    }
}

/// The parts of the server that the state describes, now this program's. `is_old`: this is the program that wrote the state.
pub(crate) fn claim(head: Head, items: Vec<Item>, is_old: bool) -> Result<Parts, String> {
    let settings =
        Settings::parse(&head.settings_text, &head.settings_path).map_err(|error| error.to_string())?;
    let table = Table::take_over(&head.table).map_err(|error| error.to_string())?;
    let program = if is_old { head.handler_program } else { spawn::find_program("handler")? };
    let runtime_dir = settings.runtime.dir.clone();
    let eventfds = head.eventfds.into_iter().map(own).collect::<Result<Vec<_>, _>>()?;
    let rows = table.limits().handlers as usize;
    let mut parts = Parts {
        settings_path: head.settings_path,
        settings,
        program,
        router_program: head.router_program,
        table,
        boot_key: head.boot_key,
        pid_file: PidFile::inherited(own(head.pid_file)?, &runtime_dir)?,
        listeners: Vec::new(),
        control: Control::inherited(own(head.control)?, &runtime_dir),
        rejoin: Rejoin::inherited(own(head.rejoin)?, &runtime_dir),
        eventfds,
        handlers: (0..rows).map(|_| None).collect(),
        escrow: Escrow::default(),
        queue: Queue::default(),
    };
    let now_ms = time::now_ms();
    for item in items {
        match item {
            Item::Head(_) | Item::End => {}
            Item::Listener { socket, service, address, is_of_unit } => {
                let service =
                    Service::named(&service).ok_or_else(|| format!("there is no service {service}"))?;
                let address = address.parse().map_err(|error| format!("the address {address}: {error}"))?;
                let listener = Listener::given(service, address, own(socket)?, is_of_unit);
                parts.listeners.push(listener.map_err(|error| format!("a listening socket: {error}"))?);
            }
            Item::Handler {
                handler,
                generation,
                pid,
                start_ticks,
                pidfd,
                channel,
                draining,
                condemned,
                outbox,
            } => {
                let process = HandlerProcess::carried(Item::process(pid, start_ticks), own(pidfd)?);
                let channel = Channel::new(own(channel)?);
                let running = Running {
                    draining,
                    condemned,
                    outbox,
                    ..Running::new(process, channel, generation, now_ms)
                };
                *row(&mut parts.handlers, handler)? = Some(running);
            }
            Item::OnItsWay { handler, cell, generation, client } => {
                let client = client_of(client, now_ms)?;
                if let Some(running) = row(&mut parts.handlers, handler)? {
                    running.in_flight.insert(cell, InFlight { generation, client });
                }
            }
            Item::Kept { handler, cell, generation, target, client } => {
                parts.escrow.keep(handler, cell, generation, client_of(client, now_ms)?);
                if let Some(kept) = parts.escrow.get_mut(handler, cell, generation) {
                    kept.target = target;
                }
            }
            Item::Queued(client) => {
                let client = client_of(client, now_ms)?;
                match client.resume {
                    Some(_) => parts.queue.push_returning(client),
                    None => parts.queue.push(client),
                }
            }
        }
    }
    Ok(parts)
}

fn row(handlers: &mut [Option<Running>], handler: u32) -> Result<&mut Option<Running>, String> {
    handlers.get_mut(handler as usize).ok_or_else(|| format!("there is no row {handler} in the table"))
}

fn own(number: RawFd) -> Result<OwnedFd, String> {
    inherited(number).ok_or_else(|| format!("descriptor {number} is not open"))
}

fn client_of(state: ClientState, since_ms: u64) -> Result<Client, String> {
    let client = Client::new(own(state.socket)?, state.protocol, state.peer, state.local, since_ms);
    let resume = state.resume.map(|resume| {
        let ResumeState { session, parked, annex, input, target } = resume;
        Box::new(Resume { session, parked, annex, input, target })
    });
    Ok(Client {
        attempts: state.attempts,
        suspicions: state.suspicions,
        is_compressed: state.is_compressed,
        tls: state.tls,
        is_at_handshake: state.is_at_handshake,
        resume,
        ..client
    })
}

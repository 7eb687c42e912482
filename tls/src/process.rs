//! The life of the process: hello, certificates, threads, then connections until the router is gone and the last one over.

use std::error::Error;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use config::{Settings, Stamp, Tls};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::ServerConfig;
use shm_abi::{Channel, FromTls, Incoming, ReceiveError, ToTls};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use crate::certificates;
use crate::relays::{Beginning, Inbox, Relays, tell};

/// The environment variable with the number of the channel's descriptor.
const CHANNEL_VARIABLE: &str = "LODE_CHANNEL_FD";
/// How often the files of certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Stack of a relaying thread, in octets.
const STACK_OCTETS: usize = 512 * 1024;

/// The certificates in force, and how the files were when they were read.
struct Certificates {
    settings: Tls,
    stamps: Vec<Option<Stamp>>,
    config: Option<Arc<ServerConfig>>,
}

impl Certificates {
    /// Reads the files; what cannot be read leaves what is in force. Tells the router.
    fn load(&mut self, router: &Channel) {
        self.stamps = certificates::stamps(&self.settings);
        match certificates::load(&self.settings) {
            Ok(config) => {
                self.config = Some(config);
                tell(router, &FromTls::Ready, None);
            }
            Err(why) => tell(router, &FromTls::Unusable { why }, None),
        }
    }

    fn reload_if_changed(&mut self, router: &Channel) {
        if certificates::stamps(&self.settings) != self.stamps {
            self.load(router);
        }
    }
}

/// Serves until the router is gone and the last connection over. The program itself.
///
/// # Errors
/// What kept it from starting or serving, in words for the log.
pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    // Signals are the router's business; a terminal's Ctrl-C reaches this process, too.
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGUSR1] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let mut channel = Channel::from_environment(CHANNEL_VARIABLE)
        .ok_or("not started by a router: start `lode serve` instead of this program")?;
    let Incoming { record: ToTls::Hello { settings_path, settings_text }, .. } =
        channel.receive::<ToTls>().map_err(|error| error.to_string())?
    else {
        return Err("the router did not begin with a hello".into());
    };
    let settings_path = PathBuf::from(settings_path);
    let settings = Settings::parse(&settings_text, &settings_path)?;
    logging::begin_as("tls", settings.log.format.name(), &settings.log.levels());
    channel.set_nonblocking(true)?;
    let router = Arc::new(Channel::new(channel.as_fd().try_clone_to_owned()?));
    let mut certificates = Certificates { settings: settings.tls, stamps: Vec::new(), config: None };
    certificates.load(&router);
    let (inboxes, threads) = start_threads(&router)?;
    serve(&mut channel, &router, &settings_path, &mut certificates, &inboxes);
    for inbox in &inboxes {
        inbox.end();
    }
    for thread in threads {
        match thread.join() {
            Ok(ended) => ended?,
            Err(_) => return Err("a thread panicked".into()),
        }
    }
    Ok(())
}

type Threads = Vec<thread::JoinHandle<std::io::Result<()>>>;

fn start_threads(router: &Arc<Channel>) -> std::io::Result<(Vec<Arc<Inbox>>, Threads)> {
    let count = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut inboxes = Vec::with_capacity(count);
    let mut threads = Vec::with_capacity(count);
    for number in 0..count {
        let (relays, inbox) = Relays::new(Arc::clone(router))?;
        let named = thread::Builder::new().name(format!("relay-{number}")).stack_size(STACK_OCTETS);
        threads.push(named.spawn(move || relays.run())?);
        inboxes.push(inbox);
    }
    Ok((inboxes, threads))
}

/// Takes what the router says until it is gone.
fn serve(
    channel: &mut Channel,
    router: &Channel,
    settings_path: &Path,
    certificates: &mut Certificates,
    inboxes: &[Arc<Inbox>],
) {
    let mut looked = Instant::now();
    loop {
        let mut readable = [PollFd::new(router.as_fd(), PollFlags::POLLIN)];
        // Interrupted or not, receiving tells.
        let _ = poll(&mut readable, PollTimeout::from(5000u16));
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            certificates.reload_if_changed(router);
        }
        loop {
            match channel.receive::<ToTls>() {
                Ok(Incoming { record: ToTls::Secure { number, peer }, mut descriptors }) => {
                    let (Some(config), Some(socket)) = (&certificates.config, descriptors.pop()) else {
                        let why = "there is no certificate that can be used".to_owned();
                        tell(router, &FromTls::Failed { number, why }, None);
                        continue;
                    };
                    let inbox = &inboxes[number as usize % inboxes.len()];
                    inbox.give(Beginning { number, peer, socket, config: Arc::clone(config) });
                }
                Ok(Incoming { record: ToTls::Reload { settings_text }, .. }) => {
                    match Settings::parse(&settings_text, settings_path) {
                        Ok(settings) => {
                            logging::begin_as("tls", settings.log.format.name(), &settings.log.levels());
                            certificates.settings = settings.tls;
                            certificates.load(router);
                        }
                        Err(error) => logging::error!("settings-not-taken", why = error),
                    }
                }
                Ok(Incoming { record: ToTls::Hello { .. }, .. }) => logging::error!("second-hello"),
                Err(ReceiveError::DescriptorsLost(ToTls::Secure { number, .. })) => {
                    let why = "no descriptors left".to_owned();
                    tell(router, &FromTls::Failed { number, why }, None);
                }
                Err(ReceiveError::WouldBlock) => break,
                Err(ReceiveError::Closed) => return,
                Err(error) => {
                    logging::error!("receive-from-router", why = error);
                    return;
                }
            }
        }
    }
}

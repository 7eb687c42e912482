//! The Debian package on a machine of its own: the root file system of this one under an overlay, with its own processes, so that nothing
//! here is touched. It is installed, upgraded under a session that goes on, removed and purged. Needs root, dpkg and overlayfs.

use nix::unistd::geteuid;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tests::imap::Imap;
use tests::server::binary;
use tests::tool;

/// Ends the output of each command.
const END: &str = "==== end of output";

/// A shell in the other machine.
struct Machine {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Machine {
    /// `folder` is `/mnt` there. `None`, with a note, where such a machine cannot be made.
    fn start(folder: &Path) -> Option<Machine> {
        if !geteuid().is_root() {
            println!("skipped: needs root");
            return None;
        }
        for (name, package) in
            [("dpkg-deb", "dpkg"), ("unshare", "util-linux"), ("deb-systemd-helper", "init-system-helpers")]
        {
            tool::program(name, package)?;
        }
        let script = format!(
            "set -e; root=$(mktemp -d); mount -t tmpfs none $root; mkdir $root/upper $root/work $root/all
             mount -t overlay overlay -o lowerdir=/,upperdir=$root/upper,workdir=$root/work $root/all; cd $root/all
             mount -t proc proc proc; mount --bind {folder} mnt; mount -t tmpfs none run; mount --rbind /dev dev
             mount -t tmpfs none dev/shm; exec chroot . /bin/sh",
            folder = folder.display()
        );
        let mut shell = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", &script])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let (input, output) = (shell.stdin.take().expect("piped"), shell.stdout.take().expect("piped"));
        let mut machine = Machine { shell, input, output: BufReader::new(output) };
        if machine.run("true").is_none_or(|(code, _)| code != 0) {
            println!("skipped: overlayfs in a namespace is not allowed here");
            return None;
        }
        Some(machine)
    }

    /// Exit code and output of a command; `None` if the machine is gone.
    fn run(&mut self, command: &str) -> Option<(i32, String)> {
        writeln!(self.input, "( {command} ) </dev/null 2>&1; code=$?; echo; echo '{END}' $code").ok()?;
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.strip_prefix(END) {
                Some(code) => return Some((code.trim().parse().ok()?, said.trim().to_owned())),
                None => said.push_str(&line),
            }
        }
    }

    /// The output of a command that must succeed.
    fn ok(&mut self, command: &str) -> String {
        let (code, said) = self.run(command).expect("the machine is there");
        assert_eq!(code, 0, "{command}\n{said}");
        said
    }

    /// Whether a command succeeds.
    fn succeeds(&mut self, command: &str) -> bool {
        self.run(command).expect("the machine is there").0 == 0
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// A package of the programs that the tests run, as another version.
fn package(folder: &Path, version: &str) {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    build
        .args(["run", "--quiet", "--package", "xtask", "--", "deb", "--version", version])
        .arg("--programs")
        .arg(binary("lode").parent().expect("a folder"));
    let said = tool::run(build.arg("--out").arg(folder), b"", Duration::from_secs(600));
    assert!(said.success, "{}\n{}", said.text(), said.err);
}

/// Where the server in the machine speaks IMAP, once it does.
fn imap_address(machine: &mut Machine) -> SocketAddr {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (_, status) = machine.run("lode status").expect("the machine is there");
        let words: Vec<&str> = status.split_whitespace().collect();
        let found = words
            .windows(2)
            .find(|pair| pair[0] == "imap")
            .and_then(|pair| pair[1].trim_end_matches(',').parse().ok());
        if let Some(address) = found {
            return address;
        }
        let log = machine.ok("cat /var/log/lode-test || true");
        assert!(Instant::now() < deadline, "no server: {status}\n{log}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn installs_upgrades_and_goes() {
    let folder = tempfile::Builder::new().prefix("lode-package-").tempdir().expect("a folder");
    let Some(mut machine) = Machine::start(folder.path()) else { return };
    package(folder.path(), "0.1.0");
    package(folder.path(), "0.1.1");

    machine.ok("dpkg --install /mnt/lode_0.1.0_*.deb");
    assert_eq!(machine.ok("stat -c '%U %G %a' /var/lib/lode"), "lode lode 750");
    assert_eq!(
        machine.ok("stat -c '%U %G %a' /etc/lode /etc/lode/lode.toml"),
        "root lode 750\nroot lode 640"
    );
    machine.ok("lode config check");
    machine.ok(
        "test -s /usr/share/man/man1/lode-who.1.gz && test -s /usr/share/bash-completion/completions/lode",
    );
    machine.ok("bash -n /usr/share/bash-completion/completions/lode");
    if machine.succeeds("command -v systemd-analyze") {
        let complaints = machine.ok("systemd-analyze verify --man=no lode.service lode-imap.socket lode-pop3.socket lode-lmtp.socket 2>&1 || true");
        assert!(!complaints.contains("lode"), "{complaints}");
    }

    // What systemd would do: the user of the package, in the foreground.
    machine
        .ok("sed -i 's/^imap = .*/imap = [\"127.0.0.1:0\"]/; s/^pop3 = .*/pop3 = []/' /etc/lode/lode.toml");
    machine.ok("echo secret | lode user add ann --password-stdin");
    machine.ok(
        "setsid setpriv --reuid lode --regid lode --init-groups --inh-caps=-all lode serve >/var/log/lode-test 2>&1 &",
    );
    let address = imap_address(&mut machine);
    let mut session = Imap::login(address, "ann", "secret")
        .unwrap_or_else(|fault| panic!("{fault:?}\n{}", machine.ok("cat /var/log/lode-test")));
    session.ok("CREATE Kept");
    session.ok("SELECT Kept");

    let said = machine.ok("dpkg --install /mnt/lode_0.1.1_*.deb");
    assert!(!said.contains("systemctl restart"), "the running server did not become the new one: {said}");
    session.ok("NOOP");
    session.ok("STATUS Kept (MESSAGES)");
    assert_eq!(machine.ok("dpkg-query -W -f '${Version}' lode"), "0.1.1");
    let mut fresh = Imap::login(imap_address(&mut machine), "ann", "secret").expect("a login");
    fresh.ok("SELECT Kept");

    machine.ok("dpkg --remove lode");
    assert!(!machine.succeeds("test -e /usr/bin/lode"), "the programs are gone");
    assert!(!machine.succeeds("pgrep -x handler"), "the server was ended before");
    machine.ok("test -e /etc/lode/lode.toml");
    let said = machine.ok("dpkg --purge lode");
    assert!(said.contains("/var/lib/lode"), "it is told that mail stays: {said}");
    assert!(!machine.succeeds("test -e /etc/lode"));
    machine.ok("test -d /var/lib/lode/p0 || ls /var/lib/lode");
}

//! TLS with certificates made for the test: by Python's standard library and curl, over the death of a handler, and over a renewal.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::mail;
use tests::server::{Options, PASSWORD, Server, Victim, free};
use tests::tool;

/// A certificate of its own for a name, with its key beside it.
fn certificate(openssl: &Path, folder: &Path, name: &str) -> PathBuf {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let mut make = Command::new(openssl);
    make.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]);
    make.args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{name}")]);
    make.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    let said = tool::run(&mut make, b"", Duration::from_secs(60));
    assert!(said.success, "{}", said.err);
    certificate
}

struct Secure {
    server: Server,
    imaps: SocketAddr,
    pop3s: SocketAddr,
    folder: tempfile::TempDir,
    openssl: PathBuf,
}

impl Secure {
    fn start() -> Option<Secure> {
        let openssl = tool::program("openssl", "openssl")?;
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["mail.example.org", "mail.example.net"] {
            certificate(&openssl, folder.path(), name);
        }
        let file = |name: &str| format!("{:?}", folder.path().join(name).display().to_string());
        let (imaps, pop3s) = (free(), free());
        let more = format!(
            "[{{ certificate = {}, key = {} }}]",
            file("mail.example.net.pem"),
            file("mail.example.net.key")
        );
        let options = Options::default()
            .handlers(2, 100)
            .set("listen", "imaps", &format!("[\"{imaps}\"]"))
            .set("listen", "pop3s", &format!("[\"{pop3s}\"]"))
            .set("tls", "certificate", &file("mail.example.org.pem"))
            .set("tls", "key", &file("mail.example.org.key"))
            .set("tls", "more", &more);
        let server = Server::with(options);
        Some(Secure { server, imaps, pop3s, folder, openssl })
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("mail.example.org.pem")
    }
}

#[test]
fn pythons_library_speaks_it_both_ways() {
    let Some(secure) = Secure::start() else { return };
    let Some(mut python) = tool::python("tls.py") else { return };
    let addresses = secure.server.addresses();
    python.arg(secure.certificate()).arg(secure.folder.path().join("mail.example.net.pem"));
    python.args([&secure.server.user("ann"), PASSWORD]);
    for address in [addresses.imap, secure.imaps, addresses.pop3, secure.pop3s] {
        python.arg(address.port().to_string());
    }
    let said = tool::run(&mut python, b"", Duration::from_secs(120));
    assert!(said.success, "{}\n{}{}", said.text(), said.err, secure.server.tail());
}

#[test]
fn curl_speaks_it() {
    let Some(secure) = Secure::start() else { return };
    let Some(curl) = tool::program("curl", "curl") else { return };
    secure.server.deliver("ann", &mail::small("through-tls"));
    let user = format!("{}:{PASSWORD}", secure.server.user("ann"));
    let plain = secure.server.addresses().imap;
    for url in
        [format!("imaps://{}/INBOX;MAILINDEX=1", secure.imaps), format!("imap://{plain}/INBOX;MAILINDEX=1")]
    {
        let mut get = Command::new(&curl);
        get.args(["--silent", "--show-error", "--insecure", "--ssl-reqd", "--user", &user, &url]);
        let said = tool::run(&mut get, b"", Duration::from_secs(60));
        assert!(said.success, "{url}: {}{}", said.err, secure.server.tail());
        assert_eq!(mail::id(&said.out).as_deref(), Some("through-tls"));
    }
}

/// A client that `openssl s_client` speaks TLS for.
struct Client {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Client {
    fn connect(secure: &Secure) -> Client {
        let mut command = Command::new(&secure.openssl);
        command.args([
            "s_client",
            "-quiet",
            "-connect",
            &secure.imaps.to_string(),
            "-servername",
            "mail.example.org",
        ]);
        command.arg("-CAfile").arg(secure.certificate()).arg("-verify_return_error");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut client = Client { child, lines };
        assert!(client.line().starts_with("* OK"), "a greeting");
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line
    }

    /// The tagged reply to a command.
    fn command(&mut self, command: &str) -> String {
        let input = self.child.stdin.as_mut().expect("piped");
        write!(input, "t {command}\r\n").expect("written");
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "closed within {command}");
            if line.starts_with("t ") {
                return line;
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_session_survives_its_handler_with_tls_on() {
    let Some(mut secure) = Secure::start() else { return };
    let mut client = Client::connect(&secure);
    let user = secure.server.user("ann");
    assert!(client.command(&format!("LOGIN {user} {PASSWORD}")).starts_with("t OK"));
    assert!(client.command("SELECT INBOX").starts_with("t OK"));
    for _ in 0..2 {
        // The oldest, which has the session.
        secure.server.until_parked();
        secure.server.crash(Victim::Handler(0));
        assert!(client.command("NOOP").starts_with("t OK"));
    }
    assert!(client.command("FETCH 1:* FLAGS").starts_with("t "));
}

#[test]
fn a_renewed_certificate_is_taken_without_a_word() {
    let Some(secure) = Secure::start() else { return };
    let mut before = Client::connect(&secure);
    fs::write(secure.folder.path().join("mail.example.org.key"), "no key").expect("written");
    // What cannot be read leaves what was read in force.
    std::thread::sleep(Duration::from_secs(1));
    drop(Client::connect(&secure));
    certificate(&secure.openssl, secure.folder.path(), "mail.example.org");
    let deadline = Instant::now() + Duration::from_secs(60);
    let shown = |secure: &Secure| {
        let mut show = Command::new(&secure.openssl);
        show.args(["s_client", "-connect", &secure.imaps.to_string(), "-servername", "mail.example.org"]);
        show.arg("-CAfile").arg(secure.certificate()).arg("-verify_return_error");
        tool::run(&mut show, b"t LOGOUT\r\n", Duration::from_secs(30)).success
    };
    while !shown(&secure) {
        assert!(Instant::now() < deadline, "the new certificate is not shown{}", secure.server.tail());
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(before.command("NOOP").starts_with("t OK"), "who was there goes on");
}

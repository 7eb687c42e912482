//! The endpoint of figures: what it answers, and what it does with those who do not behave.

use crate::rig::{PLAIN, Plan, Rig, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn connect(rig: &Rig) -> TcpStream {
    let stream = TcpStream::connect(rig.address("metrics")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// What is answered to these octets, up to the end of the connection.
fn ask(rig: &Rig, octets: &[u8]) -> String {
    let mut stream = connect(rig);
    stream.write_all(octets).unwrap();
    read(stream)
}

fn read(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset after the answer is an end as well.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

fn get(rig: &Rig, path: &str) -> String {
    ask(rig, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
}

#[test]
fn figures_and_health_are_told() {
    let rig = Rig::new(&PLAIN);
    rig.handler_pid(0);
    let mut client = rig.connect("imap");
    client.line();
    let answer = get(&rig, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    assert!(body.contains("\nlode_connections_accepted_total 1\n"), "{body}");
    assert!(body.contains("\nlode_sessions{protocol=\"imap\",state="), "{body}");
    assert!(body.contains("\nlode_handlers{state=\"serving\"} 1.0\n"), "{body}");
    assert!(body.ends_with("\n# EOF\n"));

    let head_only = ask(&rig, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head_only.starts_with("HTTP/1.1 200 OK\r\n") && head_only.ends_with("\r\n\r\n"), "{head_only}");
    assert!(get(&rig, "/healthz").ends_with("\r\n\r\nalive\n"));
}

#[test]
fn a_request_in_pieces_is_one_request() {
    let rig = Rig::new(&PLAIN);
    let mut stream = connect(&rig);
    stream.set_nodelay(true).unwrap();
    for octet in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" {
        stream.write_all(&[*octet]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(read(stream).starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn who_asks_for_something_else_is_told_so() {
    let rig = Rig::new(&PLAIN);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
    for (octets, status) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "404"),
        (b"GET /metrics/../etc HTTP/1.1\r\n\r\n", "404"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405"),
        (b"a LOGIN ann secret\r\n\r\n", "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
        (long.as_bytes(), "431"),
        (many.as_bytes(), "431"),
    ] {
        let answer = ask(&rig, octets);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
    assert!(get(&rig, "/metrics").contains("\nlode_metrics_requests_total{result=\"refused\"} 7\n"));
}

/// Sixteen that say nothing keep others waiting for some seconds, and nobody else: clients of mail least of all.
#[test]
fn the_silent_are_cut_off() {
    let rig = Rig::new(&PLAIN);
    let mut silent: Vec<TcpStream> = (0..16).map(|_| connect(&rig)).collect();
    for stream in silent.iter_mut().step_by(2) {
        stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    }
    let mut client = rig.connect("imap");
    client.line();
    client.echo("served meanwhile");
    for stream in silent {
        assert_eq!(read(stream), "", "cut off without an answer");
    }
    assert!(get(&rig, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn an_address_that_is_taken_is_a_warning() {
    let first = Rig::new(&PLAIN);
    let second = Rig::new(&Plan { more: "[pop3]\n", ..PLAIN });
    let address = first.address("metrics");
    let settings = second.folder.join("lode.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let mine = format!("[metrics]\nlisten = \"{address}\"\n");
    std::fs::write(&settings, text.replace("[metrics]\nlisten = \"127.0.0.1:0\"\n", &mine)).unwrap();
    second.signal(nix::sys::signal::Signal::SIGHUP);
    second.log_has("warning metrics-not-served");
    second.connect("imap").line();
    // Turned off, and on again.
    let off = text.replace("listen = \"127.0.0.1:0\"\n[handlers]", "listen = \"\"\n[handlers]");
    for (settings_text, reloads) in [(off, 2), (text, 3)] {
        std::fs::write(&settings, settings_text).unwrap();
        second.signal(nix::sys::signal::Signal::SIGHUP);
        eventually("the settings are read", || second.log_count("settings-read") == reloads, || second.log());
    }
    assert_eq!(second.log_count("listening protocol=metrics"), 2);
    assert!(get(&second, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
}

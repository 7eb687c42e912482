//! The columns of sessions: what each says, how wide it is, and which go first when there is little room.

use shm_abi::{CellFlags, Protocol};

use super::sample::{Sample, Session};
use crate::shared_table::{cpu_time, seconds_since, span};

/// A column of the list of sessions.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// In cells of the screen.
    pub(super) width: u16,
    /// Whether it stands on the right.
    pub(super) numeric: bool,
    /// Those with low numbers stay longest when the screen is narrow.
    rank: u8,
    pub(super) say: fn(&Session, u64) -> String,
}

/// All columns, from left to right.
const ALL: &[Column] = &[
    column("SESSION", 11, false, 0, |session, _| session.info.id.to_string()),
    column("USER", 16, false, 1, |session, _| or_dash(&session.info.user)),
    column("PROTO", 5, false, 6, |session, _| session.info.protocol.map_or("-", Protocol::name).to_owned()),
    column("STATE", 9, false, 5, state),
    column("COMMAND", 18, false, 2, command),
    column("CPU%", 5, true, 3, |session, _| format!("{:.1}", session.cpu_percent)),
    column("TIME", 6, true, 10, |session, _| cpu_time(session.info.cpu_micros)),
    column("IN", 6, true, 7, |session, _| short(session.info.bytes_in as f64)),
    column("OUT", 6, true, 4, |session, _| short(session.info.bytes_out as f64)),
    column("MEM", 6, true, 8, |session, _| short(session.info.memory_octets as f64)),
    column("AGE", 6, true, 9, |session, now_ms| since(session.info.accepted_ms, now_ms)),
    column("IDLE", 6, true, 11, |session, now_ms| since(session.info.last_activity_ms, now_ms)),
    column("MAILBOX", 9, false, 13, |session, _| mailbox(session)),
    column("PEER", 27, false, 12, |session, _| peer(session)),
];

const fn column(
    title: &'static str,
    width: u16,
    numeric: bool,
    rank: u8,
    say: fn(&Session, u64) -> String,
) -> Column {
    Column { title, width, numeric, rank, say }
}

/// The columns that fit into `width` cells with a gap between them, from left to right. At least the first.
pub(super) fn that_fit(width: u16) -> Vec<&'static Column> {
    let mut by_rank: Vec<&Column> = ALL.iter().collect();
    by_rank.sort_by_key(|column| column.rank);
    let mut left = i32::from(width) + 1;
    let mut last_rank = 0;
    for column in by_rank {
        left -= i32::from(column.width) + 1;
        if left < 0 {
            break;
        }
        last_rank = column.rank;
    }
    ALL.iter().filter(|column| column.rank <= last_rank).collect()
}

/// What a filter looks at, in lower case.
pub(super) fn searched(session: &Session) -> String {
    let info = &session.info;
    let traced = if info.traced { "traced" } else { "" };
    let protocol = info.protocol.map_or("", Protocol::name);
    format!(
        "{} {} {protocol} {} {} {} {} {traced}",
        info.id,
        info.user,
        info.state.name(),
        info.command,
        mailbox(session),
        peer(session)
    )
    .to_lowercase()
}

/// Facts of a session, for the screen of its own: name and value.
pub(super) fn facts(session: &Session, sample: &Sample) -> Vec<(&'static str, String)> {
    let (info, now_ms) = (&session.info, sample.now_ms);
    let handler = sample.handlers.iter().find(|handler| handler.info.handler == info.id.handler);
    let handler = handler.map_or_else(
        || info.id.handler.to_string(),
        |handler| {
            let of = &handler.info;
            format!("{}, process {}, {}", of.handler, of.process.pid, of.state.name())
        },
    );
    vec![
        ("session", info.id.to_string()),
        ("handler", handler),
        ("user", or_dash(&info.user)),
        ("protocol", info.protocol.map_or("-", Protocol::name).to_owned()),
        ("peer", peer(session)),
        ("mailbox", mailbox(session)),
        ("lock", if info.maildrop { "maildrop" } else { "-" }.to_owned()),
        ("state", info.state.name().to_owned()),
        ("command", command(session, now_ms)),
        ("connected", since(info.accepted_ms, now_ms)),
        ("logged in", since(info.login_ms, now_ms)),
        ("silent", since(info.last_activity_ms, now_ms)),
        ("CPU", format!("{:.1}%, {} in all", session.cpu_percent, cpu_time(info.cpu_micros))),
        ("octets in", info.bytes_in.to_string()),
        ("octets out", info.bytes_out.to_string()),
        ("memory", info.memory_octets.to_string()),
        ("compressed", yes_or_no(info.flags.has(CellFlags::COMPRESSED))),
        ("adoptable", yes_or_no(info.flags.has(CellFlags::ADOPTABLE))),
        ("traced", yes_or_no(info.traced)),
    ]
}

fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

fn state(session: &Session, _: u64) -> String {
    let mark = if session.info.traced { " t" } else { "" };
    format!("{}{mark}", session.info.state.name())
}

fn command(session: &Session, now_ms: u64) -> String {
    match seconds_since(session.info.command_since_ms, now_ms) {
        Some(seconds) if seconds > 0 => format!("{} {}", session.info.command, span(seconds)),
        _ => or_dash(&session.info.command),
    }
}

fn mailbox(session: &Session) -> String {
    let shown = session.info.mailbox.map(|(_, key)| format!("{}/{}", key >> 32, key & 0xffff_ffff));
    shown.unwrap_or_else(|| "-".to_owned())
}

fn peer(session: &Session) -> String {
    session.info.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string())
}

/// How long ago, or a dash for never.
pub(super) fn since(then_ms: u64, now_ms: u64) -> String {
    seconds_since(then_ms, now_ms).map_or_else(|| "-".to_owned(), span)
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.replace(char::is_control, "?") }
}

/// A number in at most five cells: 0, 0.3, 12, 999, 1.2K, 34K, 5.6M.
pub(super) fn short(number: f64) -> String {
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    let (mut number, mut unit) = (number.max(0.0), 0);
    while number >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let is_whole = number >= 9.95 || number == number.trunc() && unit == 0;
    if is_whole { format!("{number:.0}{}", UNITS[unit]) } else { format!("{number:.1}{}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> =
            [0.0, 0.33, 9.0, 12.4, 999.0, 999.9, 1234.0, 34_567.0, 5.6e6, 1.8e19].map(short).into();
        assert_eq!(shown, ["0", "0.3", "9", "12", "999", "1.0K", "1.2K", "35K", "5.6M", "18E"]);
    }

    #[test]
    fn narrow_screens_have_fewer_columns_and_never_none() {
        let titles = |width| that_fit(width).iter().map(|column| column.title).collect::<Vec<_>>();
        assert_eq!(titles(0), ["SESSION"]);
        assert_eq!(titles(40), ["SESSION", "USER"]);
        assert_eq!(titles(47), ["SESSION", "USER", "COMMAND"]);
        assert_eq!(titles(200).len(), ALL.len());
        for width in 12..200 {
            let all = that_fit(width);
            let used: u16 = all.iter().map(|column| column.width + 1).sum();
            assert!(used <= width + 1, "{width}");
        }
    }
}

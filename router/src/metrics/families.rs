//! All figures: what the table says of its header, handlers, sessions and measurements, family by family.

use super::exposition::Exposition;
use super::pulse::Felt;
use shm_abi::{
    CellState, Counter, FAMILIES, Family, Gauge, HandlerInfo, HandlerState, Heartbeat, Histogram, Kind,
    Protocol, Table, Tally,
};
use std::fs;

const PAGE_OCTETS_FALLBACK: u64 = 4096;

const fn family(name: &'static str, kind: Kind, unit: &'static str, help: &'static str) -> Family {
    Family { name, kind, unit, help }
}

const START: Family = family(
    "lode_router_start_timestamp_seconds",
    Kind::Gauge,
    "seconds",
    "When the router made the shared table, in seconds since 1970.",
);
const ACCEPTED: Family =
    family("lode_connections_accepted", Kind::Counter, "", "Connections that the router has accepted.");
const TURNED_AWAY: Family = family(
    "lode_connections_turned_away",
    Kind::Counter,
    "",
    "Connections that found no room, or a limit, and were told so.",
);
const STARTED: Family = family("lode_handlers_started", Kind::Counter, "", "Handlers that were started.");
const QUEUED: Family =
    family("lode_queue_connections", Kind::Gauge, "", "Connections that wait for a handler with room.");
const HANDLERS: Family = family("lode_handlers", Kind::Gauge, "", "Handlers, by state.");
const HANDLERS_MAX: Family =
    family("lode_handlers_limit", Kind::Gauge, "", "The most handlers that the table has rows for.");
const HANDLER_SESSIONS: Family =
    family("lode_handler_sessions", Kind::Gauge, "", "Sessions of each handler.");
const HANDLER_SESSIONS_MAX: Family =
    family("lode_handler_sessions_limit", Kind::Gauge, "", "The most sessions that a handler can have.");
const BEAT: Family = family(
    "lode_handler_heartbeat_age_seconds",
    Kind::Gauge,
    "seconds",
    "How long ago each handler's poll thread was seen alive.",
);
const RESIDENT: Family =
    family("lode_handler_resident_bytes", Kind::Gauge, "bytes", "Memory of each handler that is resident.");
const SESSIONS: Family = family("lode_sessions", Kind::Gauge, "", "Sessions, by protocol and state.");
const LOGGED_IN: Family =
    family("lode_sessions_logged_in", Kind::Gauge, "", "Sessions whose user is logged in, by protocol.");

/// What handlers count for themselves, under the names of sums.
const COUNTERS: &[(Counter, Family)] = &[
    (
        Counter::Connections,
        family("lode_connections_served", Kind::Counter, "", "Connections that handlers have taken."),
    ),
    (Counter::Commands, family("lode_commands", Kind::Counter, "", "Commands that were begun.")),
    (Counter::Commits, family("lode_commits", Kind::Counter, "", "Transactions that changed something.")),
    (
        Counter::BytesIn,
        family(
            "lode_received_bytes",
            Kind::Counter,
            "bytes",
            "What clients have sent, as it came over the line.",
        ),
    ),
    (
        Counter::BytesOut,
        family(
            "lode_sent_bytes",
            Kind::Counter,
            "bytes",
            "What clients were sent, as it went over the line.",
        ),
    ),
];

const PROTOCOLS: [Protocol; 3] = [Protocol::Imap, Protocol::Pop3, Protocol::Lmtp];
const HANDLER_STATES: [HandlerState; 5] = [
    HandlerState::Starting,
    HandlerState::Serving,
    HandlerState::Draining,
    HandlerState::Condemned,
    HandlerState::Dead,
];
const CELL_STATES: [CellState; 5] =
    [CellState::Assigned, CellState::Parked, CellState::Queued, CellState::Running, CellState::Closing];

/// A figure of a handler, if it is known.
type OfHandler<'a> = &'a dyn Fn(&HandlerInfo) -> Option<f64>;

/// All figures as of now.
pub(super) fn text(table: &Table, felt: Felt, wall_ms: u64) -> String {
    let mut out = Exposition::default();
    out.info("lode_build", "What runs here.", &[("version", env!("CARGO_PKG_VERSION"))]);
    router(&mut out, table, felt);
    handlers(&mut out, table, wall_ms);
    sessions(&mut out, table);
    for (counter, family) in COUNTERS {
        out.family(family);
        out.counter(family, &[], table.counter_total(*counter));
    }
    measurements(&mut out, table);
    out.finish()
}

fn router(out: &mut Exposition, table: &Table, felt: Felt) {
    let info = table.info();
    out.family(&START);
    out.gauge(&START, &[], info.created_ms as f64 / 1000.0);
    for (family, value) in
        [(&ACCEPTED, info.accepted), (&TURNED_AWAY, info.turned_away), (&STARTED, info.spawned)]
    {
        out.family(family);
        out.counter(family, &[], value);
    }
    out.family(&QUEUED);
    out.gauge(&QUEUED, &[], felt.queued as f64);
}

fn handlers(out: &mut Exposition, table: &Table, wall_ms: u64) {
    let handlers = table.handlers();
    out.family(&HANDLERS);
    for state in HANDLER_STATES {
        let count = handlers.iter().filter(|handler| handler.state == state).count();
        out.gauge(&HANDLERS, &[("state", state.name())], count as f64);
    }
    out.family(&HANDLERS_MAX);
    out.gauge(&HANDLERS_MAX, &[], f64::from(table.limits().handlers));
    out.family(&HANDLER_SESSIONS_MAX);
    out.gauge(&HANDLER_SESSIONS_MAX, &[], f64::from(table.limits().sessions));
    let each: [(&Family, OfHandler<'_>); 3] = [
        (&HANDLER_SESSIONS, &|handler| Some(f64::from(handler.sessions))),
        (&BEAT, &|handler| {
            let beat_ms = handler.heartbeats_ms[Heartbeat::Poll as usize];
            (beat_ms > 0).then(|| wall_ms.saturating_sub(beat_ms) as f64 / 1000.0)
        }),
        (&RESIDENT, &|handler| resident_octets(handler.process.pid).map(|octets| octets as f64)),
    ];
    for (family, value_of) in each {
        out.family(family);
        for handler in &handlers {
            if let Some(value) = value_of(handler) {
                out.gauge(family, &[("handler", &handler.handler.to_string())], value);
            }
        }
    }
}

/// What a process has in memory, by the kernel's word; `None` if it is gone.
fn resident_octets(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    Some(pages * page.map_or(PAGE_OCTETS_FALLBACK, |octets| octets as u64))
}

fn sessions(out: &mut Exposition, table: &Table) {
    let counts = table.session_counts();
    out.family(&SESSIONS);
    for protocol in PROTOCOLS {
        for state in CELL_STATES {
            let labels = [("protocol", protocol.name()), ("state", state.name())];
            out.gauge(&SESSIONS, &labels, counts.of(protocol, state) as f64);
        }
    }
    out.family(&LOGGED_IN);
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        out.gauge(&LOGGED_IN, &[("protocol", protocol.name())], counts.logged_in(protocol) as f64);
    }
}

fn measurements(out: &mut Exposition, table: &Table) {
    let is_measured = table.gauge_most(Gauge::StoreMeasured) > 0;
    for family in FAMILIES {
        // Of a store that nobody has looked at nothing is said, rather than that it is empty.
        if family.name.starts_with("lode_store_") && !is_measured {
            continue;
        }
        out.family(family);
        match family.kind {
            Kind::Counter => {
                for tally in Tally::ALL.iter().filter(|tally| tally.family() == family.name) {
                    out.counter(family, tally.labels(), table.total(*tally));
                }
            }
            Kind::Gauge => {
                for gauge in Gauge::ALL.iter().filter(|gauge| gauge.family() == family.name) {
                    let value = match gauge {
                        Gauge::RunQueue => table.gauge_sum(*gauge),
                        Gauge::RunQueueMost => table.gauge_most(*gauge),
                        // The one handler that looked last.
                        _ => table.latest_store_gauge(*gauge),
                    };
                    out.gauge(family, gauge.labels(), value as f64);
                }
            }
            Kind::Histogram => {
                for one in Histogram::ALL.iter().filter(|one| one.family() == family.name) {
                    out.histogram(family, one.labels(), one.scale(), &table.histogram_total(*one));
                }
            }
        }
    }
}

//! Makes guessing of passwords slow, and shuts no user out by what a stranger does.
//!
//! Three things are counted, over all handlers, in the shared table: failed logins of a user from an address, of all users
//! from an address, and of a user from anywhere. The more of late, the later an answer comes, whatever it is: if only a no
//! came late, who hears nothing would know. Too many of the first two, and logins are refused without a look at the password;
//! many of the third alone never refuse, for they may all be of strangers. A device that keeps trying an old password
//! guesses nothing: the same wrong password counts once. And who has given a right password from an address is
//! not held up by what else comes from there.
//!
//! Addresses that are exempt stand for many people, like those of a proxy: from there nobody is refused.

use std::net::IpAddr;

use config::KeyedHash;
use config::settings::Limits;
use nix::time::{ClockId, clock_gettime};
use shm_abi::{Attempts, Endpoint, Standing, Table};

/// The longest delay of an answer from where guessing comes from.
const DELAY_MAX_MS: u64 = 15_000;
/// The longest delay for a user because of what came from elsewhere.
const SHARED_DELAY_MAX_MS: u64 = 4_000;
/// The first delay; each further one is twice as long.
const DELAY_FIRST_MS: u64 = 1_000;
/// Delays grow this many times before logins are refused.
const STEPS: u64 = 8;
/// How long a right password is remembered.
const PROVEN_MS: u64 = 86_400_000;

/// Counts failed logins.
pub(crate) struct Guard {
    hash: KeyedHash,
}

/// What a login may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Have its password checked, and its answer after so many milliseconds.
    After(u64),
    /// Nothing, for so many seconds.
    Refused(u64),
}

/// What is counted for.
struct Keys {
    pair: u64,
    /// `None` if the address is exempt.
    address: Option<u64>,
    user: u64,
}

impl Guard {
    /// With the key of this boot, which all handlers have.
    pub(crate) fn new(boot_key: [u8; 32]) -> Guard {
        Guard { hash: KeyedHash::new(boot_key) }
    }

    /// What a login as `user` from `peer` may do.
    pub(crate) fn admission(&self, table: &Table, limits: &Limits, user: &str, peer: Endpoint) -> Admission {
        let keys = self.keys(limits, user, peer);
        let now_ms = machine_ms();
        let [pair_how, address_how] = measures(limits);
        let standing = |key: u64, how: &Option<Attempts>| {
            how.map_or(Standing::default(), |_| table.standing(key, now_ms))
        };
        let pair = standing(keys.pair, &pair_how);
        let of_user = standing(keys.user, &address_how);
        let address = keys.address.map_or(Standing::default(), |key| standing(key, &address_how));
        let pair_count = failures(pair, pair_how);
        let address_count = failures(address, address_how);
        if keys.address.is_some() {
            let too_many = |count: u64, limit: u32| limit > 0 && count >= u64::from(limit);
            if too_many(pair_count, limits.failed_logins) {
                return Admission::Refused(refusal_seconds(pair, pair_how, limits.failed_logins));
            }
            if too_many(address_count, limits.failed_logins_per_address) && !pair.is_proven {
                let limit = limits.failed_logins_per_address;
                return Admission::Refused(refusal_seconds(address, address_how, limit));
            }
        }
        let own_most_ms = if keys.address.is_some() { DELAY_MAX_MS } else { SHARED_DELAY_MAX_MS };
        let mut delay = delay_ms(pair_count, limits.failed_logins, own_most_ms);
        if !pair.is_proven {
            let limit = limits.failed_logins_per_address;
            delay = delay.max(delay_ms(address_count, limit, DELAY_MAX_MS)).max(delay_ms(
                failures(of_user, address_how),
                limit,
                SHARED_DELAY_MAX_MS,
            ));
        }
        Admission::After(delay)
    }

    /// A login's password was wrong, or there is no such user.
    pub(crate) fn failed(&self, table: &Table, limits: &Limits, user: &str, password: &[u8], peer: Endpoint) {
        let keys = self.keys(limits, user, peer);
        let now_ms = machine_ms();
        let [pair_how, address_how] = measures(limits);
        let digest = self.hash.hash(&[b"password", user.as_bytes(), password]) as u32;
        let is_new = pair_how.is_none_or(|how| table.count_failure(keys.pair, Some(digest), now_ms, how));
        if is_new && let Some(how) = address_how {
            for key in [keys.address, Some(keys.user)].into_iter().flatten() {
                table.count_failure(key, None, now_ms, how);
            }
        }
    }

    /// A login's password was right.
    pub(crate) fn succeeded(&self, table: &Table, limits: &Limits, user: &str, peer: Endpoint) {
        let keys = self.keys(limits, user, peer);
        let now_ms = machine_ms();
        // Where nobody fails there is nothing to be remembered: most logins write nothing.
        let is_marked = |key: u64| table.standing(key, now_ms).ahead_ms > 0;
        if is_marked(keys.pair) || keys.address.is_some_and(is_marked) || is_marked(keys.user) {
            table.prove(keys.pair, now_ms, now_ms + PROVEN_MS);
        }
    }

    fn keys(&self, limits: &Limits, user: &str, peer: Endpoint) -> Keys {
        let address = match peer.network() {
            Some(IpAddr::V4(ip)) => ip.octets().to_vec(),
            Some(IpAddr::V6(ip)) => ip.octets().to_vec(),
            None => Vec::new(),
        };
        let key = |parts: &[&[u8]]| self.hash.hash(parts).max(1);
        let is_exempt = limits.is_exempt(peer.address());
        Keys {
            pair: key(&[b"pair", user.as_bytes(), &address]),
            address: (!is_exempt).then(|| key(&[b"address", &address])),
            user: key(&[b"user", user.as_bytes()]),
        }
    }
}

/// How failures of a user from an address are counted, and all others; `None` if they are not.
fn measures(limits: &Limits) -> [Option<Attempts>; 2] {
    let most_ms = u64::from(limits.failed_logins_seconds) * 1000;
    [limits.failed_logins, limits.failed_logins_per_address].map(|limit| {
        // Each is forgotten by itself, so that there are `limit` at the most when they come as fast as they may.
        let interval_ms = most_ms.checked_div(limit.into())?.max(1);
        Some(Attempts { interval_ms, most_ms: interval_ms * u64::from(limit) })
    })
}

fn failures(standing: Standing, how: Option<Attempts>) -> u64 {
    how.map_or(0, |how| standing.ahead_ms.div_ceil(how.interval_ms))
}

fn refusal_seconds(standing: Standing, how: Option<Attempts>, limit: u32) -> u64 {
    let below_ms = how.map_or(0, |how| how.interval_ms * u64::from(limit.saturating_sub(1)));
    standing.ahead_ms.saturating_sub(below_ms).div_ceil(1000).max(1)
}

fn delay_ms(failures: u64, limit: u32, most_ms: u64) -> u64 {
    match failures / (u64::from(limit) / STEPS).max(1) {
        0 => 0,
        // A first mistake costs nobody anything.
        _ if failures < 2 || limit == 0 => 0,
        step => (DELAY_FIRST_MS << (step - 1).min(STEPS)).min(most_ms),
    }
}

/// Milliseconds on a clock that all processes of the machine share and that does not go back.
fn machine_ms() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec() as u64 * 1000 + time.tv_nsec() as u64 / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        table: Table,
        guard: Guard,
        limits: Limits,
    }

    fn world(name: &str) -> World {
        let name = format!("/lode-guard-{name}-{}", std::process::id());
        let table =
            Table::create(&name, shm_abi::Limits { handlers: 1, sessions: 1 }, 1, 1).expect("a table");
        World { table, guard: Guard::new([3; 32]), limits: Limits::default() }
    }

    fn at(address: &str) -> Endpoint {
        Endpoint::Inet(std::net::SocketAddr::new(address.parse().expect("an address"), 1000))
    }

    impl World {
        fn asks(&self, user: &str, address: &str) -> Admission {
            self.guard.admission(&self.table, &self.limits, user, at(address))
        }

        fn fails(&self, user: &str, address: &str, times: u32) {
            for password in 0..times {
                let password = format!("{address}{password}");
                self.guard.failed(&self.table, &self.limits, user, password.as_bytes(), at(address));
            }
        }

        fn succeeds(&self, user: &str, address: &str) {
            self.guard.succeeded(&self.table, &self.limits, user, at(address));
        }
    }

    fn is_refused(admission: Admission) -> bool {
        matches!(admission, Admission::Refused(_))
    }

    #[test]
    fn delays_grow_and_end_in_a_refusal_for_that_user_from_there() {
        let world = world("grow");
        assert_eq!(world.asks("ann", "192.0.2.1"), Admission::After(0));
        world.fails("ann", "192.0.2.1", 1);
        assert_eq!(world.asks("ann", "192.0.2.1"), Admission::After(0), "a mistake");
        let mut before = 0;
        for failures in [2, 4, 8, 12] {
            world.guard.succeeded(&world.table, &world.limits, "ann", at("192.0.2.1"));
            world.fails("ann", "192.0.2.1", failures);
            let Admission::After(delay) = world.asks("ann", "192.0.2.1") else { panic!() };
            assert!(delay > before || delay == DELAY_MAX_MS, "{delay} after {failures}, {before} before");
            before = delay;
        }
        assert_eq!(before, DELAY_MAX_MS);
        world.fails("ann", "192.0.2.1", 30);
        let Admission::Refused(seconds) = world.asks("ann", "192.0.2.1") else { panic!() };
        assert!((1..=30).contains(&seconds), "{seconds}");
        // The user from elsewhere, and another from there.
        assert!(!is_refused(world.asks("ann", "192.0.2.2")));
        assert!(!is_refused(world.asks("bob", "192.0.2.1")));
    }

    #[test]
    fn nobody_is_shut_out_by_strangers() {
        let world = world("strangers");
        for number in 1..=200 {
            world.fails("ann", &format!("198.51.100.{number}"), 20);
        }
        assert_eq!(world.asks("ann", "192.0.2.1"), Admission::After(SHARED_DELAY_MAX_MS));
        world.succeeds("ann", "192.0.2.1");
        assert_eq!(world.asks("ann", "192.0.2.1"), Admission::After(0), "known there by now");
    }

    #[test]
    fn an_address_that_tries_all_users_is_refused_but_for_who_is_known_there() {
        let world = world("address");
        for number in 0..240 {
            world.fails(&format!("user{number}"), "2001:db8::1", 1);
        }
        world.succeeds("ann", "2001:db8::9");
        assert!(is_refused(world.asks("bob", "2001:db8::1")));
        assert!(is_refused(world.asks("bob", "2001:db8::ffff")), "the same network");
        assert_eq!(world.asks("ann", "2001:db8::1"), Admission::After(0));
        assert_eq!(world.asks("bob", "2001:db8:0:1::1"), Admission::After(0), "another network");
    }

    #[test]
    fn a_device_with_an_old_password_counts_once() {
        let world = world("old");
        for _ in 0..1000 {
            world.guard.failed(&world.table, &world.limits, "ann", b"of yesterday", at("192.0.2.1"));
        }
        assert_eq!(world.asks("ann", "192.0.2.1"), Admission::After(0));
    }

    #[test]
    fn behind_a_proxy_nobody_is_refused_and_limits_of_0_refuse_nobody() {
        let mut world = world("proxy");
        world.fails("ann", "127.0.0.1", 1000);
        assert_eq!(world.asks("ann", "127.0.0.1"), Admission::After(SHARED_DELAY_MAX_MS));
        world.limits.failed_logins = 0;
        world.limits.failed_logins_per_address = 0;
        world.fails("bob", "192.0.2.1", 1000);
        assert_eq!(world.asks("bob", "192.0.2.1"), Admission::After(0));
        assert_eq!(world.asks("ann", "127.0.0.1"), Admission::After(0));
    }
}

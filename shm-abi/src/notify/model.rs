//! The order of notification, tried in every interleaving of three announcers and a watcher (with two, one of
//! the wrong orders below would still be right).
//!
//! Steps are those named at the head of `notify.rs`. All of them are sequentially consistent in the code, so that the
//! interleavings of whole steps are all there is. A run that ends with the watcher asleep and a change not looked at is a
//! lost wake-up. To show that the search would find one, it is also made with each order wrong.

use std::collections::HashSet;

/// Which order is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The one of the code.
    Right,
    /// The announcer raises the generation after it has read watchers and marked them pending.
    GenerationLast,
    /// The watcher looks at the mailbox before it sets its bit.
    LookBeforeBit,
    /// The watcher compares generations before it clears `pending`.
    ScanBeforeTake,
    /// The watcher clears `pending` before it reads the eventfd.
    TakeBeforeRead,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Announcer {
    Change,
    Generation,
    Watchers,
    Pending,
    Eventfd,
    LateGeneration,
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Watcher {
    Bit,
    Remember,
    FirstLook,
    Sleep,
    Read,
    Take,
    Scan,
    Look,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    changes: u8,
    generation: u8,
    bit: bool,
    pending: bool,
    eventfd: bool,
    announcers: [Announcer; 3],
    watcher: Watcher,
    seen: u8,
    looked: u8,
}

impl World {
    fn begin(order: Order) -> World {
        let watcher = if order == Order::LookBeforeBit { Watcher::FirstLook } else { Watcher::Bit };
        World {
            changes: 0,
            generation: 0,
            bit: false,
            pending: false,
            eventfd: false,
            announcers: [Announcer::Change; 3],
            watcher,
            seen: 0,
            looked: 0,
        }
    }

    /// After one step of announcer `number`, if it has one left.
    fn announce(&self, number: usize, order: Order) -> Option<World> {
        use Announcer::*;
        let mut next = self.clone();
        let late = order == Order::GenerationLast;
        let end = if late { LateGeneration } else { Done };
        next.announcers[number] = match self.announcers[number] {
            Change => {
                next.changes += 1;
                if late { Watchers } else { Generation }
            }
            Generation => {
                next.generation += 1;
                Watchers
            }
            Watchers if self.bit => Pending,
            Watchers => end,
            Pending => {
                next.pending = true;
                if self.pending { end } else { Eventfd }
            }
            Eventfd => {
                next.eventfd = true;
                end
            }
            LateGeneration => {
                next.generation += 1;
                Done
            }
            Done => return None,
        };
        Some(next)
    }

    /// After one step of the watcher; `None` while it sleeps.
    fn watch(&self, order: Order) -> Option<World> {
        use Watcher::*;
        let mut next = self.clone();
        next.watcher = match self.watcher {
            Bit => {
                next.bit = true;
                Remember
            }
            Remember => {
                next.seen = self.generation;
                if order == Order::LookBeforeBit { Sleep } else { FirstLook }
            }
            FirstLook => {
                next.looked = self.changes;
                if order == Order::LookBeforeBit { Bit } else { Sleep }
            }
            Sleep if !self.eventfd => return None,
            Sleep if order == Order::TakeBeforeRead => Take,
            Sleep => Read,
            Read => {
                next.eventfd = false;
                match order {
                    Order::ScanBeforeTake | Order::TakeBeforeRead => Scan,
                    _ => Take,
                }
            }
            Take => {
                next.pending = false;
                match order {
                    Order::ScanBeforeTake => Sleep,
                    Order::TakeBeforeRead => Read,
                    _ => Scan,
                }
            }
            Scan if self.seen == self.generation && order == Order::ScanBeforeTake => Take,
            Scan if self.seen == self.generation => Sleep,
            Scan => {
                next.seen = self.generation;
                Look
            }
            Look => {
                next.looked = self.changes;
                if order == Order::ScanBeforeTake { Take } else { Sleep }
            }
        };
        Some(next)
    }
}

/// Every world that can be reached: how many, and whether in one of them the watcher sleeps over a change.
fn explore(order: Order) -> (usize, bool) {
    let mut known = HashSet::new();
    let mut open = vec![World::begin(order)];
    let mut lost = false;
    while let Some(world) = open.pop() {
        if !known.insert(world.clone()) {
            continue;
        }
        let announced = (0..world.announcers.len()).filter_map(|number| world.announce(number, order));
        let next: Vec<World> = announced.chain(world.watch(order)).collect();
        lost |= next.is_empty() && world.looked != world.changes;
        open.extend(next);
    }
    (known.len(), lost)
}

#[test]
fn no_interleaving_loses_a_wake_up() {
    let (worlds, lost) = explore(Order::Right);
    assert!(worlds > 500, "only {worlds}: the search is not one");
    assert!(!lost);
}

#[test]
fn every_wrong_order_loses_one() {
    for order in [Order::GenerationLast, Order::LookBeforeBit, Order::ScanBeforeTake, Order::TakeBeforeRead] {
        assert!(explore(order).1, "{order:?}");
    }
}

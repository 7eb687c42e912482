//! Steps 2 to 6 of REFERENCES (RFC 5256, THREAD).
//!
//! What is left when dummies are pruned (2 and 3) can be said of each message by itself: its parent is the nearest message above it. Messages that
//! have none, but have the same dummy at the top of their tree, are children of that dummy; a dummy with one child only is none.
//! So no tree is pruned, and siblings are put in order once, at the end (6). Of a dummy only its first child by date is kept: that is what it is
//! sorted by and what its subject is.

use super::ancestry::NONE;
use super::ids::Ids;
use super::links::{Above, Forest};
use super::messages::Messages;
use super::tree::{Place, Planting, TOP};
use crate::imap::sort::steps::SortInSteps;

/// Messages that are gone through between two looks at the clock.
const STRIDE: usize = 4096;

/// Threads in the making. Nodes are messages, and behind them dummies.
pub(crate) struct References {
    forest: Forest,
    /// The parent of each message.
    parents: Vec<u32>,
    dummies: Vec<Dummy>,
    /// The dummy that a node of the forest is.
    dummy_of: Vec<u32>,
    /// The threads, once they are in order.
    roots: Vec<(i64, u32, u32)>,
    table: Ids,
    /// What is in the table, in the order in which it came.
    in_table: Vec<u32>,
    step: Step,
}

/// A dummy at the top.
#[derive(Clone, Copy, Debug)]
struct Dummy {
    /// Its first child by date.
    first: u32,
    children: u32,
    /// The dummy that it was merged with, or [`NONE`].
    merged_with: u32,
}

enum Step {
    /// 2 and 3: of messages before this one the parent is known.
    Parents(u32),
    /// 4: sent dates, ties and nodes of threads.
    Sort(SortInSteps<(i64, u32, u32)>),
    /// 5 (B): threads before this one are in the table, if they belong there.
    Fill(usize),
    /// 5 (C): threads before this one are merged.
    Merge(usize),
}

impl References {
    pub(crate) fn new(forest: Forest, messages: &Messages) -> References {
        References {
            dummy_of: vec![NONE; forest.nodes()],
            forest,
            parents: Vec::with_capacity(messages.count()),
            dummies: Vec::new(),
            roots: Vec::new(),
            table: Ids::new(0),
            in_table: Vec::new(),
            step: Step::Parents(0),
        }
    }

    /// Goes on until time is up; `None` until the threads are there.
    pub(crate) fn go_on(&mut self, messages: &Messages, is_time_up: &dyn Fn() -> bool) -> Option<Planting> {
        let is_pause = |done: usize| done.is_multiple_of(STRIDE) && is_time_up();
        loop {
            match &mut self.step {
                Step::Parents(next) => {
                    let message = *next;
                    if message as usize == messages.count() {
                        self.forest = Forest::default();
                        self.dummy_of = Vec::new();
                        self.step = Step::Sort(SortInSteps::new(self.find_roots(messages)));
                        continue;
                    }
                    *next += 1;
                    self.find_parent(message, messages);
                    if is_pause(message as usize + 1) {
                        return None;
                    }
                }
                Step::Sort(steps) => {
                    if !steps.go_on(Ord::cmp, is_time_up) {
                        return None;
                    }
                    let steps = std::mem::replace(steps, SortInSteps::new(Vec::new()));
                    self.roots = steps.into_items();
                    self.table = Ids::new(self.roots.len());
                    self.step = Step::Fill(0);
                }
                Step::Fill(next) => {
                    let Some(&(_, _, node)) = self.roots.get(*next) else {
                        self.step = Step::Merge(0);
                        continue;
                    };
                    *next += 1;
                    let done = *next;
                    self.fill(node, messages);
                    if is_pause(done) {
                        return None;
                    }
                }
                Step::Merge(next) => {
                    let Some(&(_, _, node)) = self.roots.get(*next) else {
                        return Some(self.plant(messages));
                    };
                    *next += 1;
                    let done = *next;
                    self.merge(node, messages);
                    if is_pause(done) {
                        return None;
                    }
                }
            }
        }
    }

    fn dummy(&self, node: u32) -> Option<usize> {
        (node as usize).checked_sub(self.parents.len())
    }

    /// The message that a node is, or the first child of the dummy that it is.
    fn first(&self, node: u32) -> u32 {
        self.dummy(node).map_or(node, |dummy| self.dummies[dummy].first)
    }

    /// Steps 2 and 3 for one message.
    fn find_parent(&mut self, message: u32, messages: &Messages) {
        let parent = match self.forest.above(message) {
            Above::Nothing => TOP,
            Above::Message(parent) => parent,
            Above::Dummy(node) => {
                let dummy = &mut self.dummy_of[node as usize];
                if *dummy == NONE {
                    *dummy = self.dummies.len() as u32;
                    self.dummies.push(Dummy { first: message, children: 0, merged_with: NONE });
                }
                let dummy = *dummy;
                add_child(&mut self.dummies[dummy as usize], message, messages);
                // Which node it is is known only when there are no more messages.
                TOP - 1 - dummy
            }
        };
        self.parents.push(parent);
    }

    /// Dummies become nodes, unless they have one child only, and what has no parent is a thread.
    fn find_roots(&mut self, messages: &Messages) -> Vec<(i64, u32, u32)> {
        let count = self.parents.len() as u32;
        let mut roots = Vec::new();
        for (message, parent) in (0..).zip(&mut self.parents) {
            let dummy = TOP.wrapping_sub(1).wrapping_sub(*parent);
            if let Some(found) = self.dummies.get(dummy as usize) {
                *parent = if found.children == 1 { TOP } else { count + dummy };
            }
            if *parent == TOP {
                roots.push((messages.sent(message), message, message));
            }
        }
        for (node, dummy) in (count..).zip(&self.dummies) {
            if dummy.children > 1 {
                roots.push((messages.sent(dummy.first), dummy.first, node));
            }
        }
        roots
    }

    /// Step 5 (B) for one thread.
    fn fill(&mut self, node: u32, messages: &Messages) {
        let Some(subject) = messages.subject(self.first(node)) else { return };
        let Some(index) = self.table.find(subject) else {
            self.table.push(Some(subject));
            self.in_table.push(node);
            return;
        };
        let there = self.in_table[index as usize];
        let is_better = self.dummy(there).is_none()
            && (self.dummy(node).is_some() || messages.is_reply(there) && !messages.is_reply(node));
        if is_better {
            self.in_table[index as usize] = node;
        }
    }

    /// Step 5 (C) for one thread.
    fn merge(&mut self, node: u32, messages: &Messages) {
        let Some(subject) = messages.subject(self.first(node)) else { return };
        let Some(index) = self.table.find(subject) else { return };
        let there = self.in_table[index as usize];
        if there == node {
            return;
        }
        match (self.dummy(there), self.dummy(node)) {
            (Some(dummy), Some(other)) => {
                let merged = self.dummies[other];
                self.dummies[other].merged_with = there;
                add_child(&mut self.dummies[dummy], merged.first, messages);
            }
            (Some(dummy), None) => {
                self.parents[node as usize] = there;
                add_child(&mut self.dummies[dummy], node, messages);
            }
            (None, None) if messages.is_reply(node) && !messages.is_reply(there) => {
                self.parents[node as usize] = there;
            }
            // A dummy would be in the table if there was one with this subject, so both are messages.
            (None, _) => {
                let mut dummy = Dummy { first: there, children: 1, merged_with: NONE };
                add_child(&mut dummy, node, messages);
                let made = (self.parents.len() + self.dummies.len()) as u32;
                self.dummies.push(dummy);
                self.parents[node as usize] = made;
                self.parents[there as usize] = made;
                self.in_table[index as usize] = made;
            }
        }
    }

    /// Step 6.
    fn plant(&mut self, messages: &Messages) -> Planting {
        let count = self.parents.len() as u32;
        let mut places = Vec::with_capacity(self.parents.len() + self.dummies.len());
        for (node, &parent) in (0..).zip(&self.parents) {
            let merged_with = self.dummy(parent).and_then(|dummy| self.dummies.get(dummy));
            let parent =
                merged_with.map(|dummy| dummy.merged_with).filter(|&node| node != NONE).unwrap_or(parent);
            places.push(Place { parent, sent: messages.sent(node), tie: node, node });
        }
        for (node, dummy) in (count..).zip(&self.dummies) {
            if dummy.children > 1 && dummy.merged_with == NONE {
                let (sent, tie) = (messages.sent(dummy.first), dummy.first);
                places.push(Place { parent: TOP, sent, tie, node });
            }
        }
        Planting::new(places, self.parents.len() + self.dummies.len())
    }
}

fn add_child(dummy: &mut Dummy, message: u32, messages: &Messages) {
    dummy.children += 1;
    if (messages.sent(message), message) < (messages.sent(dummy.first), dummy.first) {
        dummy.first = message;
    }
}

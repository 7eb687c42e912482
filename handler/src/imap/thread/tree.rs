//! Threads as a tree, in the order in which they are told, and the THREAD reply made of it piece by piece.
//!
//! Nodes are messages by their places among those that were found, and behind them dummies, which are at the top only. Depth is not
//! limited: whatever goes down keeps its way in memory of its own.

use protocol::imap::reply::sort::{self as reply, ThreadPiece, ThreadPlace};

use super::super::sort::steps::SortInSteps;
use crate::output::Output;

/// The parent of those that have none.
pub(crate) const TOP: u32 = u32::MAX;

/// A node, where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Its parent; [`TOP`] is behind all others.
    pub(crate) parent: u32,
    /// When it was sent, or its first child if it is a dummy.
    pub(crate) sent: i64,
    /// Which of two that were sent at the same second is first.
    pub(crate) tie: u32,
    /// The node.
    pub(crate) node: u32,
}

/// A tree in the making.
pub(crate) struct Planting {
    steps: SortInSteps<Place>,
    nodes: usize,
}

impl Planting {
    /// Of these places; nodes are below `nodes`.
    pub(crate) fn new(places: Vec<Place>, nodes: usize) -> Planting {
        Planting { steps: SortInSteps::new(places), nodes }
    }

    /// Sorts siblings until time is up; true when all are in order.
    pub(crate) fn go_on(&mut self, is_time_up: &dyn Fn() -> bool) -> bool {
        self.steps.go_on(Place::cmp, is_time_up)
    }

    /// The tree, whose messages have these numbers.
    pub(crate) fn finish(self, numbers: Vec<u32>) -> Tree {
        let places = self.steps.into_items();
        let mut begins = vec![0; self.nodes + 1];
        let mut top = places.len();
        for (index, place) in places.iter().enumerate().rev() {
            match begins.get_mut(place.parent as usize) {
                Some(begin) if place.parent != TOP => *begin = index as u32 + 1,
                _ => top = index,
            }
        }
        let parents_and_nodes = places.iter().map(|place| (place.parent, place.node)).collect();
        Tree { places: parents_and_nodes, begins, top, numbers }
    }
}

/// A tree.
pub(crate) struct Tree {
    /// Parents and nodes, siblings beside each other, in order.
    places: Vec<(u32, u32)>,
    /// Where in `places` the children of each node begin, and 1; 0 if it has none.
    begins: Vec<u32>,
    /// Where in `places` those at the top begin.
    top: usize,
    /// The number that each message is told by.
    numbers: Vec<u32>,
}

impl Tree {
    /// Where the children of a node are in `places`.
    fn children(&self, node: u32) -> Option<usize> {
        (self.begins[node as usize] as usize).checked_sub(1)
    }

    /// The node at a place, if it is a child of `parent`.
    fn child_at(&self, place: usize, parent: u32) -> Option<u32> {
        self.places.get(place).filter(|&&(of, _)| of == parent).map(|&(_, node)| node)
    }
}

/// A THREAD reply on its way.
pub(crate) struct Telling {
    tree: Tree,
    /// What was written last.
    last: ThreadPlace,
    has_begun: bool,
    /// The next place at each level, and whose children these are.
    levels: Vec<(usize, u32)>,
    /// The node to go on with: the only child of the one that was written last.
    only_child: Option<u32>,
}

impl Telling {
    /// Of this tree.
    pub(crate) fn new(tree: Tree) -> Telling {
        let levels = vec![(tree.top, TOP)];
        Telling { tree, last: ThreadPlace::default(), has_begun: false, levels, only_child: None }
    }

    /// Writes until the output is full; true when all was written.
    pub(crate) fn write(&mut self, output: &mut Output) -> bool {
        while !output.is_full() {
            if !std::mem::replace(&mut self.has_begun, true) {
                reply::thread_begin(output.bytes());
            }
            match self.next() {
                Some(pieces) => {
                    for piece in pieces.into_iter().flatten() {
                        reply::thread_piece(output.bytes(), &mut self.last, piece);
                    }
                }
                None => {
                    reply::end(output.bytes());
                    return true;
                }
            }
        }
        false
    }

    /// The next pieces.
    fn next(&mut self) -> Option<[Option<ThreadPiece>; 3]> {
        let (node, open) = match self.only_child.take() {
            Some(node) => (node, None),
            None => {
                let (place, parent) = self.levels.last_mut()?;
                match self.tree.child_at(*place, *parent) {
                    Some(node) => {
                        *place += 1;
                        (node, Some(ThreadPiece::Open))
                    }
                    None => {
                        self.levels.pop();
                        // Those at the top are in no parentheses.
                        return (!self.levels.is_empty()).then_some([Some(ThreadPiece::Close), None, None]);
                    }
                }
            }
        };
        let message = self.tree.numbers.get(node as usize).map(|&number| ThreadPiece::Message(number));
        let close = match self.tree.children(node) {
            None => Some(ThreadPiece::Close),
            Some(place) if message.is_some() && self.tree.child_at(place + 1, node).is_none() => {
                self.only_child = self.tree.child_at(place, node);
                None
            }
            Some(place) => {
                self.levels.push((place, node));
                None
            }
        };
        Some([open, message, close])
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The reply in one piece.
    pub(crate) fn told(tree: Tree) -> String {
        let mut telling = Telling::new(tree);
        let mut out = Vec::new();
        while let Some(pieces) = telling.next() {
            for piece in pieces.into_iter().flatten() {
                reply::thread_piece(&mut out, &mut telling.last, piece);
            }
        }
        String::from_utf8(out).expect("ASCII").trim_start().to_owned()
    }

    /// A tree of nodes with these parents, of which the first `messages` are messages.
    fn tree(parents: &[u32], messages: u32) -> Tree {
        let places =
            parents.iter().zip(0..).map(|(&parent, node)| Place { parent, sent: 0, tie: node, node });
        let mut planting = Planting::new(places.collect(), parents.len());
        while !planting.go_on(&|| true) {}
        planting.finish((1..=messages).collect())
    }

    #[test]
    fn writes_threads() {
        for (parents, messages, want) in [
            (&[][..], 0, ""),
            (&[TOP][..], 1, "(1)"),
            (&[TOP, 0, 1][..], 3, "(1 2 3)"),
            (&[TOP, 0, 0, 2, 2][..], 5, "(1 (2)(3 (4)(5)))"),
            (&[TOP, 0, TOP, 2, 3, 3][..], 6, "(1 2)(3 4 (5)(6))"),
            (&[2, 2, TOP][..], 2, "((1)(2))"),
            (&[3, 3, 0, TOP][..], 3, "((1 3)(2))"),
        ] {
            assert_eq!(told(tree(parents, messages)), want, "{parents:?}");
        }
    }

    #[test]
    fn depth_is_not_limited() {
        let chain: Vec<u32> = std::iter::once(TOP).chain(0..99_999).collect();
        assert!(told(tree(&chain, 100_000)).starts_with("(1 2 3 "));
        // Every second message has two children, one of which goes on.
        let comb: Vec<u32> =
            (0..100_000).map(|node: u32| if node == 0 { TOP } else { (node - 1) / 2 * 2 }).collect();
        let reply = told(tree(&comb, 100_000));
        assert!(reply.starts_with("(1 (2)(3 (4)(5 (6)("), "{}", &reply[..40]);
        assert!(reply.ends_with("))))"));
    }
}

//! CONTEXT=SORT (RFC 5267, 4.3): the results of a SORT that are kept up to date, and what the client is told to keep its own list so.
//!
//! Of the results nothing but their UIDs is kept, in order. What is compared never changes, so that a message never moves: it comes at its place
//! (`places` finds it), and goes. The client makes the [`Edits`] one after the other, and each counts places as those before it left them.
//!
//! `search::context` decides which messages come and go, and writes the edits.

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::extension::sort::SortCriterion;
use protocol::imap::reply::esearch::{self, Correlator, Update};
use protocol::imap::syntax::sequence_set::NumberSet;

use super::places::Placed;
pub(crate) use super::places::{Places, Unplaceable};
use super::runs;

/// Edits that are written between two looks at how full the output is.
const STRIDE: usize = 256;

/// The results of a SORT.
#[derive(Debug)]
pub(crate) struct Ordered {
    criteria: Vec<SortCriterion>,
    /// The UIDs, in order.
    uids: Vec<u32>,
}

/// Changes of results: messages that come, or that go.
#[derive(Debug)]
pub(crate) struct Edits {
    update: Update,
    /// The place at which a message comes or goes, from 1, and its UID.
    edits: Vec<(u32, u32)>,
    written: usize,
}

impl Ordered {
    /// These messages, which are in the order of `criteria`.
    pub(crate) fn new(criteria: Vec<SortCriterion>, uids: Vec<u32>) -> Ordered {
        Ordered { criteria, uids }
    }

    /// How many messages there are.
    pub(crate) fn count(&self) -> usize {
        self.uids.len()
    }

    /// The UIDs, in order.
    pub(crate) fn uids(&self) -> &[u32] {
        &self.uids
    }

    /// What is compared.
    pub(crate) fn criteria(&self) -> &[SortCriterion] {
        &self.criteria
    }

    /// Takes out those of these UIDs that are there.
    pub(crate) fn remove(&mut self, gone: &NumberSet) -> Edits {
        let mut edits = Vec::new();
        let mut place = 1;
        self.uids.retain(|&uid| {
            let is_gone = gone.contains(uid);
            if is_gone {
                edits.push((place, uid));
            } else {
                place += 1;
            }
            !is_gone
        });
        Edits { update: Update::RemoveFrom, edits, written: 0 }
    }

    /// Those of these UIDs that are not there.
    pub(crate) fn missing(&self, uids: &NumberSet) -> NumberSet {
        let mut there: Vec<u32> = self.uids.iter().copied().filter(|&uid| uids.contains(uid)).collect();
        there.sort_unstable();
        uids.without(&NumberSet::from_ascending(there))
    }

    /// Begins to find the places of messages with these sequence numbers.
    pub(crate) fn places(&self, messages: NumberSet) -> Places {
        Places::new(messages, &self.criteria)
    }

    /// Puts messages in at the places that were found for them, ascending.
    pub(crate) fn insert(&mut self, placed: &[Placed]) -> Edits {
        let mut uids = Vec::with_capacity(self.uids.len() + placed.len());
        let mut edits = Vec::with_capacity(placed.len());
        let mut taken = 0;
        for placed in placed {
            uids.extend_from_slice(&self.uids[taken..placed.before]);
            taken = placed.before;
            uids.push(placed.uid);
            // No mailbox has more messages than there are UIDs.
            edits.push((uids.len() as u32, placed.uid));
        }
        uids.extend_from_slice(&self.uids[taken..]);
        self.uids = uids;
        Edits { update: Update::AddTo, edits, written: 0 }
    }
}

impl Edits {
    /// Whether all are written.
    pub(crate) fn is_done(&self) -> bool {
        self.written == self.edits.len()
    }

    /// Appends an ESEARCH reply with some of those that are left. `number_of` gives the number by which the client knows the message with a UID.
    ///
    /// # Errors
    /// Those of `number_of`; nothing is appended then.
    pub(crate) fn write<E>(
        &mut self,
        out: &mut Vec<u8>,
        tag: &Tag,
        numbering: Numbering,
        mut number_of: impl FnMut(u32) -> Result<u32, E>,
    ) -> Result<(), E> {
        let end = (self.written + STRIDE).min(self.edits.len());
        // Messages that stand side by side in the results are told together.
        let mut groups: Vec<(u32, Vec<u32>)> = Vec::new();
        let mut goes_on_at = None;
        for &(place, uid) in &self.edits[self.written..end] {
            let number = number_of(uid)?;
            match groups.last_mut() {
                Some((_, numbers)) if goes_on_at == Some(place) => numbers.push(number),
                _ => groups.push((place, vec![number])),
            }
            goes_on_at = match self.update {
                Update::AddTo => Some(place + 1),
                Update::RemoveFrom => Some(place),
            };
        }
        self.written = end;
        if groups.is_empty() {
            return Ok(());
        }
        esearch::begin(out, Correlator { tag, mailbox: None }, numbering);
        for (index, (place, numbers)) in groups.iter().enumerate() {
            match index {
                0 => esearch::update_begin(out, self.update, *place),
                _ => esearch::update_position(out, *place),
            }
            esearch::ranges(out, &runs(numbers), false);
        }
        esearch::close(out);
        esearch::end(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::super::places::Search;
    use super::*;

    /// A client that does what it is told.
    fn apply(list: &mut Vec<u32>, replies: &str) {
        for line in replies.split_terminator("\r\n") {
            let items = line.strip_prefix("* ESEARCH (TAG \"s1\") UID ").expect("its own reply");
            let (update, pairs) = items.split_once(" (").expect("an update");
            let words: Vec<&str> = pairs.strip_suffix(')').expect("one update").split(' ').collect();
            for pair in words.chunks(2) {
                let mut place = pair[0].parse::<usize>().expect("a place") - 1;
                for range in pair[1].split(',') {
                    let (first, last) = range.split_once(':').unwrap_or((range, range));
                    let (first, last) =
                        (first.parse::<u32>().expect("a number"), last.parse::<u32>().expect("a number"));
                    assert!(first <= last, "{line}");
                    for number in first..=last {
                        match update {
                            "ADDTO" => {
                                list.insert(place, number);
                                place += 1;
                            }
                            "REMOVEFROM" => assert_eq!(list.remove(place), number, "{line}"),
                            other => panic!("{other}"),
                        }
                    }
                }
            }
        }
    }

    fn written(mut edits: Edits) -> String {
        let tag = Tag::new(b"s1").expect("a tag");
        let mut out = Vec::new();
        while !edits.is_done() {
            edits
                .write(&mut out, &tag, Numbering::Uid, Ok::<u32, Infallible>)
                .expect("every UID is its own number");
        }
        String::from_utf8(out).expect("ASCII")
    }

    /// A mailbox whose messages have criteria of few kinds, so that many are tied.
    struct Model {
        state: u64,
        criteria: BTreeMap<u32, Vec<u8>>,
        next_uid: u32,
    }

    impl Model {
        fn below(&mut self, limit: u64) -> u64 {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.state >> 33) % limit
        }

        fn sorted(&self, mut uids: Vec<u32>) -> Vec<u32> {
            uids.sort_by_key(|uid| (self.criteria[uid].clone(), *uid));
            uids
        }

        /// Some of these, or some new ones.
        fn some(&mut self, of: &[u32], at_most: u64) -> Vec<u32> {
            let one_in = self.below(at_most) + 1;
            of.iter().copied().filter(|_| self.below(one_in) == 0).collect()
        }
    }

    fn insert(ordered: &mut Ordered, model: &Model, uids: &[u32]) -> Edits {
        let set = NumberSet::from_ascending({
            let mut uids = uids.to_vec();
            uids.sort_unstable();
            uids
        });
        let missing = ordered.missing(&set);
        let missing: Vec<u32> = missing.ranges().iter().flat_map(|&(first, last)| first..=last).collect();
        let mut search = Search::new(model.sorted(missing));
        let mut read = |uid: u32, out: &mut Vec<u8>| {
            out.clone_from(&model.criteria[&uid]);
            Ok::<(), Infallible>(())
        };
        while !search.go_on(ordered.uids(), &mut read, &|| true).expect("every message is known") {}
        ordered.insert(&search.into_placed())
    }

    #[test]
    fn the_list_of_the_client_is_that_of_a_fresh_sort() {
        for seed in 0..40 {
            let mut model = Model { state: seed, criteria: BTreeMap::new(), next_uid: 1 };
            let mut ordered = Ordered::new(Vec::new(), Vec::new());
            let mut client: Vec<u32> = Vec::new();
            // Messages that are in the mailbox and do not meet the condition now.
            let mut others: Vec<u32> = Vec::new();
            for round in 0..60 {
                let before = client.clone();
                // Flags: some leave the results, others come back; what is expunged goes for good.
                let leaving = model.some(&before, 6);
                let coming = model.some(&others, 4);
                let mut arriving = Vec::new();
                for _ in 0..model.below(if round % 20 == 0 { 700 } else { 6 }) {
                    let uid = model.next_uid;
                    model.next_uid += 1 + model.below(2) as u32;
                    let text = vec![b'a'; model.below(4) as usize];
                    model.criteria.insert(uid, text);
                    arriving.push(uid);
                }
                let mut gone = leaving.clone();
                gone.sort_unstable();
                let gone = NumberSet::from_ascending(gone);
                let mut replies = written(ordered.remove(&gone));
                // Some that are there already are asked again, and change nothing.
                let again = before.iter().copied().filter(|uid| !leaving.contains(uid) && uid % 3 == 0);
                let found: Vec<u32> = coming.iter().chain(&arriving).copied().chain(again).collect();
                replies.push_str(&written(insert(&mut ordered, &model, &found)));
                apply(&mut client, &replies);

                others.retain(|uid| !coming.contains(uid));
                others.extend(leaving.iter().filter(|&&uid| uid % 2 == 0));
                let want: Vec<u32> = before
                    .into_iter()
                    .filter(|uid| !leaving.contains(uid))
                    .chain(coming)
                    .chain(arriving)
                    .collect();
                assert_eq!(client, model.sorted(want), "seed {seed}, round {round}: {replies}");
                assert_eq!(client, ordered.uids(), "seed {seed}, round {round}");
            }
        }
    }

    #[test]
    fn what_stands_side_by_side_is_told_together() {
        let mut ordered = Ordered::new(Vec::new(), vec![7, 3, 4, 5, 9, 1, 8]);
        let gone = NumberSet::from_ranges(vec![(1, 1), (3, 5), (7, 8)]);
        let text = "* ESEARCH (TAG \"s1\") UID REMOVEFROM (1 7,3:5 2 1,8)\r\n";
        assert_eq!(written(ordered.remove(&gone)), text);
        assert_eq!(ordered.uids(), [9]);
        let placed = |before, uid| Placed { before, uid };
        let edits = ordered.insert(&[placed(0, 2), placed(0, 6), placed(1, 7), placed(1, 8)]);
        assert_eq!(written(edits), "* ESEARCH (TAG \"s1\") UID ADDTO (1 2,6 4 7:8)\r\n");
        assert_eq!(ordered.uids(), [2, 6, 9, 7, 8]);
        assert_eq!(written(ordered.remove(&NumberSet::from_ranges(vec![(10, 20)]))), "");
    }

    #[test]
    fn many_edits_are_told_in_several_replies() {
        let mut ordered = Ordered::new(Vec::new(), (1..=2000).collect());
        let odd = NumberSet::from_ascending((1..=2000).filter(|uid| uid % 2 == 1));
        let mut client: Vec<u32> = (1..=2000).collect();
        let replies = written(ordered.remove(&odd));
        assert_eq!(replies.lines().count(), 1000_usize.div_ceil(STRIDE));
        apply(&mut client, &replies);
        assert_eq!(client, ordered.uids());
    }
}

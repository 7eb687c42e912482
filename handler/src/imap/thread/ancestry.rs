//! Who is whose parent while threads are put together: nodes that get a parent, lose it, and must never become their own ancestor.
//!
//! Whether a link would make a loop is asked before each one. Mostly a look at a few ancestors answers. Behind a long chain, which
//! somebody may have made on purpose, [`LinkCut`] does: it is built once it is needed, and answers in logarithmic time.

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// Ancestors that are looked at one by one.
const STEPS_MAX: usize = 64;

/// The parents of nodes, which are numbers from 0 on.
#[derive(Default)]
pub(crate) struct Ancestry {
    parents: Vec<u32>,
    /// Whether a node has, or once had, a child.
    had_child: Vec<bool>,
    far: Option<LinkCut>,
}

impl Ancestry {
    /// Adds a node without a parent.
    pub(crate) fn push(&mut self) {
        self.parents.push(NONE);
        self.had_child.push(false);
        if let Some(far) = &mut self.far {
            far.push(NONE);
        }
    }

    /// The parent of a node, or [`NONE`].
    pub(crate) fn parent(&self, node: u32) -> u32 {
        self.parents[node as usize]
    }

    /// Takes the parent of a node away.
    pub(crate) fn cut(&mut self, node: u32) {
        if std::mem::replace(&mut self.parents[node as usize], NONE) != NONE
            && let Some(far) = &mut self.far
        {
            far.cut(node);
        }
    }

    /// Gives a node that has no parent this one, unless that would make a loop.
    pub(crate) fn link(&mut self, parent: u32, node: u32) {
        debug_assert_eq!(self.parent(node), NONE);
        if self.is_in_tree_of(parent, node) {
            return;
        }
        self.parents[node as usize] = parent;
        self.had_child[parent as usize] = true;
        if let Some(far) = &mut self.far {
            far.link(parent, node);
        }
    }

    /// Whether the node is `top`, which has no parent, or one of its descendants.
    fn is_in_tree_of(&mut self, node: u32, top: u32) -> bool {
        if node == top || !self.had_child[top as usize] {
            return node == top;
        }
        let mut ancestor = node;
        for _ in 0..STEPS_MAX {
            match self.parents[ancestor as usize] {
                NONE => return ancestor == top,
                parent => ancestor = parent,
            }
        }
        let parents = &self.parents;
        self.far.get_or_insert_with(|| LinkCut::new(parents)).root(node) == top
    }

    /// The parents of all nodes.
    pub(crate) fn into_parents(self) -> Vec<u32> {
        self.parents
    }
}

/// A forest of rooted trees in which a root is found, and an edge made or cut, in amortised logarithmic time (Sleator and
/// Tarjan): the nodes of a path are kept in a splay tree by their depth. A node by itself with a pointer to its parent is
/// such a tree, so nothing is to be prepared.
struct LinkCut {
    /// The parent in the splay tree; at its top, the parent of the path's first node.
    up: Vec<u32>,
    /// Nodes nearer to the root, and farther from it.
    children: Vec<[u32; 2]>,
}

impl LinkCut {
    fn new(parents: &[u32]) -> LinkCut {
        LinkCut { up: parents.to_vec(), children: vec![[NONE; 2]; parents.len()] }
    }

    fn push(&mut self, parent: u32) {
        self.up.push(parent);
        self.children.push([NONE; 2]);
    }

    fn child(&self, node: u32, side: usize) -> u32 {
        self.children[node as usize][side]
    }

    /// Which child of its parent in the splay tree a node is; `None` at the top.
    fn side(&self, node: u32) -> Option<usize> {
        let up = self.up[node as usize];
        if up == NONE {
            return None;
        }
        self.children[up as usize].iter().position(|&child| child == node)
    }

    fn set_child(&mut self, node: u32, side: usize, child: u32) {
        self.children[node as usize][side] = child;
        if child != NONE {
            self.up[child as usize] = node;
        }
    }

    /// Moves a node above its parent in the splay tree.
    fn rotate(&mut self, node: u32, side: usize) {
        let parent = self.up[node as usize];
        let above = self.up[parent as usize];
        let parent_side = self.side(parent);
        self.set_child(parent, side, self.child(node, 1 - side));
        self.set_child(node, 1 - side, parent);
        self.up[node as usize] = above;
        if let Some(parent_side) = parent_side {
            self.children[above as usize][parent_side] = node;
        }
    }

    /// Moves a node to the top of its splay tree.
    fn splay(&mut self, node: u32) {
        while let Some(side) = self.side(node) {
            let parent = self.up[node as usize];
            match self.side(parent) {
                Some(parent_side) if parent_side == side => {
                    self.rotate(parent, parent_side);
                    self.rotate(node, side);
                }
                Some(parent_side) => {
                    self.rotate(node, side);
                    self.rotate(node, parent_side);
                }
                None => self.rotate(node, side),
            }
        }
    }

    /// Makes the way from the root to a node one splay tree, with the node at its top and nothing behind it.
    fn expose(&mut self, node: u32) {
        let (mut behind, mut at) = (NONE, node);
        while at != NONE {
            self.splay(at);
            self.children[at as usize][1] = behind;
            behind = at;
            at = self.up[at as usize];
        }
        self.splay(node);
    }

    fn root(&mut self, node: u32) -> u32 {
        self.expose(node);
        let mut root = node;
        while self.child(root, 0) != NONE {
            root = self.child(root, 0);
        }
        self.splay(root);
        root
    }

    fn link(&mut self, parent: u32, root: u32) {
        self.expose(root);
        self.up[root as usize] = parent;
    }

    fn cut(&mut self, node: u32) {
        self.expose(node);
        let nearer = std::mem::replace(&mut self.children[node as usize][0], NONE);
        if nearer != NONE {
            self.up[nearer as usize] = NONE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same without any cleverness.
    fn is_loop(parents: &[u32], parent: u32, node: u32) -> bool {
        let mut ancestor = parent;
        while ancestor != NONE {
            if ancestor == node {
                return true;
            }
            ancestor = parents[ancestor as usize];
        }
        false
    }

    #[test]
    fn loops_are_found_as_by_walking() {
        let mut state = 5_u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        for (nodes, cuts) in [(2, 3), (5, 3), (300, 3), (2000, 100)] {
            let mut ancestry = Ancestry::default();
            // One long chain to begin with, so that walking does not do.
            let mut parents = vec![NONE; nodes];
            for (node, parent) in (0..).zip(&mut parents) {
                ancestry.push();
                if node > 0 && (node as usize) < nodes / 2 {
                    ancestry.link(node - 1, node);
                    *parent = node - 1;
                }
            }
            for _ in 0..20_000 {
                let node = below(nodes) as u32;
                if below(cuts) == 0 {
                    ancestry.cut(node);
                    parents[node as usize] = NONE;
                } else if parents[node as usize] == NONE {
                    let parent = below(nodes) as u32;
                    ancestry.link(parent, node);
                    if !is_loop(&parents, parent, node) {
                        parents[node as usize] = parent;
                    }
                }
            }
            assert!(ancestry.far.is_some() || nodes < 2000);
            assert_eq!(ancestry.into_parents(), parents, "{nodes}");
        }
    }

    #[test]
    fn long_chains_take_no_long_time() {
        // By walking this would be 10^10 steps.
        let nodes = 200_000;
        let mut ancestry = Ancestry::default();
        for node in 0..nodes {
            ancestry.push();
            if node > 0 && node < nodes / 2 {
                ancestry.link(node - 1, node);
            }
        }
        for node in (nodes / 2..nodes - 1).step_by(2) {
            ancestry.link(node, node + 1);
            ancestry.link(nodes / 2 - 1, node);
            assert_eq!(ancestry.parent(node), nodes / 2 - 1);
        }
    }
}

//! What one pass over a message found out.

/// Everything a record says, before it is encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    pub(crate) size: u64,
}

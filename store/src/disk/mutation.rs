//! Ways to break the store on purpose. A check that cannot fail is worth nothing: the simulation must find each of them.

/// What the store does wrong. Asked for at the place in question, by [`Disk::mutated`](crate::disk::Disk::mutated); never so but on a simulated
/// disk that was made so, in a build with the feature `mutations`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Journals are not synced.
    SkipJournalSync,
    /// Buckets are not synced.
    SkipBucketSync,
    /// A copy does not wait for the bucket of another writer that its message is in.
    SkipSyncOfOthers,
    /// A mailbox cell is shown that points to a message before the message's count has it.
    CellBeforeCount,
    /// The checksum of a frame's changes is not looked at.
    NoFrameChecksum,
    /// The content of a frame is not verified after a power cut.
    NoContentCheck,
    /// A power cut does not raise the epoch, so that UIDs are given out again.
    EpochNotRaised,
    /// A checkpoint is written before what it states is so.
    CheckpointBeforeSync,
    /// The folder of a new log is not synced.
    FolderNotSynced,
    /// Messages are moved, and several changed at once, before that is durable.
    SeveralNotDurableFirst,
    /// Messages that are put into a mailbox together are not made durable before that.
    DepositsNotDurableFirst,
    /// Users and mailboxes are seen before they are durable.
    NamesNotDurableFirst,
    /// Recovery puts changes into mailboxes in the order of the logs, not of their modseqs.
    ReplayUnsorted,
    /// Frames that no checkpoint covers are not replayed after a power cut.
    NoReplay,
    /// Frames are written after their changes are in the views.
    IntentAfterFrame,
    /// The head of a message that was written as it came is written before its content.
    HeadBeforeContent,
    /// What was expunged is let go of before that is durable.
    ReleaseBeforeSync,
    /// A message's count falls before the cell says that it holds it no more.
    CountBeforeRelease,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Mutation; 18] = [
        Mutation::SkipJournalSync,
        Mutation::SkipBucketSync,
        Mutation::SkipSyncOfOthers,
        Mutation::CellBeforeCount,
        Mutation::NoFrameChecksum,
        Mutation::NoContentCheck,
        Mutation::EpochNotRaised,
        Mutation::CheckpointBeforeSync,
        Mutation::FolderNotSynced,
        Mutation::SeveralNotDurableFirst,
        Mutation::DepositsNotDurableFirst,
        Mutation::NamesNotDurableFirst,
        Mutation::ReplayUnsorted,
        Mutation::NoReplay,
        Mutation::IntentAfterFrame,
        Mutation::HeadBeforeContent,
        Mutation::ReleaseBeforeSync,
        Mutation::CountBeforeRelease,
    ];
}

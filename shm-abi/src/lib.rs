//! The table of sessions in shared memory, and the records that travel between processes.

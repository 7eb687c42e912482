//! How much of a message is looked at. Everything beyond is still stored and served, only described more coarsely.

/// Octets of the top-level header that are analysed. Fields behind it are delivered by FETCH but not in the record.
pub const TOP_HEADER_OCTETS_MAX: usize = 256 * 1024;

/// Octets of the header of a part, or of an enclosed message, that are analysed.
pub const PART_HEADER_OCTETS_MAX: usize = 64 * 1024;

/// Multiparts and enclosed messages inside each other. What is nested deeper is one opaque leaf.
pub const NESTING_MAX: usize = 100;

/// Parts of a message. What comes after is part of the last.
pub const PARTS_MAX: usize = 10_000;

/// Octets of a boundary. A longer one is no boundary (RFC 2046 allows 70).
pub const BOUNDARY_OCTETS_MAX: usize = 998;

/// Octets that descriptions of parts may take in all. Parts behind it are described by type, encoding and size alone.
pub const DESCRIPTION_OCTETS_MAX: usize = 4 * 1024 * 1024;

/// Message-IDs kept of a References field: the first and the last ones.
pub const REFERENCES_MAX: usize = 256;

/// Fields in the index of the top-level header. A header with more is read whole.
pub const HEADER_INDEX_MAX: usize = 512;

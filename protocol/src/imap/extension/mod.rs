//! Extensions that bring commands of their own, one file each.
//!
//! An extension that only widens a command of RFC 3501 is where that command is:
//!
//! | extension | where |
//! |---|---|
//! | LITERAL+ (7888) | `decoder/` |
//! | SASL-IR (4959) | `command/authenticate.rs` |
//! | LIST-EXTENDED (5258), LIST-STATUS (5819), CHILDREN (3348), SPECIAL-USE in LIST (6154), LIST-MYRIGHTS (8440), LIST-METADATA (9590) | `command/list.rs` |
//! | CREATE (USE …) (6154) | `command/mailbox.rs` |
//! | STATUS=SIZE (8438), DELETED (9051), DELETED-STORAGE (9208), MAILBOXID (8474), APPENDLIMIT (7889) | `command/status.rs` |
//! | EMAILID and THREADID (8474), SAVEDATE (8514), PREVIEW (8970) in FETCH | `command/fetch.rs`, `reply/fetch_facts.rs` |
//! | names and strings in UTF-8 (6855, 9051) | `syntax/name_encoding.rs` |
//! | UIDPLUS's APPENDUID and COPYUID (4315) | `reply/code.rs` |
//! | CONDSTORE (7162): modifiers of FETCH and STORE, MODSEQ in SEARCH | `condstore.rs`, called from the command |
//! | QRESYNC (7162): parameters of SELECT | `qresync.rs` |
//! | ESEARCH (4731), WITHIN (5032), SEARCH=FUZZY (6203), FILTERS (5466) | `command/search.rs`, `result_options.rs`, `reply/esearch.rs` |
//! | PARTIAL (9394) of SEARCH and UID FETCH | `partial.rs` |
//! | CONTEXT=SEARCH, CONTEXT=SORT (5267), and UPDATE with items of NOTIFY (5465) | `result_options.rs`, `context.rs`, `reply/esearch.rs` |
//! | INPROGRESS (9585) | `reply/code.rs` |
//! | MULTIAPPEND (3502), CATENATE (4469), REPLACE (8508), literal8 of BINARY (3516), UTF8 of APPEND (6855) | `command/append.rs`, `decoder/append.rs` |
//! | BINARY of FETCH (3516) | `command/fetch.rs`, `reply/binary.rs` |
//! | URLs of CATENATE and URLAUTH (5092) | `url/` |
//! | ANNOTATE-EXPERIMENT-1 (5257): ANNOTATION in FETCH, STORE, APPEND, SEARCH and SORT, ANNOTATE of SELECT | `annotate.rs`, called from the command; `reply/annotate.rs` |
//! | `$` of SEARCHRES (5182) | `syntax/sequence_set.rs` |

pub mod acl;
pub mod annotate;
pub mod compress;
pub(crate) mod condstore;
pub mod context;
pub mod enable;
pub mod gmail;
pub mod id;
pub mod idle;
pub mod mailbox_filter;
pub mod metadata;
pub mod multi_search;
pub mod notify;
pub mod object_id;
pub mod partial;
pub mod preview;
pub mod qresync;
pub mod quota;
pub mod referral;
pub mod result_options;
pub mod sort;
pub mod special_use;
pub mod uid_batches;
pub mod urlauth;

//! What a dead router leaves behind: a segment, and perhaps handlers that have not noticed yet.

use crate::error::{TableError, table_error};
use crate::handler_row::HandlerState;
use crate::layout::{Header, MAGIC};
use crate::process::Process;
use crate::segment::Segment;
use crate::table::{TableView, router_of};
use std::mem::size_of;
use std::sync::atomic::Ordering;

/// The handlers of table `name` that still run although their router does not. Empty while the router lives, when
/// there is no such table, and for a table of another version.
pub fn left_over_handlers(name: &str) -> Vec<Process> {
    let Ok(view) = TableView::open_read_only(name) else { return Vec::new() };
    if view.info().router.is_alive() {
        return Vec::new();
    }
    let of_living = |info: &crate::HandlerInfo| info.state != HandlerState::Dead && info.process.is_alive();
    view.handlers().iter().filter(|info| of_living(info)).map(|info| info.process).collect()
}

/// Removes a segment whose router is dead. Works across versions: the first line of the header never moves.
pub(crate) fn remove_left_over(name: &str) -> Result<(), TableError> {
    let segment = Segment::open_read_only(name).map_err(|error| table_error(name, 0, error))?;
    if segment.octets() >= size_of::<Header>() {
        let header: &Header = segment.at(0);
        let router = router_of(header);
        if header.magic.load(Ordering::Acquire) == MAGIC && router.is_alive() {
            return Err(TableError::InUse { router_pid: router.pid });
        }
    }
    Segment::remove(name).map_err(|error| table_error(name, 0, error))
}

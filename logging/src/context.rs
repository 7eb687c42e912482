//! What every line of a thread says besides: the session that the thread runs.

use crate::line::Line;
use std::cell::RefCell;
use std::fmt::Display;

/// Tells fields: `tell("session", &"3.17.42")`.
type Context = Box<dyn Fn(&mut dyn FnMut(&'static str, &dyn Display))>;

thread_local! {
    static CONTEXT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// From now on each line of this thread has the fields that `context` tells, but for those that it has anyway. Asked only when a
/// line is written.
pub fn set_context(context: impl Fn(&mut dyn FnMut(&'static str, &dyn Display)) + 'static) {
    CONTEXT.with(|place| place.replace(Some(Box::new(context))));
}

/// Ends [`set_context`].
pub fn clear_context() {
    CONTEXT.with(|place| place.replace(None));
}

pub(crate) fn add_to(line: &mut Line) {
    // A thread that is ending has none any more; a context that logs gets none in its own lines.
    let _ = CONTEXT.try_with(|place| {
        if let Ok(context) = place.try_borrow()
            && let Some(context) = &*context
        {
            context(&mut |name, value| {
                if !line.has(name) {
                    line.add(name, value);
                }
            });
        }
    });
}

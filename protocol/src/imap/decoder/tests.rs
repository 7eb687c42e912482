//! Framing: literals, refusals, limits, APPEND, and the lines of AUTHENTICATE and IDLE.

//! Every command, as clients send it and as they should not.

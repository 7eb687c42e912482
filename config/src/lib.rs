//! The settings file and the users file.

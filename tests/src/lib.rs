//! End-to-end tests against a real running router.

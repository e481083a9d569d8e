//! What is enforced.

//! A bounded log with one writer and many readers.

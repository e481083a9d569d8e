//! OpenSSH's own programs as clients.

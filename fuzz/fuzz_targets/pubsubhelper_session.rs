//! An SMTP session takes any bytes, cut anywhere: it never panics, and a mail has whole lines only.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use pubsubhelper::{Session, SmtpConfig, Step};

fuzz_target!(|pieces: Vec<&[u8]>| {
    let mut session = Session::new(Arc::new(SmtpConfig::new("h", "a@b").max_mail(1 << 10)));
    for piece in pieces {
        session.receive(piece);
        while let Some(step) = session.next_step() {
            let Step::Mail(mail) = step else { continue };
            assert!(mail.message.len() <= 1 << 10);
            let mut previous = 0;
            for &byte in &mail.message {
                assert_eq!(previous == b'\r', byte == b'\n');
                previous = byte;
            }
            session.answer_mail(mail.message.len() % 2 == 0);
        }
    }
});

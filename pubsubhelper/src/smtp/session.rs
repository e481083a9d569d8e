use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use crate::smtp::body::{Body, BodyEnd, BodyFault};
use crate::smtp::server::SmtpConfig;

/// The longest line of a command with its end, in bytes, as upstream's; RFC 5321 (4.5.3.1.4) asks for 512.
const MAX_COMMAND: usize = 4096;
/// The longest line of a mail; RFC 5322 (2.1.1) has 998.
const MAX_LINE: usize = 4096;
/// The longest address, RFC 5321, 4.5.3.1: 64 for the name, 255 for the host.
const MAX_ADDRESS: usize = 320;
/// Refused commands, after which a session ends.
const MAX_ERRORS: usize = 20;
/// Mails, after which a session ends; Gerrit's senders open another.
const MAX_MAILS: usize = 100;

/// A mail, and who the SMTP client said it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The address of `MAIL FROM`, without its angle brackets.
    pub sender: String,
    /// The whole mail; lines end in CR LF, and dots that were put before lines are gone.
    pub message: Vec<u8>,
}

/// What the side that has the socket does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes.
    Reply(Vec<u8>),
    /// A mail came; the session goes on after [`Session::answer_mail`].
    Mail(Envelope),
    /// Write what came before, and close.
    Close,
}

/// The server's half of an SMTP session: no socket, no clock.
///
/// Bytes go in by [`receive`](Self::receive), and what is to be done comes out of [`next_step`](Self::next_step). Not all of SMTP is there: one
/// recipient, no TLS, no authentication, as RFC 5321 allows a server that relays for nobody.
///
/// It holds at most one mail of the configured size, one command, and the replies to what one call gave it.
#[derive(Debug)]
pub struct Session {
    config: Arc<SmtpConfig>,
    /// The start of a command's line, or what came while a mail waits for its answer.
    pending: Vec<u8>,
    steps: VecDeque<Step>,
    state: State,
    sender: Option<String>,
    has_recipient: bool,
    errors: usize,
    mails: usize,
}

#[derive(Debug)]
enum State {
    Commands,
    Data(Body),
    /// For the answer to a mail.
    Waiting,
    Closed,
}

impl Session {
    /// A session whose first step is the greeting.
    #[must_use]
    pub fn new(config: Arc<SmtpConfig>) -> Self {
        let greeting = format!("220 {} ESMTP gosmtpd", config.host_name);
        let mut session = Self {
            config,
            pending: Vec::new(),
            steps: VecDeque::new(),
            state: State::Commands,
            sender: None,
            has_recipient: false,
            errors: 0,
            mails: 0,
        };
        session.reply(&greeting);
        session
    }

    /// Takes what the client sent. Nothing is looked at behind a mail that is not answered, or the end.
    pub fn receive(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.state {
                State::Closed => return,
                State::Waiting => {
                    // The caller reads no more before it answers, so this is a part of one read.
                    self.pending.extend_from_slice(rest);
                    return;
                }
                State::Data(body) => match body.receive(rest) {
                    BodyEnd::Open => return,
                    BodyEnd::Done(used) => {
                        rest = &rest[used..];
                        self.end_of_mail();
                    }
                    BodyEnd::BareLineEnd => {
                        self.close("554 5.5.2 Error: a line of the mail doesn't end in \\r\\n");
                    }
                },
                State::Commands => {
                    let end = rest.iter().position(|&byte| byte == b'\n');
                    let used = end.map_or(rest.len(), |end| end + 1);
                    if self.pending.len() + used > MAX_COMMAND {
                        self.close("500 5.5.6 Error: line too long");
                        return;
                    }
                    self.pending.extend_from_slice(&rest[..used]);
                    rest = &rest[used..];
                    if end.is_some() {
                        let line = mem::take(&mut self.pending);
                        self.command(&line);
                        if matches!(self.state, State::Data(_)) && !rest.is_empty() {
                            // RFC 2920, 3.1: DATA is the last of a group. Who did not wait for its reply may mean another mail than we read.
                            self.steps.pop_back();
                            self.close("554 5.5.0 Error: sent before the reply to DATA");
                        }
                    }
                }
            }
        }
    }

    /// What to do next, in order.
    pub fn next_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Goes on after [`Step::Mail`]. `taken` is false if the mail is to be sent again later.
    pub fn answer_mail(&mut self, taken: bool) {
        if !matches!(self.state, State::Waiting) {
            return;
        }
        self.state = State::Commands;
        self.mails += 1;
        if taken {
            self.reply("250 2.0.0 Ok: queued");
        } else {
            self.reply("451 4.3.0 Error: cannot check the mail now, try again later");
        }
        if self.mails >= MAX_MAILS {
            self.close("421 4.7.0 Too many mails, connect again");
            return;
        }
        let rest = mem::take(&mut self.pending);
        self.receive(&rest);
    }

    /// Ends the session because the client says nothing, or the server stops.
    pub fn give_up(&mut self) {
        if !matches!(self.state, State::Closed) {
            self.close("421 4.4.2 Closing");
        }
    }

    fn command(&mut self, line: &[u8]) {
        let Some(line) = line
            .strip_suffix(b"\r\n")
            .filter(|line| !line.contains(&b'\r'))
        else {
            return self.refuse("500 line doesn't end in \\r\\n");
        };
        let (verb, argument) = match line.iter().position(|&byte| byte == b' ') {
            Some(space) => (&line[..space], &line[space + 1..]),
            None => (line, &b""[..]),
        };
        match verb.to_ascii_uppercase().as_slice() {
            b"HELO" | b"EHLO" => self.hello(),
            b"MAIL" => self.mail(argument),
            b"RCPT" => self.recipient(argument),
            b"NOOP" => self.reply("250 2.0.0 OK"),
            b"DATA" | b"RSET" | b"QUIT" if !argument.is_empty() => {
                self.refuse("500 unexpected argument");
            }
            b"DATA" => self.data(),
            b"RSET" => {
                self.reset();
                self.reply("250 2.0.0 OK");
            }
            b"QUIT" => self.close("221 2.0.0 Bye"),
            _ => self.refuse("502 5.5.2 Error: command not recognized"),
        }
    }

    fn hello(&mut self) {
        self.reset();
        let host_name = &self.config.host_name;
        let reply = format!(
            "250-{host_name}\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 DSN"
        );
        self.reply(&reply);
    }

    fn mail(&mut self, argument: &[u8]) {
        if self.sender.is_some() {
            return self.refuse("503 5.5.1 Error: nested MAIL command");
        }
        match address(argument, b"FROM:") {
            Some(sender) => {
                self.sender = Some(sender.to_owned());
                self.reply("250 2.1.0 Ok");
            }
            None => self.refuse("501 5.1.7 Bad sender address syntax"),
        }
    }

    fn recipient(&mut self, argument: &[u8]) {
        if self.sender.is_none() {
            return self.refuse("503 5.5.1 Error: need MAIL command");
        }
        match address(argument, b"TO:") {
            None => self.refuse("501 5.1.7 Bad sender address syntax"),
            Some(address) if address != self.config.recipient => self.refuse("550 bad recipient"),
            Some(_) if self.has_recipient => self.refuse("554 5.5.1 Error: dup recipients"),
            Some(_) => {
                self.has_recipient = true;
                self.reply("250 2.1.0 Ok");
            }
        }
    }

    fn data(&mut self) {
        if self.sender.is_none() {
            self.refuse("503 5.5.1 Error: need RCPT command");
        } else if !self.has_recipient {
            self.refuse("554 5.5.1 Error: no valid recipients");
        } else {
            self.state = State::Data(Body::new(self.config.max_mail, MAX_LINE));
            self.reply("354 Go ahead");
        }
    }

    fn end_of_mail(&mut self) {
        let State::Data(body) = mem::replace(&mut self.state, State::Commands) else {
            return;
        };
        let sender = self.sender.take().unwrap_or_default();
        self.reset();
        match body.finish() {
            Ok(message) => {
                self.state = State::Waiting;
                self.steps
                    .push_back(Step::Mail(Envelope { sender, message }));
            }
            Err(BodyFault::TooLong) => self.refuse("552 5.3.4 Error: the mail is too big"),
            Err(BodyFault::LongLine) => {
                self.refuse("554 5.6.0 Error: a line of the mail is too long");
            }
        }
    }

    fn reset(&mut self) {
        self.sender = None;
        self.has_recipient = false;
    }

    fn reply(&mut self, line: &str) {
        self.steps
            .push_back(Step::Reply(format!("{line}\r\n").into_bytes()));
    }

    fn refuse(&mut self, line: &str) {
        self.errors += 1;
        if self.errors > MAX_ERRORS {
            self.close("421 4.7.0 Error: too many errors");
        } else {
            self.reply(line);
        }
    }

    fn close(&mut self, line: &str) {
        self.reply(line);
        self.steps.push_back(Step::Close);
        self.state = State::Closed;
        self.pending = Vec::new();
    }
}

/// The address in `KEY<address> parameters`, where no space may stand before the `<`.
fn address<'a>(argument: &'a [u8], key: &[u8]) -> Option<&'a str> {
    let (start, rest) = argument.split_at_checked(key.len())?;
    let rest = rest.strip_prefix(b"<")?;
    let end = rest.iter().position(|&byte| byte == b'>')?;
    let address = std::str::from_utf8(&rest[..end]).ok()?;
    (start.eq_ignore_ascii_case(key)
        && address.len() <= MAX_ADDRESS
        && address.bytes().all(|byte| byte.is_ascii_graphic()))
    .then_some(address)
}

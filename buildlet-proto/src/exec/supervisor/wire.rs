//! What a buildlet and its supervisors say to each other.
//!
//! Both are the same program, so there are no versions. A message is its length (four bytes, little-endian) and its content; the first
//! byte of that tells which it is. Numbers have eight bytes, texts and lists their length in front.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::exec::start::Start;
use crate::exec::{Enforcement, Isolation, Limits, Network, Sandbox, Setup};
use crate::types::ext::Mechanism;
use crate::types::{os_bytes, os_string};

/// The longest message: more than the system takes as arguments and environment of a program.
pub(in crate::exec) const MAX_MESSAGE: usize = 64 << 20;

/// To a supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::exec) enum Request {
    /// Run a command, whose output goes to the pipe that comes with the first byte.
    Run { setup: Box<Setup>, start: Start },
    /// Ask the command to end.
    Terminate,
    /// Kill the command and all that it started.
    Kill,
}

/// From a supervisor. After `Gone` the next command may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::exec) enum Reply {
    Started(Enforcement),
    /// It could not be started.
    Failed(Enforcement, String),
    /// Not everything required can be enforced. The last reply.
    Refused(Enforcement),
    /// The command itself ended.
    Exited {
        raw_status: i32,
        alone: bool,
    },
    Gone(Report),
}

/// The numbers of a command that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::exec) struct Report {
    pub(in crate::exec) user: Duration,
    pub(in crate::exec) system: Duration,
    pub(in crate::exec) peak_memory_bytes: u64,
    pub(in crate::exec) strays: u64,
    pub(in crate::exec) left: u64,
    pub(in crate::exec) out_of_memory: bool,
}

impl Request {
    pub(in crate::exec) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut out = Encoder::new();
        match self {
            Self::Run { setup, start } => {
                out.byte(0);
                out.setup(setup);
                out.text(start.program.as_os_str());
                out.texts(&start.args);
                out.option(start.dir.as_ref(), |out, dir| out.text(dir.as_os_str()));
                out.texts(&start.env);
            }
            Self::Terminate => out.byte(1),
            Self::Kill => out.byte(2),
        }
        out.finish()
    }

    pub(in crate::exec) fn decode(content: &[u8]) -> Option<Self> {
        let mut input = Decoder(content);
        let request = match input.byte()? {
            0 => Self::Run {
                setup: Box::new(input.setup()?),
                start: Start {
                    program: input.path()?,
                    args: input.texts()?,
                    dir: input.option(Decoder::path)?,
                    env: input.texts()?,
                },
            },
            1 => Self::Terminate,
            2 => Self::Kill,
            _ => return None,
        };
        input.0.is_empty().then_some(request)
    }
}

impl Reply {
    pub(in crate::exec) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut out = Encoder::new();
        match self {
            Self::Started(enforcement) => {
                out.byte(0);
                out.enforcement(enforcement);
            }
            Self::Failed(enforcement, why) => {
                out.byte(1);
                out.enforcement(enforcement);
                out.text(OsStr::new(why));
            }
            Self::Refused(enforcement) => {
                out.byte(2);
                out.enforcement(enforcement);
            }
            Self::Exited { raw_status, alone } => {
                out.byte(3);
                out.number(u64::from(raw_status.cast_unsigned()));
                out.byte((*alone).into());
            }
            Self::Gone(report) => {
                out.byte(4);
                for span in [report.user, report.system] {
                    out.number(u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
                }
                out.number(report.peak_memory_bytes);
                out.number(report.strays);
                out.number(report.left);
                out.byte(report.out_of_memory.into());
            }
        }
        out.finish()
    }

    pub(in crate::exec) fn decode(content: &[u8]) -> Option<Self> {
        let mut input = Decoder(content);
        let reply = match input.byte()? {
            0 => Self::Started(input.enforcement()?),
            1 => Self::Failed(input.enforcement()?, input.string()?),
            2 => Self::Refused(input.enforcement()?),
            3 => Self::Exited {
                raw_status: u32::try_from(input.number()?).ok()?.cast_signed(),
                alone: input.byte()? == 1,
            },
            4 => Self::Gone(Report {
                user: Duration::from_micros(input.number()?),
                system: Duration::from_micros(input.number()?),
                peak_memory_bytes: input.number()?,
                strays: input.number()?,
                left: input.number()?,
                out_of_memory: input.byte()? == 1,
            }),
            _ => return None,
        };
        input.0.is_empty().then_some(reply)
    }
}

/// The content of the first message, if it is there completely, and the bytes that it takes with its length.
pub(in crate::exec) fn first_message(bytes: &[u8]) -> io::Result<Option<(&[u8], usize)>> {
    let Some((head, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let len = u32::from_le_bytes(*head) as usize;
    if len > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(rest.get(..len).map(|content| (content, head.len() + len)))
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn new() -> Self {
        Self(vec![0; 4])
    }

    /// The message with its length.
    fn finish(mut self) -> io::Result<Vec<u8>> {
        let len = self.0.len() - 4;
        if len > MAX_MESSAGE {
            return Err(io::ErrorKind::ArgumentListTooLong.into());
        }
        let len = u32::try_from(len).map_err(|_| io::ErrorKind::ArgumentListTooLong)?;
        self.0[..4].copy_from_slice(&len.to_le_bytes());
        Ok(self.0)
    }

    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &OsStr) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(os_bytes(text));
    }

    fn texts(&mut self, texts: &[impl AsRef<OsStr>]) {
        self.number(texts.len() as u64);
        for text in texts {
            self.text(text.as_ref());
        }
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn enforcement(&mut self, enforcement: &Enforcement) {
        self.text(enforcement.asked.as_str().as_ref());
        for list in [
            enforcement.measures_as_texts(),
            enforcement.missing_as_texts(),
        ] {
            self.number(list.len() as u64);
            for (mechanism, text) in list {
                self.text(mechanism.as_str().as_ref());
                self.text(text.as_ref());
            }
        }
    }

    fn setup(&mut self, setup: &Setup) {
        self.text(setup.isolation.as_str().as_ref());
        self.text(setup.network.as_str().as_ref());
        self.byte(setup.require.into());
        self.option(setup.cgroup.as_ref(), |out, dir| out.text(dir.as_os_str()));
        self.texts(&setup.sandbox.writable);
        self.texts(&setup.sandbox.hidden);
        for limit in setup.limits.as_array() {
            self.option(limit, Self::number);
        }
    }
}

struct Decoder<'a>(&'a [u8]);

impl Decoder<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }

    fn text(&mut self) -> Option<OsString> {
        let len = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(os_string(text))
    }

    fn string(&mut self) -> Option<String> {
        self.text()?.into_string().ok()
    }

    fn path(&mut self) -> Option<PathBuf> {
        self.text().map(PathBuf::from)
    }

    fn list<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let len = self.number()?;
        (0..len).map(|_| read(self)).collect()
    }

    fn texts(&mut self) -> Option<Vec<OsString>> {
        self.list(Self::text)
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            _ => read(self).map(Some),
        }
    }

    fn isolation(&mut self) -> Option<Isolation> {
        Isolation::parse(self.string()?).ok()
    }

    fn enforcement(&mut self) -> Option<Enforcement> {
        let mut enforcement = Enforcement::new(self.isolation()?);
        let pair = |input: &mut Self| {
            let name = input.string()?;
            let mechanism = Mechanism::ALL.into_iter().find(|m| m.as_str() == name)?;
            Some((mechanism, input.string()?))
        };
        for (mechanism, detail) in self.list(pair)? {
            enforcement.add(mechanism, detail);
        }
        for (mechanism, reason) in self.list(pair)? {
            enforcement.miss(mechanism, reason);
        }
        Some(enforcement)
    }

    fn setup(&mut self) -> Option<Setup> {
        Some(Setup {
            isolation: self.isolation()?,
            network: Network::parse(self.string()?).ok()?,
            require: self.byte()? == 1,
            cgroup: self.option(Self::path)?,
            sandbox: Sandbox {
                writable: self.list(Self::path)?,
                hidden: self.list(Self::path)?,
            },
            limits: {
                let mut limits = [None; Limits::COUNT];
                for limit in &mut limits {
                    *limit = self.option(Self::number)?;
                }
                Limits::from_array(limits)
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let setup = Box::new(Setup {
            isolation: Isolation::Sandbox,
            network: Network::Off,
            require: true,
            cgroup: Some("/sys/fs/cgroup/x".into()),
            sandbox: Sandbox::read_only().writable("/w").hidden("/key"),
            limits: Limits::default()
                .open_files(7)
                .memory_bytes(1 << 40)
                .cpu_percent(250),
        });
        let start = Start {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), os_string(b"\xff\n"), "".into()],
            dir: Some("/tmp".into()),
            env: vec!["A=1".into()],
        };
        vec![
            Request::Run { setup, start },
            Request::Terminate,
            Request::Kill,
        ]
    }

    fn replies() -> Vec<Reply> {
        let mut enforcement = Enforcement::new(Isolation::Process);
        enforcement.add(Mechanism::Rlimits, "core=0");
        enforcement.miss(Mechanism::Cgroup, "read-only");
        let report = Report {
            user: Duration::from_micros(12),
            system: Duration::from_secs(3),
            peak_memory_bytes: 1 << 33,
            strays: 2,
            left: 1,
            out_of_memory: true,
        };
        vec![
            Reply::Started(enforcement.clone()),
            Reply::Failed(enforcement.clone(), "fork/exec /x: é".to_owned()),
            Reply::Refused(enforcement),
            Reply::Exited {
                raw_status: -1,
                alone: true,
            },
            Reply::Gone(report),
        ]
    }

    #[test]
    fn messages_survive_a_trip() {
        for request in requests() {
            let bytes = request.encode().unwrap();
            let (content, len) = first_message(&bytes).unwrap().unwrap();
            assert_eq!(len, bytes.len());
            assert_eq!(Request::decode(content), Some(request));
        }
        for reply in replies() {
            let bytes = reply.encode().unwrap();
            let (content, len) = first_message(&bytes).unwrap().unwrap();
            assert_eq!(len, bytes.len());
            assert_eq!(Reply::decode(content), Some(reply));
        }
    }

    #[test]
    fn messages_that_are_cut_or_too_long_are_none() {
        let encoded = requests()
            .into_iter()
            .map(|request| request.encode().unwrap());
        for bytes in encoded {
            for len in 0..bytes.len() {
                assert_eq!(first_message(&bytes[..len]).unwrap(), None);
                if let Some(content) = bytes[..len].get(4..) {
                    assert_eq!(Request::decode(content), None, "{len}");
                }
            }
            let longer = [&bytes[4..], b"x"].concat();
            assert_eq!(Request::decode(&longer), None);
        }
        assert!(first_message(&[0xff; 8]).is_err());
    }
}

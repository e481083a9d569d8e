use std::fmt;
use std::process::ExitStatus;

use super::Signal;

/// How a command ended: the text of the trailer `Process-State` of `/exec`.
///
/// ```
/// use buildlet_proto::types::ProcessState;
/// assert_eq!(ProcessState::parse("exit status 7"), ProcessState::Exited(7));
/// assert_eq!(ProcessState::Success.to_string(), "ok");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessState {
    /// It exited with status 0: `ok`.
    Success,
    /// It exited with this status: `exit status 7`, or `exit status 0xc0000005` for the large ones of Windows, whose 32
    /// bits are here as a signed number.
    Exited(i32),
    /// A signal ended it: `signal: killed`.
    Signaled {
        /// Which one.
        signal: Signal,
        /// A core file was written; the text then ends in ` (core dumped)`.
        core_dumped: bool,
    },
    /// Any other text: most often why it could not be started, as in `fork/exec /workdir/nope: no such file or directory`.
    Other(String),
}

impl ProcessState {
    /// Reads the text of a trailer. No text is refused: what has another form is [`Other`](Self::Other), and writing the
    /// state gives back any text that a header can carry.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::parse_known(text)
            .filter(|state| state.to_string() == text)
            .unwrap_or_else(|| Self::Other(text.to_owned()))
    }

    fn parse_known(text: &str) -> Option<Self> {
        if text == "ok" {
            return Some(Self::Success);
        }
        if let Some(status) = text.strip_prefix("exit status ") {
            return match status.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16).ok().map(u32::cast_signed),
                None => status.parse().ok(),
            }
            .map(Self::Exited);
        }
        let name = text.strip_prefix("signal: ")?;
        let bare = name.strip_suffix(CORE_DUMPED);
        Some(Self::Signaled {
            signal: Signal::from_name(bare.unwrap_or(name))?,
            core_dumped: bare.is_some(),
        })
    }

    /// Whether the command did what it should: exit status 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Success
    }

    /// The exit status, if the command ran and exited by itself.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Success => Some(0),
            Self::Exited(code) => Some(*code),
            Self::Signaled { .. } | Self::Other(_) => None,
        }
    }
}

const CORE_DUMPED: &str = " (core dumped)";

impl fmt::Display for ProcessState {
    /// The trailer's text, without the characters that a header cannot carry: each is replaced by a blank.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("ok"),
            // Unix has statuses up to 255; only Windows has these, and shows them so.
            Self::Exited(code) if code.cast_unsigned() >= 1 << 16 => {
                write!(f, "exit status {:#x}", code.cast_unsigned())
            }
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signaled {
                signal,
                core_dumped,
            } => {
                let suffix = if *core_dumped { CORE_DUMPED } else { "" };
                write!(f, "signal: {signal}{suffix}")
            }
            Self::Other(text) => {
                for (place, line) in text.split(is_forbidden).enumerate() {
                    if place > 0 {
                        f.write_str(" ")?;
                    }
                    f.write_str(line)?;
                }
                Ok(())
            }
        }
    }
}

fn is_forbidden(c: char) -> bool {
    c.is_control() && c != '\t'
}

impl From<ExitStatus> for ProcessState {
    fn from(status: ExitStatus) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::process::ExitStatusExt as _;
            if let Some(number) = status.signal() {
                return Self::Signaled {
                    signal: Signal::from_number(number),
                    core_dumped: status.core_dumped(),
                };
            }
        }
        match status.code() {
            Some(0) => Self::Success,
            Some(code) => Self::Exited(code),
            None => Self::Other(status.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_windows_are_hexadecimal_from_65536_on() {
        for (code, text) in [
            (65_535, "exit status 65535"),
            (65_536, "exit status 0x10000"),
            (0xc000_0005_u32.cast_signed(), "exit status 0xc0000005"),
        ] {
            assert_eq!(ProcessState::Exited(code).to_string(), text);
            assert_eq!(ProcessState::parse(text), ProcessState::Exited(code));
        }
    }

    #[test]
    fn a_core_dump_is_told() {
        let state = ProcessState::parse("signal: aborted (core dumped)");
        let expected = ProcessState::Signaled {
            signal: Signal::from_number(6),
            core_dumped: true,
        };
        assert_eq!(state, expected);
    }

    #[test]
    fn odd_texts_stay_as_they_are() {
        for text in [
            "",
            "OK",
            "exit status 07",
            "exit status 70000",
            "exit status 0x7",
            "exit status: gone",
            "signal: tickled",
            "signal: signal 9",
        ] {
            assert_eq!(ProcessState::parse(text), ProcessState::Other(text.into()));
        }
    }

    #[test]
    fn a_text_cannot_add_a_header() {
        let state = ProcessState::Other("fork/exec /w/a\r\nX: y: no such file".into());
        assert_eq!(state.to_string(), "fork/exec /w/a  X: y: no such file");
    }

    #[cfg(unix)]
    #[test]
    fn the_status_of_a_process_is_translated() {
        use std::os::unix::process::ExitStatusExt as _;
        let of = |raw| ProcessState::from(ExitStatus::from_raw(raw)).to_string();
        assert_eq!(
            [of(0), of(7 << 8), of(9), of(0x80 | 11)],
            [
                "ok",
                "exit status 7",
                "signal: killed",
                "signal: segmentation fault (core dumped)"
            ]
        );
    }
}

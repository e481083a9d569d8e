use std::error::Error;
use std::fmt::{self, Display, Formatter};

/// Groups within groups that are followed, as far as Go's decoder does.
const MAX_GROUP_DEPTH: usize = 10_000;
/// The greatest number that a field can have.
const MAX_FIELD: u64 = (1 << 29) - 1;

/// How a field's value is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Fixed64,
    Bytes,
    StartGroup,
    EndGroup,
    Fixed32,
}

/// Reads protobuf's wire format off a slice.
#[derive(Debug)]
pub(super) struct Wire<'a> {
    rest: &'a [u8],
    /// Fields that were skipped because nobody here knows them.
    pub(super) unknown: u32,
}

impl<'a> Wire<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self {
            rest: message,
            unknown: 0,
        }
    }

    /// The next field's number and wire type, or `None` at the end.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<Option<(u32, WireType)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > MAX_FIELD {
            return Err(DecodeError::FieldNumber);
        }
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Bytes,
            3 => WireType::StartGroup,
            4 => WireType::EndGroup,
            5 => WireType::Fixed32,
            _ => return Err(DecodeError::WireType),
        };
        Ok(Some((number as u32, wire_type)))
    }

    /// Seven bits a byte, least significant first. Longer forms than needed are fine, up to ten bytes.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        if let [byte, rest @ ..] = self.rest
            && *byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut n = 0;
        for (i, &byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte has room for one bit.
            if i == 9 && byte > 1 {
                return Err(DecodeError::Varint);
            }
            n |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(n);
            }
        }
        Err(if self.rest.len() < 10 {
            DecodeError::Truncated
        } else {
            DecodeError::Varint
        })
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.varint()?;
        let split = usize::try_from(len)
            .ok()
            .and_then(|len| self.rest.split_at_checked(len));
        let (bytes, rest) = split.ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Skips the value of a field whose tag was just read.
    #[cold]
    pub(super) fn skip(&mut self, number: u32, wire_type: WireType) -> Result<(), DecodeError> {
        self.unknown = self.unknown.saturating_add(1);
        let mut groups = Vec::new();
        let (mut number, mut wire_type) = (number, wire_type);
        loop {
            match wire_type {
                WireType::Varint => drop(self.varint()?),
                WireType::Fixed64 => self.fixed(8)?,
                WireType::Fixed32 => self.fixed(4)?,
                WireType::Bytes => drop(self.bytes()?),
                WireType::StartGroup if groups.len() < MAX_GROUP_DEPTH => groups.push(number),
                WireType::StartGroup => return Err(DecodeError::TooDeep),
                WireType::EndGroup if groups.pop() == Some(number) => {}
                WireType::EndGroup => return Err(DecodeError::EndGroup),
            }
            if groups.is_empty() {
                return Ok(());
            }
            (number, wire_type) = self.tag()?.ok_or(DecodeError::Truncated)?;
        }
    }

    fn fixed(&mut self, len: usize) -> Result<(), DecodeError> {
        self.rest = self.rest.get(len..).ok_or(DecodeError::Truncated)?;
        Ok(())
    }
}

/// Why bytes are no mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// They end within a field.
    Truncated,
    /// A number has more than 64 bits.
    Varint,
    /// A field number is 0, or above what protobuf has.
    FieldNumber,
    /// A wire type that protobuf does not have.
    WireType,
    /// A group ends that did not begin.
    EndGroup,
    /// Groups are nested too deep.
    TooDeep,
    /// A string is not UTF-8. A loader that took it would know another corpus than Go's.
    Utf8,
}

impl Display for DecodeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "a field is cut off",
            Self::Varint => "a number has more than 64 bits",
            Self::FieldNumber => "a field number is out of range",
            Self::WireType => "a wire type is unknown",
            Self::EndGroup => "a group ends that did not begin",
            Self::TooDeep => "groups are nested too deep",
            Self::Utf8 => "a string is not UTF-8",
        })
    }
}

impl Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_up_to_ten_bytes_and_64_bits() {
        let read = |bytes: &[u8]| Wire::new(bytes).varint();
        assert_eq!(read(&[0x96, 0x01]), Ok(150));
        assert_eq!(read(&[0x86, 0x80, 0x80, 0x00]), Ok(6));
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            Ok(u64::MAX)
        );
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            Err(DecodeError::Varint)
        );
        assert_eq!(read(&[0x80; 10]), Err(DecodeError::Varint));
        assert_eq!(read(&[0x80; 9]), Err(DecodeError::Truncated));
        assert_eq!(read(&[]), Err(DecodeError::Truncated));
    }

    #[test]
    fn only_whole_groups_are_skipped() {
        let skip = |bytes: &[u8]| {
            let mut wire = Wire::new(bytes);
            let (number, wire_type) = wire.tag()?.expect("not empty");
            wire.skip(number, wire_type)?;
            Ok(wire.rest.len())
        };
        assert_eq!(skip(&[0x0b, 0x10, 0x05, 0x0c, 0x7f]), Ok(1));
        assert_eq!(skip(&[0x0b, 0x13, 0x14, 0x0c]), Ok(0));
        assert_eq!(skip(&[0x0b, 0x13, 0x0c, 0x14]), Err(DecodeError::EndGroup));
        assert_eq!(skip(&[0x0b, 0x10, 0x05]), Err(DecodeError::Truncated));
        assert_eq!(skip(&[0x0c]), Err(DecodeError::EndGroup));
        assert_eq!(
            skip(&vec![0x0b; MAX_GROUP_DEPTH + 1]),
            Err(DecodeError::TooDeep)
        );
    }
}

//! How the fields of a message are decoded and made owned, by their Rust types.

use crate::mutation::wire::{DecodeError, Wire, WireType};

/// A message that can be decoded from one or more pieces: protobuf merges what is set twice.
pub(super) trait Message<'a>: Default {
    fn merge(&mut self, wire: &mut Wire<'a>) -> Result<(), DecodeError>;
}

/// What a field can be.
pub(super) trait Field<'a> {
    /// Takes a value off the wire. `false`, with nothing taken, if a value of this wire type is none of this field.
    fn accept(&mut self, wire_type: WireType, wire: &mut Wire<'a>) -> Result<bool, DecodeError>;
}

/// What a repeated field can hold.
pub(super) trait Element<'a>: Sized {
    fn push(
        list: &mut Vec<Self>,
        wire_type: WireType,
        wire: &mut Wire<'a>,
    ) -> Result<bool, DecodeError>;
}

/// What can be made owned: `pb` has the type.
pub(super) trait Own {
    type Owned;
    fn own(&self) -> Self::Owned;
}

/// A message within a message.
#[inline]
pub(super) fn merge_nested<'a, M: Message<'a>>(
    message: &mut M,
    wire: &mut Wire<'a>,
) -> Result<(), DecodeError> {
    let mut inner = Wire::new(wire.bytes()?);
    let result = message.merge(&mut inner);
    wire.unknown = wire.unknown.saturating_add(inner.unknown);
    result
}

impl<'a> Field<'a> for &'a str {
    #[inline]
    fn accept(&mut self, wire_type: WireType, wire: &mut Wire<'a>) -> Result<bool, DecodeError> {
        if wire_type != WireType::Bytes {
            return Ok(false);
        }
        *self = std::str::from_utf8(wire.bytes()?).map_err(|_| DecodeError::Utf8)?;
        Ok(true)
    }
}

impl<'a> Field<'a> for &'a [u8] {
    #[inline]
    fn accept(&mut self, wire_type: WireType, wire: &mut Wire<'a>) -> Result<bool, DecodeError> {
        if wire_type != WireType::Bytes {
            return Ok(false);
        }
        *self = wire.bytes()?;
        Ok(true)
    }
}

/// Numbers of all kinds are varints; one that is too long for its field loses its high bits.
macro_rules! varint {
    ($type:ty, $convert:expr) => {
        impl<'a> Field<'a> for $type {
            #[inline]
            fn accept(
                &mut self,
                wire_type: WireType,
                wire: &mut Wire<'a>,
            ) -> Result<bool, DecodeError> {
                if wire_type != WireType::Varint {
                    return Ok(false);
                }
                *self = $convert(wire.varint()?);
                Ok(true)
            }
        }

        impl Own for $type {
            type Owned = Self;

            fn own(&self) -> Self {
                *self
            }
        }
    };
}

varint!(i64, |n: u64| n.cast_signed());
varint!(i32, |n: u64| (n as u32).cast_signed());
varint!(bool, |n: u64| n != 0);

impl<'a, M: Message<'a>> Field<'a> for Option<M> {
    #[inline]
    fn accept(&mut self, wire_type: WireType, wire: &mut Wire<'a>) -> Result<bool, DecodeError> {
        if wire_type != WireType::Bytes {
            return Ok(false);
        }
        merge_nested(self.get_or_insert_default(), wire)?;
        Ok(true)
    }
}

impl<'a, T: Element<'a>> Field<'a> for Vec<T> {
    #[inline]
    fn accept(&mut self, wire_type: WireType, wire: &mut Wire<'a>) -> Result<bool, DecodeError> {
        T::push(self, wire_type, wire)
    }
}

impl<'a> Element<'a> for &'a str {
    fn push(
        list: &mut Vec<Self>,
        wire_type: WireType,
        wire: &mut Wire<'a>,
    ) -> Result<bool, DecodeError> {
        let mut item = "";
        let taken = item.accept(wire_type, wire)?;
        if taken {
            list.push(item);
        }
        Ok(taken)
    }
}

impl<'a> Element<'a> for i64 {
    /// One, or a run of them.
    fn push(
        list: &mut Vec<Self>,
        wire_type: WireType,
        wire: &mut Wire<'a>,
    ) -> Result<bool, DecodeError> {
        match wire_type {
            WireType::Varint => list.push(wire.varint()?.cast_signed()),
            WireType::Bytes => {
                let mut packed = Wire::new(wire.bytes()?);
                while !packed.is_at_end() {
                    list.push(packed.varint()?.cast_signed());
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Own for &str {
    type Owned = String;

    fn own(&self) -> String {
        (*self).to_owned()
    }
}

impl Own for &[u8] {
    type Owned = Vec<u8>;

    fn own(&self) -> Vec<u8> {
        self.to_vec()
    }
}

impl<T: Own> Own for Option<T> {
    type Owned = Option<T::Owned>;

    fn own(&self) -> Self::Owned {
        self.as_ref().map(T::own)
    }
}

impl<T: Own> Own for Vec<T> {
    type Owned = Vec<T::Owned>;

    fn own(&self) -> Self::Owned {
        self.iter().map(T::own).collect()
    }
}

/// Defines messages as structs that borrow from what they were decoded from.
macro_rules! messages {
    ($(
        $(#[$meta:meta])*
        $name:ident $(<$life:lifetime>)? => $owned:ident {
            $( $(#[$field_meta:meta])* $number:literal $field:ident: $type:ty, )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name $(<$life>)? {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        messages!(@impls $name $(<$life>)? => $owned { $($number $field)* });

        impl $(<$life>)? Own for $name $(<$life>)? {
            type Owned = pb::$owned;

            fn own(&self) -> pb::$owned {
                pb::$owned { $( $field: self.$field.own(), )* }
            }
        }
    )*};
    (@impls $name:ident<$life:lifetime> => $owned:ident { $($fields:tt)* }) => {
        messages!(@decode $life $name<$life> { $($fields)* });
    };
    (@impls $name:ident => $owned:ident { $($fields:tt)* }) => {
        messages!(@decode 'a $name { $($fields)* });
    };
    (@decode $life:lifetime $name:ty { $($number:literal $field:ident)* }) => {
        impl<$life> Message<$life> for $name {
            fn merge(&mut self, wire: &mut Wire<$life>) -> Result<(), DecodeError> {
                while let Some((number, wire_type)) = wire.tag()? {
                    let taken = match number {
                        $( $number => self.$field.accept(wire_type, wire)?, )*
                        _ => false,
                    };
                    if !taken {
                        wire.skip(number, wire_type)?;
                    }
                }
                Ok(())
            }
        }

        impl<$life> Element<$life> for $name {
            #[inline]
            fn push(list: &mut Vec<Self>, wire_type: WireType, wire: &mut Wire<$life>) -> Result<bool, DecodeError> {
                if wire_type != WireType::Bytes {
                    return Ok(false);
                }
                let mut message = Self::default();
                merge_nested(&mut message, wire)?;
                list.push(message);
                Ok(true)
            }
        }
    };
}

pub(super) use messages;

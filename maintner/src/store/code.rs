use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::store::Text;

/// What a snapshot has in a form that is read as a whole: numbers as varints, signed ones zigzag, collections behind their length,
/// structs field by field.
pub(crate) trait Code: Sized {
    fn put(&self, to: &mut Vec<u8>);

    /// `None` if this is not what was [put](Self::put).
    fn pull(from: &mut Source<'_>) -> Option<Self>;

    /// Out of bytes that have nothing else.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Source(bytes);
        let item = Self::pull(&mut from)?;
        from.0.is_empty().then_some(item)
    }
}

/// What is left of encoded bytes.
pub(crate) struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::pull(self)?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}

impl Code for u64 {
    fn put(&self, to: &mut Vec<u8>) {
        let mut n = *self;
        while n >= 0x80 {
            to.push(n as u8 | 0x80);
            n >>= 7;
        }
        to.push(n as u8);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        from.varint()
    }
}

impl Code for i64 {
    fn put(&self, to: &mut Vec<u8>) {
        (self.cast_unsigned() << 1 ^ (self >> 63).cast_unsigned()).put(to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        let n = from.varint()?;
        Some((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }
}

/// Numbers by way of larger ones.
macro_rules! code_as {
    ($($type:ty as $wide:ty),+) => {$(
        impl Code for $type {
            fn put(&self, to: &mut Vec<u8>) {
                (*self as $wide).put(to);
            }

            fn pull(from: &mut Source<'_>) -> Option<Self> {
                <$wide>::pull(from)?.try_into().ok()
            }
        }
    )+};
}

code_as!(u8 as u64, u32 as u64, usize as u64, i32 as i64);

impl Code for bool {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        match u8::pull(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Code for Text {
    fn put(&self, to: &mut Vec<u8>) {
        self.to_bits().put(to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        u32::pull(from).map(Self::from_bits)
    }
}

impl Code for String {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        to.extend_from_slice(self.as_bytes());
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        Self::from_utf8(from.bytes()?.to_vec()).ok()
    }
}

impl<T: Code> Code for Option<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        if let Some(item) = self {
            item.put(to);
        }
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        match bool::pull(from)? {
            true => T::pull(from).map(Some),
            false => Some(None),
        }
    }
}

impl<A: Code, B: Code> Code for (A, B) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        Some((A::pull(from)?, B::pull(from)?))
    }
}

impl<A: Code, B: Code, C: Code> Code for (A, B, C) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
        self.2.put(to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        Some((A::pull(from)?, B::pull(from)?, C::pull(from)?))
    }
}

fn put_all<'a, T: Code + 'a>(items: impl ExactSizeIterator<Item = &'a T>, to: &mut Vec<u8>) {
    items.len().put(to);
    items.for_each(|item| item.put(to));
}

fn take_all<T: Code, C: FromIterator<T>>(from: &mut Source<'_>) -> Option<C> {
    let len = usize::pull(from)?;
    (0..len).map(|_| T::pull(from)).collect()
}

impl<T: Code> Code for Vec<T> {
    fn put(&self, to: &mut Vec<u8>) {
        put_all(self.iter(), to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        let len = usize::pull(from)?;
        // A false length cannot take much: each item has a byte at least.
        let mut items = Self::with_capacity(len.min(from.0.len()));
        for _ in 0..len {
            items.push(T::pull(from)?);
        }
        Some(items)
    }
}

impl<T: Code> Code for Box<[T]> {
    fn put(&self, to: &mut Vec<u8>) {
        put_all(self.iter(), to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        Vec::pull(from).map(Vec::into_boxed_slice)
    }
}

impl<T: Code> Code for Box<T> {
    fn put(&self, to: &mut Vec<u8>) {
        T::put(self, to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        T::pull(from).map(Self::new)
    }
}

impl<T: Code> Code for Arc<T> {
    fn put(&self, to: &mut Vec<u8>) {
        T::put(self, to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        T::pull(from).map(Self::new)
    }
}

impl<T: Code + Ord> Code for BTreeSet<T> {
    fn put(&self, to: &mut Vec<u8>) {
        put_all(self.iter(), to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        take_all(from)
    }
}

impl<K: Code + Ord, V: Code> Code for BTreeMap<K, V> {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        for (key, value) in self {
            key.put(to);
            value.put(to);
        }
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        take_all(from)
    }
}

/// A struct by its fields, all of which are to be named.
macro_rules! code_struct {
    ($type:ident { $($field:ident),+ $(,)? }) => {
        impl $crate::store::Code for $type {
            fn put(&self, to: &mut Vec<u8>) {
                $($crate::store::Code::put(&self.$field, to);)+
            }

            fn pull(from: &mut $crate::store::Source<'_>) -> Option<Self> {
                Some(Self { $($field: $crate::store::Code::pull(from)?),+ })
            }
        }
    };
}
pub(crate) use code_struct;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Everything = (
        (Vec<i64>, Vec<u64>, Box<[i32]>),
        (String, Option<bool>, BTreeSet<u32>),
        BTreeMap<String, Vec<(u8, Box<i64>)>>,
    );

    fn everything() -> impl Strategy<Value = Everything> {
        let numbers = (any::<Vec<i64>>(), any::<Vec<u64>>(), any::<Box<[i32]>>());
        let set = proptest::collection::btree_set(any::<u32>(), 0..5);
        let pairs = proptest::collection::vec((any::<u8>(), any::<Box<i64>>()), 0..5);
        let map = proptest::collection::btree_map(any::<String>(), pairs, 0..5);
        (numbers, (any::<String>(), any::<Option<bool>>(), set), map)
    }

    proptest! {
        #[test]
        fn what_was_put_is_taken(all in everything(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            all.put(&mut bytes);
            prop_assert_eq!(Everything::decode(&bytes), Some(all));
            prop_assert_eq!(Everything::decode(&bytes[..cut.index(bytes.len())]), None);
        }

        #[test]
        fn any_bytes_are_taken_or_not(bytes: Vec<u8>) {
            Everything::decode(&bytes);
        }
    }

    #[test]
    fn a_false_length_takes_no_memory() {
        let mut bytes = Vec::new();
        u64::MAX.put(&mut bytes);
        assert_eq!(Vec::<String>::decode(&bytes), None);
        assert_eq!(BTreeMap::<u32, u32>::decode(&bytes), None);
    }
}

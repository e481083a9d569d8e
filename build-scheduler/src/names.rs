//! Names to small numbers and back, for as long as somebody uses them.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::ops::{Index, IndexMut};

/// Values by number, found by key. A number is used again after its key was removed.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    numbers: HashMap<K, u32>,
    slots: Vec<Option<(K, V)>>,
    free: Vec<u32>,
}

impl<K: Clone + Eq + Hash, V> Table<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn find<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
    {
        self.numbers.get(key).copied()
    }

    pub(crate) fn find_or_add(&mut self, key: &K, value: impl FnOnce() -> V) -> u32 {
        if let Some(number) = self.find(key) {
            return number;
        }
        let slot = Some((key.clone(), value()));
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1)
                    .expect("as many things as works and machines are limited to")
            }
        };
        self.numbers.insert(key.clone(), number);
        number
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if let Some((key, _)) = self.slots[number as usize].take() {
            self.numbers.remove(&key);
            self.free.push(number);
        }
    }

    pub(crate) fn key(&self, number: u32) -> &K {
        &self.slot(number).0
    }

    /// By number, which is an order that depends on nothing but the events.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &K, &V)> {
        let number = |at| u32::try_from(at).expect("numbers are 32 bits");
        self.slots.iter().enumerate().filter_map(move |(at, slot)| {
            slot.as_ref().map(|(key, value)| (number(at), key, value))
        })
    }

    fn slot(&self, number: u32) -> &(K, V) {
        self.slots[number as usize]
            .as_ref()
            .expect("whoever holds a number keeps its slot")
    }
}

impl<K: Clone + Eq + Hash, V> Index<u32> for Table<K, V> {
    type Output = V;

    fn index(&self, number: u32) -> &V {
        &self.slot(number).1
    }
}

impl<K: Clone + Eq + Hash, V> IndexMut<u32> for Table<K, V> {
    fn index_mut(&mut self, number: u32) -> &mut V {
        let slot = self.slots[number as usize].as_mut();
        &mut slot.expect("whoever holds a number keeps its slot").1
    }
}

//! Values that may be written in more than one way: as a text or a number, as a text or a mapping.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};

use super::raw::{Amount, Entry, PathEntry, TextOrNumber};

/// A value of several forms; what has none of them is an error that says `WHAT` was to stand there.
trait Either: Sized {
    /// For people.
    const WHAT: &'static str;

    fn text(text: &str) -> Self;

    fn whole(_: u64) -> Option<Self> {
        None
    }

    fn number(_: f64) -> Option<Self> {
        None
    }

    fn mapping<'de, A: MapAccess<'de>>(_: A) -> Result<Option<Self>, A::Error> {
        Ok(None)
    }
}

struct Forms<T>(PhantomData<T>);

impl<'de, T: Either> Visitor<'de> for Forms<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::whole(number).ok_or_else(|| E::invalid_type(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let whole = u64::try_from(number).ok().and_then(T::whole);
        whole.or_else(|| T::number(number as f64)).ok_or_else(|| E::invalid_type(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        T::number(number).ok_or_else(|| E::invalid_type(Unexpected::Float(number), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::mapping(map)?.ok_or_else(|| A::Error::invalid_type(Unexpected::Map, &self))
    }
}

macro_rules! read_as_either {
    ($($name:ty),*) => {
        $(impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Forms(PhantomData))
            }
        })*
    };
}
read_as_either!(Entry, PathEntry, TextOrNumber, Amount);

impl Either for Entry {
    const WHAT: &'static str = "a rule: text such as `git push`, or a mapping with `run:`";

    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn mapping<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(map)).map(|map| Some(Self::Mapping(map)))
    }
}

impl Either for PathEntry {
    const WHAT: &'static str = "a path: text, or a mapping with `path:`";

    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn mapping<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(map)).map(|map| Some(Self::Mapping(map)))
    }
}

impl Either for TextOrNumber {
    const WHAT: &'static str = "a text or a whole number";

    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn whole(number: u64) -> Option<Self> {
        Some(Self::Number(number))
    }
}

impl Either for Amount {
    const WHAT: &'static str = "a text or a number";

    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn whole(number: u64) -> Option<Self> {
        Some(Self::Number(number as f64))
    }

    fn number(number: f64) -> Option<Self> {
        Some(Self::Number(number))
    }
}

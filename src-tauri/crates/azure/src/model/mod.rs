//! What Azure answers, as types: a module for each provider, with the functions that read them.
//!
//! They read leniently, because Azure does not keep to its own descriptions: unknown fields are ignored, missing and
//! `null` ones are empty, numbers and booleans may be texts, enumerations have `Other`, and a time before 1900
//! (`1753-01-01`, `0001-01-01`) means never. What a field holds must still be of its kind: a wrong shape is an error with
//! its place in the document.
//!
//! Fields are those that something here asks for or shows, not all that there are. Bodies that we send are made where
//! the plan is made. Judged by Microsoft's own examples, see `tests/conformance.rs`.

pub mod authorization;
pub mod compute;
pub mod datamigration;
pub mod migrate;
pub mod network;
pub mod offazure;
pub mod prices;
pub mod recovery;
pub mod resources;
pub mod sql;
pub mod storage;

use jiff::{Timestamp, civil, tz::TimeZone};
use plan::ResourceId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// Types whose fields may all be missing or null.
macro_rules! model {
    ($($(#[$of_type:meta])* pub struct $name:ident { $($(#[$of_field:meta])* pub $field:ident: $type:ty,)* })*) => { $(
        $(#[$of_type])*
        #[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name { $(
            $(#[$of_field])*
            #[serde(deserialize_with = "crate::model::or_default")]
            pub $field: $type,
        )* }
    )* };
}
pub(crate) use model;

/// Words that Azure may add to. They compare without case, and keep unknown ones.
macro_rules! words {
    ($($(#[$of_type:meta])* pub enum $name:ident { $($(#[$of_word:meta])* $word:ident $(= $text:literal)?,)* })*) => { $(
        $(#[$of_type])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of_word])* $word,)*
            /// A word that is newer than this program.
            Other(String),
        }

        impl $name {
            const KNOWN: &[(&str, Self)] = &[$((words!(@text $word $($text)?), Self::$word),)*];

            /// The word as Azure writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$word => words!(@text $word $($text)?),)*
                    Self::Other(word) => word,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let word = String::deserialize(d)?;
                let known = Self::KNOWN.iter().find(|(text, _)| text.eq_ignore_ascii_case(&word));
                Ok(known.map_or(Self::Other(word), |(_, value)| value.clone()))
            }
        }
    )* };
    (@text $word:ident) => { stringify!($word) };
    (@text $word:ident $text:literal) => { $text };
}
pub(crate) use words;

/// Reads `null` as the type's default.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Option::deserialize(d).map(Option::unwrap_or_default)
}

/// A resource: what all have in common, and the provider's own part in `properties`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    default,
    bound(deserialize = "P: Default + Deserialize<'de>")
)]
pub struct Resource<P> {
    #[serde(deserialize_with = "or_default")]
    pub id: Option<ResourceId>,
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    #[serde(deserialize_with = "or_default")]
    pub location: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub tags: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub sku: Option<Sku>,
    #[serde(deserialize_with = "or_default")]
    pub identity: Option<Identity>,
    #[serde(deserialize_with = "or_default")]
    pub properties: P,
}

/// One page of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub value: Vec<T>,
    #[serde(default)]
    pub next_link: Option<String>,
}

model! {
    /// A size that one pays for.
    pub struct Sku {
        pub name: Option<String>,
        pub tier: Option<String>,
    }

    /// Who a resource is for Entra.
    pub struct Identity {
        #[serde(rename = "type")]
        pub kind: Option<String>,
        pub principal_id: Option<String>,
        pub tenant_id: Option<String>,
    }

    /// A pointer to another resource.
    pub struct Reference {
        pub id: Option<ResourceId>,
    }

    /// How much of a quota is used, of Compute, Network, Storage and Recovery Services.
    pub struct Usage {
        pub name: UsageName,
        pub current_value: Option<Number>,
        pub limit: Option<Number>,
        pub unit: Option<String>,
    }

    /// The name of a quota: for programs, and for people.
    pub struct UsageName {
        pub value: Option<String>,
        pub localized_value: Option<String>,
    }

    /// Whether a name can be had.
    pub struct NameAvailability {
        pub name_available: Option<Flag>,
        pub reason: Option<String>,
        pub message: Option<String>,
    }

    /// A code with its words, of operations that failed.
    pub struct Problem {
        pub code: Option<String>,
        pub message: Option<String>,
    }
}

words! {
    /// How far the resource manager is with a resource.
    pub enum Provisioning {
        Accepted,
        Creating,
        Updating,
        Deleting,
        Succeeded,
        Failed,
        Canceled,
    }
}

/// A moment; none when it never came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct When(pub Option<Timestamp>);

impl When {
    fn of(text: &str) -> Result<Self, jiff::Error> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self(None));
        }
        let at = match text.parse::<Timestamp>() {
            Ok(at) => at,
            // Some services leave the zone out, and mean UTC.
            Err(_) => text.parse::<civil::DateTime>()?.to_zoned(TimeZone::UTC)?.timestamp(),
        };
        Ok(Self((at >= NEVER).then_some(at)))
    }
}

/// 1 January 1900. Anything earlier is how a database says "no date".
const NEVER: Timestamp = Timestamp::constant(-2_208_988_800, 0);

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::of(&text).map_err(|e| de::Error::custom(format!("`{text}` is no time: {e}")))
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => at.fmt(f),
            None => f.write_str("never"),
        }
    }
}

/// A number that may have been written as a text.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize)]
pub struct Number(pub f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(d)?;
        let number = value
            .as_f64()
            .or_else(|| value.as_str().and_then(|t| t.trim().parse().ok()));
        number
            .map(Self)
            .ok_or_else(|| de::Error::custom("expected a number, or a text that holds one"))
    }
}

/// Yes or no, which Site Recovery writes as a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match Value::deserialize(d)? {
            Value::Bool(b) => Ok(Self(b)),
            Value::String(s) if s.eq_ignore_ascii_case("true") => Ok(Self(true)),
            Value::String(s) if s.eq_ignore_ascii_case("false") => Ok(Self(false)),
            _ => Err(de::Error::custom("expected true or false")),
        }
    }
}

/// A name; none when it says `None`, as Site Recovery does for "no job".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Named(pub Option<String>);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        Ok(Self(
            (!name.is_empty() && !name.eq_ignore_ascii_case("none")).then_some(name),
        ))
    }
}

/// A part that belongs to one of several kinds of provider, which its `instanceType` names. Kinds that nothing here
/// works with are known by name only.
macro_rules! parts {
    ($($(#[$of_type:meta])* pub enum $name:ident { $($kind:ident),* })*) => { $(
        $(#[$of_type])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $($kind(Box<$kind>),)*
            /// Another kind, by its name; empty when Azure named none.
            Other(String),
        }

        impl Default for $name {
            fn default() -> Self {
                Self::Other(String::new())
            }
        }

        impl $name {
            /// The name of the kind.
            pub fn instance_type(&self) -> &str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)*
                    Self::Other(name) => name,
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let part = serde_json::Value::deserialize(d)?;
                let name = part.get("instanceType").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
                $(if name.eq_ignore_ascii_case(stringify!($kind)) {
                    let part = crate::error::typed(part).map_err(|(path, message)| {
                        serde::de::Error::custom(format!("{message} (at {path})"))
                    })?;
                    return Ok(Self::$kind(Box::new(part)));
                })*
                Ok(Self::Other(name))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$kind(part) => part.serialize(s),)*
                    Self::Other(name) => std::collections::BTreeMap::from([("instanceType", name)]).serialize(s),
                }
            }
        }
    )* };
}
pub(crate) use parts;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    words! {
        pub enum Word { One, Two = "the second", }
    }
    model! {
        pub struct Thing {
            pub word: Option<Word>,
            pub when: When,
            pub number: Option<Number>,
            pub flag: Option<Flag>,
            pub list: Vec<String>,
            pub job: Named,
        }
    }

    fn read(json: Value) -> Result<Thing, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn what_is_missing_null_or_new_is_no_error() {
        assert_eq!(read(json!({})).unwrap(), Thing::default());
        let nulls = json!({"word": null, "when": null, "number": null, "flag": null, "list": null, "job": null});
        assert_eq!(read(nulls).unwrap(), Thing::default());
        let other = read(json!({"word": "Third", "unknown": {"a": 1}})).unwrap();
        assert_eq!(other.word, Some(Word::Other("Third".into())));
        let cased = read(json!({"word": "THE SECOND", "number": "12.5", "flag": "True"})).unwrap();
        assert_eq!(
            (cased.word, cased.number, cased.flag),
            (Some(Word::Two), Some(Number(12.5)), Some(Flag(true)))
        );
    }

    #[test]
    fn never_and_nothing_have_their_own_spellings() {
        for never in [
            "1753-01-01T01:01:01Z",
            "0001-01-01T00:00:00",
            "0001-01-01T00:00:00Z",
            "",
        ] {
            assert_eq!(read(json!({"when": never})).unwrap().when, When(None), "{never}");
        }
        let at = When(Some(Timestamp::from_second(1_795_287_600).unwrap()));
        for then in [
            "2026-11-21T19:00:00Z",
            "2026-11-21T19:00:00",
            "2026-11-21T20:00:00.000+01:00",
            "2026-11-21T19:00:00.0000000Z",
        ] {
            assert_eq!(read(json!({"when": then})).unwrap().when, at, "{then}");
        }
        assert_eq!(read(json!({"job": "None"})).unwrap().job, Named(None));
        assert_eq!(read(json!({"job": "j"})).unwrap().job, Named(Some("j".into())));
    }

    #[test]
    fn another_shape_is_an_error_with_its_place() {
        for wrong in [
            json!({"list": {}}),
            json!({"list": [1]}),
            json!({"number": "many"}),
            json!({"flag": 1}),
            json!({"when": "soon"}),
            json!({"word": []}),
        ] {
            let (key, _) = wrong
                .as_object()
                .unwrap()
                .iter()
                .next()
                .map(|(k, v)| (k.clone(), v))
                .unwrap();
            let (path, _) = crate::error::typed::<Thing>(wrong).unwrap_err();
            assert!(path.starts_with(&key), "{path}");
        }
    }
}

//! The one error type of the crate: what can go wrong, each case saying what was expected and what came.

use std::fmt::Display;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Defines [`Error`] and, from the same list, [`Error::VARIANTS`] and [`Error::variant`], so that they cannot differ.
macro_rules! errors {
    ($($(#[$meta:meta])* $name:ident $(($($field:tt)*))?,)*) => {
        /// What can go wrong. Variants other than [`Error::Io`] and [`Error::Interrupted`] carry the whole message.
        #[derive(Debug, thiserror::Error)]
        pub enum Error {
            $($(#[$meta])* $name $(($($field)*))?,)*
        }

        impl Error {
            /// The names of all variants, in order of definition.
            pub const VARIANTS: &'static [&'static str] = &[$(stringify!($name)),*];

            /// The name of this error's variant, one of [`Error::VARIANTS`].
            #[must_use]
            pub fn variant(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => stringify!($name),)*
                }
            }
        }
    };
}

errors! {
    /// An array, or a value in a graph, has another shape than the one that is needed.
    #[error("{0}")]
    Shape(String),
    /// Another element type than the one that is needed.
    #[error("{0}")]
    Dtype(String),
    /// A value outside the range or the set that is allowed.
    #[error("{0}")]
    Value(String),
    /// A valid request that this version cannot carry out.
    #[error("{0}")]
    Unsupported(String),
    /// The content of a file is damaged, of another version, or not one of ours.
    #[error("{0}")]
    File(String),
    /// A tape is used after the parameters that it was recorded with have changed.
    #[error("{0}")]
    Stale(String),
    /// The system refused to read or write.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Memory could not be allocated.
    #[error("{0}")]
    Memory(String),
    /// The caller asked to stop (Ctrl-C) during a long call.
    #[error("interrupted: the caller asked to stop")]
    Interrupted,
}

/// `what: expected this, got that`.
fn message(what: impl Display, expected: impl Display, actual: impl Display) -> String {
    format!("{what}: expected {expected}, got {actual}")
}

impl Error {
    /// A [`Error::Shape`] reading `what: expected …, got …`.
    pub fn shape(what: impl Display, expected: impl Display, actual: impl Display) -> Self {
        Self::Shape(message(what, expected, actual))
    }

    /// A [`Error::Dtype`] reading `what: expected …, got …`.
    pub fn dtype(what: impl Display, expected: impl Display, actual: impl Display) -> Self {
        Self::Dtype(message(what, expected, actual))
    }

    /// A [`Error::Value`] reading `what: expected …, got …`.
    pub fn value(what: impl Display, expected: impl Display, actual: impl Display) -> Self {
        Self::Value(message(what, expected, actual))
    }

    /// A [`Error::File`] reading `what: expected …, got …`.
    pub fn file(what: impl Display, expected: impl Display, actual: impl Display) -> Self {
        Self::File(message(what, expected, actual))
    }

    /// A [`Error::Memory`] for an allocation of `bytes` bytes that failed.
    #[must_use]
    pub fn memory(what: impl Display, bytes: usize) -> Self {
        Self::Memory(format!("{what}: could not allocate {bytes} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_listed_and_named() {
        assert_eq!(Error::VARIANTS.len(), 9);
        assert!(Error::VARIANTS.contains(&Error::Interrupted.variant()));
        let missing = Error::from(std::io::Error::from(std::io::ErrorKind::NotFound));
        assert_eq!(missing.variant(), "Io");
    }

    #[test]
    fn messages_say_what_was_expected_and_what_came() {
        let error = Error::shape("x", "(T, B, 88)", "(4, 3)");
        assert_eq!(error.to_string(), "x: expected (T, B, 88), got (4, 3)");
        assert_eq!(error.variant(), "Shape");
    }
}

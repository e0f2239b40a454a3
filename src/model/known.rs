//! What a read found out: it is there, it is not there, or nobody knows.

/// The answer of a read. Nothing is ever deleted or changed on [`Known::Unknown`].
#[derive(Clone, Debug, PartialEq)]
pub enum Known<T> {
    /// It is there.
    Present(T),
    /// It is certainly not there.
    Absent,
    /// The read failed or was refused: why, in a sentence for people.
    Unknown(String),
}

impl<T> Known<T> {
    /// What is there, if it is.
    pub fn present(&self) -> Option<&T> {
        match self {
            Known::Present(value) => Some(value),
            Known::Absent | Known::Unknown(_) => None,
        }
    }

    /// The same knowledge of something made of it.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Known<U> {
        match self {
            Known::Present(value) => Known::Present(f(value)),
            Known::Absent => Known::Absent,
            Known::Unknown(why) => Known::Unknown(why),
        }
    }

    /// The same knowledge, borrowed.
    pub fn as_ref(&self) -> Known<&T> {
        match self {
            Known::Present(value) => Known::Present(value),
            Known::Absent => Known::Absent,
            Known::Unknown(why) => Known::Unknown(why.clone()),
        }
    }
}

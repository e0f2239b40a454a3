//! Colours, where they are wanted.

/// What a word means to the reader, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// On its way, or worth a look.
    Fair,
    /// Wrong.
    Bad,
    /// Beside the point.
    Dim,
    /// A heading.
    Strong,
    /// No colour.
    Plain,
}

/// Puts colours in, or leaves them out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Colours when `on`.
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    /// Whether colours are put in.
    pub fn is_on(self) -> bool {
        self.on
    }

    /// The text in the colour of its tone.
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Fair => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
            Tone::Strong => "1",
            Tone::Plain => return text.to_owned(),
        };
        if self.on {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Takes control characters out of text that somebody else wrote, so that it cannot steer the
/// terminal it is shown on.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A line of somebody's log as it can be shown: without the colours that the program put in, which
/// are meant for a terminal of its own, and without control characters.
pub fn plain(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut chars = text.trim_end_matches(['\n', '\r']).chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.peek() == Some(&'[') {
            // ESC [ parameters, up to a letter.
            chars.next();
            while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else {
            left.push(c);
        }
    }
    printable(&left)
}

/// Shortens digests to twelve digits, as people compare them; JSON holds them whole.
pub fn brief(text: &str) -> String {
    const MARK: &str = "sha256:";
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, from) = rest.split_at(at + MARK.len());
        short.push_str(before);
        let digits = from
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(from.len());
        short.push_str(&from[..if digits == 64 { 12 } else { digits }]);
        rest = &from[digits..];
    }
    short.push_str(rest);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_shown_without_what_steers_a_terminal() {
        assert_eq!(
            plain("\u{1b}[31;1mred\u{1b}[0m\tand\u{7} done\n"),
            "red and  done"
        );
        assert_eq!(plain("cut \u{1b}["), "cut ");
    }

    #[test]
    fn digests_are_shortened_wherever_they_stand() {
        let digest = "a".repeat(64);
        assert_eq!(
            brief(&format!("app@sha256:{digest}, web@sha256:{digest}")),
            "app@sha256:aaaaaaaaaaaa, web@sha256:aaaaaaaaaaaa"
        );
        assert_eq!(brief("sha256:abc"), "sha256:abc");
    }
}

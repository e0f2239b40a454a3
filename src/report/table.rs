//! Aligned columns without borders, as `kubectl` prints them.

use comfy_table::{Attribute, Cell as Inner, Color, ContentArrangement, Table as Grid, presets};

use super::paint::{Paint, Tone, brief, printable};

/// A line without the padding of its last column, which may stand before the end of a colour.
fn trimmed(line: &str) -> String {
    let line = line.trim_end();
    match line.rfind('\u{1b}').map(|at| line.split_at(at)) {
        Some((before, end)) if end.ends_with('m') && !end.contains(' ') => {
            format!("{}{end}", before.trim_end())
        }
        _ => line.to_owned(),
    }
}

/// One cell: text and what it means.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        Self {
            text: brief(&printable(text.as_ref())),
            tone,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::new(text, Tone::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::new(text, Tone::Plain)
    }
}

/// A table under construction.
pub struct Table {
    grid: Grid,
}

impl Table {
    /// A table with these column titles.
    pub fn new<const N: usize>(titles: [&str; N], paint: Paint) -> Self {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        grid.set_content_arrangement(ContentArrangement::Disabled);
        grid.force_no_tty();
        if paint.is_on() {
            grid.enforce_styling();
        }
        grid.set_header(titles.map(|title| Inner::new(title).add_attribute(Attribute::Bold)));
        Self { grid }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.grid.add_row(cells.map(|cell| {
            let inner = Inner::new(if cell.text.is_empty() {
                "-"
            } else {
                &cell.text
            });
            match cell.tone {
                Tone::Good => inner.fg(Color::DarkGreen),
                Tone::Fair => inner.fg(Color::DarkYellow),
                Tone::Bad => inner.fg(Color::DarkRed),
                Tone::Dim => inner.add_attribute(Attribute::Dim),
                Tone::Strong => inner.add_attribute(Attribute::Bold),
                Tone::Plain => inner,
            }
        }));
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.grid.is_empty()
    }

    /// The lines, each ended by a newline.
    pub fn render(&mut self) -> String {
        for column in self.grid.column_iter_mut() {
            column.set_padding((0, 3));
        }
        let mut text = String::new();
        for line in self.grid.lines() {
            text.push_str(&trimmed(&line));
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_their_text_with_and_without_colours() {
        for on in [false, true] {
            let mut table = Table::new(["NAME", "MESSAGE"], Paint::new(on));
            table.row(["rails".into(), Cell::new("a long sentence", Tone::Bad)]);
            table.row(["blog".into(), Cell::new("short", Tone::Bad)]);
            for line in table.render().lines() {
                let text = line
                    .trim_end_matches("\u{1b}[0m")
                    .trim_end_matches("\u{1b}[39m");
                assert_eq!(text, text.trim_end(), "{line:?}");
            }
        }
    }
}

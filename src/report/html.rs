//! Pages that stand by themselves: no script, nothing loaded from elsewhere.

use std::fmt::Write as _;

use super::paint::Tone;

/// Text made safe inside an element or a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A page under construction. Everything that is put in as text is escaped.
#[derive(Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// A page with a title.
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            body: String::new(),
        }
    }

    /// A heading of the second order, with a badge.
    pub fn section(&mut self, heading: &str, badge: &str, tone: Tone) {
        let _ = writeln!(
            self.body,
            "<h2>{} <span class=\"badge {}\">{}</span></h2>",
            escape(heading),
            class(tone),
            escape(badge)
        );
    }

    /// A paragraph.
    pub fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p>{}</p>", escape(text));
    }

    /// A table; a cell with a tone gets its colour.
    pub fn table<const N: usize>(&mut self, titles: [&str; N], rows: &[[(String, Tone); N]]) {
        self.body.push_str("<table><thead><tr>");
        for title in titles {
            let _ = write!(self.body, "<th scope=\"col\">{}</th>", escape(title));
        }
        self.body.push_str("</tr></thead><tbody>\n");
        for row in rows {
            self.body.push_str("<tr>");
            for (text, tone) in row {
                let _ = write!(
                    self.body,
                    "<td class=\"{}\">{}</td>",
                    class(*tone),
                    escape(text)
                );
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody></table>\n");
    }

    /// The whole document.
    pub fn render(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n",
            title = escape(&self.title),
            body = self.body,
        )
    }
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Fair => "fair",
        Tone::Bad => "bad",
        Tone::Dim => "dim",
        Tone::Strong => "strong",
        Tone::Plain => "plain",
    }
}

const STYLE: &str = "\
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --fair: #9a6700; --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --fair: #d29922; --bad: #f85149; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); }
td { font-family: ui-monospace, monospace; font-size: .85rem; overflow-wrap: anywhere; min-width: 6rem; }
.badge { font-size: .8rem; font-weight: 600; border: 1px solid currentColor; border-radius: 1rem; padding: .05rem .6rem; }
.good { color: var(--good); } .fair { color: var(--fair); } .bad { color: var(--bad); }
.dim { opacity: .65; } .strong { font-weight: 600; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let mut page = Page::new("<script>alert(1)</script>");
        page.section("\"a\" & 'b'", "<b>", Tone::Bad);
        page.table(
            ["x"],
            &[[("<img src=x onerror=alert(1)>".to_owned(), Tone::Plain)]],
        );
        let html = page.render();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("<img"), "{html}");
        assert!(html.contains("&quot;a&quot; &amp; &#39;b&#39;"), "{html}");
    }
}

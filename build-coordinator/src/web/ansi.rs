use memchr::memchr_iter;

/// How text of a terminal looks at some point: what its escape sequences have switched on.
///
/// Colours are the sixteen that the style sheet has for light and dark; those of the larger palettes are shown as the nearest of
/// them, so that a log is legible in both, and no page needs styles of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// 0 for the usual colour, otherwise one more than its number.
    fg: u8,
    bg: u8,
    flags: u8,
}

const BOLD: u8 = 1;
const DIM: u8 = 2;
const ITALIC: u8 = 4;
const UNDERLINE: u8 = 8;
const INVERSE: u8 = 16;
const STRIKE: u8 = 32;
const FLAGS: [(u8, &str); 6] = [
    (BOLD, "b"),
    (DIM, "d"),
    (ITALIC, "i"),
    (UNDERLINE, "u"),
    (INVERSE, "v"),
    (STRIKE, "s"),
];
const COLOURS: u8 = 16;

impl Style {
    /// Six hexadecimal digits that say it all, for [`from_token`](Self::from_token).
    pub(crate) fn token(self) -> String {
        format!("{:02x}{:02x}{:02x}", self.fg, self.bg, self.flags)
    }

    /// Reads what [`token`](Self::token) wrote.
    pub(crate) fn from_token(token: &str) -> Option<Self> {
        if token.len() != 6 || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let byte = |at: usize| u8::from_str_radix(&token[at..at + 2], 16).ok();
        let style = Self {
            fg: byte(0)?,
            bg: byte(2)?,
            flags: byte(4)?,
        };
        (style.fg <= COLOURS && style.bg <= COLOURS && style.flags < 64).then_some(style)
    }

    fn is_plain(self) -> bool {
        self == Self::default()
    }

    fn open(self, out: &mut String) {
        out.push_str("<span class=\"");
        let mut gap = "";
        let mut class = |name: std::fmt::Arguments<'_>| {
            out.push_str(gap);
            out.push_str(&name.to_string());
            gap = " ";
        };
        if let Some(colour) = self.fg.checked_sub(1) {
            class(format_args!("f{colour}"));
        }
        if let Some(colour) = self.bg.checked_sub(1) {
            class(format_args!("g{colour}"));
        }
        for (flag, name) in FLAGS {
            if self.flags & flag != 0 {
                class(format_args!("a{name}"));
            }
        }
        out.push_str("\">");
    }

    /// Follows a "select graphic rendition" sequence, given what stands between `ESC [` and `m`.
    fn select(&mut self, params: &[u8]) {
        // `38:5:1` and `38;5;1` mean the same.
        let mut numbers = params
            .split(|&b| b == b';' || b == b':')
            .map(|digits| {
                let digits = str::from_utf8(digits).unwrap_or("x");
                if digits.is_empty() {
                    Some(0)
                } else {
                    digits.parse::<u16>().ok()
                }
            })
            // A hundred is more than any program has a use for.
            .take(100);
        while let Some(number) = numbers.next() {
            let Some(number) = number else { return };
            match number {
                0 => *self = Self::default(),
                1 => self.flags |= BOLD,
                2 => self.flags |= DIM,
                3 => self.flags |= ITALIC,
                4 | 21 => self.flags |= UNDERLINE,
                7 => self.flags |= INVERSE,
                9 => self.flags |= STRIKE,
                22 => self.flags &= !(BOLD | DIM),
                23 => self.flags &= !ITALIC,
                24 => self.flags &= !UNDERLINE,
                27 => self.flags &= !INVERSE,
                29 => self.flags &= !STRIKE,
                30..=37 => self.fg = colour(number - 30),
                39 => self.fg = 0,
                40..=47 => self.bg = colour(number - 40),
                49 => self.bg = 0,
                90..=97 => self.fg = colour(number - 82),
                100..=107 => self.bg = colour(number - 92),
                38 | 48 => {
                    let Some(nearest) = extended(&mut numbers) else {
                        return;
                    };
                    if number == 38 {
                        self.fg = nearest;
                    } else {
                        self.bg = nearest;
                    }
                }
                _ => {}
            }
        }
    }
}

fn colour(number: u16) -> u8 {
    u8::try_from(number).map_or(0, |n| (n + 1).min(COLOURS))
}

/// Reads `5;N` or `2;R;G;B`.
fn extended(numbers: &mut impl Iterator<Item = Option<u16>>) -> Option<u8> {
    let mut next = || numbers.next().flatten();
    match next()? {
        5 => Some(match next()? {
            n @ 0..=15 => colour(n),
            n @ 16..=231 => {
                let cube = [0, 95, 135, 175, 215, 255];
                let at = |n: u16| cube[usize::from(n % 6)];
                let n = n - 16;
                nearest([at(n / 36), at(n / 6), at(n)])
            }
            n @ 232..=255 => nearest([i32::from(n - 232) * 10 + 8; 3]),
            _ => return None,
        }),
        2 => {
            let mut part = || next().map(|n| i32::from(n.min(255)));
            Some(nearest([part()?, part()?, part()?]))
        }
        _ => None,
    }
}

/// The basic colour that is nearest, as terminals commonly have them.
fn nearest(rgb: [i32; 3]) -> u8 {
    const BASIC: [[i32; 3]; 16] = [
        [0, 0, 0],
        [205, 0, 0],
        [0, 205, 0],
        [205, 205, 0],
        [0, 0, 238],
        [205, 0, 205],
        [0, 205, 205],
        [229, 229, 229],
        [127, 127, 127],
        [255, 0, 0],
        [0, 255, 0],
        [255, 255, 0],
        [92, 92, 255],
        [255, 0, 255],
        [0, 255, 255],
        [255, 255, 255],
    ];
    let distance =
        |basic: &[i32; 3]| -> i32 { basic.iter().zip(rgb).map(|(a, b)| (a - b) * (a - b)).sum() };
    let best = (0u16..)
        .zip(&BASIC)
        .min_by_key(|(_, basic)| distance(basic))
        .map_or(0, |(n, _)| n);
    colour(best)
}

/// Renders a line, without its line feed, as HTML: text escaped, colours as classes, everything else that a terminal would obey
/// left out or made visible.
///
/// What stands before a carriage return is not shown, as the rest of the line was written over it. `style` is what the line begins
/// with, and what it leaves to the next.
pub(crate) fn render(style: &mut Style, line: &[u8], out: &mut String) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let shown_from = memchr_iter(b'\r', line).next_back().map_or(0, |at| at + 1);
    let mut hidden = String::new();
    pieces(style, &line[..shown_from], &mut hidden, false);
    pieces(style, &line[shown_from..], out, true);
}

fn pieces(style: &mut Style, mut rest: &[u8], out: &mut String, is_shown: bool) {
    let mut is_open = false;
    let mut opened = Style::default();
    while let Some(&first) = rest.first() {
        if first == 0x1b {
            let (sequence, behind) = escape_sequence(rest);
            if let Some(params) = sequence {
                style.select(params);
            }
            rest = behind;
            continue;
        }
        let len = rest.iter().position(|&b| b == 0x1b).unwrap_or(rest.len());
        if is_shown {
            if is_open && opened != *style {
                out.push_str("</span>");
                is_open = false;
            }
            if !is_open && !style.is_plain() {
                style.open(out);
                opened = *style;
                is_open = true;
            }
            push_text(&String::from_utf8_lossy(&rest[..len]), out);
        }
        rest = &rest[len..];
    }
    if is_open {
        out.push_str("</span>");
    }
}

/// Takes an escape sequence off `bytes`, which begin with one. The first part is there if it selects a style. One that does not end
/// in this line is all there is of the line.
fn escape_sequence(bytes: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match bytes.get(1) {
        Some(b'[') => {
            let body = &bytes[2..];
            match body.iter().position(|b| !(0x20..0x40).contains(b)) {
                Some(end) => (
                    (body[end] == b'm').then_some(&body[..end]),
                    // A byte that cannot be part of a sequence begins something else.
                    &body[if body[end] >= 0x40 { end + 1 } else { end }..],
                ),
                None => (None, &[]),
            }
        }
        // Titles, links and the like: text up to BEL or ESC \.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let body = &bytes[2..];
            let end = body.iter().position(|b| matches!(b, 0x07 | 0x1b));
            let behind = match end {
                Some(at) if body[at] == 0x07 => &body[at + 1..],
                Some(at) if body.get(at + 1) == Some(&b'\\') => &body[at + 2..],
                Some(at) => &body[at..],
                None => &[],
            };
            (None, behind)
        }
        // A letter, maybe behind some intermediates, as in `ESC ( B`.
        Some(0x20..0x7f) => {
            let end = bytes[1..].iter().position(|b| !(0x20..0x30).contains(b));
            (
                None,
                end.map_or(&[], |at| &bytes[(at + 2).min(bytes.len())..]),
            )
        }
        _ => (None, &bytes[1..]),
    }
}

/// Escapes text for HTML, and makes characters visible that would hide or reorder others.
fn push_text(text: &str, out: &mut String) {
    out.reserve(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\t' => out.push('\t'),
            '\0'..='\x1f' => {
                let picture = char::from_u32(0x2400 + u32::from(c));
                out.push(picture.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            '\x7f' => out.push('\u{2421}'),
            '\u{80}'..='\u{9f}' => out.push(char::REPLACEMENT_CHARACTER),
            // They can make text look like other text.
            '\u{200e}'
            | '\u{200f}'
            | '\u{061c}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                out.push_str(&format!(
                    "<span class=\"ctl\">U+{:04X}</span>",
                    u32::from(c)
                ));
            }
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn html(line: &[u8]) -> String {
        let mut out = String::new();
        render(&mut Style::default(), line, &mut out);
        out
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(
            html(b"<script>alert('1' & \"2\")</script>"),
            "&lt;script&gt;alert(&#39;1&#39; &amp; &#34;2&#34;)&lt;/script&gt;"
        );
    }

    #[test]
    fn colours_are_classes() {
        assert_eq!(
            html(b"\x1b[31merror\x1b[0m: no"),
            "<span class=\"f1\">error</span>: no"
        );
        assert_eq!(html(b"\x1b[1;92mok"), "<span class=\"f10 ab\">ok</span>");
        assert_eq!(html(b"\x1b[38;5;196mred"), "<span class=\"f9\">red</span>");
        assert_eq!(html(b"\x1b[48:2:0:0:0mx"), "<span class=\"g0\">x</span>");
        assert_eq!(html(b"\x1b[mplain"), "plain");
    }

    #[test]
    fn a_style_goes_on_in_the_next_line() {
        let mut style = Style::default();
        let mut out = String::new();
        render(&mut style, b"\x1b[33mone", &mut out);
        let token = style.token();
        assert_eq!(Style::from_token(&token), Some(style));
        out.clear();
        render(&mut style, b"two\x1b[39m!", &mut out);
        assert_eq!(out, "<span class=\"f3\">two</span>!");
    }

    #[test]
    fn tokens_from_strangers_are_checked() {
        for token in [
            "", "ff0000", "0000ff", "00000", "0000000", "+10000", "zz0000", "ää00",
        ] {
            assert_eq!(Style::from_token(token), None, "{token}");
        }
    }

    #[test]
    fn what_was_written_over_is_not_shown() {
        assert_eq!(html(b" 10%\r 50%\r100%\r"), "100%");
        assert_eq!(html(b"\x1b[31m10%\r20%"), "<span class=\"f1\">20%</span>");
    }

    #[test]
    fn sequences_other_than_styles_do_nothing() {
        assert_eq!(html(b"a\x1b[2Kb\x1b[1;1Hc\x1b(Bd\x1b7e"), "abcde");
        assert_eq!(
            html(b"\x1b]0;title\x07x\x1b]8;;javascript:1\x1b\\link\x1b]8;;\x1b\\"),
            "xlink"
        );
        assert_eq!(html(b"x\x1b[31"), "x");
        assert_eq!(html(b"x\x1b"), "x");
    }

    #[test]
    fn characters_that_deceive_are_shown() {
        assert_eq!(
            html("a\u{202e}b".as_bytes()),
            "a<span class=\"ctl\">U+202E</span>b"
        );
        assert_eq!(html(b"a\0b\x08"), "a\u{2400}b\u{2408}");
    }

    proptest! {
        #[test]
        fn nothing_but_our_own_tags_comes_out(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = html(&line);
            let open = ["<span class=\"ctl\">", "</span>"];
            for tag in open {
                rest = rest.replace(tag, "");
            }
            while let Some(at) = rest.find("<span class=\"") {
                let end = rest[at..].find("\">").unwrap() + at + 2;
                prop_assert!(rest[at + 13..end - 2].bytes().all(|b| b.is_ascii_alphanumeric() || b == b' '));
                rest.replace_range(at..end, "");
            }
            prop_assert!(!rest.contains(['<', '>', '"', '\'']), "{rest}");
        }

        #[test]
        fn escape_sequences_of_any_kind_end(line in "[\u{1b}\\[\\]0-9;:m(B\u{7}a\\\\]{0,40}") {
            html(line.as_bytes());
        }
    }
}

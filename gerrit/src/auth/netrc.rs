use std::iter::Peekable;
use std::str::Chars;

/// The login for `host` in the text of a `.netrc`: of the first `machine` that is one of `hosts`, or else of `default`.
///
/// Understands what curl and GNU inetutils do: entries over several lines, fields in any order, `account`, `macdef`, words in double
/// quotes with `\"`, `\\`, `\n`, `\r`, `\t`, and comments from a `#` where a keyword would be.
pub(super) fn login(text: &str, hosts: &[&str]) -> Option<(String, String)> {
    let mut words = Words(text.chars().peekable());
    let mut found: Option<Entry> = None;
    while let Some(word) = words.keyword() {
        match word.as_str() {
            "machine" => {
                if found.as_ref().is_some_and(Entry::is_whole) {
                    break;
                }
                let host = words.value()?;
                found = hosts.contains(&host.as_str()).then(Entry::default);
            }
            "default" => {
                if found.as_ref().is_some_and(Entry::is_whole) {
                    break;
                }
                found = Some(Entry::default());
            }
            "login" => {
                let value = words.value();
                if let Some(entry) = &mut found {
                    entry.login = value;
                }
            }
            "password" => {
                let value = words.value();
                if let Some(entry) = &mut found {
                    entry.password = value;
                }
            }
            "account" => drop(words.value()),
            "macdef" => words.skip_macro(),
            // What nobody knows, nobody can obey.
            _ => {}
        }
    }
    let entry = found?;
    Some((entry.login?, entry.password?))
}

#[derive(Default)]
struct Entry {
    login: Option<String>,
    password: Option<String>,
}

impl Entry {
    fn is_whole(&self) -> bool {
        self.login.is_some() && self.password.is_some()
    }
}

struct Words<'a>(Peekable<Chars<'a>>);

impl Words<'_> {
    /// The next word, where `#` begins a comment.
    fn keyword(&mut self) -> Option<String> {
        loop {
            let word = self.value()?;
            if !word.starts_with('#') {
                return Some(word);
            }
            // The word may have ended at the end of its line, which is left to be read.
            while self.0.next_if(|&c| c != '\n').is_some() {}
        }
    }

    fn value(&mut self) -> Option<String> {
        while self.0.next_if(|c| c.is_whitespace()).is_some() {}
        let mut word = String::new();
        if self.0.next_if_eq(&'"').is_some() {
            while let Some(c) = self.0.next().filter(|&c| c != '"') {
                word.push(match c {
                    '\\' => match self.0.next()? {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        other => other,
                    },
                    other => other,
                });
            }
            return Some(word);
        }
        while let Some(c) = self.0.next_if(|c| !c.is_whitespace()) {
            word.push(c);
        }
        (!word.is_empty()).then_some(word)
    }

    /// A macro ends with an empty line.
    fn skip_macro(&mut self) {
        let mut last = ' ';
        for c in self.0.by_ref() {
            if (last, c) == ('\n', '\n') {
                return;
            }
            last = c;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at_h(text: &str) -> Option<(String, String)> {
        login(text, &["h:1", "h"])
    }

    fn known(user: &str, password: &str) -> Option<(String, String)> {
        Some((user.to_owned(), password.to_owned()))
    }

    #[test]
    fn entries_of_every_form_are_read() {
        assert_eq!(at_h("machine h login u password p"), known("u", "p"));
        assert_eq!(
            at_h("machine h\n\tpassword p\n\tlogin u\n"),
            known("u", "p")
        );
        assert_eq!(
            at_h("machine h:1 login u account x password p # c"),
            known("u", "p")
        );
        assert_eq!(
            at_h("machine o login a password b\ndefault login u password p"),
            known("u", "p")
        );
        assert_eq!(
            at_h("machine h login u password \"p \\\"q\\\\\""),
            known("u", "p \"q\\")
        );
        assert_eq!(
            at_h("# machine h login a password b\nmachine h login u password #p"),
            known("u", "#p")
        );
        assert_eq!(
            at_h("macdef m\nmachine h login a password b\n\nmachine h login u password p"),
            known("u", "p")
        );
        assert_eq!(
            at_h("#\nmachine h login u password p\nmachine h login a password b"),
            known("u", "p")
        );
    }

    #[test]
    fn another_host_or_half_an_entry_is_no_login() {
        assert_eq!(at_h("machine o login u password p"), None);
        assert_eq!(at_h("machine h login u"), None);
        assert_eq!(
            at_h("machine h login u\nmachine o login a password b"),
            None
        );
        assert_eq!(at_h(""), None);
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(text in "(machine|h|login|password|default|macdef|[#\"\\\\ \n]|x){0,40}") {
            let _ = at_h(&text);
        }
    }
}

//! The last fence for secrets before a log file: whatever looks like a credential is blanked. The first fence is that
//! secrets have a type that can't be printed; this one is for texts that come from elsewhere.

use std::io::{self, Write};

/// What is logged when the user sets no `REHOST_LOG`. Libraries call things errors that we handle and put into words: an
/// unknown certificate, a refused token.
pub const LOG_USUAL: &str = "info,rustls_platform_verifier=off,typespec_client_core=warn";
/// The same for a program whose log is a person's terminal.
pub const LOG_QUIET: &str = "warn,rustls_platform_verifier=off,typespec_client_core=error";

/// What comes before a credential, in lower case. A quoted value ends at its quote, an element at `<`, others at the
/// first character that no credential holds.
const MARKS: &[&str] = &[
    "bearer ",
    "basic ",
    "sig=",
    "client_secret=",
    "client_assertion=",
    "refresh_token=",
    "device_code=",
    "code_verifier=",
    "?code=",
    "&code=",
    "password=",
    "accountkey=",
    "password>",
    r#"client_secret":""#,
    r#"access_token":""#,
    r#"refresh_token":""#,
    r#"refresh":""#,
    r#"device_code":""#,
    r#"id_token":""#,
    r#"password":""#,
    r#"sastoken":""#,
    r#"password\":\""#,
    r#"access_token\":\""#,
];

/// Returns the text with everything that looks like a credential replaced by `<redacted>`.
pub fn scrub(text: &str) -> String {
    // ASCII lower case keeps every byte offset.
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let found = MARKS
            .iter()
            .filter_map(|m| lower[at..].find(m).map(|i| (at + i, *m)))
            .min_by_key(|f| f.0);
        let Some((start, mark)) = found else { break };
        let value = start + mark.len();
        out.push_str(&text[at..value]);
        let end = text[value..]
            .find(|c| ends_value(mark, c))
            .map_or(text.len(), |i| value + i);
        if end > value {
            out.push_str("<redacted>");
        }
        at = end;
    }
    out.push_str(&text[at..]);
    out
}

fn ends_value(mark: &str, c: char) -> bool {
    if mark.ends_with('"') {
        matches!(c, '"' | '\\')
    } else if mark.ends_with('>') {
        c == '<'
    } else {
        c.is_whitespace() || matches!(c, '&' | '"' | '\\' | '\'' | '<' | ';' | ',')
    }
}

/// A writer that scrubs what passes through. Each `write` must be a whole record, as the log formatter does.
pub struct Scrubbed<W>(pub W);

impl<W: Write> Write for Scrubbed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(scrub(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_blanked_and_the_rest_stays() {
        for (given, want) in [
            ("Authorization: Bearer abc.def x", "Authorization: Bearer <redacted> x"),
            ("GET /c/b?sv=1&sig=Zm9v%3D&se=2", "GET /c/b?sv=1&sig=<redacted>&se=2"),
            (
                r#"{"administratorLoginPassword":"p w","a":1}"#,
                r#"{"administratorLoginPassword":"<redacted>","a":1}"#,
            ),
            ("<password>Abc!1</password>", "<password><redacted></password>"),
            ("nothing here: é", "nothing here: é"),
            ("sig=", "sig="),
        ] {
            assert_eq!(scrub(given), want);
        }
    }
}

//! What is printed, and where.

use api::wire::UiError;
use serde::Serialize;
use std::io::Write;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Say {
    pub(crate) json: bool,
}

impl Say {
    /// A line of progress, for people.
    pub(crate) fn progress(self, line: &str) {
        // Nobody listening is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    /// The result: one JSON document with `--json`, the text otherwise.
    pub(crate) fn result<T: Serialize>(self, value: &T, text: &str) {
        if self.json {
            self.value(value);
        } else {
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    /// A JSON document, whatever `--json` says.
    pub(crate) fn value<T: Serialize>(self, value: &T) {
        self.print(serde_json::to_string_pretty(value));
    }

    /// A JSON document in one line, for a program that reads line by line.
    pub(crate) fn line<T: Serialize>(self, value: &T) {
        self.print(serde_json::to_string(value));
    }

    fn print(self, json: serde_json::Result<String>) {
        match json {
            Ok(text) => {
                let _ = writeln!(std::io::stdout(), "{text}");
            }
            Err(e) => self.progress(&format!("the result can't be printed: {e}")),
        }
        let _ = std::io::stdout().flush();
    }

    /// An error: what, why, who can fix it how. With `--json` the whole error, as a document on the standard output.
    pub(crate) fn error(self, error: &UiError) {
        if self.json {
            self.value(&serde_json::json!({ "error": error }));
            return;
        }
        self.progress(&format!("Error: {}", error.title));
        for line in [&error.detail, &error.hint] {
            if !line.is_empty() {
                self.progress(&format!("  {line}"));
            }
        }
        if let Some(id) = &error.correlation_id {
            self.progress(&format!("  Correlation id: {id}"));
        }
    }
}

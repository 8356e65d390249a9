//! Values of a row by the names of its columns. A column that isn't there, a NULL, and a value of another kind are all
//! `None`: which columns were missing is asked apart.

use jiff::civil::{Date, DateTime, date};
use tiberius::{ColumnData, Row};

/// A row, read by names that ignore case.
pub(crate) struct Cells<'a>(pub &'a Row);

impl Cells<'_> {
    fn data(&self, column: &str) -> Option<&ColumnData<'static>> {
        let found = self.0.cells().find(|(c, _)| c.name().eq_ignore_ascii_case(column))?;
        Some(found.1)
    }

    pub fn text(&self, column: &str) -> Option<String> {
        match self.data(column)? {
            ColumnData::String(Some(text)) => Some(text.trim_end().to_owned()),
            ColumnData::Guid(Some(id)) => Some(id.to_string()),
            // Log sequence numbers are numbers without decimals.
            ColumnData::Numeric(Some(n)) if n.scale() == 0 => Some(n.value().to_string()),
            ColumnData::DateTime(Some(at)) => civil(*at).map(|t| t.to_string()),
            _ => self.number(column).map(|n| n.to_string()),
        }
    }

    /// As [`Cells::text`], empty for what isn't there.
    pub fn word(&self, column: &str) -> String {
        self.text(column).unwrap_or_default()
    }

    pub fn number(&self, column: &str) -> Option<i64> {
        match *self.data(column)? {
            ColumnData::U8(n) => n.map(i64::from),
            ColumnData::I16(n) => n.map(i64::from),
            ColumnData::I32(n) => n.map(i64::from),
            ColumnData::I64(n) => n,
            ColumnData::Bit(yes) => yes.map(i64::from),
            ColumnData::Numeric(Some(n)) => i64::try_from(n.int_part()).ok(),
            _ => None,
        }
    }

    /// `real` and `float`.
    pub fn real(&self, column: &str) -> Option<f64> {
        match *self.data(column)? {
            ColumnData::F32(n) => n.map(f64::from),
            ColumnData::F64(n) => n,
            _ => self.number(column).map(|n| n as f64),
        }
    }

    pub fn flag(&self, column: &str) -> Option<bool> {
        self.number(column).map(|n| n != 0)
    }

    /// Upper-case hex.
    pub fn bytes(&self, column: &str) -> Option<String> {
        match self.data(column)? {
            ColumnData::Binary(Some(bytes)) => Some(hex::encode_upper(bytes)),
            _ => None,
        }
    }

    /// Those of `columns` that the row does not have.
    pub fn missing<'c>(&self, columns: &[&'c str]) -> Vec<&'c str> {
        let has = |name: &str| self.0.columns().iter().any(|c| c.name().eq_ignore_ascii_case(name));
        columns.iter().copied().filter(|c| !has(c)).collect()
    }
}

/// Days since 1900 and 300ths of a second, rounded down to seconds.
fn civil(at: tiberius::time::DateTime) -> Option<DateTime> {
    const START: Date = date(1900, 1, 1);
    let day = START.checked_add(jiff::Span::new().days(at.days())).ok()?;
    let midnight = day.to_datetime(jiff::civil::Time::midnight());
    let seconds = i64::from(at.seconds_fragments() / 300);
    midnight.checked_add(jiff::Span::new().seconds(seconds)).ok()
}

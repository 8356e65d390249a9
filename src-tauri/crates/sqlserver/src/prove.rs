//! What a database holds, measured on the source before its last backup and on the target after its restore: rows of each
//! table, checksums of chosen ones, objects by type. `SELECT` alone is sent, but for [`check`], which is for the target.
//!
//! Decision: tables are counted one by one, so that the proof names the table that differs, and one that can't be counted
//! does not hide the others.

use crate::{
    cells::Cells,
    client::Client,
    error::SqlError,
    quote::{identifier, literal},
};
use plan::around::{Measure, ProveDesign, RowCount};
use tokio_util::sync::CancellationToken;

/// A table by schema and name, as the catalog spells them.
type Table = (String, String);

fn tables(q: &str) -> String {
    format!(
        "SELECT s.name AS schema_name, o.name AS name, SUM(p.rows) AS n FROM {q}.sys.objects AS o \
         JOIN {q}.sys.schemas AS s ON s.schema_id = o.schema_id \
         LEFT JOIN {q}.sys.partitions AS p ON p.object_id = o.object_id AND p.index_id IN (0, 1) \
         WHERE o.type = 'U' AND o.is_ms_shipped = 0 GROUP BY s.name, o.name"
    )
}

/// Without what SQL Server makes for itself: system and internal tables differ between versions.
fn objects(q: &str) -> String {
    format!(
        "SELECT type_desc, COUNT(*) AS n FROM {q}.sys.objects WHERE is_ms_shipped = 0 AND type NOT IN ('S', 'IT') \
         GROUP BY type_desc"
    )
}

fn count(q: &str, (schema, name): &Table) -> Option<String> {
    Some(format!(
        "SELECT COUNT_BIG(*) AS n FROM {q}.{}.{}",
        identifier(schema)?,
        identifier(name)?
    ))
}

fn checksum(q: &str, (schema, name): &Table) -> Option<String> {
    Some(format!(
        "SELECT CHECKSUM_AGG(BINARY_CHECKSUM(*)) AS n FROM {q}.{}.{}",
        identifier(schema)?,
        identifier(name)?
    ))
}

/// Everything that [`measure`] sends for a database with these tables.
pub fn statements(database: &str, of: &[Table]) -> Vec<String> {
    let Some(q) = identifier(database) else { return vec![] };
    let each = of.iter().flat_map(|t| [count(&q, t), checksum(&q, t)]).flatten();
    [SERVER.to_owned(), tables(&q), objects(&q)]
        .into_iter()
        .chain(each)
        .collect()
}

const SERVER: &str = "SELECT @@SERVERNAME AS name";

/// Measures a database. `tell` hears each table before it is read: `dbo.Hotels`, its place from 1, and how many there are.
///
/// # Errors
/// [`SqlError::Statement`] when the database or a table can't be read, [`SqlError::Cancelled`], and a broken connection.
pub async fn measure(
    client: &mut Client,
    database: &str,
    design: &ProveDesign,
    cancel: &CancellationToken,
    mut tell: impl FnMut(&str, usize, usize) + Send,
) -> Result<Measure, SqlError> {
    let q = identifier(database)
        .ok_or_else(|| SqlError::Config(format!("`{database}` can't be the name of a database.")))?;
    let mut found = Measure::default();
    let about = client.run(SERVER, cancel).await?;
    if let Some(row) = about.first().and_then(|r| r.first()) {
        found.server = Cells(row).word("name");
    }
    let rows = client.run(&tables(&q), cancel).await?.pop().unwrap_or_default();
    let mut all: Vec<(Table, i64)> = rows
        .iter()
        .map(Cells)
        .map(|c| ((c.word("schema_name"), c.word("name")), c.number("n").unwrap_or(0)))
        .collect();
    all.sort();
    let total = all.len();
    for ((t, metadata), place) in all.iter().zip(1..) {
        let name = format!("{}.{}", t.0, t.1);
        tell(&name, place, total);
        let n = match design.rows {
            RowCount::Metadata => *metadata,
            RowCount::Counted => match count(&q, t) {
                Some(sql) => number(client.run(&sql, cancel).await?).unwrap_or(0),
                None => *metadata,
            },
        };
        found.rows.insert(name.clone(), n);
        if design.checksums.iter().any(|c| c.eq_ignore_ascii_case(&name))
            && let Some(sql) = checksum(&q, t)
        {
            let sum = match client.run(&sql, cancel).await {
                Ok(rows) => number(rows),
                // 8184: no column that can be compared.
                Err(SqlError::Statement { number: 8184, .. }) => None,
                Err(e) => return Err(e),
            };
            found.checksums.insert(name, sum);
        }
    }
    let rows = client.run(&objects(&q), cancel).await?.pop().unwrap_or_default();
    found.objects = rows
        .iter()
        .map(Cells)
        .map(|c| (c.word("type_desc"), c.number("n").unwrap_or(0)))
        .collect();
    // In the change window nothing can be corrected: a name without a table is told in the proof.
    let tables: Vec<String> = found.rows.keys().map(|t| t.to_lowercase()).collect();
    let unknown = design.checksums.iter().filter(|c| !tables.contains(&c.to_lowercase()));
    found.checksums.extend(unknown.map(|c| (c.clone(), None)));
    Ok(found)
}

fn number(mut results: Vec<Vec<tiberius::Row>>) -> Option<i64> {
    let rows = results.pop()?;
    Cells(rows.first()?).number("n")
}

/// `DBCC CHECKDB`, for the target. It takes hours on large databases.
///
/// # Errors
/// [`SqlError::Statement`] with the first inconsistency that was found, [`SqlError::Cancelled`].
pub async fn check(client: &mut Client, database: &str, cancel: &CancellationToken) -> Result<(), SqlError> {
    let sql = format!("DBCC CHECKDB ({}) WITH NO_INFOMSGS", literal(database));
    client.run(&sql, cancel).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sqlparser::{ast::Statement, dialect::MsSqlDialect, parser::Parser};

    proptest! {
        #[test]
        fn whatever_the_names_only_one_select_is_sent(database in "[\\]\\[;'\" a-zß客-]{1,40}", schema in any::<String>(), name in any::<String>()) {
            for sql in statements(&database, &[(schema.clone(), name.clone())]) {
                let parsed = Parser::parse_sql(&MsSqlDialect {}, &sql);
                prop_assert!(matches!(parsed.as_deref(), Ok([Statement::Query(_)])), "{sql}: {parsed:?}");
            }
        }
    }
}

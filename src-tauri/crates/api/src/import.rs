//! Reading an inventory from a file that a person chose: a workbook or CSV files become sheets of text here, `plan::import`
//! makes machines of them.
//!
//! Nothing is kept before the person has seen what it changes: the preview holds what was read, and the import keeps exactly
//! that, or refuses when the inventory was read anew meanwhile. The page never names a path. Of CSV exports of RVTools the file
//! with `vInfo` in its name is chosen, its neighbours are read with it. Files are bounded before they are unpacked.

use crate::{
    App,
    app::lock,
    host::FileQuestion,
    wire::{ImportPreview, UiError},
};
use calamine::{Data, DataRef, Reader, Xlsx};
use jiff::Timestamp;
use plan::{
    Inventory, changes,
    import::{self, Row, Sheet},
};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Cursor},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes of one file. An export of 50,000 machines has about 40 MB.
const FILE_LIMIT: u64 = 128 << 20;

/// Bytes that a workbook may unpack to.
const UNPACKED_LIMIT: u64 = 1 << 30;

const MAX_ROWS: usize = 1 << 20;
const MAX_COLUMNS: u32 = 256;

/// Refused rows that the preview names; it counts the others.
const SHOWN: usize = 200;

/// Sheets that are read with vInfo.
const TABS: [&str; 7] = [
    "vInfo",
    "vDisk",
    "vNetwork",
    "vPartition",
    "vSnapshot",
    "vTools",
    "vHost",
];

/// An import that a person looks at.
pub(crate) struct Pending {
    /// When the inventory was read with which it was compared.
    read_at: Option<Timestamp>,
    imported: Inventory,
}

/// Asks for a file, reads it, and tells what it would change. None when the dialog was closed.
///
/// # Errors
/// Fails when the file can't be read, is too large, or holds no machines.
pub async fn inventory_import_preview(app: &Arc<App>, project: String) -> Result<Option<ImportPreview>, UiError> {
    let open = app.opened(&project)?;
    let folder = app.folders.projects.clone();
    let Some(path) = app.host().choose(FileQuestion::Inventory { folder }).await? else {
        return Ok(None);
    };
    let before = open.inventory()?;
    let read_at = before.as_ref().and_then(|i| i.read_at);
    let read = move || -> Result<_, UiError> {
        let sheets = sheets(&path)?;
        let found = import::read(&sheets).map_err(|e| refused(&path, e))?;
        let machines = count(found.inventory.vms.len());
        let mut imported = found.inventory;
        imported.read_at = fs::metadata(&path)
            .and_then(|m| m.modified())
            .ok()
            .and_then(|at| at.try_into().ok());
        let file = file_name(&path);
        if imported.vcenter_name.is_empty() {
            imported.vcenter_name.clone_from(&file);
        }
        let (result, replaces) = changes::merged(before.as_deref(), imported.clone());
        let refused_count = count(found.refused.len());
        let preview = ImportPreview {
            file,
            rvtools: found.rvtools,
            machines,
            replaces,
            changes: changes::changes(before.as_deref().unwrap_or(&Inventory::default()), &result),
            refused: found.refused.into_iter().take(SHOWN).collect(),
            refused_count,
        };
        Ok((preview, imported))
    };
    let (preview, imported) = tokio::task::spawn_blocking(read).await.map_err(UiError::internal)??;
    *lock(&open.import) = Some(Pending { read_at, imported });
    Ok(Some(preview))
}

/// Keeps what the last preview showed. What was watched meanwhile stays.
///
/// # Errors
/// Fails when there was no preview, or the inventory was read anew since.
pub async fn inventory_import(app: &Arc<App>, project: String) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    let pending = lock(&open.import).take().ok_or_else(|| {
        UiError::state(
            "There is nothing to import",
            "No file was read, or it was imported already.",
            "Choose Import in Inventory.",
        )
    })?;
    let now = open.inventory()?;
    if now.as_ref().and_then(|i| i.read_at) != pending.read_at {
        return Err(UiError::state(
            "The inventory was read anew since the file was compared with it",
            "The comparison no longer holds.",
            "Choose Import once more, and look at what it would change now.",
        ));
    }
    open.keep_inventory(changes::merged(now.as_deref(), pending.imported).0)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn refused(path: &Path, why: impl std::fmt::Display) -> UiError {
    UiError::invalid(
        format!("{} can't be imported", file_name(path)),
        why.to_string(),
        "In RVTools choose File, Export all to Excel (or to csv), or save a table with a column Name as .xlsx or .csv.",
    )
}

/// The sheets of a workbook, or a CSV file with its neighbours.
fn sheets(path: &Path) -> Result<Vec<Sheet>, UiError> {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    match extension.to_str() {
        Some("xlsx" | "xlsm") => workbook(bytes(path)?).map_err(|e| refused(path, e)),
        _ => family(path)
            .iter()
            .map(|path| csv(&file_stem(path), &bytes(path)?).map_err(|e| refused(path, e)))
            .collect(),
    }
}

fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn bytes(path: &Path) -> Result<Vec<u8>, UiError> {
    let length = fs::metadata(path).map_err(|e| UiError::disk("read", path, &e))?.len();
    if length > FILE_LIMIT {
        return Err(refused(
            path,
            format!("It has {length} bytes; {FILE_LIMIT} are read at most."),
        ));
    }
    fs::read(path).map_err(|e| UiError::disk("read", path, &e))
}

/// The chosen file, and those beside it that RVTools has written with it: `RVTools_tabvInfo.csv`, `RVTools_tabvDisk.csv`.
fn family(path: &Path) -> Vec<PathBuf> {
    let name = file_name(path);
    let Some(at) = name.to_ascii_lowercase().find("vinfo") else {
        return vec![path.to_owned()];
    };
    let wanted: Vec<String> = TABS
        .iter()
        .map(|tab| format!("{}{tab}{}", &name[..at], &name[at + 5..]).to_lowercase())
        .collect();
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut all: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| wanted.contains(&file_name(p).to_lowercase()))
        .collect();
    all.sort();
    all
}

fn workbook(bytes: Vec<u8>) -> Result<Vec<Sheet>, String> {
    const DAMAGED: &str =
        "It is no workbook, or a damaged or encrypted one: open and save it in Excel, without a password.";
    let damaged = |e: &dyn std::fmt::Display| {
        tracing::debug!(error = %e, "a workbook can't be read");
        DAMAGED.to_owned()
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(&bytes)).map_err(|e| damaged(&e))?;
    let mut unpacked = 0u64;
    for at in 0..archive.len() {
        unpacked = unpacked.saturating_add(archive.by_index_raw(at).map_err(|e| damaged(&e))?.size());
    }
    if unpacked > UNPACKED_LIMIT {
        return Err(format!(
            "It unpacks to {unpacked} bytes; {UNPACKED_LIMIT} are read at most."
        ));
    }
    let mut book = Xlsx::new(Cursor::new(bytes)).map_err(|e| damaged(&e))?;
    let names = book.sheet_names();
    let is_tab = |name: &String| TABS.iter().any(|t| name.to_lowercase().ends_with(&t.to_lowercase()));
    let rvtools: Vec<String> = names.iter().filter(|n| is_tab(n)).cloned().collect();
    let wanted = if rvtools.is_empty() { names } else { rvtools };
    wanted
        .into_iter()
        .map(|name| {
            let mut rows: BTreeMap<u32, Vec<String>> = BTreeMap::new();
            let mut cells = book.worksheet_cells_reader(&name).map_err(|e| damaged(&e))?;
            while let Some(cell) = cells.next_cell().map_err(|e| damaged(&e))? {
                let (row, column) = cell.get_position();
                let text = text(cell.get_value());
                if column >= MAX_COLUMNS || text.is_empty() {
                    continue;
                }
                let cells = rows.entry(row).or_default();
                cells.resize(cells.len().max(column as usize + 1), String::new());
                cells[column as usize] = text;
                if rows.len() > MAX_ROWS {
                    return Err(format!("The sheet {name} has more than {MAX_ROWS} rows."));
                }
            }
            Ok(Sheet {
                name,
                rows: rows
                    .into_iter()
                    .map(|(row, cells)| Row { line: row + 1, cells })
                    .collect(),
                decimal_comma: false,
            })
        })
        .collect()
}

fn text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Bool(true) => "True".into(),
        DataRef::Bool(false) => "False".into(),
        DataRef::SharedString(s) => (*s).to_owned(),
        other => Data::from(other.clone()).to_string(),
    }
}

/// Reads UTF-8, UTF-16 with its mark, and what else Windows writes; separated by semicolons, commas or tabs.
fn csv(name: &str, bytes: &[u8]) -> Result<Sheet, String> {
    let encoding = match encoding_rs::Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding,
        None if std::str::from_utf8(bytes).is_ok() => encoding_rs::UTF_8,
        None => encoding_rs::WINDOWS_1252,
    };
    // The reader takes the first character of a pair as the line's end, and would count one line too few.
    let text = encoding.decode(bytes).0.replace("\r\n", "\n");
    // Excel's own first line.
    let (said, rest, skipped) = match text.split_once('\n') {
        Some((first, rest)) if first.to_ascii_lowercase().starts_with("sep=") => {
            (first[4..].trim_end().chars().next(), rest, 1)
        }
        _ => (None, text.as_str(), 0),
    };
    let head = rest.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
    let often = |c: &char| head.matches(*c).count();
    let separator = said
        .or_else(|| [',', ';', '\t'].into_iter().max_by_key(often))
        .unwrap_or(',');
    let separator = u8::try_from(separator).map_err(|_| format!("`{separator}` can't separate columns."))?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(rest.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| io::Error::from(e).to_string())?;
        if rows.len() == MAX_ROWS {
            return Err(format!("It has more than {MAX_ROWS} lines."));
        }
        rows.push(Row {
            line: count(record.position().map_or(0, csv::Position::line) as usize + skipped),
            cells: record.iter().take(MAX_COLUMNS as usize).map(str::to_owned).collect(),
        });
    }
    Ok(Sheet {
        name: name.to_owned(),
        rows,
        decimal_comma: separator == b';',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(bytes: &[u8]) -> (Vec<(u32, Vec<String>)>, bool) {
        let sheet = csv("x", bytes).unwrap();
        let rows = sheet.rows.into_iter().map(|r| (r.line, r.cells)).collect();
        (rows, sheet.decimal_comma)
    }

    #[test]
    fn separators_marks_and_encodings_are_told_apart() {
        let want = |comma| {
            let row = |line, a: &str, b: &str| (line, vec![a.to_owned(), b.to_owned()]);
            (vec![row(1, "Name", "Größe"), row(2, "a", "1")], comma)
        };
        assert_eq!(cells("Name,Größe\na,1\n".as_bytes()), want(false));
        assert_eq!(cells("\u{feff}Name;Größe\r\na;1\r\n".as_bytes()), want(true));
        assert_eq!(cells("\"Name\"\t\"Größe\"\na\t1".as_bytes()), want(false));
        assert_eq!(cells(b"Name;Gr\xf6\xdfe\na;1"), want(true));
        let utf16: Vec<u8> = "\u{feff}Name,Größe\na,1"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(cells(&utf16), want(false));
    }

    #[test]
    fn lines_are_counted_as_an_editor_does() {
        let (rows, _) = cells(b"sep=;\nName;Note\na;\"two\nlines\"\nb;x\n");
        let lines: Vec<_> = rows.iter().map(|(line, cells)| (*line, cells[0].as_str())).collect();
        assert_eq!(lines, [(2, "Name"), (3, "a"), (5, "b")]);
    }

    #[test]
    fn what_is_no_workbook_is_said() {
        assert!(workbook(b"PK nothing".to_vec()).unwrap_err().contains("no workbook"));
    }
}

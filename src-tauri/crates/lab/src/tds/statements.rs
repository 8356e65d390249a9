//! What the lab's SQL Server answers. The language is T-SQL as the crate `sqlparser` reads it, the engine is SQLite in memory:
//! a statement's tree is changed where the two differ (names of three parts, TOP, N'…', @@VERSION, CONVERT, hints), and then
//! runs. What neither knows is refused as SQL Server refuses it, never guessed.

use super::{
    data::{Instance, Scope},
    wire::{Column, Message, Type, Value},
};
use rusqlite::types::ValueRef;
use sqlparser::{
    ast::{
        self, CastKind, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, LimitClause,
        ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Statement, TableAlias, TableFactor,
        TopQuantity, VisitMut, VisitorMut, WaitForType,
    },
    dialect::{MsSqlDialect, SQLiteDialect},
    parser::{Parser, ParserOptions},
};
use std::{ops::ControlFlow, time::Duration};

/// Who asks, and where.
#[derive(Debug, Clone, Default)]
pub struct Session {
    pub id: u16,
    pub login: String,
    pub database: String,
    pub sysadmin: bool,
    /// Signed in by a token of Entra.
    pub federated: bool,
    /// What `SET CONTEXT_INFO` has set.
    pub context: Vec<u8>,
}

/// The effect of one statement.
#[derive(Debug)]
pub enum Outcome {
    Rows(Vec<Column>, Vec<Vec<Value>>),
    Nothing,
    Database(String),
    Say(String),
    Wait(Duration),
    Refused(Message),
}

fn syntax(near: &str) -> Message {
    Message::error(102, 1, 15, format!("Incorrect syntax near '{near}'."))
}

/// Reads a batch. One statement that can't be read refuses the whole batch, as SQL Server does.
pub fn read(batch: &str) -> Result<Vec<Statement>, Message> {
    let options = ParserOptions {
        require_semicolon_stmt_delimiter: false,
        ..ParserOptions::default()
    };
    Parser::new(&MsSqlDialect {})
        .with_options(options)
        .try_with_sql(batch)
        .and_then(|mut p| p.parse_statements())
        .map_err(|e| {
            // The lab's own words come after SQL Server's: they name what its reader did not understand.
            let near = batch.split_whitespace().next().unwrap_or_default();
            Message::error(
                102,
                1,
                15,
                format!("Incorrect syntax near '{near}'. (The lab can't read this: {e})"),
            )
        })
}

impl Instance {
    /// Carries out one statement.
    pub fn run(&mut self, session: &Session, statement: Statement, parameters: &[(String, Value)]) -> Outcome {
        match statement {
            Statement::Set(_) => Outcome::Nothing,
            Statement::Use(ast::Use::Object(name) | ast::Use::Database(name)) => {
                match parts(&name).as_deref().map(|p| self.database(&p[0])) {
                    Some(Some(name)) => match self.admits(session, name) {
                        Ok(()) => Outcome::Database(name.to_owned()),
                        Err(refusal) => Outcome::Refused(refusal),
                    },
                    _ => Outcome::Refused(no_database(&name.to_string())),
                }
            }
            Statement::Print(print) => Outcome::Say(print.message.to_string().trim_matches(['N', '\'']).to_owned()),
            Statement::WaitFor(wait) => match (wait.wait_type, &wait.expr) {
                (WaitForType::Delay, Expr::Value(v)) => match clock(&v.value.to_string()) {
                    Some(d) => Outcome::Wait(d),
                    None => Outcome::Refused(Message::error(
                        148,
                        1,
                        15,
                        "Incorrect time syntax in time string used with WAITFOR.",
                    )),
                },
                _ => Outcome::Refused(syntax("WAITFOR")),
            },
            Statement::Query(query) => self
                .query(session, *query, parameters)
                .map_or_else(Outcome::Refused, |(columns, rows)| Outcome::Rows(columns, rows)),
            other => Outcome::Refused(syntax(other.to_string().split(' ').next().unwrap_or_default())),
        }
    }

    /// Whether a login may use a database: one of its own has a user in it.
    fn admits(&self, session: &Session, database: &str) -> Result<(), Message> {
        let of = self.spec.databases.iter().find(|d| d.name == database);
        if session.sysadmin || of.is_none() || self.mapped(database, &session.login) {
            return Ok(());
        }
        let text = format!(
            "The server principal \"{}\" is not able to access the database \"{database}\" under the current security context.",
            session.login
        );
        Err(Message::error(916, 1, 14, text))
    }

    /// What only administrators see: the server's state, and what msdb remembers.
    fn shows(&self, session: &Session, source: &str) -> Result<(), Message> {
        if session.sysadmin {
            return Ok(());
        }
        if let Some(object) = source.strip_prefix("msdb.dbo.") {
            let text =
                format!("The SELECT permission was denied on the object '{object}', database 'msdb', schema 'dbo'.");
            return Err(Message::error(229, 5, 14, text));
        }
        if source.starts_with("sys.dm_") {
            let text = "VIEW SERVER STATE permission was denied on object 'server', database 'master'.";
            return Err(Message::error(300, 1, 14, text));
        }
        Ok(())
    }

    fn query(
        &mut self,
        session: &Session,
        mut query: Query,
        parameters: &[(String, Value)],
    ) -> Result<(Vec<Column>, Vec<Vec<Value>>), Message> {
        let mut rewrite = Rewrite {
            instance: self,
            session,
            all: vec![],
        };
        if let ControlFlow::Break(refusal) = query.visit(&mut rewrite) {
            return Err(refusal);
        }
        let types = cast_types(&query);
        self.context(session);
        let text = query.to_string();
        let mut prepared = self.engine.prepare(&text).map_err(|e| refusal(&e))?;
        for (name, value) in parameters {
            let Ok(Some(at)) = prepared.parameter_index(name) else {
                continue;
            };
            let bound = match value {
                Value::Null => prepared.raw_bind_parameter(at, rusqlite::types::Null),
                Value::Int(n) => prepared.raw_bind_parameter(at, n),
                Value::Float(x) => prepared.raw_bind_parameter(at, x),
                Value::Text(t) => prepared.raw_bind_parameter(at, t),
                Value::Bytes(b) => prepared.raw_bind_parameter(at, b),
            };
            bound.map_err(|e| refusal(&e))?;
        }
        let mut columns: Vec<(String, Option<Type>)> = prepared
            .columns()
            .enumerate()
            .map(|(i, c)| {
                let declared = types
                    .get(i)
                    .copied()
                    .flatten()
                    .or_else(|| c.decl_type().and_then(type_of));
                (c.name().to_owned(), declared)
            })
            .collect();
        let width = columns.len();
        let mut rows = vec![];
        let mut found = prepared.raw_query();
        while let Some(row) = found.next().map_err(|e| refusal(&e))? {
            let mut values = Vec::with_capacity(width);
            for i in 0..width {
                values.push(match row.get_ref(i).map_err(|e| refusal(&e))? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(n) => Value::Int(n),
                    ValueRef::Real(x) => Value::Float(x),
                    ValueRef::Text(t) => Value::Text(String::from_utf8_lossy(t).into_owned()),
                    ValueRef::Blob(b) => Value::Bytes(b.to_vec()),
                });
            }
            rows.push(values);
        }
        drop(found);
        let named = aliases(&query);
        for (i, (name, _)) in columns.iter_mut().enumerate() {
            // SQL Server gives an expression no name, SQLite gives it its text.
            if named.get(i) == Some(&false) {
                name.clear();
            }
        }
        let columns = columns
            .into_iter()
            .enumerate()
            .map(|(i, (name, of))| Column {
                name,
                of: of.unwrap_or_else(|| guessed(rows.iter().map(|r| &r[i]))),
            })
            .collect();
        Ok((columns, rows))
    }
}

/// The type of an expression without a declared one, by its values.
fn guessed<'a>(values: impl Iterator<Item = &'a Value>) -> Type {
    let mut of = Type::Int;
    for value in values {
        match value {
            Value::Null => {}
            Value::Int(n) if of == Type::Int && i32::try_from(*n).is_ok() => {}
            Value::Int(_) if of == Type::Int => of = Type::BigInt,
            Value::Int(_) => {}
            Value::Float(_) => of = Type::Float,
            Value::Text(t) if t.len() > 4000 => return Type::NVarChar(None),
            Value::Text(_) => of = Type::NVarChar(Some(4000)),
            Value::Bytes(b) if b.len() > 8000 => return Type::VarBinary(None),
            Value::Bytes(_) => of = Type::VarBinary(Some(8000)),
        }
    }
    of
}

/// A type as T-SQL spells it.
pub fn type_of(declared: &str) -> Option<Type> {
    let lower = declared.to_ascii_lowercase();
    let (name, length) = match lower.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').trim().parse::<u16>().ok()),
        None => (lower.as_str(), Some(1)),
    };
    Some(match name {
        "bit" => Type::Bit,
        "tinyint" => Type::TinyInt,
        "smallint" => Type::SmallInt,
        "int" | "integer" => Type::Int,
        "bigint" => Type::BigInt,
        "float" | "real" | "money" => Type::Float,
        "numeric" | "decimal" => {
            let digits = lower
                .split_once('(')
                .and_then(|(_, r)| r.trim_end_matches(')').split_once(','));
            let (precision, scale) = digits.unwrap_or(("18", "0"));
            Type::Numeric(precision.trim().parse().ok()?, scale.trim().parse().ok()?)
        }
        "sysname" => Type::NVarChar(Some(128)),
        "nvarchar" | "varchar" | "nchar" | "char" => Type::NVarChar(length.filter(|l| *l <= 4000)),
        "nvarchar max" | "text" => Type::NVarChar(None),
        "varbinary max" => Type::VarBinary(None),
        "varbinary" | "binary" => Type::VarBinary(length.filter(|l| *l <= 8000)),
        "datetime" | "datetime2" | "date" | "smalldatetime" => Type::DateTime,
        "uniqueidentifier" => Type::Guid,
        _ => return None,
    })
}

fn outermost(query: &Query) -> Option<&Select> {
    match &*query.body {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

fn cast_types(query: &Query) -> Vec<Option<Type>> {
    let items = outermost(query).map(|s| s.projection.as_slice()).unwrap_or_default();
    if items
        .iter()
        .any(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)))
    {
        return vec![];
    }
    let of = |i: &SelectItem| match i {
        SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } => match e {
            Expr::Cast { data_type, .. } => type_of(&data_type.to_string()),
            _ => None,
        },
        _ => None,
    };
    items.iter().map(of).collect()
}

/// Whether each column of the result has a name.
fn aliases(query: &Query) -> Vec<bool> {
    let items = outermost(query).map(|s| s.projection.as_slice()).unwrap_or_default();
    if items
        .iter()
        .any(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)))
    {
        return vec![];
    }
    let named = |i: &SelectItem| !matches!(i, SelectItem::UnnamedExpr(e) if !matches!(e, Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
    items.iter().map(named).collect()
}

/// SQLite has one code for all errors of a statement; only its text tells them apart.
fn refusal(e: &rusqlite::Error) -> Message {
    let text = e.to_string();
    let text = text.split(" in SELECT").next().unwrap_or_default();
    match text.split_once("no such column: ") {
        Some((_, column)) => {
            let column = column.split(" in ").next().unwrap_or_default();
            let column = column
                .rsplit('.')
                .next()
                .unwrap_or_default()
                .trim_matches(['"', '[', ']']);
            Message::error(207, 1, 16, format!("Invalid column name '{column}'."))
        }
        None => match text.split_once("no such function: ") {
            Some((_, name)) => {
                let name = name.split(" in ").next().unwrap_or_default();
                Message::error(
                    195,
                    10,
                    15,
                    format!("'{name}' is not a recognized built-in function name."),
                )
            }
            None => Message::error(
                102,
                1,
                15,
                format!("Incorrect syntax. (The lab can't answer this: {text})"),
            ),
        },
    }
}

fn no_object(name: &str) -> Message {
    Message::error(208, 1, 16, format!("Invalid object name '{name}'."))
}

pub fn no_database(name: &str) -> Message {
    let name = name.trim_matches(['[', ']', '"']);
    Message::error(
        911,
        1,
        16,
        format!("Database '{name}' does not exist. Make sure that the name is entered correctly."),
    )
}

fn clock(quoted: &str) -> Option<Duration> {
    let text = quoted.trim_matches(['N', '\'']);
    let mut seconds = 0.0;
    for part in text.split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>().ok().filter(|p| *p >= 0.0)?;
    }
    (seconds < 86_400.0).then(|| Duration::from_secs_f64(seconds))
}

fn parts(name: &ObjectName) -> Option<Vec<String>> {
    let part = |p: &ObjectNamePart| p.as_ident().map(|i| i.value.clone());
    name.0.iter().map(part).collect()
}

/// Changes a query into one that SQLite runs.
struct Rewrite<'a> {
    instance: &'a Instance,
    session: &'a Session,
    /// Columns that `*` stands for as an argument: those of the one table behind FROM.
    all: Vec<String>,
}

fn text(value: &str) -> Expr {
    Expr::Value(ast::Value::SingleQuotedString(value.to_owned()).into())
}

impl Rewrite<'_> {
    /// The table that a name means for this session, as a part of a FROM clause.
    fn table(&self, name: &ObjectName, alias: Option<TableAlias>) -> Result<TableFactor, Message> {
        let parts = parts(name).ok_or_else(|| syntax(&name.to_string()))?;
        let shown = parts.join(".");
        let (database, schema, object) = match parts.as_slice() {
            [o] => (None, "dbo", o),
            [s, o] => (None, s.as_str(), o),
            [d, s, o] => (Some(d), if s.is_empty() { "dbo" } else { s.as_str() }, o),
            _ => {
                return Err(Message::error(
                    7202,
                    2,
                    11,
                    format!("Could not find server '{}' in sys.servers.", parts[0]),
                ));
            }
        };
        let database = match database {
            Some(d) => self.instance.database(d).ok_or_else(|| no_object(&shown))?,
            None => self.session.database.as_str(),
        };
        let (source, scope) = self
            .instance
            .table(database, schema, object)
            .ok_or_else(|| no_object(&shown))?;
        self.instance.admits(self.session, database)?;
        self.instance.shows(self.session, source)?;
        let alias = alias.map_or_else(|| object.clone(), |a| a.name.value);
        let quoted = |s: &str| format!("\"{}\"", s.replace('"', "\"\""));
        let filter = match scope {
            Scope::Server => String::new(),
            Scope::Database => format!(" WHERE \"#db\" = '{}'", database.replace('\'', "''")),
        };
        let columns: Vec<String> = self.instance.columns(source).iter().map(|c| quoted(c)).collect();
        let columns = columns.join(", ");
        let sql = format!(
            "SELECT 1 FROM (SELECT {columns} FROM {}{filter}) AS {}",
            quoted(source),
            quoted(&alias)
        );
        let parsed = Parser::parse_sql(&SQLiteDialect {}, &sql).ok();
        parsed
            .and_then(|mut all| match all.pop() {
                Some(Statement::Query(q)) => match *q.body {
                    SetExpr::Select(mut s) => s.from.pop().map(|f| f.relation),
                    _ => None,
                },
                _ => None,
            })
            .ok_or_else(|| no_object(&shown))
    }

    fn constant(&self, name: &str) -> Option<Expr> {
        let number = |n: i64| Some(Expr::Value(ast::Value::Number(n.to_string(), false).into()));
        match name.to_ascii_uppercase().as_str() {
            "@@VERSION" => Some(text(&self.instance.banner())),
            "@@SERVERNAME" => Some(text(&self.instance.full_name())),
            "@@SERVICENAME" => Some(text(self.instance.service())),
            "@@LANGUAGE" => Some(text("us_english")),
            "@@SPID" => number(i64::from(self.session.id)),
            "@@TRANCOUNT" | "@@ERROR" | "@@ROWCOUNT" => number(0),
            "@@MICROSOFTVERSION" => {
                let [major, minor, high, low] = self.instance.version();
                number(i64::from(u32::from_be_bytes([major, minor, high, low])))
            }
            "SYSTEM_USER" => Some(text(&self.session.login)),
            _ => None,
        }
    }
}

impl VisitorMut for Rewrite<'_> {
    type Break = Message;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Message> {
        let Some(select) = outermost(query) else {
            return ControlFlow::Continue(());
        };
        if let [only] = &select.from[..]
            && let TableFactor::Table { name, .. } = &only.relation
            && let Some([database, schema, object]) = parts(name).as_deref()
            && let Some((source, _)) = self.instance.table(database, schema, object)
        {
            self.all = self.instance.columns(source).to_vec();
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Message> {
        if let SetExpr::Select(select) = &mut *query.body
            && let Some(top) = select.top.take()
        {
            let limit = match top.quantity {
                Some(TopQuantity::Constant(n)) => Expr::Value(ast::Value::Number(n.to_string(), false).into()),
                Some(TopQuantity::Expr(e)) if !top.percent && !top.with_ties => e,
                _ => return ControlFlow::Break(syntax("TOP")),
            };
            query.limit_clause = Some(LimitClause::LimitOffset {
                limit: Some(limit),
                offset: None,
                limit_by: vec![],
            });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Message> {
        if let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = factor
        {
            match self.table(name, alias.take()) {
                Ok(found) => *factor = found,
                Err(refusal) => return ControlFlow::Break(refusal),
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Message> {
        match expr {
            Expr::Identifier(name) if name.quote_style.is_none() => {
                if let Some(constant) = self.constant(&name.value) {
                    *expr = constant;
                }
            }
            Expr::Value(v) => {
                if let ast::Value::NationalStringLiteral(s) = &v.value {
                    *expr = text(&s.clone());
                }
            }
            Expr::Convert {
                expr: inner,
                data_type: Some(to),
                ..
            } => *expr = cast((**inner).clone(), to.clone()),
            Expr::Cast {
                expr: inner, data_type, ..
            } => *expr = cast((**inner).clone(), data_type.clone()),
            Expr::Collate { expr: inner, .. } => *expr = (**inner).clone(),
            Expr::Function(function) => {
                if let [ObjectNamePart::Identifier(name)] = &mut function.name.0[..] {
                    let known = match name.value.to_ascii_uppercase().as_str() {
                        "ISNULL" => Some("ifnull"),
                        "LEN" | "DATALENGTH" => Some("length"),
                        "COUNT_BIG" => Some("count"),
                        _ => None,
                    };
                    if let Some(known) = known {
                        name.value = known.to_owned();
                    }
                    if name.value.eq_ignore_ascii_case("BINARY_CHECKSUM")
                        && let FunctionArguments::List(list) = &mut function.args
                    {
                        let column = |c: &String| {
                            let ident = Ident::with_quote('"', c.clone());
                            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(ident)))
                        };
                        list.args = self.all.iter().map(column).collect();
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_ident(&mut self, ident: &mut Ident) -> ControlFlow<Message> {
        // SQLite's own quotes, in which a closing bracket can stand.
        if ident.quote_style == Some('[') {
            ident.quote_style = Some('"');
        }
        ControlFlow::Continue(())
    }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    // SQLite knows no (max).
    let data_type = match data_type.to_string().to_ascii_lowercase().contains("max") {
        true => DataType::Text,
        false => data_type,
    };
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        format: None,
    }
}

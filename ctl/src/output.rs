//! Tables on standard output, as columns for people or as JSON for programs.

use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::failure::{Failure, Result};

/// A table: a row is one thing, a column one fact about all.
#[derive(Debug)]
pub(crate) struct Table {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// A table without rows. Names of columns are lower case with underscores, as JSON keys.
    pub(crate) fn new(columns: &'static [&'static str]) -> Table {
        Table { columns, rows: Vec::new() }
    }

    /// Adds a row with one value a column.
    pub(crate) fn row(&mut self, values: Vec<Value>) {
        debug_assert_eq!(values.len(), self.columns.len());
        self.rows.push(values);
    }

    /// Prints it: as a JSON array of objects, or as columns; `none` instead of columns when there is no row.
    pub(crate) fn print(&self, json: bool, none: &str) -> Result<()> {
        let text = if json {
            self.to_json()
        } else if self.rows.is_empty() {
            format!("{none}\n")
        } else {
            self.to_columns()
        };
        print(&text)
    }

    fn to_json(&self) -> String {
        let objects = self
            .rows
            .iter()
            .map(|row| {
                let fields =
                    self.columns.iter().zip(row).map(|(name, value)| ((*name).to_owned(), value.clone()));
                Value::Object(fields.collect::<Map<String, Value>>())
            })
            .collect();
        format!("{:#}\n", Value::Array(objects))
    }

    fn to_columns(&self) -> String {
        let mut lines: Vec<Vec<String>> =
            vec![self.columns.iter().map(|name| name.to_uppercase().replace('_', " ")).collect()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(shown).collect()));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let numeric: Vec<bool> = (0..self.columns.len())
            .map(|column| self.rows.iter().all(|row| row[column].is_number() || row[column].is_null()))
            .collect();
        let mut text = String::new();
        for line in &lines {
            let mut written = String::new();
            for (column, cell) in line.iter().enumerate() {
                let padding = " ".repeat(widths[column] - cell.chars().count());
                let gap = if column == 0 { "" } else { "  " };
                written += &if numeric[column] {
                    format!("{gap}{padding}{cell}")
                } else {
                    format!("{gap}{cell}{padding}")
                };
            }
            text += written.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Prints to standard output. A reader that has gone away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<()> {
    write_out(text).map(|_| ())
}

/// Prints to standard output; false if its reader has gone away.
pub(crate) fn write_out(text: &str) -> Result<bool> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Failed(format!("cannot write to standard output: {error}"))),
    }
}

/// A value as people read it. What a user or a message chose cannot command the terminal.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.replace(char::is_control, "?"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let mut table = Table::new(&["name", "special_use", "messages"]);
        table.row(vec!["INBOX".into(), Value::Null, 12.into()]);
        table.row(vec!["Entwürfe\x1b".into(), "\\Drafts".into(), 1_234.into()]);
        assert_eq!(
            table.to_columns(),
            "NAME       SPECIAL USE  MESSAGES\nINBOX      -                  12\nEntwürfe?  \\Drafts          1234\n"
        );
    }

    #[test]
    fn json_keeps_the_order_of_columns() {
        let mut table = Table::new(&["b", "a"]);
        table.row(vec![true.into(), "x".into()]);
        assert_eq!(table.to_json(), "[\n  {\n    \"b\": true,\n    \"a\": \"x\"\n  }\n]\n");
    }
}

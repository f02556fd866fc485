//! A table as aligned text.

/// Widest table that is aligned, in characters; a wider one is written row by row.
const WIDTH_MAX: usize = 72;

/// Rows of cells; the first row is the head.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins a row.
    pub(super) fn row(&mut self) {
        self.rows.push(Vec::new());
    }

    /// Begins a cell.
    pub(super) fn cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.push(String::new());
        }
    }

    /// Appends to the cell.
    pub(super) fn push(&mut self, text: &str) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
            cell.push_str(&text.replace('\n', " "));
        }
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }

    /// Whether it can be aligned on a screen.
    pub(super) fn narrow(&self) -> bool {
        let widths = self.widths();
        widths.iter().sum::<usize>() + 3 * widths.len().saturating_sub(1) <= WIDTH_MAX
    }

    /// All rows, a line each: aligned when it is narrow, with a line below the head.
    pub(super) fn text(&self) -> String {
        let widths = if self.narrow() { self.widths() } else { Vec::new() };
        let mut lines: Vec<String> = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let padding = widths.get(column).map_or(0, |width| width.saturating_sub(cell.chars().count()));
                format!("{cell}{}", " ".repeat(padding))
            });
            lines.push(cells.collect::<Vec<_>>().join(" | ").trim_end().to_owned());
            if index == 0 && !widths.is_empty() {
                lines.push(widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("-|-"));
            }
        }
        lines.join("\n")
    }
}

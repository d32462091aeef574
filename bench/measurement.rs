//! What was measured, and how it is shown.
use std::io::{self, Write};
use std::time::Duration;

use crate::contender::Tool;
use crate::hosts::relay::Counts;
use crate::{Case, Link};

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub case: Case,
    pub link: Link,
    pub tool: Tool,
}

#[derive(Default)]
pub struct Measurements {
    cells: Vec<(Cell, Vec<f64>, Vec<Counts>)>,
}

impl Measurements {
    pub fn time(&mut self, cell: Cell, time: Duration) {
        self.entry(cell).1.push(time.as_secs_f64());
    }

    pub fn count(&mut self, cell: Cell, counts: Counts) {
        self.entry(cell).2.push(counts);
    }

    fn entry(&mut self, cell: Cell) -> &mut (Cell, Vec<f64>, Vec<Counts>) {
        let known = self.cells.iter().position(|(other, ..)| *other == cell);
        let index = known.unwrap_or_else(|| {
            self.cells.push((cell, Vec::new(), Vec::new()));
            self.cells.len() - 1
        });
        &mut self.cells[index]
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> =
            self.cells.iter().filter(|(_, times, _)| !times.is_empty()).map(Row::new).collect();
        let position = |row: &Row| {
            let Cell { case, link, tool } = row.cell;
            let case = Case::ALL.iter().position(|other| *other == case);
            let tool = Tool::ALL.iter().position(|other| *other == tool);
            (Link::ALL.iter().position(|other| *other == link), case, tool)
        };
        rows.sort_by_key(position);
        for index in 0..rows.len() {
            let script = Cell { tool: Tool::Script, ..rows[index].cell };
            if let Some(script) = rows.iter().position(|row| row.cell == script) {
                rows[index].ratio =
                    (rows[index].median / rows[script].median, rows[index].minimum / rows[script].minimum);
            }
        }
        rows
    }

    /// A table for each link. Times are seconds; a ratio is to the script's time, so less than 1 is faster.
    pub fn write_markdown(&self, out: &mut impl Write) -> io::Result<()> {
        let rows = self.rows();
        for link in Link::ALL {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.cell.link == link).collect();
            let Some(first) = rows.first() else { continue };
            writeln!(out, "\n**{}** ({} runs each)\n", capitalised(link.name()), first.times.len())?;
            writeln!(out, "| | | median | ratio | least | ratio | round trips | sent | received |")?;
            writeln!(out, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
            for row in rows {
                let case = if row.cell.tool == Tool::ALL[0] { row.cell.case.name() } else { "" };
                let trips = match link {
                    Link::Direct => String::new(),
                    Link::Slow => row.counts.round_trips.to_string(),
                };
                writeln!(
                    out,
                    "| {case} | {} | {:.3} | {:.2} | {:.3} | {:.2} | {trips} | {} | {} |",
                    row.cell.tool.name(),
                    row.median,
                    row.ratio.0,
                    row.minimum,
                    row.ratio.1,
                    size(row.counts.bytes_to_target),
                    size(row.counts.bytes_to_client)
                )?;
            }
        }
        Ok(())
    }

    /// One object a row and line.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        for row in self.rows() {
            let times: Vec<String> = row.times.iter().map(|time| format!("{time:.4}")).collect();
            writeln!(
                out,
                r#"{{"link":"{}","case":"{}","tool":"{}","seconds":[{}],"median":{:.4},"minimum":{:.4},"median_ratio":{:.3},"minimum_ratio":{:.3},"counts":{}}}"#,
                row.cell.link.name(),
                row.cell.case.name(),
                row.cell.tool.name(),
                times.join(","),
                row.median,
                row.minimum,
                row.ratio.0,
                row.ratio.1,
                row.counts.to_json()
            )?;
        }
        Ok(())
    }
}

struct Row {
    cell: Cell,
    times: Vec<f64>,
    median: f64,
    minimum: f64,
    /// Of median and minimum, to the script's.
    ratio: (f64, f64),
    /// Those of the run with the median number of round trips.
    counts: Counts,
}

impl Row {
    fn new((cell, times, counts): &(Cell, Vec<f64>, Vec<Counts>)) -> Self {
        let mut sorted = times.clone();
        sorted.sort_by(f64::total_cmp);
        let mut counts = counts.clone();
        counts.sort_by_key(|counts| counts.round_trips);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Self {
            cell: *cell,
            times: times.clone(),
            median,
            minimum: sorted[0],
            ratio: (f64::NAN, f64::NAN),
            counts: counts.get(counts.len() / 2).copied().unwrap_or_default(),
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.2} MB", bytes as f64 / 1e6),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

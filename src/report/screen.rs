//! A terminal for tests: what was drawn on it, and which control characters would have reached it.
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use indicatif::TermLike;

/// A terminal of a given width, as far as indicatif uses one.
#[derive(Debug, Clone)]
pub(super) struct Screen(Arc<Mutex<ScreenState>>);

#[derive(Debug)]
struct ScreenState {
    width: usize,
    rows: Vec<Vec<char>>,
    shown: String,
    row: usize,
    column: usize,
    controls: String,
}

impl Screen {
    pub(super) fn new(width: usize) -> Self {
        let state = ScreenState {
            width,
            rows: vec![Vec::new()],
            shown: String::new(),
            row: 0,
            column: 0,
            controls: String::new(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// What is on it, as of the last flush: spinners turn at any time.
    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap().shown.clone()
    }

    /// The control characters that were written to it, without the ends of lines.
    pub(super) fn controls(&self) -> String {
        self.0.lock().unwrap().controls.clone()
    }
}

impl ScreenState {
    fn show(&mut self) {
        let lines = self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
        self.shown = lines.collect::<Vec<_>>().join("\n").trim_end().to_owned();
    }

    fn go_to(&mut self, row: usize, column: usize) {
        (self.row, self.column) = (row, column);
        while self.rows.len() <= row {
            self.rows.push(Vec::new());
        }
    }

    fn write(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\n' => self.go_to(self.row + 1, 0),
                '\r' => self.column = 0,
                c if c.is_control() => self.controls.push(c),
                c => {
                    if self.column == self.width {
                        self.go_to(self.row + 1, 0);
                    }
                    let (row, column) = (self.row, self.column);
                    let cells = &mut self.rows[row];
                    cells.resize(cells.len().max(column + 1), ' ');
                    cells[column] = c;
                    self.column += 1;
                }
            }
        }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.0.lock().unwrap().width.try_into().unwrap()
    }

    fn height(&self) -> u16 {
        50
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        let mut screen = self.0.lock().unwrap();
        screen.row = screen.row.saturating_sub(n);
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        let mut screen = self.0.lock().unwrap();
        let (row, column) = (screen.row + n, screen.column);
        screen.go_to(row, column);
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.lock().unwrap().column += n;
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        let mut screen = self.0.lock().unwrap();
        screen.column = screen.column.saturating_sub(n);
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().write(&format!("{text}\n"));
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().write(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        let mut screen = self.0.lock().unwrap();
        let row = screen.row;
        screen.rows[row].clear();
        screen.column = 0;
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.0.lock().unwrap().show();
        Ok(())
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().show();
        Ok(())
    }
}

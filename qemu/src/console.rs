//! The serial console as lines with the time at which they came.
//!
//! A thread follows the file that QEMU writes. What has no line feed yet is there as well, as the last line.

use crate::lines::Lines;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at the file: the error of a line's time.
const POLL: Duration = Duration::from_millis(4);
/// Lines kept in memory, all of a long test; a guest that says more loses its oldest ones here, not in the file.
const LINES_MAX: usize = 200_000;
/// What the system itself says begins so.
const OWN_LINE: &str = "keelson: ";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Since QEMU was started.
    pub at: Duration,
    pub text: String,
}

/// A place in the console: everything that comes after it is newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(usize);

#[derive(Clone, Debug)]
pub struct Console {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Line>,
    /// Lines that were dropped in front.
    dropped: usize,
    tail: Lines,
    /// When the last bytes came.
    latest: Duration,
    ended: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console {
    /// Follow the file, which may not be there yet, until `ended` and all is read.
    pub(crate) fn follow(
        path: &Path,
        started: Instant,
        ended: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let console = Self {
            path: path.to_owned(),
            shared: Arc::default(),
        };
        let follower = console.clone();
        std::thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || follower.run(started, &ended))?;
        Ok(console)
    }

    fn run(&self, started: Instant, ended: &dyn Fn() -> bool) {
        let mut file: Option<File> = None;
        let mut buffer = vec![0; 64 << 10];
        loop {
            // Asked before the read, so that nothing written before the end is missed.
            let last_look = ended() || Arc::strong_count(&self.shared) == 1;
            if file.is_none() {
                file = File::open(&self.path).ok();
            }
            let bytes = file
                .as_mut()
                .and_then(|file| file.read(&mut buffer).ok())
                .unwrap_or(0);
            if bytes > 0 {
                self.shared
                    .state()
                    .push(&buffer[..bytes], started.elapsed());
                self.shared.grown.notify_all();
            } else if last_look {
                self.shared.state().ended = true;
                self.shared.grown.notify_all();
                return;
            } else {
                std::thread::sleep(POLL);
            }
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Here; lines that come from now on are after it.
    #[must_use]
    pub fn position(&self) -> Position {
        let state = self.shared.state();
        Position(state.dropped + state.lines.len())
    }

    /// The lines after `since`, the unfinished one included.
    #[must_use]
    pub fn lines_since(&self, since: Position) -> Vec<Line> {
        self.shared.state().since(since)
    }

    /// Finished lines after `since`, waited for at most `timeout`, and the position behind them.
    #[must_use]
    pub fn next_lines(&self, since: Position, timeout: Duration) -> (Vec<Line>, Position) {
        let guard = self.shared.state();
        let none_yet =
            |state: &mut State| state.dropped + state.lines.len() <= since.0 && !state.ended;
        let waited = self
            .shared
            .grown
            .wait_timeout_while(guard, timeout, none_yet);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let skip = since.0.saturating_sub(state.dropped);
        let lines = state.lines.iter().skip(skip).cloned().collect();
        (lines, Position(state.dropped + state.lines.len()))
    }

    /// Everything since the start, as text.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.lines_since(Position::default());
        lines
            .iter()
            .flat_map(|line| [line.text.as_str(), "\n"])
            .collect()
    }

    /// Ask `look` about the lines after `since` each time there are more, until it answers or `deadline` is there.
    pub(crate) fn look_until<T>(
        &self,
        since: Position,
        deadline: Instant,
        mut look: impl FnMut(&[Line], bool) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.shared.state();
        loop {
            let mut lines = state.since(since);
            let ended = state.ended;
            // What is waited for is never half a line of the system's own: its numbers would be cut off.
            if !ended && state.tail.unfinished().starts_with(OWN_LINE) {
                lines.pop();
            }
            if let Some(answer) = look(&lines, ended) {
                return Some(answer);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self
                .shared
                .grown
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl State {
    fn push(&mut self, bytes: &[u8], at: Duration) {
        self.latest = at;
        for text in self.tail.push(bytes) {
            if self.lines.len() == LINES_MAX {
                self.lines.pop_front();
                self.dropped += 1;
            }
            self.lines.push_back(Line { at, text });
        }
    }

    fn since(&self, since: Position) -> Vec<Line> {
        let mut lines: Vec<Line> = self
            .lines
            .iter()
            .skip(since.0.saturating_sub(self.dropped))
            .cloned()
            .collect();
        let unfinished = self.tail.unfinished();
        if !unfinished.is_empty() {
            lines.push(Line {
                at: self.latest,
                text: unfinished,
            });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_unfinished_line_is_seen_and_later_finished() {
        let mut state = State::default();
        state.push(b"one\ntw", Duration::from_millis(5));
        assert_eq!(
            state
                .since(Position(0))
                .iter()
                .map(|line| line.text.as_str())
                .collect::<Vec<_>>(),
            ["one", "tw"]
        );
        assert_eq!(state.since(Position(1))[0].text, "tw");
        state.push(b"o\n", Duration::from_millis(9));
        assert_eq!(
            state.since(Position(1)),
            [Line {
                at: Duration::from_millis(9),
                text: "two".into()
            }]
        );
    }

    #[test]
    fn a_growing_file_is_followed_to_its_end() {
        let path = std::env::temp_dir().join(format!("keelson-console-{}", std::process::id()));
        let mut file = File::create(&path).unwrap();
        let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let has_ended = move || flag.load(std::sync::atomic::Ordering::SeqCst);
        let console = Console::follow(&path, Instant::now(), has_ended).unwrap();
        file.write_all(b"first\n").unwrap();
        let (lines, position) = console.next_lines(Position::default(), Duration::from_secs(30));
        assert_eq!(lines[0].text, "first");
        file.write_all(b"last\n").unwrap();
        ended.store(true, std::sync::atomic::Ordering::SeqCst);
        let (lines, _) = console.next_lines(position, Duration::from_secs(30));
        assert_eq!(lines[0].text, "last");
        std::fs::remove_file(path).unwrap();
    }
}

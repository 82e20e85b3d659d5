//! The loop: what PID 1 asks, and what the pipes hold.

use crate::answer::say;
use crate::ledger::Ledger;
use crate::peek::{LOOK_BYTES_MAX, Peek};
use crate::query::Queries;
use crate::record::{Records, StreamKind};
use crate::stream::{Desk, Stream, Visit, note};
use crate::unit_log::UnitLog;
use crate::watch::Watch;
use control::log::{LogReply, LogRequest};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use sys::clock::since_boot_ms;
use sys::epoll::{Epoll, Interest};
use unit::UnitName;

/// PID 1, where it speaks to us.
const CONTROL: i32 = 3;
const CONTROL_TOKEN: u64 = 0;
/// A request: names and a query.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Lines older than this are on the disk even when the power is cut.
const SYNC_EVERY_MS: u64 = 5_000;
/// For units that only have notes.
const DEFAULT_MAX_SIZE: u64 = 16 << 20;
const DEFAULT_MAX_FILES: u32 = 4;
/// Visits of each pipe before the machine goes down: the largest that a container can make (1 MiB, pipe(7)) is empty then, and
/// one that is written to all the same does not keep the machine up.
const FLUSH_VISITS_MAX: usize = 32;

/// Between two turns of a machine whose containers write all the time, by the most that was in a pipe of late: so long that none
/// is full by then.
const GATHER_MS: [(usize, u64); 3] = [(16 << 10, 1), (4 << 10, 5), (0, 10)];

/// Everything logd knows.
#[derive(Debug)]
pub(crate) struct Service {
    folder: PathBuf,
    control: Arc<OwnedFd>,
    /// Of [`REQUEST_BYTES_MAX`], for what PID 1 says.
    request: Box<[u8]>,
    epoll: Epoll,
    desk: Desk,
    logs: BTreeMap<UnitName, UnitLog>,
    streams: HashMap<u64, (UnitName, Stream)>,
    /// Their tokens, by run.
    runs: HashMap<u64, BTreeSet<u64>>,
    /// When each of those that wait for the end of a line is looked at again, milliseconds since boot; with its token.
    due: BTreeSet<(u64, u64)>,
    /// Tokens of those whose visit ended before their pipe was empty: edges tell of them no more, so that their turn must
    /// come by itself.
    unfinished: BTreeSet<u64>,
    /// By pair of pipes.
    watches: HashMap<u64, Watch>,
    next_token: u64,
    queries: Queries,
    sync_at: Option<u64>,
    /// When pipes were last visited, milliseconds since boot.
    visited_at: u64,
    /// Bytes that were in one pipe then, at most; of the turns before it, half as much for each turn since.
    most: usize,
}

impl Service {
    /// `ledger`: a file of this boot, for this logd and those after it.
    pub(crate) fn new(folder: &Path, ledger: &Path) -> io::Result<Self> {
        Self::with(folder, ledger, sys::descriptor::inherited(CONTROL)?)
    }

    fn with(folder: &Path, ledger: &Path, control: OwnedFd) -> io::Result<Self> {
        let ledger = match Ledger::open(ledger, folder) {
            Ok(ledger) => ledger,
            Err(error) => {
                let path = ledger.display();
                log::error!("{path}: {error}: the next logd may keep some lines twice");
                Ledger::of_our_own()?
            }
        };
        let desk = Desk {
            peek: Peek::new()?,
            records: Records::default(),
            ledger,
        };
        let control = Arc::new(control);
        let epoll = Epoll::new()?;
        epoll.add(&*control, Interest::Read, CONTROL_TOKEN)?;
        let queries = Queries::new(folder, Arc::clone(&control));
        Ok(Self {
            folder: folder.to_owned(),
            control,
            request: vec![0; REQUEST_BYTES_MAX].into(),
            epoll,
            desk,
            logs: BTreeMap::new(),
            streams: HashMap::new(),
            runs: HashMap::new(),
            due: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            watches: HashMap::new(),
            next_token: CONTROL_TOKEN,
            queries,
            sync_at: None,
            visited_at: 0,
            most: 0,
        })
    }

    /// Until PID 1 closes its end.
    pub(crate) fn run(mut self) -> io::Result<()> {
        self.say(&LogReply::Ready);
        while self.turn()? {}
        self.flush();
        Ok(())
    }

    /// One request, and a bounded share for every pipe that has something. False: PID 1 has closed its end.
    fn turn(&mut self) -> io::Result<bool> {
        let timeout = if self.unfinished.is_empty() {
            self.next_deadline()
                .map(|at| at.saturating_sub(since_boot_ms()))
        } else {
            Some(0)
        };
        let mut turn = mem::take(&mut self.unfinished);
        let mut waits = turn.is_empty();
        let mut asked = false;
        for ready in self.epoll.wait(timeout)? {
            if ready.token == CONTROL_TOKEN {
                asked = true;
                continue;
            }
            waits &= !ready.hung_up && !self.is_watched(ready.token);
            turn.insert(ready.token);
        }
        if waits && !asked && !turn.is_empty() {
            self.gather()?;
        }
        if asked && !self.requests()? {
            return Ok(false);
        }
        if !turn.is_empty() {
            self.visited_at = since_boot_ms();
            self.most /= 2;
        }
        for token in turn {
            self.visit(token);
        }
        self.timeouts();
        Ok(true)
    }

    /// A line that comes soon after another waits a moment for more of them: a turn costs the same for one as for hundreds.
    /// The first line after a while does not wait, nor does what PID 1 asks or waits for.
    fn gather(&self) -> io::Result<()> {
        let since = since_boot_ms().saturating_sub(self.visited_at);
        let longest = GATHER_MS.iter().find(|(most, _)| self.most >= *most);
        let left = longest.map_or(0, |(_, longest)| longest.saturating_sub(since));
        if left > 0 {
            let watched = [(self.control.as_fd(), Interest::Read)];
            sys::poll::wait(&watched, Some(Duration::from_millis(left)))?;
        }
        Ok(())
    }

    /// Is a run's readiness waiting for a line of it?
    fn is_watched(&self, token: u64) -> bool {
        let stream = self.streams.get(&token);
        stream.is_some_and(|(_, stream)| self.watches.contains_key(&stream.pair))
    }

    fn next_deadline(&self) -> Option<u64> {
        let due = self.due.first().map(|(at, _)| *at);
        due.into_iter().chain(self.sync_at).min()
    }

    fn timeouts(&mut self) {
        let now = since_boot_ms();
        let due = self.due.range(..=(now, u64::MAX));
        let due: Vec<u64> = due.map(|(_, token)| *token).collect();
        for token in due {
            self.visit(token);
        }
        if self.sync_at.is_some_and(|at| at <= now) {
            self.sync();
        }
    }

    /// One request, if there is one. False: PID 1 has closed its end.
    fn requests(&mut self) -> io::Result<bool> {
        let received = sys::socket::receive(self.control.as_fd(), &mut self.request)?;
        let (bytes, descriptors) = received;
        if bytes == 0 {
            return Ok(false);
        }
        match serde_json::from_slice(self.request.get(..bytes).unwrap_or_default()) {
            Ok(request) => self.request(request, descriptors),
            Err(error) => log::error!("PID 1: not a message: {error}"),
        }
        Ok(true)
    }

    fn request(&mut self, request: LogRequest, descriptors: Vec<OwnedFd>) {
        match request {
            LogRequest::Keep {
                unit,
                run,
                pair,
                max_size,
                max_files,
                pattern,
            } => {
                if let Some(pattern) = pattern {
                    self.watch(&unit, pair, &pattern);
                }
                let log = self.log(&unit);
                (log.max_size, log.max_files) = (max_size, max_files);
                let kinds = [StreamKind::Stdout, StreamKind::Stderr];
                let mut tokens = Vec::new();
                for (pipe, kind) in descriptors.into_iter().zip(kinds) {
                    let pipe = File::from(pipe);
                    let stream = self.desk.ledger.claim(&pipe).map(|slot| Stream {
                        pipe,
                        kind,
                        run,
                        pair,
                        slot,
                        last_line: Vec::new(),
                        others_last_line: Vec::new(),
                        flush_at: None,
                        look_at: None,
                        pause_ms: 0,
                        ended: false,
                        half_full: 0,
                    });
                    match stream.and_then(|stream| self.keep(&unit, stream)) {
                        Ok(token) => tokens.push(token),
                        Err(error) => {
                            log::error!("{unit}: its {} can't be read: {error}", kind.name());
                        }
                    }
                }
                // Both are known before one of them can be at its end.
                for token in tokens {
                    self.visit(token);
                }
            }
            LogRequest::Note { unit, run, message } => {
                // What the run itself wrote before comes first.
                self.visit_run(run);
                self.log(&unit);
                if let Some(log) = self.logs.get_mut(&unit)
                    && let Err(error) = note(&mut self.desk.records, log, run, &message)
                {
                    log::error!("{unit}: {message}: {error}");
                }
                self.queries.wake(unit.as_str());
                self.written();
            }
            LogRequest::Query { id, query } => {
                let mut files = descriptors.into_iter().map(File::from);
                match files.next() {
                    Some(output) => {
                        self.visit_all();
                        self.queries.start(id, query, output, files.next());
                    }
                    None => self.say(&LogReply::QueryDone {
                        id,
                        error: Some("no descriptor to write to".into()),
                    }),
                }
            }
            LogRequest::Cancel { id } => self.queries.cancel(id),
            LogRequest::Flush => {
                self.flush();
                self.say(&LogReply::Flushed);
            }
        }
    }

    fn watch(&mut self, unit: &UnitName, pair: u64, pattern: &str) {
        match Watch::new(pattern, pair, Arc::clone(&self.control)) {
            Ok(watch) => drop(self.watches.insert(pair, watch)),
            Err(error) => log::error!("{unit}: readiness.log: {error}"),
        }
    }

    fn keep(&mut self, unit: &UnitName, stream: Stream) -> io::Result<u64> {
        self.next_token += 1;
        let token = self.next_token;
        // Level-triggered would wake us for ever for a line that waits for its end.
        self.epoll.add(&stream.pipe, Interest::Edges, token)?;
        self.runs.entry(stream.run).or_default().insert(token);
        self.streams.insert(token, (unit.clone(), stream));
        Ok(token)
    }

    fn log(&mut self, unit: &UnitName) -> &mut UnitLog {
        let folder = self.folder.join(unit.as_str());
        self.logs
            .entry(unit.clone())
            .or_insert_with(|| UnitLog::new(folder, DEFAULT_MAX_SIZE, DEFAULT_MAX_FILES))
    }

    fn visit(&mut self, token: u64) {
        let Some((unit, stream)) = self.streams.get_mut(&token) else {
            return;
        };
        let Some(log) = self.logs.get_mut(unit) else {
            return;
        };
        let (pair, due) = (stream.pair, stream.look_at);
        let mut watch = self.watches.remove(&pair);
        let visit = stream.visit(&mut self.desk, log, &mut watch, since_boot_ms());
        if due != stream.look_at {
            let at = |due: Option<u64>| due.map(|at| (at, token));
            at(due).map(|due| self.due.remove(&due));
            self.due.extend(at(stream.look_at));
        }
        if let Some(watch) = watch {
            self.watches.insert(pair, watch);
        }
        if visit == Visit::Nothing {
            return;
        }
        self.queries.wake(unit.as_str());
        self.written();
        match visit {
            Visit::Nothing => {}
            Visit::Kept(bytes) => self.most = self.most.max(bytes),
            Visit::More => {
                self.most = self.most.max(LOOK_BYTES_MAX);
                self.unfinished.insert(token);
            }
            Visit::End => self.ended(token),
        }
    }

    fn visit_run(&mut self, run: u64) {
        let tokens = self.runs.get(&run).cloned().unwrap_or_default();
        for token in tokens {
            self.visit(token);
        }
    }

    fn visit_all(&mut self) {
        let tokens: Vec<u64> = self.streams.keys().copied().collect();
        for token in tokens {
            self.visit(token);
        }
    }

    /// The pipe is at its end; when both of its pair are, PID 1 may forget them.
    fn ended(&mut self, token: u64) {
        let Some((_, stream)) = self.streams.remove(&token) else {
            return;
        };
        let _ = self.epoll.remove(&stream.pipe);
        self.desk.ledger.release(stream.slot);
        self.unfinished.remove(&token);
        if let Some(at) = stream.look_at {
            self.due.remove(&(at, token));
        }
        let pair = stream.pair;
        let rest = self.runs.get_mut(&stream.run);
        let rest = rest.map(|tokens| {
            tokens.remove(&token);
            tokens.clone()
        });
        let rest = rest.unwrap_or_default();
        if rest.is_empty() {
            self.runs.remove(&stream.run);
        }
        for token in rest {
            let other = self.streams.get_mut(&token).map(|(_, other)| other);
            if let Some(other) = other.filter(|other| other.pair == pair) {
                other.others_last_line = stream.last_line;
                return;
            }
        }
        self.watches.remove(&pair);
        let last_line = stream.last_line_of_pair();
        self.say(&LogReply::Drained { pair, last_line });
    }

    /// The disk gets it within [`SYNC_EVERY_MS`].
    fn written(&mut self) {
        let at = || since_boot_ms().saturating_add(SYNC_EVERY_MS);
        self.sync_at.get_or_insert_with(at);
    }

    fn sync(&mut self) {
        self.sync_at = None;
        for (unit, log) in &mut self.logs {
            if let Err(error) = log.sync() {
                log::error!("{unit}: {error}");
            }
        }
    }

    /// What is in the pipes, to the disk.
    fn flush(&mut self) {
        self.visit_all();
        for _ in 1..FLUSH_VISITS_MAX {
            for token in mem::take(&mut self.unfinished) {
                self.visit(token);
            }
        }
        self.sync();
    }

    fn say(&self, reply: &LogReply) {
        say(&self.control, reply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::ROUNDS_MAX;
    use control::request::LogsRequest;
    use nix::fcntl::{FcntlArg, fcntl};
    use std::fs;
    use std::io::{Read, Write};

    const PIPE_BYTES: usize = 64 << 10;
    /// What a container without privileges can have in its pipe at once (pipe(7), `pipe-max-size`).
    const FLOOD_BYTES: usize = 1 << 20;
    const LINE_BYTES: usize = 16;

    struct Test {
        folder: PathBuf,
        /// PID 1's end.
        control: OwnedFd,
        service: Service,
    }

    impl Test {
        fn new(name: &str) -> Self {
            let folder = format!("keelson-service-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            let (control, theirs) = sys::socket::seqpacket_pair().unwrap();
            sys::descriptor::set_nonblocking(control.as_fd(), true).unwrap();
            let service = Service::with(&folder, &folder.join(".ledger"), theirs).unwrap();
            Self {
                folder,
                control,
                service,
            }
        }

        fn ask(&self, request: &LogRequest, descriptors: &[&OwnedFd]) {
            let descriptors: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
            let bytes = serde_json::to_vec(request).unwrap();
            sys::socket::send(self.control.as_fd(), &bytes, &descriptors).unwrap();
        }

        /// Lend a pair of pipes of a unit; comes back with what the container writes to.
        fn keep(&self, unit: &str, run: u64) -> (File, File) {
            let (stdout, out) = io::pipe().unwrap();
            let (stderr, err) = io::pipe().unwrap();
            let request = LogRequest::Keep {
                unit: UnitName::new(unit).unwrap(),
                run,
                pair: run,
                max_size: 64 << 20,
                max_files: 2,
                pattern: None,
            };
            self.ask(&request, &[&stdout.into(), &stderr.into()]);
            let file = |writer: io::PipeWriter| File::from(OwnedFd::from(writer));
            (file(out), file(err))
        }

        /// The numbers of the lines that are in the file.
        fn kept(&self, unit: &str) -> Vec<usize> {
            let text = fs::read_to_string(self.folder.join(unit).join("current"));
            let text = text.unwrap_or_default();
            let number = |line: &str| line.rsplit(' ').next().unwrap().parse().unwrap();
            text.lines().map(number).collect()
        }

        fn replies(&self) -> Vec<LogReply> {
            let mut buffer = [0; 4096];
            let mut replies = Vec::new();
            while let Ok((bytes @ 1.., _)) = sys::socket::receive(self.control.as_fd(), &mut buffer)
            {
                replies.push(serde_json::from_slice(&buffer[..bytes]).unwrap());
            }
            replies
        }
    }

    impl Drop for Test {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    /// As much as fits into a pipe that was made as large as it can be.
    fn flood(out: &mut File) {
        fcntl(&*out, FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
        let lines = (0..FLOOD_BYTES / LINE_BYTES).map(|number| format!("{number:015}\n"));
        out.write_all(lines.collect::<String>().as_bytes()).unwrap();
    }

    #[test]
    fn a_flood_has_its_turn_and_no_more() {
        let mut test = Test::new("flood");
        let (mut loud, loud_err) = test.keep("loud", 1);
        flood(&mut loud);
        let (mut quiet, quiet_err) = test.keep("quiet", 2);
        quiet.write_all(b"7\n").unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let query = LogsRequest {
            units: vec!["quiet".to_owned()],
            ..LogsRequest::default()
        };
        test.ask(
            &LogRequest::Query { id: 9, query },
            &[&OwnedFd::from(writer)],
        );
        // A turn for each request.
        for _ in 0..3 {
            assert!(test.service.turn().unwrap());
        }
        // By its request, in each of the turns after that, and for the query.
        let most = 4 * ROUNDS_MAX * PIPE_BYTES;
        let kept = test.kept("loud").len() * LINE_BYTES;
        assert!(
            (PIPE_BYTES..=most).contains(&kept) && most < FLOOD_BYTES,
            "the others waited for {kept} bytes of it"
        );
        assert_eq!(test.kept("quiet"), [7]);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "7\n");

        // Its turn comes again although nothing happens to its pipe, until it is empty.
        let mut turns = 0;
        while !test.service.unfinished.is_empty() {
            test.service.turn().unwrap();
            turns += 1;
        }
        assert!(turns <= FLOOD_BYTES / PIPE_BYTES, "{turns}");
        let all: Vec<_> = (0..FLOOD_BYTES / LINE_BYTES).collect();
        assert_eq!(test.kept("loud"), all);
        drop((loud, loud_err, quiet, quiet_err));
        let mut drained = Vec::new();
        while drained.len() < 2 {
            assert!(test.service.turn().unwrap());
            drained.extend(test.replies().into_iter().filter_map(|reply| match reply {
                LogReply::Drained { pair, last_line } => Some((pair, last_line.unwrap())),
                _ => None,
            }));
        }
        drained.sort();
        let last = format!("{:015}", FLOOD_BYTES / LINE_BYTES - 1);
        assert_eq!(drained, [(1, last), (2, "7".to_owned())]);
    }

    #[test]
    fn what_a_flood_has_left_is_kept_before_the_machine_goes_down_and_at_its_end() {
        for (name, request) in [("flush", Some(LogRequest::Flush)), ("closed", None)] {
            let mut test = Test::new(name);
            let (mut loud, _err) = test.keep("loud", 1);
            flood(&mut loud);
            // The end of the writer in the same turn as its last line.
            drop(loud);
            assert!(test.service.turn().unwrap());
            assert!(test.kept("loud").len() * LINE_BYTES < FLOOD_BYTES);
            match &request {
                Some(request) => {
                    test.ask(request, &[]);
                    assert!(test.service.turn().unwrap());
                    assert!(test.replies().contains(&LogReply::Flushed));
                }
                None => test.service.flush(),
            }
            let all: Vec<_> = (0..FLOOD_BYTES / LINE_BYTES).collect();
            assert_eq!(test.kept("loud"), all);
        }
    }

    #[test]
    fn the_beginning_of_a_line_is_looked_at_again_soon_and_then_less_and_less() {
        let mut test = Test::new("again");
        let (mut out, _err) = test.keep("web", 1);
        assert!(test.service.turn().unwrap());
        out.write_all(b"1\n2").unwrap();
        let since = since_boot_ms();
        assert!(test.service.turn().unwrap());
        assert_eq!(test.kept("web"), [1]);
        // Who waits in the middle of a large write tells nothing: its line feed may have come.
        let mut looks = Vec::new();
        while let Some((at, token)) = test.service.due.first().copied() {
            looks.push(at - since);
            test.service.due.clear();
            let (_, stream) = test.service.streams.get_mut(&token).unwrap();
            stream.look_at = None;
            // Its time is up only in the end.
            stream.flush_at = stream.flush_at.map(|_| since + 500);
            if looks.len() == 12 {
                out.write_all(b"\n").unwrap();
            }
            test.service.visit(token);
        }
        assert_eq!(test.kept("web"), [1, 2]);
        let soon = looks[0] <= 100 && looks.windows(2).all(|two| two[0] <= two[1]);
        assert!(soon && looks.iter().all(|at| *at <= 500), "{looks:?}");
        assert!(looks.len() == 12, "{looks:?}");
    }
}

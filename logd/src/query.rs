//! Reading back: a thread per query, which may wait for a slow client without holding anybody else up.

use crate::answer::say;
use crate::bookmark::{Bookmark, Mark, Outbox, Place};
use crate::follower::Follower;
use crate::unit_reader::UnitReader;
use control::log::LogReply;
use control::request::LogsRequest;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use unit::UnitName;

/// Readers at once; each has a thread.
const QUERIES_MAX: usize = 32;
/// A reader holds one line at a time.
const STACK_BYTES: usize = 128 << 10;
/// A follower whose client is gone notices within this time.
const FOLLOW_WAIT: Duration = Duration::from_secs(1);

/// Told of a query that can't be gone on with.
const TORN: &str = "logd ended while it answered, and some of the lines may be missing: ask again";

/// Queries under way.
#[derive(Debug)]
pub(crate) struct Queries {
    folder: PathBuf,
    control: Arc<OwnedFd>,
    active: Arc<Mutex<HashMap<u64, Arc<Follower>>>>,
}

impl Queries {
    pub(crate) fn new(folder: &Path, control: Arc<OwnedFd>) -> Self {
        Self {
            folder: folder.to_owned(),
            control,
            active: Arc::default(),
        }
    }

    /// Something of this unit was written.
    pub(crate) fn wake(&self, unit: &str) {
        if let Ok(active) = self.active.lock() {
            active.values().for_each(|follower| follower.tell(unit));
        }
    }

    pub(crate) fn cancel(&self, id: u64) {
        let active = self.active.lock();
        if let Some(follower) = active.ok().and_then(|mut active| active.remove(&id)) {
            follower.cancel();
        }
    }

    fn refuse(&self, id: u64, error: String) {
        let error = Some(error);
        say(&self.control, &LogReply::QueryDone { id, error });
    }

    /// Begin a query, or go on with one that an earlier logd has begun: it finds its files before this returns, so that
    /// nothing that is written after that is missed.
    pub(crate) fn start(&self, id: u64, query: LogsRequest, output: File, bookmark: Option<File>) {
        let bookmark = bookmark.map(Bookmark);
        let resumed = match bookmark.as_ref().map_or(Ok(Mark::Blank), Bookmark::read) {
            Ok(Mark::Blank) => None,
            Ok(Mark::At(places)) => Some(places.iter().map(|place| self.resume(place)).collect()),
            Ok(Mark::Torn) => return self.refuse(id, TORN.to_owned()),
            Err(error) => return self.refuse(id, format!("bookmark: {error}")),
        };
        let follower = Arc::new(Follower::new(&query.units, query.follow));
        let room = self.active.lock().is_ok_and(|mut active| {
            let room = active.len() < QUERIES_MAX;
            if room {
                active.insert(id, Arc::clone(&follower));
            }
            room
        });
        if !room {
            let error = format!("{QUERIES_MAX} log readers are busy already: close one");
            return self.refuse(id, error);
        }
        let outbox = Outbox {
            text: Vec::new(),
            output,
            bookmark,
        };
        let reader = Reader {
            folder: self.folder.clone(),
            query,
            follower,
        };
        let (control, active) = (Arc::clone(&self.control), Arc::clone(&self.active));
        let work = move || {
            let error = match reader.run(outbox, resumed) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Some(error.to_string()),
                _ => None,
            };
            if let Ok(mut active) = active.lock() {
                active.remove(&id);
            }
            say(&control, &LogReply::QueryDone { id, error });
        };
        if let Err(error) = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(work)
        {
            self.cancel(id);
            self.refuse(id, error.to_string());
        }
    }

    fn resume(&self, place: &Place) -> UnitReader {
        let mut reader = UnitReader::new(self.folder.join(&place.unit), place.unit.clone());
        reader.resume(place);
        reader
    }
}

struct Reader {
    folder: PathBuf,
    query: LogsRequest,
    follower: Arc<Follower>,
}

impl Reader {
    /// `resumed`: where an earlier logd was, all before it has been sent.
    fn run(&self, mut outbox: Outbox, resumed: Option<Vec<UnitReader>>) -> io::Result<()> {
        let mut units = match resumed {
            // The last lines go as a whole.
            Some(_) if self.query.tail.is_some() && !self.query.follow => return Ok(()),
            Some(mut units) => {
                if self.query.follow {
                    // Those that have come since the places were noted, and of which nobody will tell us.
                    for unit in self.units() {
                        if !units.iter().any(|known| known.unit == unit) {
                            units.push(self.open(unit, None));
                        }
                    }
                }
                self.rest(&mut units, &mut outbox)?;
                units
            }
            None => {
                let open = |unit| self.open(unit, self.query.tail);
                let mut units = self.units().into_iter().map(open).collect::<Vec<_>>();
                self.history(&mut units, &mut outbox)?;
                // A follower that has seen nothing yet has seen everything up to here.
                send(&mut outbox, &units)?;
                units
            }
        };
        while self.query.follow && !self.follower.is_cancelled() {
            for unit in self.follower.wait(FOLLOW_WAIT) {
                match units.iter_mut().find(|known| known.unit == unit) {
                    Some(known) => known.look_again(),
                    None => units.push(self.open(unit, None)),
                }
            }
            self.rest(&mut units, &mut outbox)?;
            // A client that only listens is noticed to be gone when nothing can be written to it.
            if sys::poll::hung_up(&outbox.output) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn units(&self) -> Vec<String> {
        if !self.query.units.is_empty() {
            return self.query.units.clone();
        }
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| UnitName::new(name).is_some())
            .collect();
        names.sort();
        names
    }

    fn open(&self, unit: String, tail: Option<u64>) -> UnitReader {
        let mut reader = UnitReader::new(self.folder.join(&unit), unit);
        reader.start(self.query.since_ms, tail);
        reader
    }

    fn history(&self, units: &mut [UnitReader], outbox: &mut Outbox) -> io::Result<()> {
        let Some(tail) = self.query.tail else {
            return self.rest(units, outbox);
        };
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        let mut last: VecDeque<Vec<u8>> = VecDeque::new();
        while let Some(unit) = self.next(units)? {
            if tail > 0 {
                let mut text = Vec::new();
                self.write(&mut text, unit)?;
                if last.len() == tail {
                    last.pop_front();
                }
                last.push_back(text);
            }
            unit.take();
        }
        outbox.text.extend(last.into_iter().flatten());
        Ok(())
    }

    /// Send all that is there.
    fn rest(&self, units: &mut [UnitReader], outbox: &mut Outbox) -> io::Result<()> {
        while let Some(unit) = self.next(units)? {
            self.write(&mut outbox.text, unit)?;
            unit.take();
            if outbox.is_full() {
                send(outbox, units)?;
            }
        }
        if outbox.text.is_empty() {
            return Ok(());
        }
        send(outbox, units)
    }

    /// Who has the oldest line of all that are wanted. `None`: there is no more, or nobody wants it any more.
    fn next<'a>(&self, units: &'a mut [UnitReader]) -> io::Result<Option<&'a mut UnitReader>> {
        while !self.follower.is_cancelled() {
            for unit in units.iter_mut() {
                unit.fill()?;
            }
            let times = (0..).zip(units.iter());
            let times = times.filter_map(|(at, unit)| Some((unit.time_ms?, at)));
            let Some((time_ms, at)) = times.min() else {
                return Ok(None);
            };
            let (since, until) = (self.query.since_ms, self.query.until_ms);
            if since.is_none_or(|since| time_ms >= since)
                && until.is_none_or(|until| time_ms < until)
            {
                return Ok(units.get_mut::<usize>(at));
            }
            if let Some(unit) = units.get_mut::<usize>(at) {
                unit.take();
            }
        }
        Ok(None)
    }

    fn write(&self, output: &mut Vec<u8>, from: &UnitReader) -> io::Result<()> {
        let unit = from.unit.as_str();
        let Some(record) = from.record() else {
            return Ok(());
        };
        if self.query.json {
            serde_json::to_writer(&mut *output, &record.to_line(unit))?;
            return output.write_all(b"\n");
        }
        if self.query.prefix {
            write!(output, "{} {unit}: ", time_text(record.time_ms))?;
        }
        if record.stream == crate::record::StreamKind::System {
            output.write_all(b"-- ")?;
        }
        output.write_all(record.message)?;
        if record.partial {
            Ok(())
        } else {
            output.write_all(b"\n")
        }
    }
}

fn send(outbox: &mut Outbox, units: &[UnitReader]) -> io::Result<()> {
    let places: Vec<Place> = units.iter().map(UnitReader::place).collect();
    outbox.send(&places)
}

/// RFC 3339 in UTC, with milliseconds.
fn time_text(time_ms: i64) -> String {
    let (days, in_day) = (
        time_ms.div_euclid(86_400_000),
        time_ms.rem_euclid(86_400_000),
    );
    // Days to civil date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, millisecond) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time_text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time_text(1_709_210_096_789), "2024-02-29T12:34:56.789Z");
        assert_eq!(time_text(-1), "1969-12-31T23:59:59.999Z");
    }
}

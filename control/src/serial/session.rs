//! One side of a session: bytes in, events out; data in, bytes out. No I/O and no clock.

use super::wire::{Greeting, PREAMBLE_BYTES, encode, encode_data, encode_greeting};
use super::{Channel, Decoder, FRAME_DATA_MAX, Frame, SERIAL_VERSION, Streams, WINDOW_BYTES};
use std::hash::{BuildHasher, Hasher, RandomState};

/// Data waiting to be written to the port: two frames, so that one is being written while the next is made.
const OUTPUT_BYTES_MAX: usize = 2 * FRAME_DATA_MAX;
/// With so much waiting, the other side is sending without ever reading: nothing more is taken from it. (`Credit`,
/// `End` and `Close` are not counted against [`OUTPUT_BYTES_MAX`], so that the windows can always open again.)
const OUTPUT_BYTES_CEILING: usize = 1 << 20;
/// Taken bytes are told in steps: few enough frames, and early enough for the other side not to run dry.
const CREDIT_STEP_BYTES: usize = WINDOW_BYTES / 4;

/// What happened on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// To the host: the relay has answered.
    Established,
    /// To the target: connect to the control socket, with these streams.
    Open(Streams),
    /// To be handed on; [`Session::taken`] says when that is done.
    Data(Channel, Vec<u8>),
    /// No more data comes; on `Stdin` to the host: nobody reads it any more.
    End(Channel),
    Resize {
        rows: u16,
        columns: u16,
    },
    /// The session is over; empty: it ended as it should.
    Closed(String),
    /// The session is broken off: one line that says by what.
    Lost(String),
}

/// What a preamble is written from.
static ZEROS: [u8; 4096] = [0; 4096];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Host,
    Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Everything is skipped up to a hello (target) or to the welcome (host).
    Hunting,
    Established,
    /// Only of a host: there is one session in its life.
    Over,
}

/// Flow of one channel, in bytes.
#[derive(Clone, Copy, Debug)]
struct Flow {
    may_send: usize,
    may_receive: usize,
    taken: usize,
}

const FULL: Flow = Flow {
    may_send: WINDOW_BYTES,
    may_receive: WINDOW_BYTES,
    taken: 0,
};

#[derive(Debug)]
pub struct Session {
    side: Side,
    state: State,
    /// Of the current session, or of the last one.
    id: u64,
    /// `Open` has been sent or received.
    open: bool,
    /// A host has closed, and waits for the target to say that nothing more comes.
    parting: bool,
    decoder: Decoder,
    /// Zeros to be written before `output`.
    zeros: usize,
    output: Vec<u8>,
    /// Bytes of `output` that are written.
    sent: usize,
    flows: [Flow; Channel::ALL.len()],
}

/// A random id that is not 0.
#[must_use]
pub fn new_session_id() -> u64 {
    // The standard library seeds this from getrandom(2); the process id keeps forks apart.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish() | 1
}

impl Session {
    /// The host's side, with the hello and `Open` ready to be written.
    #[must_use]
    pub fn host(id: u64, streams: Streams) -> Self {
        let mut session = Self::new(Side::Host, id);
        session.zeros = PREAMBLE_BYTES;
        encode_greeting(&mut session.output, Greeting::Hello, id);
        encode(&mut session.output, id, &Frame::Open(streams));
        session.open = true;
        session
    }

    /// The target's side, for as long as the port lives. It begins with zeros: a host that is in the middle of a
    /// session learns that the relay is a new one.
    #[must_use]
    pub fn target() -> Self {
        let mut session = Self::new(Side::Target, 0);
        session.zeros = PREAMBLE_BYTES;
        session
    }

    fn new(side: Side, id: u64) -> Self {
        Self {
            side,
            state: State::Hunting,
            id,
            open: false,
            parting: false,
            decoder: Decoder::default(),
            zeros: 0,
            output: Vec::new(),
            sent: 0,
            flows: [FULL; Channel::ALL.len()],
        }
    }

    /// Whether bytes may be read from the port now.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.output.len() - self.sent < OUTPUT_BYTES_CEILING
    }

    /// Bytes from the port. Take all events out before the next ones.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.decoder.feed(bytes);
    }

    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            match (self.state, self.side) {
                (State::Over, _) => {
                    self.decoder.release();
                    return None;
                }
                (State::Hunting, Side::Target) => {
                    let (version, id) = self.decoder.hunt(Greeting::Hello)?;
                    self.welcome(version, id);
                }
                (State::Hunting, Side::Host) => {
                    let (version, id) = self.decoder.hunt(Greeting::Welcome)?;
                    if id != self.id {
                        continue;
                    }
                    if version != SERIAL_VERSION {
                        self.state = State::Over;
                        return Some(Event::Lost(format!(
                            "the machine speaks version {version} of the serial framing, this keelctl {SERIAL_VERSION}; \
                             use the keelctl of the machine's release"
                        )));
                    }
                    self.state = State::Established;
                    if !self.parting {
                        return Some(Event::Established);
                    }
                }
                (State::Established, side) => {
                    let event = match self.decoder.next(self.id) {
                        Ok(None) => return None,
                        Ok(Some(frame)) => self.take(frame),
                        Err(_) => Err("the stream was broken off".to_owned()),
                    };
                    match event {
                        Ok(Some(event)) => return Some(event),
                        Ok(None) => {}
                        Err(why) => {
                            let was_open = self.open;
                            self.end();
                            if was_open || side == Side::Host {
                                return Some(Event::Lost(why));
                            }
                        }
                    }
                }
            }
        }
    }

    /// A hello: whatever was before it is void.
    fn welcome(&mut self, version: u8, id: u64) {
        self.drop_output();
        encode_greeting(&mut self.output, Greeting::Welcome, id);
        if version == SERIAL_VERSION {
            self.state = State::Established;
            self.id = id;
            self.open = false;
            self.flows = [FULL; Channel::ALL.len()];
        }
    }

    /// What a frame means; an error is a breach of the protocol.
    fn take(&mut self, frame: Frame) -> Result<Option<Event>, String> {
        match (frame, self.side) {
            (Frame::Close(_), _) if self.parting => {
                self.end();
                Ok(None)
            }
            // It was on its way when we closed.
            (_, _) if self.parting => Ok(None),
            (Frame::Open(streams), Side::Target) if !self.open => {
                self.open = true;
                Ok(Some(Event::Open(streams)))
            }
            (Frame::Data(channel, data), side) if self.open && flows_to(channel, side) => {
                let flow = &mut self.flows[channel.index()];
                match flow.may_receive.checked_sub(data.len()) {
                    Some(left) => flow.may_receive = left,
                    None => return Err(format!("more data on {channel:?} than was asked for")),
                }
                Ok(Some(Event::Data(channel, data)))
            }
            (Frame::End(channel), _) if self.open => Ok(Some(Event::End(channel))),
            (Frame::Credit(channel, bytes), _) => {
                let flow = &mut self.flows[channel.index()];
                let window = flow.may_send.saturating_add(bytes as usize);
                if window > WINDOW_BYTES {
                    return Err(format!("more room on {channel:?} than its window"));
                }
                flow.may_send = window;
                Ok(None)
            }
            (Frame::Resize { rows, columns }, Side::Target) if self.open => {
                Ok(Some(Event::Resize { rows, columns }))
            }
            (Frame::Close(message), Side::Host) => {
                let was_open = self.open;
                self.end();
                Ok(was_open.then_some(Event::Closed(message)))
            }
            (Frame::Close(message), Side::Target) => {
                let was_open = self.open;
                // The host waits for this, behind what is on its way, which may end in the middle of a frame.
                encode(&mut self.output, self.id, &Frame::Close(String::new()));
                self.open = false;
                self.state = State::Hunting;
                Ok(was_open.then_some(Event::Closed(message)))
            }
            (frame, _) => Err(format!("a frame out of place: {}", name(&frame))),
        }
    }

    fn end(&mut self) {
        self.state = match self.side {
            Side::Host => State::Over,
            Side::Target => State::Hunting,
        };
        self.open = false;
        self.drop_output();
    }

    /// How much data of the channel may be sent now, in bytes.
    #[must_use]
    pub fn room(&self, channel: Channel) -> usize {
        let waiting = self.output.len() - self.sent;
        let room = OUTPUT_BYTES_MAX.saturating_sub(waiting);
        if self.open {
            room.min(self.flows[channel.index()].may_send)
        } else {
            0
        }
    }

    /// Send data; returns how many bytes were taken, at most [`Self::room`].
    pub fn send(&mut self, channel: Channel, data: &[u8]) -> usize {
        let data = &data[..data.len().min(self.room(channel))];
        for piece in data.chunks(FRAME_DATA_MAX) {
            encode_data(&mut self.output, self.id, channel, piece);
        }
        self.flows[channel.index()].may_send -= data.len();
        data.len()
    }

    /// So many bytes that came as `Event::Data` are handed on.
    pub fn taken(&mut self, channel: Channel, bytes: usize) {
        let flow = &mut self.flows[channel.index()];
        flow.taken += bytes;
        if flow.taken >= CREDIT_STEP_BYTES && self.open {
            flow.may_receive += flow.taken;
            let credit = Frame::Credit(channel, u32::try_from(flow.taken).unwrap_or(u32::MAX));
            flow.taken = 0;
            encode(&mut self.output, self.id, &credit);
        }
    }

    pub fn send_end(&mut self, channel: Channel) {
        self.send_frame(&Frame::End(channel));
    }

    pub fn send_resize(&mut self, rows: u16, columns: u16) {
        self.send_frame(&Frame::Resize { rows, columns });
    }

    fn send_frame(&mut self, frame: &Frame) {
        if self.open {
            encode(&mut self.output, self.id, frame);
        }
    }

    /// End the session in order; what is waiting is still to be written. A host goes on reading until [`Self::is_over`].
    pub fn close(&mut self, message: &str) {
        self.send_frame(&Frame::Close(message.to_owned()));
        self.open = false;
        match self.side {
            Side::Host => self.parting = true,
            Side::Target => self.state = State::Hunting,
        }
    }

    /// Of a host: the target writes nothing more to it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The other side has left the port: nothing that was under way will arrive. Gives the memory back.
    pub fn hung_up(&mut self) {
        self.end();
        self.decoder.release();
    }

    /// Bytes for the port.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        match self.zeros {
            0 => &self.output[self.sent..],
            zeros => &ZEROS[..zeros.min(ZEROS.len())],
        }
    }

    /// The first `bytes` of [`Self::output`] are written.
    pub fn wrote(&mut self, bytes: usize) {
        if self.zeros > 0 {
            self.zeros = self.zeros.saturating_sub(bytes);
            return;
        }
        self.sent += bytes;
        if self.sent >= self.output.len() {
            self.drop_output();
        } else if self.sent >= OUTPUT_BYTES_MAX {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
    }

    fn drop_output(&mut self) {
        self.zeros = 0;
        self.sent = 0;
        if self.open {
            self.output.clear();
        } else {
            // Between sessions, which is most of the time, a port holds no memory.
            self.output = Vec::new();
        }
    }
}

fn flows_to(channel: Channel, side: Side) -> bool {
    match channel {
        Channel::Control => true,
        Channel::Stdin => side == Side::Target,
        Channel::Stdout | Channel::Stderr => side == Side::Host,
    }
}

fn name(frame: &Frame) -> &'static str {
    match frame {
        Frame::Open(_) => "open",
        Frame::Data(..) => "data",
        Frame::End(_) => "end",
        Frame::Credit(..) => "credit",
        Frame::Resize { .. } => "resize",
        Frame::Close(_) => "close",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Carry everything that waits, and collect what it means.
    fn carry(from: &mut Session, to: &mut Session) -> Vec<Event> {
        let mut events = Vec::new();
        while !from.output().is_empty() {
            let bytes = from.output().to_vec();
            from.wrote(bytes.len());
            to.receive(&bytes);
            events.extend(std::iter::from_fn(|| to.next_event()));
        }
        events
    }

    fn established(streams: Streams) -> (Session, Session) {
        let (mut host, mut target) = (Session::host(new_session_id(), streams), Session::target());
        assert_eq!(carry(&mut host, &mut target), [Event::Open(streams)]);
        assert_eq!(carry(&mut target, &mut host), [Event::Established]);
        (host, target)
    }

    #[test]
    fn data_flows_both_ways_and_the_target_closes() {
        let (mut host, mut target) = established(Streams::Pipes);
        assert_eq!(host.send(Channel::Stdin, b"in"), 2);
        host.send_end(Channel::Stdin);
        assert_eq!(
            carry(&mut host, &mut target),
            [
                Event::Data(Channel::Stdin, b"in".to_vec()),
                Event::End(Channel::Stdin)
            ]
        );
        target.send(Channel::Stdout, b"out");
        target.close("");
        assert_eq!(
            carry(&mut target, &mut host),
            [
                Event::Data(Channel::Stdout, b"out".to_vec()),
                Event::Closed(String::new())
            ]
        );
        assert_eq!(host.room(Channel::Stdin), 0);
    }

    #[test]
    fn a_new_hello_ends_the_session_that_was_cut_off_in_mid_frame() {
        let (mut host, mut target) = established(Streams::Pipes);
        host.send(Channel::Stdin, &[1; FRAME_DATA_MAX]);
        let cut = host.output()[..1000].to_vec();
        target.receive(&cut);
        assert_eq!(target.next_event(), None);
        target.send(Channel::Stdout, b"stale");

        let mut next = Session::host(new_session_id(), Streams::None);
        let events = carry(&mut next, &mut target);
        assert!(
            matches!(&events[..], [Event::Lost(_), Event::Open(Streams::None)]),
            "{events:?}"
        );
        assert_eq!(carry(&mut target, &mut next), [Event::Established]);
    }

    #[test]
    fn a_host_that_leaves_is_told_when_nothing_more_comes() {
        let (mut host, mut target) = established(Streams::Output);
        target.send(Channel::Stdout, &[7; 3000]);
        // The first half of a frame has gone out.
        let half = target.output()[..1000].to_vec();
        target.wrote(half.len());
        host.receive(&half);
        host.close("");
        assert!(!host.is_over());
        assert_eq!(
            carry(&mut host, &mut target),
            [Event::Closed(String::new())]
        );
        assert_eq!(carry(&mut target, &mut host), []);
        assert!(host.is_over());
        assert!(target.output().is_empty());

        let mut next = Session::host(new_session_id(), Streams::None);
        assert_eq!(carry(&mut next, &mut target), [Event::Open(Streams::None)]);
        assert_eq!(carry(&mut target, &mut next), [Event::Established]);
    }

    #[test]
    fn a_host_and_a_target_that_close_at_once_are_both_done() {
        let (mut host, mut target) = established(Streams::None);
        host.close("");
        target.close("");
        assert_eq!(carry(&mut target, &mut host), []);
        assert!(host.is_over());
        assert_eq!(carry(&mut host, &mut target), []);
        assert!(target.output().is_empty());
    }

    #[test]
    fn stale_bytes_before_the_welcome_are_skipped() {
        let (_, mut old_target) = established(Streams::Output);
        old_target.send(Channel::Stdout, &[b'K'; 5000]);
        let stale = old_target.output()[..4000].to_vec();
        let (mut host, mut target) = (
            Session::host(new_session_id(), Streams::None),
            Session::target(),
        );
        host.receive(&stale);
        assert_eq!(host.next_event(), None);
        carry(&mut host, &mut target);
        assert_eq!(carry(&mut target, &mut host), [Event::Established]);
    }

    #[test]
    fn a_restarted_relay_ends_the_session_of_the_host() {
        let (mut host, _) = established(Streams::Output);
        let events = carry(&mut Session::target(), &mut host);
        assert!(matches!(&events[..], [Event::Lost(_)]), "{events:?}");
    }

    #[test]
    fn a_side_that_does_not_take_its_data_stops_the_sender_at_the_window() {
        let (mut host, mut target) = established(Streams::Input);
        let mut arrived = 0;
        loop {
            if host.send(Channel::Stdin, &[0; FRAME_DATA_MAX]) == 0 {
                break;
            }
            for event in carry(&mut host, &mut target) {
                let Event::Data(Channel::Stdin, data) = event else {
                    panic!("{event:?}")
                };
                arrived += data.len();
            }
        }
        assert_eq!(arrived, WINDOW_BYTES);
        assert!(host.room(Channel::Control) > 0, "the other channels go on");
        target.taken(Channel::Stdin, arrived);
        carry(&mut target, &mut host);
        assert!(host.room(Channel::Stdin) > 0);
    }

    #[test]
    fn more_data_than_the_window_breaks_the_session() {
        let (mut host, mut target) = established(Streams::Input);
        for _ in 0..=WINDOW_BYTES / FRAME_DATA_MAX {
            host.flows[Channel::Stdin.index()] = FULL;
            host.send(Channel::Stdin, &[0; FRAME_DATA_MAX]);
            if carry(&mut host, &mut target)
                .iter()
                .any(|event| matches!(event, Event::Lost(_)))
            {
                return;
            }
        }
        panic!("the target took more than its window");
    }

    #[test]
    fn another_version_is_named() {
        let mut host = Session::host(7, Streams::None);
        let mut welcome = Vec::new();
        encode_greeting(&mut welcome, Greeting::Welcome, 7);
        welcome[9] = SERIAL_VERSION + 1;
        host.receive(&welcome);
        let Some(Event::Lost(why)) = host.next_event() else {
            panic!("accepted")
        };
        assert!(
            why.contains(&format!("version {}", SERIAL_VERSION + 1)),
            "{why}"
        );
    }

    #[test]
    fn a_host_that_never_reads_cannot_make_the_target_grow() {
        let (mut host, mut target) = established(Streams::Input);
        let mut frames = 0u32;
        while target.wants_input() {
            host.flows[Channel::Stdin.index()] = FULL;
            host.send(Channel::Stdin, &[0; 1]);
            for event in carry(&mut host, &mut target) {
                if let Event::Data(channel, _) = event {
                    // A credit per step is the most that a target ever says unasked.
                    target.taken(channel, CREDIT_STEP_BYTES);
                }
            }
            frames += 1;
            assert!(target.output().len() < OUTPUT_BYTES_CEILING + 64);
        }
        assert!(frames > 1000);
    }

    proptest! {
        #[test]
        fn no_bytes_break_either_side(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            streams in prop::sample::select(vec![Streams::None, Streams::Pipes, Streams::Terminal]),
        ) {
            let (mut host, mut target) = established(streams);
            for piece in &pieces {
                for side in [&mut host, &mut target] {
                    side.receive(piece);
                    while let Some(event) = side.next_event() {
                        if let Event::Data(channel, data) = event {
                            side.taken(channel, data.len());
                        }
                    }
                    prop_assert!(side.output().len() <= OUTPUT_BYTES_CEILING);
                }
            }
            // Whatever came, the next host gets through.
            let mut next = Session::host(new_session_id(), streams);
            let events = carry(&mut next, &mut target);
            prop_assert_eq!(events.last(), Some(&Event::Open(streams)));
            let answers = carry(&mut target, &mut next);
            prop_assert_eq!(answers.first(), Some(&Event::Established));
        }
    }
}

//! Which bytes of a pipe's content are ready to be kept.

use std::io::BufRead;

/// A longer line is kept in pieces, each marked as going on: a pipe holds 64 KiB, and a line must never fill it.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 10;

/// One piece of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) message: &'a [u8],
    /// It goes on in the next piece.
    pub(crate) partial: bool,
}

/// What shall happen to the end of the content that has no line feed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Stay in the pipe: the line may be completed.
    Wait,
    /// It has waited long enough (a prompt): keep it as a piece that goes on.
    Flush,
    /// Nothing more will come: keep it as a line.
    End,
}

/// The pieces that are ready, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Pieces<'a> {
    content: &'a [u8],
    rest: Rest,
    /// Bytes of the content that the pieces up to here took.
    pub(crate) taken: usize,
}

pub(crate) fn split(content: &[u8], rest: Rest) -> Pieces<'_> {
    Pieces {
        content,
        rest,
        taken: 0,
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let left = self.content.get(self.taken..).unwrap_or_default();
        let window = left.get(..LINE_BYTES_MAX).unwrap_or(left);
        // A search by words, not bytes. Reading from memory does not fail.
        let found = (&mut &*window).skip_until(b'\n').unwrap_or(0);
        if found == 0 {
            return None;
        }
        let line = window.get(..found).unwrap_or(window);
        let (message, partial) = match (line.strip_suffix(b"\n"), self.rest) {
            (Some(message), _) => (message, false),
            (None, _) if line.len() == LINE_BYTES_MAX => (line, true),
            (None, Rest::Wait) => return None,
            (None, Rest::Flush) => (line, true),
            (None, Rest::End) => (line, false),
        };
        self.taken += found;
        Some(Piece { message, partial })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(content: &[u8], rest: Rest) -> (Vec<(Vec<u8>, bool)>, usize) {
        let mut pieces = split(content, rest);
        let texts = pieces
            .by_ref()
            .map(|piece| (piece.message.to_vec(), piece.partial))
            .collect();
        (texts, pieces.taken)
    }

    #[test]
    fn whole_lines_are_taken_and_the_rest_waits() {
        let line = |text: &[u8]| (text.to_vec(), false);
        assert_eq!(
            texts(b"a\n\nb\nrest", Rest::Wait),
            (vec![line(b"a"), line(b""), line(b"b")], 5)
        );
        assert_eq!(texts(b"rest", Rest::Wait), (vec![], 0));
        assert_eq!(texts(b"rest", Rest::End), (vec![line(b"rest")], 4));
        assert_eq!(texts(b"> ", Rest::Flush), (vec![(b"> ".to_vec(), true)], 2));
    }

    #[test]
    fn a_line_longer_than_the_limit_comes_in_pieces() {
        let long = [vec![b'x'; LINE_BYTES_MAX + 3], b"\n".to_vec()].concat();
        let (pieces, taken) = texts(&long, Rest::Wait);
        assert_eq!(taken, long.len());
        let lengths = pieces.iter().map(|(text, partial)| (text.len(), *partial));
        let expected = [(LINE_BYTES_MAX, true), (3, false)];
        assert_eq!(lengths.collect::<Vec<_>>(), expected);
    }
}

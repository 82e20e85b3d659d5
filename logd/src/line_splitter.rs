//! Which bytes of a pipe's content are ready to be kept.

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

/// The pieces that are ready, and how many bytes of `content` they took.
pub(crate) fn split(content: &[u8], rest: Rest) -> (Vec<Piece<'_>>, usize) {
    let mut pieces = Vec::new();
    let mut taken = 0;
    while let Some(left) = content.get(taken..).filter(|left| !left.is_empty()) {
        let window = left.get(..LINE_BYTES_MAX.min(left.len())).unwrap_or(left);
        if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
            pieces.push(Piece {
                message: window.get(..end).unwrap_or_default(),
                partial: false,
            });
            taken += end + 1;
        } else if window.len() == LINE_BYTES_MAX {
            pieces.push(Piece {
                message: window,
                partial: true,
            });
            taken += window.len();
        } else {
            match rest {
                Rest::Wait => break,
                Rest::Flush => pieces.push(Piece {
                    message: window,
                    partial: true,
                }),
                Rest::End => pieces.push(Piece {
                    message: window,
                    partial: false,
                }),
            }
            taken += window.len();
        }
    }
    (pieces, taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(content: &[u8], rest: Rest) -> (Vec<(Vec<u8>, bool)>, usize) {
        let (pieces, taken) = split(content, rest);
        (
            pieces
                .iter()
                .map(|piece| (piece.message.to_vec(), piece.partial))
                .collect(),
            taken,
        )
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
        let (pieces, taken) = split(&long, Rest::Wait);
        assert_eq!(taken, long.len());
        assert_eq!(
            pieces
                .iter()
                .map(|piece| (piece.message.len(), piece.partial))
                .collect::<Vec<_>>(),
            [(LINE_BYTES_MAX, true), (3, false)]
        );
    }
}

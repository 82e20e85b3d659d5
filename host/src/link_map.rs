//! The linker's map of a program (`-Map` of LLD): where each function lies.
//!
//! ```text
//!              VMA              LMA     Size Align Out     In      Symbol
//!           270000           270000    4a2c1    16 .text.called
//!           270000           270000       16     1         …/self-contained/crt1.o:(.text)
//!           270000           270000        0     1                 _start
//! ```

/// Where the columns Out, In and Symbol begin.
const OUT: usize = 49;
const IN: usize = 8;
const SYMBOL: usize = 16;

/// A piece of the program as the linker had it from one object file: one function, where the compiler made the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The section of the program that it lies in.
    pub section: String,
    pub address: u64,
    /// In bytes.
    pub size: u64,
    /// `…/libc.a(memcpy.lo)`
    pub file: String,
    /// `.text._RNv…`
    pub name: String,
    /// What is called by a name in it. Those of folded pieces, whose code was the same (`--icf=all`), are at its beginning too.
    pub symbols: Vec<Symbol>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    pub address: u64,
    /// As the map has it: mangled with `--no-demangle`.
    pub name: String,
}

/// All pieces, in the order of the map.
#[must_use]
pub fn parse(map: &str) -> Vec<Piece> {
    let mut section = "";
    let mut pieces: Vec<Piece> = Vec::new();
    for line in map.lines() {
        let Some((numbers, rest)) = line.split_at_checked(OUT) else {
            continue;
        };
        let mut numbers = numbers
            .split_whitespace()
            .map(|word| u64::from_str_radix(word, 16));
        let (Some(Ok(address)), Some(Ok(_)), Some(Ok(size))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            continue;
        };
        let text = rest.trim_start();
        match rest.len() - text.len() {
            0 => section = text,
            IN => {
                let parts = text
                    .strip_suffix(')')
                    .and_then(|text| text.rsplit_once(":("));
                if let Some((file, name)) = parts {
                    pieces.push(Piece {
                        section: section.to_owned(),
                        address,
                        size,
                        file: file.to_owned(),
                        name: name.to_owned(),
                        symbols: Vec::new(),
                    });
                }
            }
            SYMBOL => {
                if let Some(piece) = pieces.last_mut() {
                    piece.symbols.push(Symbol {
                        address,
                        name: text.to_owned(),
                    });
                }
            }
            _ => {}
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_their_section_and_their_symbols() {
        let map = "             VMA              LMA     Size Align Out     In      Symbol\n\
            \x20         200200           200200      77a   128 .rodata\n\
            \x20         200200           200200       50     8         /t/a.o:(.rodata.cst16)\n\
            \x20         261980           261980    22fb2    16 .text\n\
            \x20         261980           261980       20     1         /t/libc.a(memcpy.lo):(.text)\n\
            \x20         261980           261980        0     1                 memcpy\n\
            \x20         261990           261990        0     1                 _RNvCs12_1a1b.7\n";
        let pieces = parse(map);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0].section, ".rodata");
        let symbol = |address, name: &str| Symbol {
            address,
            name: name.to_owned(),
        };
        assert_eq!(
            pieces[1],
            Piece {
                section: ".text".to_owned(),
                address: 0x26_1980,
                size: 0x20,
                file: "/t/libc.a(memcpy.lo)".to_owned(),
                name: ".text".to_owned(),
                symbols: vec![
                    symbol(0x26_1980, "memcpy"),
                    symbol(0x26_1990, "_RNvCs12_1a1b.7"),
                ],
            }
        );
    }
}

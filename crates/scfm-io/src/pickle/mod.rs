//! A reader for pickles that hold one dictionary: of plain values, or of torch's tensors.
//!
//! A pickle is a program for a small stack machine, and Python's own reader lets it call any function. This one
//! knows the instructions that such dictionaries need (protocols 2 to 5) and a handful of callables, whose effect it
//! works out itself: numpy's scalar and dtype for dictionaries of plain values, ordered dictionaries and the three
//! steps by which torch rebuilds a tensor for state dictionaries. Anything else is refused by name and offset.
//! Source: CPython's `pickletools`, which documents every opcode, and torch's `torch/_utils.py`.

mod machine;
mod numpy;
mod opcodes;
mod operands;
mod tensors;

use std::sync::Arc;

use machine::{Dialect, Machine};
pub(crate) use tensors::TensorRecord;

/// A value of a dictionary.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plain {
    Int(i64),
    Float(f64),
    Text(Arc<str>),
}

/// What went wrong, at which instruction.
#[derive(Debug)]
pub(crate) struct PickleError {
    pub opcode: &'static str,
    pub offset: usize,
    pub reason: String,
}

/// The entries of a pickled dictionary with string keys, in the order of the file.
pub(crate) fn read_dictionary(bytes: &[u8]) -> Result<Vec<(Arc<str>, Plain)>, PickleError> {
    let mut machine = Machine::new(bytes, Dialect::PlainValues);
    let entries = machine.run().and_then(|()| machine.plain_entries());
    entries.map_err(|reason| machine.error(reason))
}

/// The tensors of a pickled state dictionary by name, in the order of the file; entries that are no tensors are
/// passed over.
pub(crate) fn read_state_dict(bytes: &[u8]) -> Result<Vec<(Arc<str>, TensorRecord)>, PickleError> {
    let mut machine = Machine::new(bytes, Dialect::Tensors);
    let entries = machine.run().and_then(|()| machine.tensor_entries());
    entries.map_err(|reason| machine.error(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `{"<pad>": 0, "ENSG1": numpy.int16(-2), "ENSG2": numpy.int16(300)}` as protocol 4 writes it: the dtype is
    /// memoised before BUILD tells its byte order, and fetched again for the second scalar.
    fn tokens() -> Vec<u8> {
        let mut pickle = b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(".to_vec();
        pickle.extend(b"\x8c\x05<pad>\x94K\x00");
        pickle.extend(b"\x8c\x05ENSG1\x94\x8c\x15numpy.core.multiarray\x94\x8c\x06scalar\x94\x93\x94"); // memo 2..=5
        pickle.extend(b"\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94"); // memo 6..=8
        pickle.extend(b"\x8c\x02i2\x94\x89\x88\x87\x94R\x94"); // memo 9, 10 and the dtype itself, 11
        pickle.extend(b"(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b");
        pickle.extend(b"C\x02\xfe\xff\x94\x86\x94R\x94");
        pickle.extend(b"\x8c\x05ENSG2\x94h\x05h\x0bC\x02\x2c\x01\x94\x86\x94R\x94u.");
        pickle
    }

    fn refused(pickle: &[u8]) -> PickleError {
        read_dictionary(pickle).unwrap_err()
    }

    #[test]
    fn numpy_scalars_and_plain_integers_are_read() {
        let entries = read_dictionary(&tokens()).unwrap();
        let expected = [("<pad>", 0), ("ENSG1", -2), ("ENSG2", 300)];
        assert_eq!(
            entries,
            expected.map(|(key, value)| (Arc::from(key), Plain::Int(value)))
        );
    }

    #[test]
    fn numpy_text_is_text() {
        // {numpy.str_("ab"): 7} as protocol 4 writes it, with a dtype one character longer than the text.
        let mut pickle =
            b"\x80\x04}\x8c\x15numpy.core.multiarray\x8c\x06scalar\x93\x8c\x05numpy\x8c\x05dtype\x93"
                .to_vec();
        pickle.extend(b"\x8c\x02U3\x89\x88\x87R(K\x03\x8c\x01<NNNK\x0cK\x04K\x08tb");
        pickle.extend(b"C\x0ca\0\0\0b\0\0\0\0\0\0\0\x86RK\x07s.");
        let entries = read_dictionary(&pickle).unwrap();
        assert_eq!(entries, [(Arc::from("ab"), Plain::Int(7))]);
        let at = pickle.windows(2).position(|w| w == b"U3").unwrap();
        pickle[at + 1] = b'4';
        assert!(refused(&pickle).reason.contains("numpy U4 of 12 bytes"));
    }

    #[test]
    fn protocol_2_and_every_plain_type_are_read() {
        let mut pickle = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01M\x2c\x01X\x01\x00\x00\x00bq\x02".to_vec();
        pickle.extend(b"G\x3f\xe0\x00\x00\x00\x00\x00\x00"); // 0.5
        pickle.extend(b"X\x01\x00\x00\x00cq\x03h\x01X\x01\x00\x00\x00d\x8a\x02\x00\x80u."); // LONG1 -32768
        let entries = read_dictionary(&pickle).unwrap();
        let values: Vec<_> = entries.into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            [
                Plain::Int(300),
                Plain::Float(0.5),
                Plain::Text("a".into()),
                Plain::Int(-32768)
            ]
        );
    }

    #[test]
    fn the_byte_order_of_a_dtype_is_obeyed() {
        let mut pickle = tokens();
        let order = pickle.windows(3).position(|w| w == b"\x8c\x01<").unwrap();
        pickle[order + 2] = b'>';
        let entries = read_dictionary(&pickle).unwrap();
        assert_eq!(entries[1].1, Plain::Int(i64::from(0xfeffu16 as i16)));
        assert_eq!(entries[2].1, Plain::Int(0x2c01));
    }

    #[test]
    fn a_pickle_that_would_run_something_is_refused_by_name() {
        // cos\nsystem\n(X\x04\x00\x00\x00true tR.
        let error = refused(b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR.");
        assert_eq!((error.opcode, error.offset), ("GLOBAL", 2));
        assert!(error.reason.contains("os.system"), "{}", error.reason);

        let error = refused(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x01x\x85R.");
        assert_eq!((error.opcode, error.offset), ("STACK_GLOBAL", 18));
        assert!(error.reason.contains("builtins.eval"), "{}", error.reason);
    }

    #[test]
    fn what_is_no_dictionary_of_plain_values_is_refused() {
        for (pickle, opcode) in [
            (&b"\x80\x06}."[..], "PROTO"),      // a protocol of the future
            (b"\x80\x04]\x94.", "opcode"),      // a list
            (b"\x80\x04K\x01.", "STOP"),        // an integer alone
            (b"\x80\x04}K\x01K\x02s.", "STOP"), // a key that is no string
            (b"\x80\x04}\x8c\x01a}s.", "STOP"), // a dictionary inside
            (b"\x80\x04u.", "SETITEMS"),        // items without a mark
            (b"\x80\x04(u.", "SETITEMS"),       // items without a dictionary
            (b"\x80\x04}(K\x01u.", "SETITEMS"), // a key without a value
            (b"\x80\x04h\x07.", "BINGET"),      // a memo never written
            (b"\x80\x04\x94.", "MEMOIZE"),      // nothing to memoise
            (b"\x80\x04R.", "REDUCE"),          // nothing to call
            (b"\x80\x04}Nb.", "BUILD"),         // a state for a dictionary
            (
                b"\x80\x04}(\x8c\x01a\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
                "BINUNICODE8",
            ), // longer than the file
            (b"\x80\x04}", "end of file"),
        ] {
            assert_eq!(refused(pickle).opcode, opcode, "{}", pickle.escape_ascii());
        }
    }

    #[test]
    fn deep_tuples_do_not_reach_the_machine_stack() {
        let mut pickle = b"\x80\x04)".to_vec();
        pickle.extend([0x85].repeat(1_000_000));
        pickle.push(b'.');
        assert_eq!(refused(&pickle).opcode, "TUPLE1");
    }

    #[test]
    fn short_instructions_do_not_make_large_memory() {
        let many = |start: &[u8], repeated: &[u8], n: usize| [start, &repeated.repeat(n), b"."].concat();
        for (pickle, opcode) in [
            (many(b"\x80\x04", b"N", 1 << 20), "NONE"),
            (many(b"\x80\x04", b"}", 1 << 20), "EMPTY_DICT"),
            (many(b"\x80\x04", b"(", 5 << 20), "MARK"),
            (many(b"\x80\x04N", b"\x94", 5 << 20), "MEMOIZE"),
            (many(b"\x80\x04(", b"N", 100), "STOP"),
            ([&many(b"\x80\x04(", b"N", 100)[..103], b"t."].concat(), "TUPLE"),
            (many(b"\x80\x04}\x94", b"\x8c\x00Ns", 5 << 20), "SETITEM"),
        ] {
            assert_eq!(refused(&pickle).opcode, opcode);
        }
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in 0usize..150, byte: u8, cut in 0usize..160) {
            let mut pickle = tokens();
            let n = pickle.len();
            pickle[at % n] = byte;
            pickle.truncate(cut);
            let _ = read_dictionary(&pickle);
        }
    }
}

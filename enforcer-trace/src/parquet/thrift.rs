//! Thrift's compact protocol, as far as page headers and the file's crypto metadata need it.

use super::Error;

/// No structure of the format is nested deeper.
const DEPTH_MOST: u32 = 16;

/// What a field is, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    True,
    False,
    Byte,
    Integer,
    Double,
    Binary,
    List,
    Map,
    Struct,
}

/// A place in a structure.
pub(super) struct Compact<'a> {
    rest: &'a [u8],
}

impl<'a> Compact<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What follows what was read.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next field's number and kind; nothing at the end of the structure. `last` is the number of the one before.
    pub(super) fn field(&mut self, last: i16) -> Result<Option<(i16, Kind)>, Error> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        let number = match i16::from(head >> 4) {
            0 => i16::try_from(self.integer()?).map_err(|_| Error::Thrift("field number"))?,
            step => last.checked_add(step).ok_or(Error::Thrift("field number"))?,
        };
        Ok(Some((number, kind(head & 0x0f)?)))
    }

    /// An integer of any width.
    pub(super) fn integer(&mut self) -> Result<i64, Error> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// An integer that counts something.
    pub(super) fn count(&mut self) -> Result<u32, Error> {
        u32::try_from(self.integer()?).map_err(|_| Error::Thrift("a count below zero or too large"))
    }

    /// Bytes with their length in front.
    pub(super) fn binary(&mut self) -> Result<&'a [u8], Error> {
        let length = usize::try_from(self.varint()?).map_err(|_| Error::Thrift("length"))?;
        self.take(length)
    }

    /// Leaves a field out, whatever it is.
    pub(super) fn skip(&mut self, kind: Kind) -> Result<(), Error> {
        self.skip_below(kind, DEPTH_MOST)
    }

    fn skip_below(&mut self, kind: Kind, depth: u32) -> Result<(), Error> {
        let depth = depth.checked_sub(1).ok_or(Error::Thrift("nested too deeply"))?;
        match kind {
            Kind::True | Kind::False => {}
            Kind::Byte => drop(self.take(1)?),
            Kind::Integer => drop(self.varint()?),
            Kind::Double => drop(self.take(8)?),
            Kind::Binary => drop(self.binary()?),
            Kind::List => self.skip_list(depth)?,
            Kind::Map => self.skip_map(depth)?,
            Kind::Struct => {
                let mut last = 0;
                while let Some((number, kind)) = self.field(last)? {
                    self.skip_below(kind, depth)?;
                    last = number;
                }
            }
        }
        Ok(())
    }

    fn skip_list(&mut self, depth: u32) -> Result<(), Error> {
        let head = self.byte()?;
        let length = match u64::from(head >> 4) {
            15 => self.varint()?,
            short => short,
        };
        let element = kind(head & 0x0f)?;
        for _ in 0..length {
            self.skip_element(element, depth)?;
        }
        Ok(())
    }

    fn skip_map(&mut self, depth: u32) -> Result<(), Error> {
        let length = self.varint()?;
        if length == 0 {
            return Ok(());
        }
        let kinds = self.byte()?;
        let (key, value) = (kind(kinds >> 4)?, kind(kinds & 0x0f)?);
        for _ in 0..length {
            self.skip_element(key, depth)?;
            self.skip_element(value, depth)?;
        }
        Ok(())
    }

    /// Outside of a structure's field header, a boolean is a byte. So each element takes at least one byte, and no
    /// length makes this run longer than the bytes last.
    fn skip_element(&mut self, kind: Kind, depth: u32) -> Result<(), Error> {
        match kind {
            Kind::True | Kind::False => drop(self.take(1)?),
            Kind::Byte
            | Kind::Integer
            | Kind::Double
            | Kind::Binary
            | Kind::List
            | Kind::Map
            | Kind::Struct => self.skip_below(kind, depth)?,
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Thrift("a number that does not end"))
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let (byte, rest) = self.rest.split_first().ok_or(Error::Thrift("cut off"))?;
        self.rest = rest;
        Ok(*byte)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(Error::Thrift("cut off"))?;
        self.rest = rest;
        Ok(head)
    }
}

const fn kind(nibble: u8) -> Result<Kind, Error> {
    Ok(match nibble {
        1 => Kind::True,
        2 => Kind::False,
        3 => Kind::Byte,
        4..=6 => Kind::Integer,
        7 => Kind::Double,
        8 => Kind::Binary,
        9 | 10 => Kind::List,
        11 => Kind::Map,
        12 => Kind::Struct,
        _ => return Err(Error::Thrift("unknown type of field")),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_as_the_specification_writes_them() {
        for (bytes, number) in
            [(vec![0], 0), (vec![1], -1), (vec![2], 1), (vec![0x80, 0x01], 64), (vec![0xff, 0x01], -128)]
        {
            assert_eq!(Compact::new(&bytes).integer().unwrap(), number, "{bytes:?}");
        }
    }

    #[test]
    fn fields_count_on_from_the_one_before_or_carry_their_number() {
        let mut place = Compact::new(&[0x15, 0x02, 0x05, 0x50, 0x04, 0x00]);
        assert_eq!(place.field(0).unwrap(), Some((1, Kind::Integer)));
        assert_eq!(place.integer().unwrap(), 1);
        assert_eq!(place.field(1).unwrap(), Some((40, Kind::Integer)));
        assert_eq!(place.integer().unwrap(), 2);
        assert_eq!(place.field(40).unwrap(), None);
    }

    #[test]
    fn a_structure_within_structures_without_end_is_refused() {
        assert!(Compact::new(&[0x1c; 4096]).skip(Kind::Struct).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_skipped_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut place = Compact::new(&bytes);
            if place.skip(Kind::Struct).is_ok() {
                prop_assert!(place.rest().len() < bytes.len());
            }
        }
    }
}
